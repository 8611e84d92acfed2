//! The numbers of the site, read at an interval while the page is visible. An unknown number is not
//! shown.
import type { Api, Stat } from '../wire/api';

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

/** Returns the numbers that are known and above zero. */
function known(stats: readonly Stat[]): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  for (const { key, value } of stats) if (value !== null && value > 0) numbers.set(key, value);
  return numbers;
}
