//! The one error of the wire: the server's codes, for the socket and for HTTP.

/**
 * Codes of the page itself: no answer arrived, so the outcome is unknown; or the browser stores no
 * cookies, so no request is sent.
 */
export type OwnCode = 'disconnected' | 'timeout' | typeof COOKIES_NEEDED;

/** Without a cookie every request would create another visitor. */
export const COOKIES_NEEDED = 'cookies_needed';

export class WireError extends Error {
  constructor(
    /** The server's code, or `disconnected` or `timeout` if no answer arrived. */
    readonly code: string,
    message: string = code,
    /** How long the server asks to wait, in milliseconds, or `null`. */
    readonly retryAfterMs: number | null = null,
    readonly field: string | null = null,
  ) {
    super(message);
    this.name = 'WireError';
  }
}

/** Returns the code of anything thrown. Unknown errors are `internal`. */
export function codeOf(error: unknown): string {
  return error instanceof WireError ? error.code : 'internal';
}
