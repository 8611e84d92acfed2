//! News of an open page: when it listens, and what it does without a place.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Live, type News } from './live';
import { LivingPage } from './page';

class FakeSource extends EventTarget {
  static readonly CLOSED = 2;
  static made: FakeSource[] = [];
  readyState = 0;
  constructor(readonly url: string) {
    super();
    FakeSource.made.push(this);
  }
  close(): void {
    this.readyState = 2;
  }
  say(name: string, data = '{}'): void {
    this.dispatchEvent(new MessageEvent(name, { data }));
  }
}

let hidden = false;
let stop: () => void = () => undefined;
const news = { stats: vi.fn(), content: vi.fn(() => Promise.resolve()), connected: vi.fn() } satisfies News;
const last = (): FakeSource => FakeSource.made.at(-1) as FakeSource;

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, 'random').mockReturnValue(0);
  vi.stubGlobal('EventSource', FakeSource);
  vi.spyOn(document, 'hidden', 'get').mockImplementation(() => hidden);
  hidden = false;
  FakeSource.made = [];
  document.documentElement.lang = 'ko';
  document.body.innerHTML = '<main data-page="landing" data-version="1"></main>';
  stop = new Live(document.querySelector('main') as HTMLElement, new LivingPage(), news).watch();
});

afterEach(() => {
  stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.clearAllMocks();
});

describe('Live', () => {
  it('tells of numbers, and of another version once', () => {
    expect(last().url).toBe('/live?page=landing&locale=ko');
    last().say('open');
    last().say('stats', '{"items":[]}');
    last().say('content', '{"version":"1"}');
    expect(news.content).not.toHaveBeenCalled();
    last().say('content', '{"version":"2"}');
    last().say('content', '{"version":"2"}');
    expect([news.content.mock.calls.length, news.connected.mock.calls]).toEqual([1, [[true]]]);
    expect(news.stats).toHaveBeenCalledWith({ items: [] });
  });

  it('listens only while the page is visible', () => {
    hidden = true;
    document.dispatchEvent(new Event('visibilitychange'));
    expect([last().readyState, news.connected.mock.lastCall]).toEqual([2, [false]]);
    hidden = false;
    document.dispatchEvent(new Event('visibilitychange'));
    expect(FakeSource.made.length).toBe(2);
  });

  it('asks again later where there was no place', () => {
    last().readyState = 2;
    last().say('error');
    expect(news.connected).toHaveBeenLastCalledWith(false);
    vi.advanceTimersByTime(14_999);
    expect(FakeSource.made.length).toBe(1);
    vi.advanceTimersByTime(1);
    expect(FakeSource.made.length).toBe(2);
  });

  it('leaves a lost connection to the browser', () => {
    last().say('error');
    vi.advanceTimersByTime(60_000);
    expect(FakeSource.made.length).toBe(1);
  });
});
