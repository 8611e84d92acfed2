//! Texts in the reader's language: `t(key, values)`, lists, times and the names of languages.
import { cookies } from '../ui/cookies';
import { en } from './en';
import { format, isolated, type Entry, type Placeholders, type Values } from './format';
import { ko } from './ko';
import { words } from './words.svelte';

export type Dictionary = typeof ko;
export type Key = keyof Dictionary;
export type Locale = 'ko' | 'en';

const dictionaries: Record<Locale, Record<Key, Entry>> = { ko, en };

type Args<K extends Key> = [Placeholders<Dictionary[K]>] extends [never]
  ? []
  : [values: Record<Placeholders<Dictionary[K]>, string | number>];

/** Returns a sentence in the reader's language. The type checks the placeholders. */
export function t<K extends Key>(key: K, ...args: Args<K>): string {
  return format(dictionaries[words.locale][key], words.locale, args[0] as Values | undefined);
}

export function locale(): Locale {
  return words.locale;
}

export function setLocale(next: Locale): void {
  words.locale = next;
  document.documentElement.lang = next;
  cookies.set('maju_locale', next);
}

/** Returns the chosen language, or else the first of the browser's languages that the page has. */
export function firstLocale(chosen: string | null, preferred: readonly string[]): Locale {
  if (chosen === 'ko' || chosen === 'en') return chosen;
  for (const tag of preferred) {
    if (/^ko\b/i.test(tag)) return 'ko';
    if (/^en\b/i.test(tag)) return 'en';
  }
  return 'en';
}

/**
 * Joins a list: "jazz and rain", "재즈, 비". Korean uses commas, because its conjunctions ("및", "또는")
 * sound formal.
 */
export function list(items: readonly string[], type: 'conjunction' | 'disjunction' | 'unit' = 'conjunction'): string {
  const apart = items.map(isolated);
  if (words.locale === 'ko') return apart.join(', ');
  const style = type === 'unit' ? 'short' : 'long';
  return new Intl.ListFormat(words.locale, { type, style }).format(apart);
}

/** Returns the time of day in the reader's language. */
export function clock(at: number): string {
  return new Intl.DateTimeFormat(words.locale, { hour: 'numeric', minute: '2-digit' }).format(at);
}

export function day(at: number): string {
  return new Intl.DateTimeFormat(words.locale, { month: 'long', day: 'numeric', weekday: 'long' }).format(at);
}

export function dayAndClock(at: number): string {
  return new Intl.DateTimeFormat(words.locale, { dateStyle: 'medium', timeStyle: 'short' }).format(at);
}

/** Returns a moment: today with its time, another day with its date. */
export function when(at: number): string {
  const today = new Date(at).toDateString() === new Date().toDateString();
  return today ? t('when.today', { time: clock(at) }) : dayAndClock(at);
}

/** Returns a duration such as "3 hours ago". */
export function ago(ms: number): string {
  const minutes = Math.max(1, Math.round(ms / 60_000));
  const relative = new Intl.RelativeTimeFormat(words.locale, { numeric: 'always' });
  return minutes < 60 ? relative.format(-minutes, 'minute') : relative.format(-Math.round(minutes / 60), 'hour');
}

/** Returns the name of a language in the reader's language. */
export function languageName(tag: string): string {
  try {
    return new Intl.DisplayNames(words.locale, { type: 'language' }).of(tag) ?? tag;
  } catch {
    return tag; // not a language tag
  }
}
