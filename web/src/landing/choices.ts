//! Stores the choices of theme and language on the landing page. Before a choice the page sets no
//! cookie.
import { colorBars } from '../ui/bars';
import { cookies } from '../ui/cookies';

export function keepChoices(page: Document = document): void {
  const root = page.documentElement;

  const show = (theme: string): void => {
    root.dataset.theme = theme;
    colorBars(theme, page);
  };

  page.querySelector('.theme')?.addEventListener('change', (event) => {
    const { value } = event.target as HTMLInputElement;
    show(value);
    cookies.set('maju_theme', value);
  });

  // A page that comes back from the browser's memory, or from a cache, has the theme of that time.
  page.defaultView?.addEventListener('pageshow', () => {
    const chosen = page.querySelector<HTMLInputElement>(`.theme [value='${cookies.get('maju_theme') ?? 'auto'}']`);
    if (!chosen) return;
    chosen.checked = true;
    show(chosen.value);
  });

  page.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link) return;
    // A person followed the link to another language.
    if (link.hreflang) cookies.set('maju_locale', link.hreflang);
    // Who reads the page of a language chats in it, whatever the browser prefers. The address
    // without a language has the one that the browser prefers, so it is no choice.
    else if (link.pathname === '/chat' && page.location.pathname !== '/' && !cookies.get('maju_locale'))
      cookies.set('maju_locale', root.lang);
  });
}
