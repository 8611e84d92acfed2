//! Which sessions of the list have ended, and how many are new.
import { describe, expect, it } from 'vitest';
import { compare } from './live-sessions';

describe('the list of sessions', () => {
  it('counts what is new and finds what has ended', () => {
    expect(compare(['b', 'a'], ['d', 'c', 'b'], true)).toEqual({ gone: ['a'], added: 2 });
    expect(compare(['b', 'a'], ['b', 'a'], true)).toEqual({ gone: [], added: 0 });
    expect(compare([], [], true)).toEqual({ gone: [], added: 0 });
    expect(compare(['a'], [], true)).toEqual({ gone: ['a'], added: 0 });
  });

  it('says nothing of what is older than the answer', () => {
    expect(compare(['c', 'b', 'a'], ['d', 'b'], false)).toEqual({ gone: ['c'], added: 1 });
    expect(compare(['b', 'a'], ['d', 'c'], false)).toEqual({ gone: [], added: 2 });
  });
});
