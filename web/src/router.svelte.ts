//! Which screen: the address is the only memory.

export type Route = { name: 'lobby' } | { name: 'talk'; session: string };

export function routeOf(path: string): Route {
  const talk = /^\/chat\/s\/([^/]+)\/?$/.exec(path);
  return talk?.[1] ? { name: 'talk', session: decodeURIComponent(talk[1]) } : { name: 'lobby' };
}

class Router {
  path = $state(location.pathname);
  /** Counts the moves within the page: the first screen does not take the focus, the later ones do. */
  moves = $state(0);
  readonly route = $derived(routeOf(this.path));

  listen(): () => void {
    const moved = () => this.#at(location.pathname);
    addEventListener('popstate', moved);
    return () => removeEventListener('popstate', moved);
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
    this.moves++;
  }
}

export const router = new Router();

export const LOBBY = '/chat';
export const talkPath = (session: string): string => `/chat/s/${encodeURIComponent(session)}`;
