//! The colour of the browser's own bars, which follows the theme of the page.

/** The background of the page (`--bg` in styles/tokens.css). */
const BACKGROUND = { light: '#fbf9f4', dark: '#14130f' } as const;

/** Gives the bars the colour of a theme: `light`, `dark`, or any other value for the device's own. */
export function colorBars(theme: string, page: Document = document): void {
  for (const old of page.querySelectorAll('meta[name=theme-color]')) old.remove();
  for (const scheme of ['light', 'dark'] as const) {
    const isChosen = theme === 'light' || theme === 'dark';
    if (isChosen && scheme !== theme) continue;
    const meta = page.createElement('meta');
    meta.name = 'theme-color';
    meta.content = BACKGROUND[scheme];
    if (!isChosen) meta.setAttribute('media', `(prefers-color-scheme: ${scheme})`);
    page.head.append(meta);
  }
}
