//! The choices of the lobby, stored on the device for the next visit.
import { readJson, type KeyValueStore } from '../ui/storage';
import type { Fields } from '../wire/frames';
import { MAX_INTERESTS } from '../wire/limits';

export const LANGUAGES = [
  { tag: 'ko', name: '한국어' },
  { tag: 'en', name: 'English' },
  { tag: 'ja', name: '日本語' },
  { tag: 'zh-Hans', name: '中文' },
  { tag: 'vi', name: 'Tiếng Việt' },
  { tag: 'es', name: 'Español' },
] as const;

const KEY = 'maju.choices';

export class Choices {
  interests = $state<string[]>([]);
  languages = $state<string[]>([]);
  /** The device has choices of an earlier visit. */
  saved = $state(false);
  readonly #store: KeyValueStore;

  constructor(store: KeyValueStore, locale: string) {
    this.#store = store;
    const stored = readJson(store, KEY) as Partial<Fields<'seek'>> | null;
    const languages = strings(stored?.languages).filter((tag) => LANGUAGES.some((language) => language.tag === tag));
    this.interests = strings(stored?.interests).slice(0, MAX_INTERESTS);
    this.languages = languages.length > 0 ? languages : [locale];
    this.saved = stored !== null;
  }

  setInterests(interests: string[]): void {
    this.interests = interests;
    this.save();
  }

  toggle(tag: string): void {
    this.languages = this.languages.includes(tag)
      ? this.languages.filter((known) => known !== tag)
      : [...this.languages, tag];
    // Without a language there is no search, so the last choice stays for the next visit.
    if (this.languages.length > 0) this.save();
  }

  /** Stores the choices and returns them as the criteria of a seek. */
  save(): Fields<'seek'> {
    const criteria = this.criteria();
    this.#store.set(KEY, JSON.stringify(criteria));
    this.saved = true;
    return criteria;
  }

  criteria(): Fields<'seek'> {
    // The server has no translator yet, so nobody is asked whether they want one.
    return { interests: [...this.interests], languages: [...this.languages], translate: false };
  }

  /**
   * Returns an interest in the spelling of this visitor. The server compares and sends interests in
   * lower case.
   */
  ownSpelling(interest: string): string {
    const lower = interest.toLocaleLowerCase();
    return this.interests.find((own) => own.toLocaleLowerCase() === lower) ?? interest;
  }
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
