//! The two cookies of the page: theme and language. The server reads them to render the page
//! accordingly.

const YEAR_SECONDS = 365 * 24 * 60 * 60;
const PROBE = 'maju_probe';

export const cookies = {
  /**
   * Returns `null` if there is no such cookie, if cookies are forbidden, or if the value cannot be
   * decoded.
   */
  get(name: string): string | null {
    try {
      for (const part of document.cookie.split('; ')) {
        const at = part.indexOf('=');
        if (at > 0 && part.slice(0, at) === name) return decodeURIComponent(part.slice(at + 1));
      }
    } catch {
      // A sandboxed frame has no cookies, and another page can have written an incomplete escape.
    }
    return null;
  },

  set(name: 'maju_theme' | 'maju_locale', value: string): void {
    write(`${name}=${encodeURIComponent(value)}; Path=/; Max-Age=${YEAR_SECONDS}; SameSite=Lax${secure()}`);
  },

  /**
   * Returns `true` if this browser stores cookies. It tries one, because some browsers report it
   * wrongly.
   */
  work(): boolean {
    if (navigator.cookieEnabled === false) return false;
    write(`${PROBE}=1; Path=/; SameSite=Lax${secure()}`);
    const stored = cookies.get(PROBE) === '1';
    write(`${PROBE}=; Path=/; Max-Age=0; SameSite=Lax${secure()}`);
    return stored;
  },
};

function write(cookie: string): void {
  try {
    document.cookie = cookie;
  } catch {
    // Cookies are forbidden. The page works without these two.
  }
}

const secure = (): string => (location.protocol === 'https:' ? '; Secure' : '');
