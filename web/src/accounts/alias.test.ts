//! Names: the same words as the server's, in the reader's language, and a shape that does not
//! change.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { setLocale } from '../i18n';
import { en } from '../i18n/en';
import { ko } from '../i18n/ko';
import { COLORS } from '../wire/frames';
import { aliasOf, shapeOf } from './alias';

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

  it('has the same shape in every language, and another one with another colour', () => {
    expect(shapeOf(otter)).toBe(shapeOf({ ...otter, name: '초록 수달' }));
    expect(shapeOf(otter)).not.toBe(shapeOf({ ...otter, color: 'plum' }));
  });
});
