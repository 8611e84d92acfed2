//! Stores the choices of theme and language on the landing page. Before a choice the page sets no
//! cookie.
import { cookies } from '../ui/cookies';

export function keepChoices(page: Document = document): void {
  const root = page.documentElement;

  page.querySelector('.theme')?.addEventListener('change', (event) => {
    const { value } = event.target as HTMLInputElement;
    root.dataset.theme = value;
    cookies.set('maju_theme', value);
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
