//! Fills the sentences of a dictionary: {name}, {interest:을/를}, and the plural form of a number.
import { josa, type Josa } from './josa';

/**
 * A sentence, or its plural forms by the number `n`. `zero` is for exactly 0, in every language.
 */
export type Entry = string | Readonly<{ zero?: string; one?: string; other: string }>;

type Name<S extends string> = S extends `${infer Bare}:${string}` ? Bare : S;
type Names<S extends string> = S extends `${string}{${infer Inside}}${infer Rest}` ? Name<Inside> | Names<Rest> : never;
type Text<E> = E extends string ? E : E extends { other: infer O extends string } ? O : never;

/** The names of the placeholders of an entry, read from its literal type. */
export type Placeholders<E> = Names<Text<E>>;

export type Values = Readonly<Record<string, string | number>>;

const SLOT = /\{(\w+)(?::([^}]+))?\}/g;
const plurals = new Map<string, Intl.PluralRules>();
const numbers = new Map<string, Intl.NumberFormat>();

function cached<T>(cache: Map<string, T>, locale: string, make: () => T): T {
  const known = cache.get(locale);
  if (known !== undefined) return known;
  const made = make();
  cache.set(locale, made);
  return made;
}

/** Letters of scripts that are written from right to left. */
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/**
 * Isolates a name or an interest that is written from right to left, so that it does not reorder
 * the sentence.
 */
export function isolated(word: string): string {
  return RIGHT_TO_LEFT.test(word) ? `\u2068${word}\u2069` : word;
}

export function format(entry: Entry, locale: string, values: Values = {}): string {
  return pick(entry, locale, values).replace(SLOT, (slot, name: string, particle?: string) => {
    const value = values[name];
    if (value === undefined) return slot;
    const word =
      typeof value === 'number' ? cached(numbers, locale, () => new Intl.NumberFormat(locale)).format(value) : value;
    return particle ? isolated(word) + josa(word, particle as Josa).slice(word.length) : isolated(word);
  });
}

function pick(entry: Entry, locale: string, values: Values): string {
  if (typeof entry === 'string') return entry;
  if (Number(values.n) === 0 && entry.zero !== undefined) return entry.zero;
  const rules = cached(plurals, locale, () => new Intl.PluralRules(locale));
  const form = rules.select(Number(values.n ?? 0));
  return (form === 'one' ? entry.one : undefined) ?? entry.other;
}

/** Returns the placeholders of an entry, for the test that compares the languages. */
export function placeholdersOf(entry: Entry): string[] {
  const forms = typeof entry === 'string' ? [entry] : [entry.one ?? entry.other, entry.other];
  return [...new Set(forms.flatMap((form) => [...form.matchAll(SLOT)].map((slot) => slot[1] ?? '')))].sort();
}
