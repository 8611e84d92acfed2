//! The live numbers: their format, when they are read, and when they are not.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { api } from '../wire/api';
import { figure, Numbers } from './numbers';

const PAGE = `<section id="now"><dl>
<div data-stat="online" data-unit="count"><dt>here now</dt><dd><span>1,284</span><small></small></dd></div>
<div data-stat="median_wait" data-unit="seconds"><dt>usual wait</dt><dd><span>6</span><small>s</small></dd></div>
</dl><p data-as-of></p></section>`;

let still = false;
let hidden = false;
let stop: () => void = () => undefined;

const section = (): HTMLElement => document.getElementById('now') as HTMLElement;
const place = (key: string): HTMLElement => section().querySelector(`[data-stat=${key}]`) as HTMLElement;
const shownText = (key: string): string => place(key).querySelector('dd')?.textContent ?? '';
const dated = (): string => section().querySelector('[data-as-of]')?.textContent ?? '';

function watch(): void {
  stop = new Numbers(section()).watch();
}

function answers(online: number | null, wait: number | null, as_of: string | null = null): void {
  const items = [
    { key: 'online', value: online },
    { key: 'median_wait', value: wait },
  ];
  vi.spyOn(api, 'stats').mockResolvedValue({ items, next: null, as_of } as never);
}

beforeEach(() => {
  vi.useFakeTimers({ now: Date.now() });
  vi.spyOn(Math, 'random').mockReturnValue(0);
  vi.spyOn(document, 'hidden', 'get').mockImplementation(() => hidden);
  vi.stubGlobal('matchMedia', () => ({
    get matches() {
      return still;
    },
  }));
  document.documentElement.lang = 'en';
  document.body.innerHTML = PAGE;
  still = hidden = false;
});

afterEach(() => {
  stop();
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe('figure', () => {
  it.each([
    [1284, 'count', false, '1,284', null],
    [6, 'seconds', false, '6', 's'],
    [99, 'seconds', true, '99', '초'],
    [100, 'seconds', true, '2', '분'],
    [149, 'seconds', false, '2', 'min'],
  ])('%i %s has the same format as on the server', (value, unit, korean, digits, counter) => {
    expect(figure(value, unit, korean)).toEqual({ digits, counter });
  });
});

describe('Numbers', () => {
  it('reads soon, then every 15 seconds, and animates to the new values', async () => {
    answers(1300, 4);
    watch();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(api.stats).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(250);
    const between = Number(shownText('online').replace(',', ''));
    expect(between).toBeGreaterThan(1284);
    expect(between).toBeLessThanOrEqual(1300);
    await vi.advanceTimersByTimeAsync(500);
    expect([shownText('online'), shownText('median_wait')]).toEqual(['1,300', '4s']);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(api.stats).toHaveBeenCalledTimes(2);
  });

  it('hides a number that is zero or unknown, and the whole section if none is left', async () => {
    answers(0, 120);
    watch();
    await vi.advanceTimersByTimeAsync(2_500);
    expect([place('online').hidden, place('median_wait').hidden, section().hidden]).toEqual([true, false, false]);
    expect(shownText('median_wait')).toBe('2min');
    answers(null, null);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(section().hidden).toBe(true);
    answers(7, null);
    await vi.advanceTimersByTimeAsync(16_000);
    expect([section().hidden, place('online').hidden, shownText('online')]).toEqual([false, false, '7']);
  });

  it('does not read while the page is hidden', async () => {
    answers(1300, 4);
    hidden = true;
    watch();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(api.stats).not.toHaveBeenCalled();
    hidden = false;
    document.dispatchEvent(new Event('visibilitychange'));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(api.stats).toHaveBeenCalledTimes(1);
  });

  it('does not change with reduced motion, and shows the time of the numbers', async () => {
    answers(1300, 4);
    still = true;
    watch();
    await vi.advanceTimersByTimeAsync(80_000);
    expect(api.stats).not.toHaveBeenCalled();
    expect(shownText('online')).toBe('1,284');
    expect(dated()).toMatch(/^as of \d\d:\d\d$/);
  });

  it('reads less and less often while it fails, and shows the time of the numbers', async () => {
    vi.spyOn(api, 'stats').mockRejectedValue(new Error('gone'));
    watch();
    await vi.advanceTimersByTimeAsync(2_000 + 15_000 + 30_000 + 60_000 + 120_000 + 240_000 + 240_000);
    expect(api.stats).toHaveBeenCalledTimes(7);
    expect(dated()).toMatch(/^as of /);
    answers(1290, 6);
    await vi.advanceTimersByTimeAsync(241_000);
    expect([shownText('online'), dated()]).toEqual(['1,290', '']);
  });

  it('uses the age that the server reports for its numbers', async () => {
    document.documentElement.lang = 'ko';
    answers(5, 5, '2026-11-21T06:04:00Z');
    watch();
    await vi.advanceTimersByTimeAsync(3_000);
    expect(dated()).toMatch(/^\d\d:04 기준$/);
    expect(section().querySelector('time')?.dateTime).toBe('2026-11-21T06:04:00.000Z');
    expect(shownText('median_wait')).toBe('5초');
  });
});
