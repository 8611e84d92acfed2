//! The two cookies of the page: its theme and its language. The server reads them, so that it paints the right page.

const A_YEAR = 365 * 24 * 60 * 60;

export const cookies = {
  get(name: string): string | null {
    for (const part of document.cookie.split('; ')) {
      const at = part.indexOf('=');
      if (at > 0 && part.slice(0, at) === name) return decodeURIComponent(part.slice(at + 1));
    }
    return null;
  },

  set(name: 'maju_theme' | 'maju_locale', value: string): void {
    const secure = location.protocol === 'https:' ? '; Secure' : '';
    document.cookie = `${name}=${encodeURIComponent(value)}; Path=/; Max-Age=${A_YEAR}; SameSite=Lax${secure}`;
  },
};
