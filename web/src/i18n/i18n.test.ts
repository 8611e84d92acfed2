//! The dictionaries: the same placeholders in both languages, filled values, plural forms, Korean
//! particles.
import { describe, expect, it } from 'vitest';
import { firstLocale, list, setLocale, t } from '.';
import { en } from './en';
import { format, placeholdersOf, type Entry } from './format';
import { josa } from './josa';
import { ko } from './ko';

const sources = import.meta.glob<string>('../**/*.{ts,svelte}', { query: '?raw', import: 'default', eager: true });

describe('the dictionaries', () => {
  const keys = Object.keys(ko) as (keyof typeof ko)[];

  it.each(keys)('%s has the same placeholders in Korean and English, and no empty form', (key) => {
    expect(placeholdersOf(en[key])).toEqual(placeholdersOf(ko[key]));
    for (const entry of [ko[key], en[key]]) {
      for (const form of typeof entry === 'string' ? [entry] : Object.values(entry)) expect(form.trim()).not.toBe('');
    }
  });

  it('use one word for one thing: 메시지, chat', () => {
    const formsOf = (entry: Entry) => (typeof entry === 'string' ? [entry] : Object.values(entry));
    const retired = (language: Record<string, Entry>, words: RegExp) =>
      keys.flatMap((key) => formsOf(language[key] ?? '').filter((form) => words.test(form)));
    // 글 alone for a message, as in 새 글, 최근 글, 지운 글이에요. 글자, 글쓰기 and 한글 are other words.
    expect(retired(ko, /(?<!한)글(?!자|쓰기)/)).toEqual([]);
    expect(retired(ko, /더하기|더했어요|자주 묻는 말|손님/)).toEqual([]);
    expect(retired(en, /\b(talk(s|ed|ing)?|guests?)\b/i)).toEqual([]);
  });

  it('have no unused key', () => {
    const code = Object.entries(sources)
      .filter(([path]) => !/(ko|en)\.ts$|\.test\.ts$/.test(path))
      .map(([, text]) => text)
      .join('\n');
    // Built from parts: `fail.${code}`, `theme.${theme}`, …
    const built = [...code.matchAll(/[`'"]([\w.]+\.)\$\{/g)].map((match) => match[1] ?? '');
    const unused = keys.filter((key) => !code.includes(`'${key}'`) && !built.some((prefix) => key.startsWith(prefix)));
    expect(unused).toEqual([]);
  });

  it('follow a new language at once', () => {
    setLocale('ko');
    expect(t('seek.widened.why', { interest: '재즈' })).toBe('재즈를 고른 사람이 새로 오면 먼저 이어 드려요.');
    setLocale('en');
    expect(t('online', { n: 1 })).toBe('1 person is here now');
    expect(t('online', { n: 1284 })).toBe('1,284 people are here now');
    expect(document.documentElement.lang).toBe('en');
    expect(document.cookie).toContain('maju_locale=en');
  });

  it("start with the chosen language, else with the browser's", () => {
    expect(firstLocale('ko', ['en'])).toBe('ko');
    expect(firstLocale('', ['fr', 'ko-KR', 'en'])).toBe('ko');
    expect(firstLocale(null, ['fr'])).toBe('en');
  });
});

describe('filling', () => {
  it('isolates a word that is written from right to left', () => {
    setLocale('ko');
    expect(t('typing', { name: 'סתיו' })).toBe('\u2068סתיו\u2069 님이 입력하고 있어요');
    expect(t('seek.widened.why', { interest: 'می‌خواهم' })).toMatch(/^\u2068می‌خواهم\u2069[을를] /);
    expect(list(['שלום', 'jazz'])).toBe('\u2068שלום\u2069, jazz');
  });

  it('has a form of its own for nothing left', () => {
    setLocale('en');
    expect([0, 1, 2].map((n) => t('compose.left', { n }))).toEqual([
      "That's the limit",
      '1 character left',
      '2 characters left',
    ]);
    setLocale('ko');
    expect([0, 1].map((n) => t('compose.left', { n }))).toEqual(['더 쓸 수 없어요', '1자 더 쓸 수 있어요']);
  });

  it('leaves unknown placeholders and does not fill a value twice', () => {
    expect(format('{a} and {b}', 'en', { a: '{b}' })).toBe('{b} and {b}');
  });
});

describe('particles', () => {
  it.each([
    ['재즈', '을/를', '재즈를'],
    ['음악', '을/를', '음악을'],
    ['서울', '으로/로', '서울로'],
    ['집', '으로/로', '집으로'],
    ['학교', '으로/로', '학교로'],
    ['3', '이/가', '3이'],
    ['7', '으로/로', '7로'],
    ['2', '은/는', '2는'],
    ['film', '을/를', 'film을'],
    ['coffee', '을/를', 'coffee를'],
    ['“달”', '과/와', '“달”과'],
    ['영화 🎬', '이/가', '영화 🎬가'],
    ['각', '을/를', '각을'],
  ] as const)('%s %s → %s', (word, pair, whole) => {
    expect(josa(word, pair)).toBe(whole);
  });
});
