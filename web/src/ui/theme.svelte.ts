//! The theme: light, dark, or the device's own.
import { cookies } from './cookies';

export type Theme = 'auto' | 'light' | 'dark';
export const THEMES: readonly Theme[] = ['auto', 'light', 'dark'];

const asTheme = (value: string | null | undefined): Theme => THEMES.find((known) => known === value) ?? 'auto';

class ThemeSetting {
  theme = $state<Theme>('auto');

  /** Reads the theme that the server wrote on the page, or else the cookie. */
  read(): void {
    const written = asTheme(document.documentElement.dataset.theme);
    this.set(written === 'auto' ? asTheme(cookies.get('maju_theme')) : written, false);
  }

  set(theme: Theme, store = true): void {
    this.theme = theme;
    document.documentElement.dataset.theme = theme;
    if (store) cookies.set('maju_theme', theme);
  }

  next(): void {
    this.set(THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length] ?? 'auto');
  }
}

export const themeSetting = new ThemeSetting();
