//! Selects the screen by the address, which is the only state.

export type Route = { name: 'lobby' } | { name: 'talk'; session: string };

export function routeOf(path: string): Route {
  const talk = /^\/chat\/s\/([^/]+)\/?$/.exec(path);
  return talk?.[1] ? { name: 'talk', session: decodeURIComponent(talk[1]) } : { name: 'lobby' };
}

class Router {
  path = $state(location.pathname);
  /**
   * Number of navigations within the page. The first screen does not take the focus, later ones do.
   */
  navigations = $state(0);
  readonly route = $derived(routeOf(this.path));

  listen(): () => void {
    const navigated = () => this.#at(location.pathname);
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
export const talkPath = (session: string): string => `/chat/s/${encodeURIComponent(session)}`;
