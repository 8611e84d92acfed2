//! The numbers of the site, read now and then while somebody looks at them. A number that is missing is not shown.
import type { Api, Stat } from '../wire/api';

const EVERY_MS = 30_000;

export class Stats {
  all = $state.raw<ReadonlyMap<string, number>>(new Map());
  at = $state<number | null>(null);
  readonly #api: Pick<Api, 'stats'>;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(api: Pick<Api, 'stats'>) {
    this.#api = api;
  }

  /** Reads until the returned function is called. */
  watch(): () => void {
    void this.read();
    this.#timer = setInterval(() => {
      if (document.visibilityState === 'visible') void this.read();
    }, EVERY_MS);
    return () => clearInterval(this.#timer);
  }

  async read(): Promise<void> {
    try {
      const page = await this.#api.stats();
      this.all = known(page.items);
      this.at = Date.now();
    } catch {
      // Old numbers are worse than none.
      this.all = new Map();
      this.at = null;
    }
  }
}

/** What is not known, and what is not above zero, says nothing. */
function known(stats: readonly Stat[]): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  for (const { key, value } of stats) if (value !== null && value > 0) numbers.set(key, value);
  return numbers;
}
