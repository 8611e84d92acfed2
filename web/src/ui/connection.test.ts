//! The line of the connection: silent for short gaps, then honest; and what a screen reader is told.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { setLocale } from '../i18n';
import { Announcer, MIN_INTERVAL_MS } from './announcer.svelte';
import { Connection } from './connection.svelte';
import { secondsUntil } from './clock';
import { isWriting, nextRegion } from './keys';

beforeEach(() => {
  vi.useFakeTimers();
  setLocale('en');
});
afterEach(() => vi.useRealTimers());

describe('the line', () => {
  it('says nothing of a gap under two seconds', async () => {
    const line = new Connection();
    line.onStatus('open');
    line.onStatus('waiting');
    await vi.advanceTimersByTimeAsync(1_900);
    line.onStatus('connecting');
    line.onStatus('open');
    await vi.advanceTimersByTimeAsync(20_000);
    expect(line.line).toBe('none');
  });

  it('reconnects, counts down, and says that it is back for a moment', async () => {
    const line = new Connection();
    line.onStatus('open');
    line.onStatus('waiting');
    await vi.advanceTimersByTimeAsync(2_000);
    expect(line.line).toBe('reconnecting');
    line.onStatus('connecting');
    line.onStatus('waiting'); // one long gap, not many short ones
    await vi.advanceTimersByTimeAsync(8_000);
    expect(line.line).toBe('countdown');
    line.onStatus('open');
    expect(line.line).toBe('back');
    await vi.advanceTimersByTimeAsync(1_500);
    expect(line.line).toBe('none');
  });

  it('does not speak of coming back on the first visit', async () => {
    const line = new Connection();
    line.onStatus('connecting');
    await vi.advanceTimersByTimeAsync(2_000);
    expect(line.line).toBe('connecting');
    line.onStatus('open');
    expect(line.line).toBe('none');
  });

  it('says offline at once, and believes an open connection more than the browser', () => {
    const line = new Connection();
    line.onStatus('open');
    line.onNetwork(false);
    expect(line.line).toBe('offline');
    line.onStatus('open');
    expect(line.line).toBe('back');
  });

  it('leaves offline for reconnecting when the network is back', () => {
    const line = new Connection();
    line.onStatus('open');
    line.onNetwork(false);
    line.onStatus('waiting');
    line.onNetwork(true);
    expect(line.line).toBe('reconnecting');
  });
});

describe('the announcer', () => {
  it('folds a burst of messages into one sentence a second', async () => {
    const announcer = new Announcer();
    const said: string[] = [];
    for (let n = 0; n < 50; n++) {
      announcer.announceMessage('Green Otter', `message ${n}`);
      if (said.at(-1) !== announcer.text) said.push(announcer.text);
    }
    await vi.advanceTimersByTimeAsync(MIN_INTERVAL_MS);
    said.push(announcer.text);
    expect(said).toEqual(['Green Otter: message 0', '49 new messages']);
  });

  it('says the beginning of a long message, in whole characters', () => {
    const announcer = new Announcer();
    announcer.announceMessage('Green Otter', '👍\n'.repeat(1000));
    expect(announcer.text).toBe(`Green Otter: ${'👍 '.repeat(100)}…`);
  });

  it('says the same words twice so that they are heard twice', async () => {
    const announcer = new Announcer();
    announcer.announce('Connected');
    const first = announcer.text;
    announcer.announce('Connected');
    await vi.advanceTimersByTimeAsync(MIN_INTERVAL_MS);
    expect(announcer.text.trim()).toBe('Connected');
    expect(announcer.text).not.toBe(first);
  });
});

it('knows where a letter would be written', () => {
  const made = (tag: string, type?: string) => Object.assign(document.createElement(tag), type ? { type } : {});
  expect([made('textarea'), made('input'), made('select')].map(isWriting)).toEqual([true, true, true]);
  expect([made('button'), made('input', 'checkbox'), made('div'), null].map(isWriting)).toEqual([
    false,
    false,
    false,
    false,
  ]);
});

it.each([
  [30_120, 30],
  [30_000, 30],
  [29_000, 29],
  [1_251, 2],
  [1_250, 1],
  [250, 0],
  [-5, 0],
])('%i ms are shown as %i seconds', (ms, seconds) => {
  expect(secondsUntil(1_000_000 + ms, 1_000_000)).toBe(seconds);
});

it('moves between the regions that can be seen, around and around', () => {
  const regions = ['a', 'b', 'c'].map((id) =>
    Object.assign(document.createElement('div'), { id, getClientRects: () => (id === 'b' ? [] : [1]) }),
  );
  const [a, , c] = regions;
  expect(nextRegion(regions, null, false)).toBe(a);
  expect(nextRegion(regions, a ?? null, false)).toBe(c);
  expect(nextRegion(regions, c ?? null, false)).toBe(a);
  expect(nextRegion(regions, a ?? null, true)).toBe(c);
  expect(nextRegion([], null, false)).toBeNull();
});
