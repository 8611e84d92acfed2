//! The two cookies of the page: its theme and its language. The server reads them, so that it paints the right page.

const A_YEAR = 365 * 24 * 60 * 60;
const PROBE = 'maju_probe';

export const cookies = {
  /** Null also where cookies are forbidden, and for a value that was not written by this page. */
  get(name: string): string | null {
    try {
      for (const part of document.cookie.split('; ')) {
        const at = part.indexOf('=');
        if (at > 0 && part.slice(0, at) === name) return decodeURIComponent(part.slice(at + 1));
      }
    } catch {
      // A sandboxed frame has no cookies at all, and another page may have written a half escape.
    }
    return null;
  },

  set(name: 'maju_theme' | 'maju_locale', value: string): void {
    write(`${name}=${encodeURIComponent(value)}; Path=/; Max-Age=${A_YEAR}; SameSite=Lax${secure()}`);
  },

  /** Returns `true` if this browser keeps a cookie of this page. Some browsers that keep none claim the opposite, so one is tried. */
  work(): boolean {
    if (navigator.cookieEnabled === false) return false;
    write(`${PROBE}=1; Path=/; SameSite=Lax${secure()}`);
    const kept = cookies.get(PROBE) === '1';
    write(`${PROBE}=; Path=/; Max-Age=0; SameSite=Lax${secure()}`);
    return kept;
  },
};

function write(cookie: string): void {
  try {
    document.cookie = cookie;
  } catch {
    // Forbidden: the page works without its own two.
  }
}

const secure = (): string => (location.protocol === 'https:' ? '; Secure' : '');
