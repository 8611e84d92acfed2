//! News of an open page as they happen: server-sent events while the page is visible. Where there is
//! no place for it, the numbers are read every 15 s, as without this.
import type { LivingPage } from './page';

/** Time after a failure until the next attempt. Up to as much again is added at random. */
const RETRY_MS = 15_000;

export interface News {
  /** Called with the numbers. */
  stats(answer: unknown): void;
  /** Called when the page has another version than the one that is shown. */
  content(version: string): Promise<void>;
  /** Called when news come, or do not come any more. */
  connected(is: boolean): void;
}

export class Live {
  readonly #url: string;
  readonly #page: LivingPage;
  readonly #news: News;
  #source: EventSource | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The version that was asked for last: a cache that lags is not asked again and again. */
  #asked = '';

  constructor(main: HTMLElement, page: LivingPage, news: News) {
    const query = new URLSearchParams({ page: main.dataset.page ?? '', locale: document.documentElement.lang });
    this.#url = `/live?${query}`;
    this.#page = page;
    this.#news = news;
  }

  /** Listens while the page is visible. Returns a function that stops. */
  watch(): () => void {
    const plan = (): void => (document.hidden ? this.#close() : this.#open());
    document.addEventListener('visibilitychange', plan);
    plan();
    return () => {
      document.removeEventListener('visibilitychange', plan);
      this.#close();
    };
  }

  #open(): void {
    if (this.#source) return;
    clearTimeout(this.#timer);
    const source = new EventSource(this.#url);
    this.#source = source;
    source.addEventListener('open', () => this.#news.connected(true));
    source.addEventListener('stats', (event) => this.#news.stats(JSON.parse(event.data)));
    source.addEventListener('content', (event) => {
      const { version } = JSON.parse(event.data) as { version: string };
      if (version === this.#page.version || version === this.#asked) return;
      this.#asked = version;
      // A failure passes: the next event, or the next page, brings it.
      this.#news.content(version).catch(() => (this.#asked = ''));
    });
    source.addEventListener('error', () => {
      this.#news.connected(false);
      // A connection that was lost is opened again by the browser; a refusal is final.
      if (source.readyState !== EventSource.CLOSED) return;
      this.#close();
      this.#timer = setTimeout(() => document.hidden || this.#open(), RETRY_MS * (1 + Math.random()));
    });
  }

  #close(): void {
    clearTimeout(this.#timer);
    if (!this.#source) return;
    this.#source.close();
    this.#source = null;
    this.#news.connected(false);
  }
}
