//! The search: its phases and refusals; chips as people type them; the stored choices.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WireError } from '../wire/error';
import { settled } from '../wire/fake';
import type { Pairing } from '../wire/frames';
import type { Socket } from '../wire/socket';
import { addChip, splitTyped, suggest } from './chips';
import { Choices } from './choices.svelte';
import { elapsed, QUIET_AFTER_MS, Seek, WIDEN_AFTER_MS } from './seek.svelte';

const answer = vi.fn<(type: string, fields: unknown) => Promise<unknown>>();
const onRulesNeeded = vi.fn();
const onOpenTalk = vi.fn();
const jazz = { interests: ['jazz'], languages: ['en'], translate: false };
const anyone = { ...jazz, interests: [] };
let seek: Seek;

beforeEach(() => {
  vi.useFakeTimers();
  for (const spy of [answer, onRulesNeeded, onOpenTalk]) spy.mockReset();
  answer.mockResolvedValue({ ticket: 't', waiting: 3, median_wait_ms: 6_000 });
  seek = new Seek({ request: answer as unknown as Socket['request'], onRulesNeeded, onOpenTalk });
});
afterEach(() => vi.useRealTimers());

describe('the phases', () => {
  it('follow the clock and show the numbers of the server', async () => {
    const started = seek.start(jazz);
    expect([seek.phase, seek.waiting]).toEqual(['asking', null]);
    await started;
    expect([seek.phase, seek.waiting, seek.medianMs]).toEqual(['looking', 3, 6_000]);
    await vi.advanceTimersByTimeAsync(WIDEN_AFTER_MS);
    expect(seek.phase).toBe('widened');
    await vi.advanceTimersByTimeAsync(QUIET_AFTER_MS - WIDEN_AFTER_MS);
    expect(seek.phase).toBe('quiet');
  });

  it('do not include widening without interests', async () => {
    await seek.start(anyone);
    await vi.advanceTimersByTimeAsync(QUIET_AFTER_MS - 1);
    expect(seek.phase).toBe('looking');
  });

  it('continue after a reconnect, with the original start time', async () => {
    await seek.start(jazz);
    const { since } = seek;
    await vi.advanceTimersByTimeAsync(WIDEN_AFTER_MS);
    await seek.resume();
    expect([seek.phase, seek.since]).toEqual(['widened', since]);
    expect(answer).toHaveBeenCalledTimes(2);
  });

  it('include a cooldown as long as the server asks, then the search starts again', async () => {
    answer.mockRejectedValueOnce(new WireError('rate_limited', '', 24_000));
    await seek.start(jazz);
    expect([seek.phase, seek.cooldownMs]).toEqual(['cooling', 24_000]);
    await vi.advanceTimersByTimeAsync(24_000);
    expect(seek.phase).toBe('looking');
  });

  it('end with a match', async () => {
    await seek.start(jazz);
    seek.matched({ session: 's' } as Pairing);
    expect([seek.phase, seek.active]).toEqual(['matched', false]);
    await vi.advanceTimersByTimeAsync(QUIET_AFTER_MS);
    expect(seek.phase).toBe('matched');
  });
});

describe('refusals', () => {
  it.each([
    ['interests', 'interests'],
    ['interests[0]', 'interests'],
    ['languages', 'languages'],
    ['translate', null],
    [null, null],
  ] as const)('of the field %s are shown at %s until it is corrected', async (field, shown) => {
    answer.mockRejectedValueOnce(new WireError('bad_frame', '', null, field));
    await seek.start(jazz);
    expect([seek.phase, seek.error, seek.errorField]).toEqual(['idle', 'bad_frame', shown]);
    seek.clearError();
    expect([seek.error, seek.errorField]).toEqual([null, null]);
    await seek.start(jazz);
    expect([seek.phase, seek.error, seek.errorField]).toEqual(['looking', null, null]);
  });

  it.each([
    ['age_gate', onRulesNeeded],
    ['already_in_session', onOpenTalk],
  ] as const)('%s calls its handler', async (code, spy) => {
    answer.mockRejectedValueOnce(new WireError(code));
    await seek.start(jazz);
    expect(seek.phase).toBe('idle');
    expect(spy).toHaveBeenCalledOnce();
  });

  it('of other kinds are shown in the form', async () => {
    answer.mockRejectedValueOnce(new WireError('full'));
    await seek.start(jazz);
    expect([seek.phase, seek.error]).toEqual(['idle', 'full']);
  });

  it('do not include a missing answer: the next hello decides', async () => {
    answer.mockRejectedValueOnce(new WireError('disconnected'));
    await seek.start(jazz);
    expect(seek.phase).toBe('asking');
    await seek.resume();
    expect(seek.phase).toBe('looking');
  });

  it('of a cancelled search are ignored', async () => {
    const started = seek.start(jazz);
    await seek.cancel();
    await started;
    await settled();
    expect([seek.phase, seek.waiting]).toEqual(['idle', null]);
    expect(answer.mock.calls.map(([type]) => type)).toEqual(['seek', 'cancel']);
  });
});

it.each([
  [0, '0:00'],
  [999, '0:00'],
  [4_000, '0:04'],
  [59_999, '0:59'],
  [60_000, '1:00'],
  [750_000, '12:30'],
  [-5, '0:00'],
])('%i ms is %s', (ms, text) => {
  expect(elapsed(ms)).toBe(text);
});

describe('chips', () => {
  it('are normalised, unique, and limited in number and length', () => {
    expect(addChip([], '  #재즈  음악, ', 5)).toEqual({ chips: ['재즈 음악'], added: '재즈 음악', refused: null });
    expect(addChip(['Jazz'], 'jazz', 5)).toEqual({ chips: ['Jazz'], added: null, refused: null });
    expect(addChip(['a', 'b'], 'c', 2).refused).toBe('full');
    expect(addChip([], '가'.repeat(31), 5).refused).toBe('long');
    expect(addChip([], ' , ', 5).refused).toBe('empty');
    expect(addChip([], '\u1112\u1161\u11ab', 5).added).toBe('한'); // jamo that a Mac may paste
  });

  it('are split from a typed line at its commas', () => {
    expect(splitTyped('jazz, 비,, ra')).toEqual({ done: ['jazz', ' 비'], rest: 'ra' });
    expect(splitTyped('jazz、rain、')).toEqual({ done: ['jazz', 'rain'], rest: '' });
    expect(splitTyped('jazz')).toEqual({ done: [], rest: 'jazz' });
  });

  it('are suggested by their beginning first, without chosen ones', () => {
    expect(suggest(['Rock', 'Crochet', 'Jazz'], ['jazz'], 'ro', 5)).toEqual(['Rock', 'Crochet']);
    expect(suggest(['Rock', 'Jazz'], ['jazz'], '', 5)).toEqual(['Rock']);
  });
});

describe('choices', () => {
  it('are stored, and invalid ones are dropped', () => {
    const store = new Map<string, string>();
    const keep = {
      get: (key: string) => store.get(key) ?? null,
      set: (key: string, value: string | null) => void (value === null ? store.delete(key) : store.set(key, value)),
    };
    const first = new Choices(keep, 'ko');
    expect(first.criteria()).toEqual({ interests: [], languages: ['ko'], translate: false });
    first.interests = ['jazz'];
    first.toggle('en');
    first.save();
    expect(new Choices(keep, 'ko').criteria()).toEqual({
      interests: ['jazz'],
      languages: ['ko', 'en'],
      translate: false,
    });
    store.set('maju.choices', '{"interests": "jazz", "languages": ["xx", 3], "translate": "yes"}');
    expect(new Choices(keep, 'en').criteria()).toEqual({ interests: [], languages: ['en'], translate: false });
  });
});
