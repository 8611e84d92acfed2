//! The log: in order, without a hole, nothing twice, whatever order the wire has.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { settled } from '../wire/fake';
import type { Entry } from '../wire/frames';
import { Log, PAGE_AGAIN_MS, REPLAY_LIMIT_MS } from './log';

const entry = (seq: number): Entry => ({
  type: 'message',
  room: 'r',
  seq,
  client_id: `c${seq}`,
  sender: { id: 's', name: '', color: 'pine', animal: null, slot: 'B' },
  payload: { kind: 'text', text: `${seq}` },
  at: '2026-01-01T00:00:00.000Z',
});

let taken: number[];
let replays: number[];
let page: ReturnType<typeof vi.fn<(after: number) => Promise<Entry[]>>>;
let log: Log;

beforeEach(() => {
  vi.useFakeTimers();
  [taken, replays] = [[], []];
  page = vi.fn(() => Promise.resolve([]));
  log = new Log({
    take: (one) => taken.push(one.seq),
    replay: async (after) => void replays.push(after),
    page: (after) => page(after),
  });
});
afterEach(() => vi.useRealTimers());

const hear = (...seqs: number[]) => seqs.forEach((seq) => log.hear(entry(seq)));

describe('live entries', () => {
  it('are taken in order and once', () => {
    hear(1, 2, 2, 1, 3);
    expect(taken).toEqual([1, 2, 3]);
    expect(log.head).toBe(3);
  });

  it('wait for what is missing, which is asked for once', async () => {
    hear(1, 4, 3);
    await settled();
    expect(taken).toEqual([1]);
    expect(replays).toEqual([1]);
    hear(2);
    expect(taken).toEqual([1, 2, 3, 4]);
    await vi.advanceTimersByTimeAsync(REPLAY_LIMIT_MS);
    expect(page).not.toHaveBeenCalled();
  });

  it('come from the pages when the replay does not bring them', async () => {
    page.mockImplementation(async (after) =>
      [1, 2, 3, 4, 5]
        .filter((seq) => seq > after)
        .slice(0, 2)
        .map(entry),
    );
    hear(5);
    await vi.advanceTimersByTimeAsync(REPLAY_LIMIT_MS);
    expect(taken).toEqual([1, 2, 3, 4, 5]);
  });

  it('ask again after a gap that was not heard of', async () => {
    const failing = new Log({
      take: () => undefined,
      replay: (after) => {
        replays.push(after);
        return Promise.reject(new Error('closed'));
      },
      page,
    });
    failing.hear(entry(3));
    await settled();
    failing.hear(entry(4));
    await settled();
    expect(replays).toEqual([0, 0]);
  });
});

describe('a first page', () => {
  it('holds live entries back until it is in', () => {
    log.hold();
    hear(8, 9);
    expect(taken).toEqual([]);
    log.release(8);
    expect(taken).toEqual([9]);
  });
});

describe('a resync', () => {
  it('reads page after page, and then what came meanwhile', async () => {
    hear(1);
    page.mockImplementation(async (after) =>
      [2, 3, 4, 5, 6]
        .filter((seq) => seq > after)
        .slice(0, 2)
        .map(entry),
    );
    const done = log.resync();
    hear(7);
    await done;
    expect(taken).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(page.mock.calls.map(([after]) => after)).toEqual([1, 3, 5, 6]);
  });

  it('repeats a page that could not be read, even while nobody writes', async () => {
    page
      .mockRejectedValueOnce(new Error('down'))
      .mockImplementation(async (after) => (after < 2 ? [entry(after + 1)] : []));
    await log.resync();
    expect(taken).toEqual([]);
    await vi.advanceTimersByTimeAsync(PAGE_AGAIN_MS);
    expect(taken).toEqual([1, 2]);
  });

  it('does not go on after the end', async () => {
    page.mockRejectedValue(new Error('down'));
    await log.resync();
    log.end();
    await vi.advanceTimersByTimeAsync(10 * PAGE_AGAIN_MS);
    expect(page).toHaveBeenCalledOnce();
  });
});
