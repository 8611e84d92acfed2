//! The small parts of a talk: text checks, scrolling, unread messages, the arming of Next, saving,
//! last talks.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { setLocale } from '../i18n';
import { TALK_READABLE_AFTER_END_MS } from '../wire/limits';
import { Arming, ARMED_MS } from './arming.svelte';
import { LastTalks } from './last.svelte';
import { Row } from './row.svelte';
import { transcript } from './save';
import { anchorOf, atBottom, nearTop, restored } from './scroll';
import { checked, lengthOf } from './text';
import { Unread } from './unread.svelte';

const row = (seq: number, mine: boolean, text = `text ${seq}`) =>
  Object.assign(new Row(`c${seq}`, mine, `k${seq}`), { seq, text, at: Date.UTC(2026, 0, 1, 3, seq) });

beforeEach(() => {
  vi.useFakeTimers();
  setLocale('en');
});
afterEach(() => vi.useRealTimers());

describe('a text', () => {
  it.each([
    ['  hi \n', 'hi', null],
    ['', '', 'empty'],
    [' \n\t ', '', 'empty'],
    ['a\r\nb', 'a\nb', null],
    ['\u1112\u1161\u11ab', '한', null],
    ['tab\there', 'tab\there', null],
    ['bell\u0007', 'bell\u0007', 'bad_payload'],
    ['\u2067isolate', '\u2067isolate', 'bad_payload'],
    ['half \ud83d', 'half \ud83d', 'bad_payload'],
    ['\u200b', '\u200b', 'invisible'],
    ['\u3164\u3164', '\u3164\u3164', 'invisible'],
    ['\u2800 \u2800', '\u2800 \u2800', 'invisible'],
    ['\u0301\ufe0f', '\u0301\ufe0f', 'invisible'],
    ['\u{e0041}', '\u{e0041}', 'invisible'],
    ['می‌خواهم', 'می‌خواهم', null],
    ['🏳️‍🌈', '🏳️‍🌈', null],
    ['👩‍👩‍👧‍👦', '👩‍👩‍👧‍👦', null],
  ] as const)('%j is sent as %j or refused with: %s', (raw, text, refused) => {
    expect(checked(raw)).toEqual({ text, refused });
  });

  it('is counted in whole characters, after trimming', () => {
    expect(checked('가'.repeat(2000) + '  ').refused).toBeNull();
    expect(checked('가'.repeat(2001)).refused).toBe('too_long');
    expect([lengthOf('😀😀'), lengthOf(' a ')]).toEqual([2, 1]);
  });
});

describe('the reader', () => {
  it('is at the end within 80 pixels of it', () => {
    expect(atBottom({ scrollTop: 420, scrollHeight: 1000, clientHeight: 500 })).toBe(true);
    expect(atBottom({ scrollTop: 419, scrollHeight: 1000, clientHeight: 500 })).toBe(false);
    expect(nearTop({ scrollTop: 240, scrollHeight: 0, clientHeight: 0 })).toBe(true);
  });

  it('keeps the first row in sight on the same pixel', () => {
    const boxes = [
      { key: 'a', top: -90, bottom: -10 },
      { key: 'b', top: -10, bottom: 40 },
      { key: 'c', top: 40, bottom: 80 },
    ];
    const anchor = anchorOf(boxes, 0);
    expect(anchor).toEqual({ key: 'b', top: -10 });
    // 300 pixels of older messages were added above it.
    expect(anchor && restored(100, anchor, 290)).toBe(400);
    expect(anchorOf([], 0)).toBeNull();
  });
});

describe('unread messages', () => {
  it('start with the first message of the partner after the page was hidden, and the divider stays', () => {
    const unread = new Unread();
    const rows = [row(1, false), row(2, true)];
    unread.onHidden(rows);
    expect([unread.first(rows), unread.count(rows)]).toEqual([null, 0]);
    const more = [...rows, row(3, true), row(4, false), row(5, false)];
    expect([unread.first(more)?.seq, unread.count(more)]).toEqual([4, 2]);
    unread.onVisible();
    expect([unread.first(more)?.seq, unread.count(more)]).toEqual([4, 0]);
    unread.onHidden(more); // hidden again without an answer
    expect(unread.first([...more, row(6, false)])?.seq).toBe(4);
    unread.onVisible();
    unread.clear();
    expect(unread.first(more)).toBeNull();
  });
});

describe('next', () => {
  it('is confirmed only by a second press within two seconds', async () => {
    const confirm = vi.fn();
    const arming = new Arming(confirm);
    arming.press();
    expect([arming.armed, confirm.mock.calls.length]).toEqual([true, 0]);
    await vi.advanceTimersByTimeAsync(ARMED_MS);
    expect(arming.armed).toBe(false);
    arming.press();
    arming.press();
    expect([arming.armed, confirm.mock.calls.length]).toEqual([false, 1]);
    arming.press();
    arming.disarm();
    arming.press();
    expect(confirm).toHaveBeenCalledOnce();
  });
});

describe('a saved talk', () => {
  it('has one line for each message, without unsent ones', () => {
    const failed = Object.assign(row(3, true, 'never'), { status: 'failed' as const });
    const text = transcript([row(1, false, 'hi'), row(2, true, 'hello'), failed], {
      title: 'Your talk',
      me: 'You',
      them: 'Green Otter',
    });
    expect(text.startsWith('\uFEFFYour talk\n')).toBe(true);
    expect(text).toMatch(/\] Green Otter: hi\n\[.*\] You: hello\n$/);
    expect(text).not.toContain('never');
  });
});

describe('last talks', () => {
  const stored = new Map<string, string>();
  const store = {
    get: (key: string) => stored.get(key) ?? null,
    set: (key: string, value: string | null) => void (value === null ? stored.delete(key) : stored.set(key, value)),
  };
  const pairing = (session: string) =>
    ({
      session,
      room: `r-${session}`,
      slot: 'A',
      partner: { id: 'p', name: 'x', color: 'pine', animal: 'otter' },
    }) as never;
  beforeEach(() => stored.clear());
  const listOf = (owner: string | null) => {
    const last = new LastTalks(store);
    last.owner = owner;
    return last;
  };

  it('are listed after their end, newest first, for a day', async () => {
    const last = listOf('me');
    last.add(pairing('a'));
    last.markEnded('a');
    last.add(pairing('b'));
    expect(last.ended.map(({ session }) => session)).toEqual(['a']);
    last.markEndedExcept(null); // the server has no open talk
    expect(listOf('me').ended.map(({ session }) => session)).toEqual(['b', 'a']);
    await vi.advanceTimersByTimeAsync(TALK_READABLE_AFTER_END_MS + 1);
    expect(new LastTalks(store).all).toEqual([]);
    expect(stored.size).toBe(0);
  });

  it('are shown to nobody else in this browser, and are forgotten when their owner signs out', () => {
    const mine = listOf('me');
    mine.add(pairing('a'));
    mine.markEnded('a');
    for (const owner of ['somebody else', null]) {
      const theirs = listOf(owner);
      expect([theirs.ended, theirs.find('a')]).toEqual([[], undefined]);
    }
    expect(listOf('me').find('a')?.session).toBe('a');
    const theirs = listOf('somebody else');
    theirs.add(pairing('b'));
    theirs.forget('me');
    expect(theirs.all.map(({ session }) => session)).toEqual(['b']);
  });

  it('can be removed, and invalid ones are dropped', () => {
    const last = listOf('me');
    last.add(pairing('a'));
    last.remove('a');
    expect(last.all).toEqual([]);
    stored.set('maju.talks', '[{"room": 3}, null, "x"]');
    expect(new LastTalks(store).all).toEqual([]);
  });
});
