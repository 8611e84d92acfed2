//! What a person chose in the lobby, kept on the device for the next time.
import { readJson, type Shelf } from '../ui/keep';
import type { Fields } from '../wire/frames';

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
  translate = $state(false);
  /** True when they were kept from an earlier visit. */
  kept = $state(false);
  readonly #shelf: Shelf;

  constructor(shelf: Shelf, locale: string) {
    this.#shelf = shelf;
    const known = readJson(shelf, KEY) as Partial<Fields<'seek'>> | null;
    const languages = strings(known?.languages).filter((tag) => LANGUAGES.some((language) => language.tag === tag));
    this.interests = strings(known?.interests).slice(0, 5);
    this.languages = languages.length > 0 ? languages : [locale];
    this.translate = known?.translate === true;
    this.kept = known !== null;
  }

  toggle(tag: string): void {
    this.languages = this.languages.includes(tag)
      ? this.languages.filter((known) => known !== tag)
      : [...this.languages, tag];
  }

  /** Writes them down, and answers what to ask the server for. */
  keep(): Fields<'seek'> {
    const wanted = this.wanted();
    this.#shelf.set(KEY, JSON.stringify(wanted));
    this.kept = true;
    return wanted;
  }

  wanted(): Fields<'seek'> {
    return { interests: [...this.interests], languages: [...this.languages], translate: this.translate };
  }
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
