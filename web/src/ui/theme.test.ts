//! The theme of the page, and the colour of the browser's bars.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cookies } from './cookies';
import { themeSetting } from './theme.svelte';

const bars = (): string[] =>
  [...document.querySelectorAll<HTMLMetaElement>('meta[name=theme-color]')].map((meta) =>
    `${meta.content} ${meta.getAttribute('media') ?? ''}`.trim(),
  );

beforeEach(() => {
  document.documentElement.dataset.theme = 'auto';
  document.head.innerHTML = '<meta name="theme-color" content="#fbf9f4">';
});

afterEach(() => {
  document.cookie = 'maju_theme=; Path=/; Max-Age=0';
});

describe('the theme', () => {
  it("is the device's own until one is chosen, and stores nothing before", () => {
    themeSetting.read();
    expect([themeSetting.theme, document.documentElement.dataset.theme, document.cookie]).toEqual(['auto', 'auto', '']);
    expect(bars()).toEqual(['#fbf9f4 (prefers-color-scheme: light)', '#14130f (prefers-color-scheme: dark)']);
  });

  it('colours the bars, and is stored', () => {
    for (const [theme, colour] of [
      ['dark', '#14130f'],
      ['light', '#fbf9f4'],
    ] as const) {
      themeSetting.set(theme);
      expect([document.documentElement.dataset.theme, cookies.get('maju_theme')]).toEqual([theme, theme]);
      expect(bars()).toEqual([colour]);
    }
    themeSetting.set('auto');
    expect(bars()).toHaveLength(2);
  });

  it('is what the server wrote on the page, else the cookie', () => {
    cookies.set('maju_theme', 'light');
    themeSetting.read();
    expect(themeSetting.theme).toBe('light');
    document.documentElement.dataset.theme = 'dark';
    themeSetting.read();
    expect(themeSetting.theme).toBe('dark');
  });
});
