//! Names: the same words as the server's, in the reader's language, and a shape that never changes.
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

  it("are the server's own, all of them and no others", () => {
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

  it("is called in the reader's language, whatever its own", () => {
    expect(aliasOf(otter)).toBe('초록 수달');
    setLocale('en');
    expect(aliasOf(otter)).toBe('Green Otter');
  });

  it('keeps a chosen name, and one that this page does not know', () => {
    expect(aliasOf({ name: '별', color: 'pine', animal: null })).toBe('별');
    expect(aliasOf({ name: 'Green Yak', color: 'pine', animal: 'yak' })).toBe('Green Yak');
  });

  it('is drawn alike in every language, and differs by colour', () => {
    expect(shapeOf(otter)).toBe(shapeOf({ ...otter, name: '초록 수달' }));
    expect(shapeOf(otter)).not.toBe(shapeOf({ ...otter, color: 'plum' }));
  });
});
