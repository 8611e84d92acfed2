//! The connection line, the announcer and the keyboard helpers.
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
  it('shows nothing during a gap of less than two seconds', async () => {
    const line = new Connection();
    line.onStatus('open');
    line.onStatus('waiting');
    await vi.advanceTimersByTimeAsync(1_900);
    line.onStatus('connecting');
    line.onStatus('open');
    await vi.advanceTimersByTimeAsync(20_000);
    expect(line.line).toBe('none');
  });

  it('shows reconnecting, the countdown, and for a moment that the connection is back', async () => {
    const line = new Connection();
    line.onStatus('open');
    line.onStatus('waiting');
    await vi.advanceTimersByTimeAsync(2_000);
    expect(line.line).toBe('reconnecting');
    line.onStatus('connecting');
    line.onStatus('waiting'); // one long gap, not several short ones
    await vi.advanceTimersByTimeAsync(8_000);
    expect(line.line).toBe('countdown');
    line.onStatus('open');
    expect(line.line).toBe('back');
    await vi.advanceTimersByTimeAsync(1_500);
    expect(line.line).toBe('none');
  });

  it('does not say "back" on the first visit', async () => {
    const line = new Connection();
    line.onStatus('connecting');
    await vi.advanceTimersByTimeAsync(2_000);
    expect(line.line).toBe('connecting');
    line.onStatus('open');
    expect(line.line).toBe('none');
  });

  it('shows offline at once, and trusts an open connection more than the browser', () => {
    const line = new Connection();
    line.onStatus('open');
    line.onNetwork(false);
    expect(line.line).toBe('offline');
    line.onStatus('open');
    expect(line.line).toBe('back');
  });

  it('shows that nothing arrives, until something does', async () => {
    const line = new Connection();
    expect(line.offline).toBe(true);
    line.onStatus('open');
    expect(line.offline).toBe(false);
    line.onSilence();
    expect([line.line, line.offline]).toEqual(['reconnecting', true]);
    line.onStatus('waiting'); // the same gap
    await vi.advanceTimersByTimeAsync(10_000);
    expect(line.line).toBe('countdown');
    line.onStatus('open');
    expect([line.line, line.offline]).toEqual(['back', false]);
  });

  it('changes from offline to reconnecting when the network is back', () => {
    const line = new Connection();
    line.onStatus('open');
    line.onNetwork(false);
    line.onStatus('waiting');
    line.onNetwork(true);
    expect(line.line).toBe('reconnecting');
  });
});

describe('the announcer', () => {
  it('joins a burst of messages into one sentence a second', async () => {
    const announcer = new Announcer();
    const announced: string[] = [];
    for (let n = 0; n < 50; n++) {
      announcer.announceMessage('Green Otter', `message ${n}`);
      if (announced.at(-1) !== announcer.text) announced.push(announcer.text);
    }
    await vi.advanceTimersByTimeAsync(MIN_INTERVAL_MS);
    announced.push(announcer.text);
    expect(announced).toEqual(['Green Otter: message 0', '49 new messages']);
  });

  it('announces the beginning of a long message, in whole characters', () => {
    const announcer = new Announcer();
    announcer.announceMessage('Green Otter', '👍\n'.repeat(1000));
    expect(announcer.text).toBe(`Green Otter: ${'👍 '.repeat(100)}…`);
  });

  it('announces the same text twice', async () => {
    const announcer = new Announcer();
    announcer.announce('Connected');
    const first = announcer.text;
    announcer.announce('Connected');
    await vi.advanceTimersByTimeAsync(MIN_INTERVAL_MS);
    expect(announcer.text.trim()).toBe('Connected');
    expect(announcer.text).not.toBe(first);
  });
});

it('know where a key press would write a letter', () => {
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

it('move between the visible regions in a circle', () => {
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
