//! Names: the same words as the server's, in the reader's language, and a shape that does not
//! change.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { setLocale } from '../i18n';
import { en } from '../i18n/en';
import { ko } from '../i18n/ko';
import { aliasOf, shapeOf } from './alias';

describe('the words', () => {
  const table = readFileSync(resolve(process.cwd(), '../src/accounts/names.rs'), 'utf8');
  const rows = [...table.matchAll(/^\s+\("(\w+)", "([^"]+)", "([^"]+)"\),$/gm)].map(([, key, korean, english]) => ({
    key,
    korean,
    english,
  }));

  it('are exactly those of the server', () => {
    expect(rows).toHaveLength(32);
    const named = rows.map(({ key }, at) => `${at < 8 ? 'color' : 'animal'}.${key}` as keyof typeof ko);
    expect(
      named
        .map((name, at) => ([ko[name], en[name]].join() === [rows[at]?.korean, rows[at]?.english].join() ? '' : name))
        .filter(Boolean),
    ).toEqual([]);
    expect(
      Object.keys(ko)
        .filter((key) => /^(color|animal)\./.test(key))
        .sort(),
    ).toEqual([...named].sort());
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
