//! REST under /api/v1: typed, with one error type and a timeout on every call.
import { codeOf, WireError } from './error';
import type { Entry, MessageEvent, SessionTimes, Visitor } from './frames';

export interface Me {
  visitor: Visitor;
  /** `null` for a guest. */
  session: SessionTimes | null;
  rules: { current: string; accepted: string | null };
  limits: { text: number; interests: number; [name: string]: number };
}

export interface Page<T> {
  items: T[];
  next: string | number | null;
}

export interface Stat {
  key: string;
  /** `null` while it is unknown. */
  value: number | null;
}

/** An announcement. */
export interface Banner {
  /** Another text has another key. */
  key: string;
  /** By language tag; the site's first language is always there. */
  text: Record<string, string>;
  tone: 'info' | 'warn';
  ends_at: string | null;
}

/** A suggested topic, in the reader's language. */
export interface Topic {
  id: string;
  name: string;
  /** Its names in other languages, and other words for it. */
  also: string[];
  /** The people who chose it and are searching or in a chat now. `null` if they are few. */
  waiting: number | null;
}

/** The usual waits by the hour of the day, on the site's clock. */
export interface WaitsByHour {
  /** `null` where there are too few samples. In seconds. */
  hours: { hour: number; median_s: number | null }[];
  /** The hour with the most people, or `null`. */
  busiest: number | null;
  /** The present hour on the site's clock, if the server tells it. */
  now?: number;
  /** The days of the samples. */
  days: number;
}

/** A call that fails is better than one that hangs. */
const REQUEST_TIMEOUT_MS = 15_000;

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const request: RequestInit = {
    method,
    credentials: 'same-origin',
    headers: { Accept: 'application/json' },
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  };
  if (body !== undefined) {
    request.headers = { ...request.headers, 'Content-Type': 'application/json' };
    request.body = JSON.stringify(body);
  }
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, request);
  } catch (cause) {
    const timedOut = cause instanceof DOMException && cause.name === 'TimeoutError';
    throw new WireError(timedOut ? 'timeout' : 'disconnected');
  }
  if (!response.ok) throw await problem(response);
  if (response.status === 204) return undefined as T;
  try {
    return (await response.json()) as T;
  } catch {
    throw new WireError('internal', 'the response is not valid JSON');
  }
}

async function problem(response: Response): Promise<WireError> {
  const seconds = Number(response.headers.get('Retry-After'));
  const retryAfterMs = Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : null;
  try {
    const body = (await response.json()) as { code?: string; detail?: string; title?: string; field?: string };
    const code = body.code ?? (response.status >= 500 ? 'unavailable' : 'internal');
    return new WireError(code, body.detail ?? body.title ?? code, retryAfterMs, body.field ?? null);
  } catch {
    return new WireError(response.status >= 500 ? 'unavailable' : 'internal', response.statusText, retryAfterMs);
  }
}

const query = (fields: Record<string, number | undefined>): string =>
  Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value}`)
    .join('&');

export const api = {
  /** Returns the visitor, and creates one if there is none. */
  me: (): Promise<Me> => call('GET', '/me'),
  /** Returns `true` if the server knows the visitor of this browser's cookie. Creates none. */
  isKnown: async (): Promise<boolean> => {
    try {
      await call('GET', '/rooms?limit=1');
      return true;
    } catch (error) {
      const code = codeOf(error);
      if (code === 'session_ended') return false;
      // A banned visitor is known.
      if (code === 'banned') return true;
      throw error;
    }
  },
  acceptRules: (rules: string): Promise<Me> => call('PATCH', '/me', { rules, adult: true }),
  setLocale: (locale: string): Promise<Me> => call('PATCH', '/me', { locale }),
  /** Counts as use, so that the session goes on. */
  stay: (): Promise<SessionTimes> => call('POST', '/session/stay'),
  signOut: (): Promise<void> => call('POST', '/sign-out'),
  banners: (place: 'lobby' | 'chat'): Promise<Page<Banner>> => call('GET', `/banners?place=${place}`),
  stats: (): Promise<Page<Stat>> => call('GET', '/stats'),
  topics: (locale: string): Promise<Page<Topic>> => call('GET', `/topics?locale=${encodeURIComponent(locale)}`),
  /** Returns the number of people who chose all of these interests, `null` if they are few. */
  together: (interests: readonly string[]): Promise<{ waiting: number | null }> =>
    call('GET', `/topics/together?interests=${encodeURIComponent(interests.join(','))}`),
  waits: (): Promise<WaitsByHour> => call('GET', '/waits'),
  /** Returns messages in their present state, newest last. Without `before`: the newest page. */
  messages: (room: string, page: { before?: number; limit: number }): Promise<Page<MessageEvent>> =>
    call('GET', `/rooms/${encodeURIComponent(room)}/messages?${query(page)}`),
  /** Returns the entries after `after` in order, as the socket would have sent them. */
  log: (room: string, page: { after: number; limit: number }): Promise<Page<Entry>> =>
    call('GET', `/rooms/${encodeURIComponent(room)}/log?${query(page)}`),
};

export type Api = typeof api;
