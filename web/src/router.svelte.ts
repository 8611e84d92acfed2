//! Selects the screen by the address, which is the only state.

export type Route = { name: 'lobby' } | { name: 'search' } | { name: 'talk'; session: string };

export function routeOf(path: string): Route {
  const [place = '', query] = path.split('?');
  const talk = /^\/chat\/s\/([^/]+)\/?$/.exec(place);
  if (talk?.[1]) return { name: 'talk', session: decoded(talk[1]) };
  return { name: new URLSearchParams(query).has('search') ? 'search' : 'lobby' };
}

/** An address that is not well formed names no talk, and must not stop the page. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const here = (): string => location.pathname + location.search;

class Router {
  path = $state(here());
  /**
   * Number of navigations within the page. The first screen does not take the focus, later ones do.
   */
  navigations = $state(0);
  readonly route = $derived(routeOf(this.path));

  listen(): () => void {
    const navigated = () => this.#at(here());
    addEventListener('popstate', navigated);
    return () => removeEventListener('popstate', navigated);
  }

  go(path: string, replace = false): void {
    if (path === this.path) return;
    if (replace) history.replaceState(null, '', path);
    else history.pushState(null, '', path);
    this.#at(path);
  }

  #at(path: string): void {
    if (path === this.path) return;
    this.path = path;
    this.navigations++;
  }
}

export const router = new Router();

export const LOBBY = '/chat';
/** The search. It has an address of its own, so that Back leads to the lobby while it goes on. */
export const SEARCH = '/chat?search';
export const talkPath = (session: string): string => `/chat/s/${encodeURIComponent(session)}`;
/** The pages of accounts. The server renders them, so a link to them leaves this page. */
export const ACCOUNT = '/account';
/** Signing in ends the other sign-in, and a new password keeps it out. */
export const NEW_PASSWORD = '/account/password';
export const RESET = '/reset';
/** The page to sign in, which then leads to `next`, a path of this site. */
export const signInPath = (next: string): string => `/signin?next=${encodeURIComponent(next)}`;
