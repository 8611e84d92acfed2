//! The suggested topics: found by any of their names, counted, and kept when the server is silent.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Topic } from '../wire/api';
import { WireError } from '../wire/error';
import { CHOICE_DELAY_MS, READ_INTERVAL_MS, topicKey, Topics } from './topics.svelte';

const music: Topic = { id: 'music', name: '음악', also: ['Music', 'songs'], waiting: 31 };
const rain: Topic = { id: 'rain', name: '비 오는 날', also: ['Rainy days'], waiting: null };
const topicsCall = vi.fn<(locale: string) => Promise<{ items: Topic[]; next: null }>>();
const togetherCall = vi.fn<(interests: readonly string[]) => Promise<{ waiting: number | null }>>();
let topics: Topics;

beforeEach(() => {
  vi.useFakeTimers();
  topicsCall.mockReset().mockResolvedValue({ items: [music, rain], next: null });
  togetherCall.mockReset().mockResolvedValue({ waiting: 7 });
  topics = new Topics({ topics: topicsCall, together: togetherCall });
});
afterEach(() => vi.useRealTimers());

describe('a topic', () => {
  it.each(['음악', 'music', ' MUSIC ', 'Ｍｕｓｉｃ', 'Songs'])('is found as %s', async (name) => {
    await topics.read();
    expect([topics.idOf(name), topics.find(name)?.waiting]).toEqual(['music', 31]);
  });

  it('is found without its spaces, and nothing else is found', async () => {
    await topics.read();
    expect(topics.idOf('비오는날')).toBe('rain');
    expect(topics.idOf('musical')).toBeNull();
    expect(topics.find('')).toBeUndefined();
  });
});

// The same words as in `src/matching/topics.rs`.
describe('the form of a word that is compared', () => {
  it.each([
    ['Rock-N-Roll', 'rocknroll'],
    ['rock n’ roll', 'rockn’roll'],
    ['영화·드라마', '영화드라마'],
    ['STRASSE', 'strasse'],
    ['straße', 'strasse'],
    ['STRAẞE', 'strasse'],
    ['ΟΔΟΣ', 'οδοσ'],
    ['❤️', '❤'],
    ['C++', 'c++'],
    ['-', '-'],
  ])('of %s is %s', (name, key) => {
    expect(topicKey(name)).toBe(key);
    expect(topicKey(key)).toBe(key);
  });
});

describe('the numbers', () => {
  it('are read at an interval, in the language of the page', async () => {
    const stop = topics.watch();
    await vi.advanceTimersByTimeAsync(READ_INTERVAL_MS);
    expect(topicsCall.mock.calls).toEqual([['ko'], ['ko']]);
    stop();
    await vi.advanceTimersByTimeAsync(READ_INTERVAL_MS * 2);
    expect(topicsCall).toHaveBeenCalledTimes(2);
  });

  it('disappear when the server does not answer, and the names stay', async () => {
    await topics.read();
    topicsCall.mockRejectedValue(new WireError('timeout'));
    await topics.read();
    expect(topics.items.map(({ id, waiting }) => [id, waiting])).toEqual([
      ['music', null],
      ['rain', null],
    ]);
  });

  it('of the chosen interests together are asked for once they rest', async () => {
    await topics.read();
    topics.choose(['음악']);
    topics.choose(['음악', '뜨개질']);
    expect(togetherCall).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(CHOICE_DELAY_MS);
    expect(togetherCall.mock.calls).toEqual([[['음악', '뜨개질']]]);
    expect(topics.together).toBe(7);
  });

  it('of one suggested topic need no request, and nothing chosen has none', async () => {
    await topics.read();
    topics.choose(['Music']);
    await vi.advanceTimersByTimeAsync(CHOICE_DELAY_MS);
    expect(topics.together).toBe(31);
    topics.choose([]);
    await vi.advanceTimersByTimeAsync(CHOICE_DELAY_MS);
    expect(topics.together).toBeNull();
    expect(togetherCall).not.toHaveBeenCalled();
  });

  it('of an earlier choice are ignored', async () => {
    let answer: (count: { waiting: number }) => void = () => {};
    togetherCall.mockReturnValueOnce(new Promise((resolve) => (answer = resolve)));
    topics.choose(['차']);
    await vi.advanceTimersByTimeAsync(CHOICE_DELAY_MS);
    topics.choose([]);
    answer({ waiting: 9 });
    await vi.advanceTimersByTimeAsync(CHOICE_DELAY_MS);
    expect(topics.together).toBeNull();
  });
});
