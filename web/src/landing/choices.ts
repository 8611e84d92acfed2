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
    // A person followed the link to the other language.
    if (link.hreflang) cookies.set('maju_locale', link.hreflang);
    // A reader of the Korean page chats in Korean, whatever the browser prefers. English is also
    // the default, so it is no choice.
    else if (link.pathname === '/chat' && root.lang === 'ko' && !cookies.get('maju_locale'))
      cookies.set('maju_locale', 'ko');
  });
}
