//! The announcements of a place, read at an interval while the page is visible. One that was hidden
//! stays so until its text changes.
import { locale } from '../i18n';
import type { Api, Banner } from '../wire/api';
import { deviceStore, readJson, type KeyValueStore } from './storage';

const READ_INTERVAL_MS = 30_000;
/** The landing page stores what was hidden under the same key (src/landing/banners.ts). */
const KEY = 'maju.banners-hidden';
/** The most keys that are stored; older ones are forgotten. */
const MAX_HIDDEN = 20;

export class Banners {
  all = $state.raw<readonly Banner[]>([]);
  hidden = $state.raw<readonly string[]>([]);
  shown = $derived(this.all.filter((banner) => !this.hidden.includes(banner.key)));
  readonly #api: Pick<Api, 'banners'>;
  readonly #place: 'lobby' | 'chat';
  readonly #store: KeyValueStore;

  constructor(api: Pick<Api, 'banners'>, place: 'lobby' | 'chat', store: KeyValueStore = deviceStore) {
    this.#api = api;
    this.#place = place;
    this.#store = store;
    const stored = readJson(store, KEY);
    this.hidden = Array.isArray(stored) ? stored.filter((key) => typeof key === 'string') : [];
  }

  /** Reads at an interval. Returns a function that stops. */
  watch(): () => void {
    void this.read();
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') void this.read();
    }, READ_INTERVAL_MS);
    return () => clearInterval(timer);
  }

  async read(): Promise<void> {
    try {
      this.all = (await this.#api.banners(this.#place)).items;
    } catch {
      // What was announced stays announced.
    }
  }

  hide(key: string): void {
    this.hidden = [...this.hidden.filter((one) => one !== key), key].slice(-MAX_HIDDEN);
    this.#store.set(KEY, JSON.stringify(this.hidden));
  }
}

/** Returns a banner's text in the reader's language, and the language it is in. */
export function textOf(banner: Banner): { text: string; lang: string } {
  const lang = banner.text[locale()] ? locale() : 'ko';
  return { text: banner.text[lang] ?? '', lang };
}
