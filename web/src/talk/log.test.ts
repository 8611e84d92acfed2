//! The log: in order, without gaps or duplicates, in whatever order the entries arrive.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { settled } from '../wire/fake';
import type { Entry } from '../wire/frames';
import { Log, PAGE_RETRY_MS, REPLAY_TIMEOUT_MS } from './log';

const entry = (seq: number): Entry => ({ type: 'message', room: 'r', seq, client_id: `c${seq}` });

let applied: number[];
let replays: number[];
let page: ReturnType<typeof vi.fn<(after: number) => Promise<Entry[]>>>;
let log: Log;

beforeEach(() => {
  vi.useFakeTimers();
  [applied, replays] = [[], []];
  page = vi.fn(() => Promise.resolve([]));
  log = new Log({
    apply: (one) => applied.push(one.seq),
    replay: async (after) => void replays.push(after),
    page: (after) => page(after),
  });
});
afterEach(() => vi.useRealTimers());

const receive = (...seqs: number[]) => seqs.forEach((seq) => log.receive(entry(seq)));

describe('live entries', () => {
  it('are applied in order and once', () => {
    receive(1, 2, 2, 1, 3);
    expect(applied).toEqual([1, 2, 3]);
    expect(log.head).toBe(3);
  });

  it('wait for missing entries, which are requested once', async () => {
    receive(1, 4, 3);
    await settled();
    expect(applied).toEqual([1]);
    expect(replays).toEqual([1]);
    receive(2);
    expect(applied).toEqual([1, 2, 3, 4]);
    await vi.advanceTimersByTimeAsync(REPLAY_TIMEOUT_MS);
    expect(page).not.toHaveBeenCalled();
  });

  it('come from the pages if the replay does not arrive', async () => {
    page.mockImplementation(async (after) =>
      [1, 2, 3, 4, 5]
        .filter((seq) => seq > after)
        .slice(0, 2)
        .map(entry),
    );
    receive(5);
    await vi.advanceTimersByTimeAsync(REPLAY_TIMEOUT_MS);
    expect(applied).toEqual([1, 2, 3, 4, 5]);
  });

  it('are requested again if the first request failed', async () => {
    const failing = new Log({
      apply: () => undefined,
      replay: (after) => {
        replays.push(after);
        return Promise.reject(new Error('closed'));
      },
      page,
    });
    failing.receive(entry(3));
    await settled();
    failing.receive(entry(4));
    await settled();
    expect(replays).toEqual([0, 0]);
  });
});

describe('a first page', () => {
  it('holds live entries back until it is loaded', () => {
    log.hold();
    receive(8, 9);
    expect(applied).toEqual([]);
    log.continueAfter(8);
    expect(applied).toEqual([9]);
  });
});

describe('a resync', () => {
  it('reads page after page, then applies what arrived meanwhile', async () => {
    receive(1);
    page.mockImplementation(async (after) =>
      [2, 3, 4, 5, 6]
        .filter((seq) => seq > after)
        .slice(0, 2)
        .map(entry),
    );
    const done = log.resync();
    receive(7);
    await done;
    expect(applied).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(page.mock.calls.map(([after]) => after)).toEqual([1, 3, 5, 6]);
  });

  it('retries a page that could not be read, even if no entry arrives', async () => {
    page
      .mockRejectedValueOnce(new Error('down'))
      .mockImplementation(async (after) => (after < 2 ? [entry(after + 1)] : []));
    await log.resync();
    expect(applied).toEqual([]);
    await vi.advanceTimersByTimeAsync(PAGE_RETRY_MS);
    expect(applied).toEqual([1, 2]);
  });

  it('does not continue after the end', async () => {
    page.mockRejectedValue(new Error('down'));
    await log.resync();
    log.end();
    await vi.advanceTimersByTimeAsync(10 * PAGE_RETRY_MS);
    expect(page).toHaveBeenCalledOnce();
  });
});
