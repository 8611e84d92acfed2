//! The numbers of the site, read at an interval while the page is visible. An unknown number is not
//! shown.
import type { Api, Stat } from '../wire/api';
import { MIN_PEOPLE_SHOWN } from '../wire/limits';

const READ_INTERVAL_MS = 30_000;

export class Stats {
  all = $state.raw<ReadonlyMap<string, number>>(new Map());
  at = $state<number | null>(null);
  readonly #api: Pick<Api, 'stats'>;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(api: Pick<Api, 'stats'>) {
    this.#api = api;
  }

  /** Reads at an interval. Returns a function that stops. */
  watch(): () => void {
    void this.read();
    this.#timer = setInterval(() => {
      if (document.visibilityState === 'visible') void this.read();
    }, READ_INTERVAL_MS);
    return () => clearInterval(this.#timer);
  }

  async read(): Promise<void> {
    try {
      const page = await this.#api.stats();
      this.all = known(page.items);
      this.at = Date.now();
    } catch {
      // No number is better than an old one.
      this.all = new Map();
      this.at = null;
    }
  }
}

/** Returns the numbers that are known and worth showing. */
function known(stats: readonly Stat[]): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  for (const { key, value } of stats) {
    // The server counts everybody with a connection, and so the reader of this page.
    const others = key === 'online' && value !== null ? value - 1 : value;
    if (others !== null && others >= smallestShown(key)) numbers.set(key, others);
  }
  return numbers;
}

/** A handful of people is not shown, as on the landing page. */
function smallestShown(key: string): number {
  return key === 'online' || key === 'waiting' ? MIN_PEOPLE_SHOWN : 1;
}
