//! The suggested topics and how many people chose them, read at an interval while the page is
//! visible.
import { locale } from '../i18n';
import type { Api, Topic } from '../wire/api';

export const READ_INTERVAL_MS = 15_000;
/** The chosen interests are counted once they have not changed for this time. */
export const CHOICE_DELAY_MS = 400;

export class Topics {
  /** The suggested topics in their order, with names in the reader's language. */
  items = $state.raw<readonly Topic[]>([]);
  /** The people who chose all of the interests of `choose`. `null` if they are few or unknown. */
  together = $state<number | null>(null);
  readonly #byKey = $derived(byKey(this.items));
  readonly #api: Pick<Api, 'topics' | 'together'>;
  #chosen: readonly string[] = [];
  /** Rises with each request, so that a late answer to an earlier one is ignored. */
  #reads = 0;
  #counts = 0;
  #delay: ReturnType<typeof setTimeout> | undefined;

  constructor(api: Pick<Api, 'topics' | 'together'>) {
    this.#api = api;
  }

  /**
   * Reads at an interval. Returns a function that stops. In an effect, a change of the language
   * reads again.
   */
  watch(): () => void {
    const tag = locale();
    void this.read(tag);
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') void this.read(tag);
    }, READ_INTERVAL_MS);
    return () => {
      clearInterval(timer);
      clearTimeout(this.#delay);
    };
  }

  async read(tag: string = locale()): Promise<void> {
    const read = ++this.#reads;
    let items: readonly Topic[];
    try {
      items = (await this.#api.topics(tag)).items;
    } catch {
      // The names stay. No number is better than an old one.
      items = this.items.map((topic) => ({ ...topic, waiting: null }));
    }
    if (read !== this.#reads) return;
    this.items = items;
    await this.#count();
  }

  /** Returns the suggested topic that a word names, in any language. */
  find(name: string): Topic | undefined {
    return this.#byKey.get(topicKey(name));
  }

  /** Returns the id of the suggested topic that a word names, in any language. */
  idOf(name: string): string | null {
    return this.find(name)?.id ?? null;
  }

  /** Sets the interests whose people are counted in `together`. */
  choose(names: readonly string[]): void {
    this.#chosen = [...names];
    this.together = null;
    this.#counts++;
    clearTimeout(this.#delay);
    this.#delay = setTimeout(() => void this.#count(), CHOICE_DELAY_MS);
  }

  async #count(): Promise<void> {
    const count = ++this.#counts;
    const [first, ...others] = this.#chosen;
    const topic = first === undefined ? undefined : this.find(first);
    let together: number | null = null;
    if (topic !== undefined && others.length === 0) together = topic.waiting;
    else if (first !== undefined) together = await this.#ask();
    if (count === this.#counts) this.together = together;
  }

  async #ask(): Promise<number | null> {
    try {
      return (await this.#api.together(this.#chosen)).waiting;
    } catch {
      return null;
    }
  }
}

function byKey(items: readonly Topic[]): ReadonlyMap<string, Topic> {
  const map = new Map<string, Topic>();
  for (const topic of items) for (const name of [topic.name, ...topic.also]) map.set(topicKey(name), topic);
  return map;
}

/**
 * Returns what the server compares: compatible forms, upper and lower case, spaces, dashes, middle
 * dots and variation selectors make no difference (`src/matching/topics.rs`).
 */
export function topicKey(name: string): string {
  const folded = [...name.normalize('NFKC')].map(fold).join('');
  const bare = folded.replace(/[\s\p{Dash}·・‧•\uFE00-\uFE0F]/gu, '');
  return (bare === '' ? folded : bare).normalize('NFKC');
}

/** Folds a letter by way of upper case, because some have only that in common: ς and σ, ß and ss. */
function fold(letter: string): string {
  const upper = letter.toLowerCase().toUpperCase();
  return [...upper].map((c) => c.toLowerCase()).join('');
}
