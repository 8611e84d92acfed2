//! Light, dark, or as the device says.
import { cookies } from './cookies';

export type Theme = 'auto' | 'light' | 'dark';
export const THEMES: readonly Theme[] = ['auto', 'light', 'dark'];

const asTheme = (value: string | null | undefined): Theme => THEMES.find((known) => known === value) ?? 'auto';

class ThemeSetting {
  theme = $state<Theme>('auto');

  /** What the server wrote on the page, else the cookie. */
  read(): void {
    const written = asTheme(document.documentElement.dataset.theme);
    this.set(written === 'auto' ? asTheme(cookies.get('maju_theme')) : written, false);
  }

  set(theme: Theme, keep = true): void {
    this.theme = theme;
    document.documentElement.dataset.theme = theme;
    if (keep) cookies.set('maju_theme', theme);
  }

  next(): void {
    this.set(THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length] ?? 'auto');
  }
}

export const themeSetting = new ThemeSetting();
