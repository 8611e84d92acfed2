//! The theme: light, dark, or the device's own.
import { colorBars } from './bars';
import { cookies } from './cookies';

export type Theme = 'auto' | 'light' | 'dark';
export const THEMES: readonly Theme[] = ['auto', 'light', 'dark'];

const asTheme = (value: string | null | undefined): Theme => THEMES.find((known) => known === value) ?? 'auto';

class ThemeSetting {
  theme = $state<Theme>('auto');

  /** Reads the theme that the server wrote on the page, or else the cookie. */
  read(): void {
    const written = asTheme(document.documentElement.dataset.theme);
    this.#show(written === 'auto' ? asTheme(cookies.get('maju_theme')) : written);
  }

  /** Shows a theme and stores it. */
  set(theme: Theme): void {
    this.#show(theme);
    cookies.set('maju_theme', theme);
  }

  #show(theme: Theme): void {
    this.theme = theme;
    document.documentElement.dataset.theme = theme;
    colorBars(theme);
  }
}

export const themeSetting = new ThemeSetting();
