//! Announcements that the reader hides.
import { beforeEach, describe, expect, it } from 'vitest';
import { watchBanners } from './banners';

const banner = (key: string): string => `<div data-banner="${key}"><p>x</p><button hidden>close</button></div>`;
const shown = (): string[] =>
  [...document.querySelectorAll<HTMLElement>('[data-banner]')]
    .filter((one) => !one.hidden)
    .map((one) => one.dataset.banner ?? '');

beforeEach(() => {
  localStorage.clear();
  document.body.innerHTML = `${banner('1-1')}${banner('2-1')}<main tabindex="-1"></main>`;
});

describe('watchBanners', () => {
  it('hides one until its text changes, and moves the focus on', () => {
    watchBanners();
    const button = document.querySelector('button') as HTMLButtonElement;
    expect(button.hidden).toBe(false);
    button.focus();
    button.click();
    expect([shown(), document.activeElement?.tagName]).toEqual([['2-1'], 'MAIN']);
    document.body.innerHTML = banner('1-1') + banner('1-2');
    watchBanners();
    expect(shown()).toEqual(['1-2']);
  });

  it('works with a storage that something else wrote', () => {
    localStorage.setItem('maju.banners-hidden', '{"a":');
    watchBanners();
    expect(shown()).toEqual(['1-1', '2-1']);
  });
});
