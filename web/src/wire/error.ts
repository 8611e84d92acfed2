//! The one error of the wire: the server's codes, over the socket and over HTTP alike.

/** Our own codes: nothing was heard, so the outcome is not known; or the browser keeps no cookie, so nothing is asked. */
export type OwnCode = 'disconnected' | 'timeout' | typeof COOKIES_NEEDED;

/** Without a cookie every request would make another visitor. */
export const COOKIES_NEEDED = 'cookies_needed';

export class WireError extends Error {
  constructor(
    /** The server's code, or `disconnected` / `timeout` when no answer came. */
    readonly code: string,
    message: string = code,
    /** How long the server asks us to wait, in milliseconds. */
    readonly retryAfterMs: number | null = null,
    readonly field: string | null = null,
  ) {
    super(message);
    this.name = 'WireError';
  }
}

/** The code of anything thrown, for a screen that must say something in any case. */
export function codeOf(error: unknown): string {
  return error instanceof WireError ? error.code : 'internal';
}
