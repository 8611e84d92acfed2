//! The scripts that check the build: they must report what is wrong.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
// @ts-expect-error plain JavaScript, run by Node as it is
import { audit, ratio, tokensOf } from './contrast.mjs';
// @ts-expect-error plain JavaScript, run by Node as it is
import { closure, measure } from './size.mjs';

describe('contrast', () => {
  const css = readFileSync(resolve(process.cwd(), 'src/styles/tokens.css'), 'utf8');

  it('computes the ratio of WCAG', () => {
    expect(ratio('#000000', '#ffffff')).toBeCloseTo(21, 5);
    expect(ratio('#1D1B16', '#FBF9F4')).toBeCloseTo(16.35, 2);
  });

  it('is sufficient for every pair of tokens', () => {
    expect(audit(css).filter(({ ok }: { ok: boolean }) => !ok)).toEqual([]);
  });

  it('reports a colour that is too pale, and a missing token', () => {
    const pale = css.replace(/--text-3: light-dark\(#\w+/, '--text-3: light-dark(#B0A894');
    expect(
      audit(pale).some(
        ({ ink, theme, ok }: { ink: string; theme: string; ok: boolean }) =>
          ink === 'text-3' && theme === 'light' && !ok,
      ),
    ).toBe(true);
    const gone = css.replace(/--accent:[^;]+;/, '');
    expect(tokensOf(gone).has('accent')).toBe(false);
    expect(audit(gone).some(({ ok }: { ok: boolean }) => !ok)).toBe(true);
  });
});

describe('sizes', () => {
  const manifest = {
    'index.html': { file: 'app.js', isEntry: true, imports: ['_shared'], css: ['app.css'] },
    'src/landing/main.ts': { file: 'landing.js', isEntry: true, imports: ['_shared'] },
    'src/Lazy.svelte': { file: 'lazy.js', isDynamicEntry: true, imports: ['index.html'] },
    '_shared': { file: 'shared.js', imports: ['_deep'], css: ['shared.css'] },
    '_deep': { file: 'deep.js' },
  };

  it('count every file that an entry loads, once', () => {
    expect(closure(manifest, 'index.html')).toEqual(['index.html', '_shared', '_deep']);
    const lines = measure(manifest, () => 1000) as { name: string; bytes: number; limit: number }[];
    expect(Object.fromEntries(lines.map(({ name, bytes }) => [name, bytes]))).toEqual({
      'chat, first script': 3000,
      'chat, sheets': 2000,
      'landing, first script': 3000,
      'landing, sheets': 1000,
      'lazy src/Lazy.svelte': 1000,
      'all scripts': 5000,
    });
  });
});
