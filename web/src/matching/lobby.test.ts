//! The lobby beside the form: the waits of a day, unread messages of the open talk, and the search
//! that goes on meanwhile.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { setLocale } from '../i18n';
import { Row } from '../talk/row.svelte';
import type { Talk } from '../talk/talk.svelte';
import type { Socket } from '../wire/socket';
import { addChip, suggest } from './chips';
import { Seek, QUIET_AFTER_MS, WIDEN_AFTER_MS } from './seek.svelte';
import { Seen } from './seen.svelte';
import { hourName, Waits } from './waits.svelte';

beforeEach(() => vi.useFakeTimers({ now: new Date(2026, 10, 30, 15, 4) }));
afterEach(() => vi.useRealTimers());

describe('the waits of a day', () => {
  const hours = (known: (hour: number) => number | null) =>
    Array.from({ length: 24 }, (_, hour) => ({ hour, median_s: known(hour) }));
  const read = async (answer: object) => {
    const waits = new Waits({ waits: async () => ({ hours: [], busiest: null, days: 7, ...answer }) });
    await waits.read();
    return waits;
  };

  it('are bars of two hours, and the present one is marked', async () => {
    const waits = await read({ hours: hours((hour) => (hour < 2 ? 40 : hour < 4 ? null : 10)), busiest: 21 });
    expect(waits.bars.map((bar) => bar.share)).toEqual([1, null, ...Array.from({ length: 10 }, () => 0.25)]);
    expect(waits.bars.findIndex((bar) => bar.now)).toBe(7);
    expect(waits.busiest).toBe(21);
  });

  it("are on the reader's clock", async () => {
    // It is 15 o'clock here and 6 o'clock on the site's clock.
    const waits = await read({ hours: hours((hour) => (hour === 12 ? 90 : 9)), busiest: 12, now: 6 });
    expect(waits.busiest).toBe(21);
    expect(waits.bars.findIndex((bar) => bar.share === 1)).toBe(10);
  });

  it('are left out with few samples and without an answer', async () => {
    const few = await read({ hours: hours((hour) => (hour < 10 ? 5 : null)), busiest: 9 });
    expect([few.bars, few.busiest]).toEqual([[], null]);
    const waits = new Waits({ waits: () => Promise.reject(new Error('404')) });
    await waits.read();
    expect([waits.bars, waits.busiest]).toEqual([[], null]);
  });

  it('are named by the hour in both languages', () => {
    setLocale('ko');
    expect(hourName(21)).toMatch(/^오후\s9시$/u);
    setLocale('en');
    expect(hourName(21)).toMatch(/^9\sPM$/u);
  });
});

describe('unread messages', () => {
  const row = (seq: number | null, mine = false) => Object.assign(new Row(`c${seq}`, mine, `k${seq}`), { seq });
  const talk = (session: string, rows: Row[]) => ({ session, messages: { rows } }) as unknown as Talk;

  it('are those of the partner after the talk was last on the screen', () => {
    const seen = new Seen();
    expect(seen.unread(talk('s1', [row(1), row(2)]))).toBe(2);
    seen.show(talk('s1', [row(1), row(2)]));
    expect(seen.unread(talk('s1', [row(1), row(2), row(3), row(4, true), row(null, true)]))).toBe(1);
    expect(seen.unread(talk('s2', [row(1)]))).toBe(1);
  });
});

describe('a search without a connection', () => {
  const answer = vi.fn(async () => ({ ticket: 't', waiting: 1 }));
  const jazz = { interests: ['jazz'], languages: ['en'], translate: false };
  const newSeek = () =>
    new Seek({ request: answer as unknown as Socket['request'], onRulesNeeded() {}, onOpenTalk() {} });

  it('stops its clock and its phases, and goes on where it stopped', async () => {
    const seek = newSeek();
    await seek.start(jazz);
    await vi.advanceTimersByTimeAsync(4_000);
    seek.pause();
    await vi.advanceTimersByTimeAsync(60_000);
    expect([seek.phase, seek.elapsedMs(Date.now())]).toEqual(['looking', 4_000]);
    seek.goOn();
    await vi.advanceTimersByTimeAsync(WIDEN_AFTER_MS - 4_001);
    expect(seek.phase).toBe('looking');
    await vi.advanceTimersByTimeAsync(1);
    expect(seek.phase).toBe('widened');
    seek.pause();
    await vi.advanceTimersByTimeAsync(QUIET_AFTER_MS);
    seek.goOn();
    expect(seek.phase).toBe('widened');
    await vi.advanceTimersByTimeAsync(QUIET_AFTER_MS - WIDEN_AFTER_MS);
    expect(seek.phase).toBe('quiet');
  });

  it('has no clock to stop before it started and after it ended', async () => {
    const seek = newSeek();
    seek.pause();
    expect(seek.pausedAt).toBeNull();
    await seek.start(jazz);
    seek.pause();
    await seek.cancel();
    expect([seek.pausedAt, seek.justCancelled]).toEqual([null, true]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(seek.justCancelled).toBe(false);
  });
});

describe('an interest with several names', () => {
  const keyOf = (word: string) => (/^(음악|music)$/iu.test(word) ? 'music' : word);
  const otherNames = (idea: string) => (idea === '음악' ? ['Music'] : []);

  it('is added once and suggested under each of them', () => {
    expect(addChip(['음악'], 'Music', 5, keyOf)).toEqual({ chips: ['음악'], added: null, refused: null });
    expect(suggest(['영화', '음악'], [], 'mu', 6, keyOf, otherNames)).toEqual(['음악']);
    expect(suggest(['영화', '음악'], ['music'], '', 6, keyOf, otherNames)).toEqual(['영화']);
  });
});
