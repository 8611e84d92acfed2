//! Keeps what somebody chose on this page, from the moment they choose it: before that the page sets no cookie.
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
    // Another language was asked for by name.
    if (link.hreflang) cookies.set('maju_locale', link.hreflang);
    // Who reads Korean here talks on in Korean, whatever the browser prefers. English is also what nobody chose.
    else if (link.pathname === '/chat' && root.lang === 'ko' && !cookies.get('maju_locale'))
      cookies.set('maju_locale', 'ko');
  });
}
