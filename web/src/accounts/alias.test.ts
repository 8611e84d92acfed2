//! Names: the same words as the server's, in the reader's language, and a drawing for each animal.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { setLocale } from '../i18n';
import { en } from '../i18n/en';
import { ko } from '../i18n/ko';
import { COLORS } from '../wire/frames';
import { aliasOf } from './alias';
import { drawingOf, ANIMALS, PLAIN } from './animals';

describe('the words', () => {
  const isName = ([key]: [string, unknown]) => /^(color|animal)\./.test(key);

  it.each([
    ['ko', ko],
    ['en', en],
  ])('are exactly those of the server: %s', (locale, words) => {
    const file = readFileSync(resolve(process.cwd(), `../src/locale/${locale}.rs`), 'utf8');
    const rows = [...file.matchAll(/^\s+\("(\w+)", "([^"]+)"\),$/gm)];
    expect(rows).toHaveLength(32);
    // The colours come first.
    const named = rows.map(([, key, word], at) => [`${at < COLORS.length ? 'color' : 'animal'}.${key}`, word]);
    expect(Object.fromEntries(named)).toEqual(Object.fromEntries(Object.entries(words).filter(isName)));
  });
});

describe('a face', () => {
  beforeEach(() => setLocale('ko'));
  const otter = { name: 'Green Otter', color: 'pine', animal: 'otter' } as const;

  it("has its name in the reader's language", () => {
    expect(aliasOf(otter)).toBe('초록 수달');
    setLocale('en');
    expect(aliasOf(otter)).toBe('Green Otter');
  });

  it('keeps a chosen name and an unknown animal as they are', () => {
    expect(aliasOf({ name: '별', color: 'pine', animal: null })).toBe('별');
    expect(aliasOf({ name: 'Green Yak', color: 'pine', animal: 'yak' })).toBe('Green Yak');
  });

  it('has the drawing of its animal, and a plain tile without one', () => {
    expect(drawingOf('otter')).toBe(ANIMALS.otter);
    expect(drawingOf('yak')).toBe(PLAIN);
    expect(drawingOf('constructor')).toBe(PLAIN);
    expect(drawingOf(null)).toBe(PLAIN);
  });
});

describe('the drawings', () => {
  const named = Object.keys(ko).flatMap((key) => (key.startsWith('animal.') ? [key.slice('animal.'.length)] : []));

  it('are one for each animal, all different', () => {
    expect(Object.keys(ANIMALS).sort()).toEqual(named.sort());
    expect(new Set(Object.values(ANIMALS).map((drawing) => JSON.stringify(drawing))).size).toBe(named.length);
  });

  it.each(Object.entries(ANIMALS))('stay inside the square: %s', (_, drawing) => {
    for (const path of Object.values(drawing) as string[]) {
      expect(path).toMatch(/^M[\d .MmLlHhVvCcSsAaZz-]*$/);
      for (const [, x, y] of path.matchAll(/M(-?[\d.]+) (-?[\d.]+)/g)) {
        expect(Math.min(Number(x), Number(y))).toBeGreaterThanOrEqual(0);
        expect(Math.max(Number(x), Number(y))).toBeLessThanOrEqual(40);
      }
    }
  });
});
