//! The socket: connects, says hello, sends requests, detects a dead connection, and reconnects with
//! backoff.
import { codeOf, COOKIES_NEEDED, WireError } from './error';
import { CLOSE_CODES, PROTOCOL } from './frames';
import type { Answers, ErrorBody, Event, Fields, FrameType, HelloOk, ResumePoint, ServerFrame } from './frames';
import { HEARTBEAT_INTERVAL_MS, TALK_HEARTBEAT_INTERVAL_MS } from './limits';

export type Status = 'off' | 'connecting' | 'open' | 'waiting' | 'stopped';

/**
 * Why another attempt would not help: the code of the close, or a browser that stores no cookies.
 */
export interface Stop {
  code: number | typeof COOKIES_NEEDED;
  reason: string;
}

export interface Listener {
  status(status: Status): void;
  /** The connection is open, but a ping has got no answer yet. What arrives next ends the silence. */
  silence(): void;
  hello(ok: HelloOk): void;
  event(event: Event): void;
  /** The server has done what a frame asked for, which counts as use of the session. */
  used(): void;
}

export interface SocketOptions {
  url: string;
  /**
   * Makes sure that the server knows a visitor. Runs before a connection without one. Rejects with
   * `session_ended` if the visitor of this page is no longer the one of the cookie.
   */
  prepare(): Promise<void>;
  /** Returns the rooms to resume. Called at each hello. */
  resume(): ResumePoint[];
  /** Returns `true` while a talk is open: a lost connection must be found and replaced early. */
  inTalk(): boolean;
  listener: Listener;
  open?: (url: string, protocol: string) => WebSocket;
  random?: () => number;
}

/** `WebSocket.OPEN`. */
const OPEN = 1;
const MIN_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 30_000;
/** A talk ends when a side is away for half a minute, so several attempts must fit into that. */
const MAX_TALK_BACKOFF_MS = 5_000;
/** Delay before reconnecting after a restart, if the server names none. */
const DEFAULT_RESTART_DELAY_MS = 1_000;
const OPEN_TIMEOUT_MS = 10_000;
const ANSWER_TIMEOUT_MS = 15_000;
const PING_TIMEOUT_MS = 5_000;
/** The time after which an unanswered ping is reported as silence. */
const SILENCE_AFTER_PING_MS = 2_000;
/** Silence beyond the heartbeat interval after which the page sends a ping. */
const HEARTBEAT_GRACE_MS = 5_000;
/** The close codes that the page handles: those of the server, and some that it does not send yet. */
export const CLOSE = {
  ...CLOSE_CODES,
  /** The browser's own code: the connection is lost. */
  ABNORMAL: 1006,
  UNSUPPORTED_VERSION: 4410,
} as const;
/** Close codes after which reconnecting would not help. */
const FINAL_CODES: ReadonlySet<number> = new Set([
  CLOSE.BAD_FRAME,
  CLOSE.SESSION_ENDED,
  CLOSE.BANNED,
  CLOSE.SIGNED_IN_ELSEWHERE,
  CLOSE.UNSUPPORTED_VERSION,
]);

/** Frames that the page sends by itself, so that they are no use of the session. */
const NOT_USE: ReadonlySet<FrameType> = new Set(['hello', 'ping']);

interface PendingRequest {
  use: boolean;
  resolve(ok: never): void;
  reject(error: WireError): void;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export class Socket {
  status: Status = 'off';
  stop: Stop | null = null;
  /** The server's code if it refused the last attempt; `null` if it did not answer. */
  refusal: string | null = null;
  /** When the next attempt starts, in milliseconds since the epoch; `null` if none is planned. */
  retryAt: number | null = null;

  readonly #options: SocketOptions;
  #ws: WebSocket | null = null;
  #prepared = false;
  #attempt = 0;
  /** Rises with each connection, so that a late result of an earlier one is ignored. */
  #generation = 0;
  #lastId = 0;
  /** The server's interval, which each hello names. */
  #heartbeatMs = HEARTBEAT_INTERVAL_MS;
  #lastReceivedAt = 0;
  #silent = false;
  #pending = new Map<number, PendingRequest>();
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #openTimer: ReturnType<typeof setTimeout> | undefined;
  #heartbeatTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: SocketOptions) {
    this.#options = options;
  }

  /** Connects now. Does nothing while connecting or open. */
  start(): void {
    if (this.status === 'connecting' || this.status === 'open') return;
    this.stop = null;
    void this.#connect();
  }

  /** Closes the connection until the next `start`. */
  close(): void {
    this.#disconnect();
    this.#setStatus('off');
  }

  /** Drops the connection and makes a new one at once. Its hello brings the server's view. */
  restart(): void {
    this.#disconnect();
    void this.#connect();
  }

  /** Ends the connection for good, because the page has learned elsewhere that the session ended. */
  endSession(): void {
    if (this.status === 'stopped') return;
    this.#disconnect();
    this.#stopFor({ code: CLOSE.SESSION_ENDED, reason: '' });
  }

  /** Makes sure of a visitor, then reconnects, because the server no longer knows the session. */
  renewSession(): void {
    this.#prepared = false;
    this.restart();
  }

  /**
   * Skips the backoff, because the person or the network is back. Sends a ping if an open
   * connection is silent.
   */
  retryNow(): void {
    if (this.status === 'waiting') void this.#connect();
    else if (this.status === 'open' && Date.now() - this.#lastReceivedAt > this.#pingAfterMs()) void this.#probe();
  }

  /**
   * The browser reports that the network went or came: sends a ping now, then reports the status
   * again.
   */
  networkChanged(): void {
    if (this.status === 'open') void this.#probe().then(() => this.status === 'open' && this.#setStatus('open'));
    else this.retryNow();
  }

  /**
   * Sends a request and returns the server's `ok`. Rejects with the server's code, with
   * `disconnected` if the connection is not open or closes first, or with `timeout`. `send` has no
   * timeout: a late answer still counts.
   */
  request<T extends FrameType>(type: T, fields: Fields<T>, timeoutMs?: number): Promise<Answers[T]> {
    if (this.status !== 'open') return Promise.reject(new WireError('disconnected'));
    return this.#request(type, fields, timeoutMs);
  }

  #request<T extends FrameType>(type: T, fields: Fields<T>, timeoutMs?: number): Promise<Answers[T]> {
    const id = ++this.#lastId;
    const limit = timeoutMs ?? (type === 'send' ? undefined : ANSWER_TIMEOUT_MS);
    return new Promise<Answers[T]>((resolve, reject) => {
      const timer =
        limit === undefined
          ? undefined
          : setTimeout(() => {
              this.#pending.delete(id);
              reject(new WireError('timeout'));
            }, limit);
      this.#pending.set(id, { use: !NOT_USE.has(type), resolve: resolve as (ok: never) => void, reject, timer });
      // A closing connection sends nothing more; its close event, which follows, rejects the
      // request.
      if (this.#ws?.readyState === OPEN) this.#ws.send(JSON.stringify({ id, type, ...fields }));
    });
  }

  async #connect(): Promise<void> {
    clearTimeout(this.#retryTimer);
    this.retryAt = null;
    const generation = ++this.#generation;
    this.#setStatus('connecting');
    if (!this.#prepared) {
      try {
        await this.#options.prepare();
      } catch (error) {
        if (generation !== this.#generation) return;
        const why = codeOf(error);
        if (why === COOKIES_NEEDED) this.#stopFor({ code: COOKIES_NEEDED, reason: '' });
        else if (why === 'session_ended') this.#stopFor({ code: CLOSE.SESSION_ENDED, reason: '' });
        else this.#onRefused(error);
        return;
      }
      if (generation !== this.#generation) return;
      this.#prepared = true;
    }
    const ws = (this.#options.open ?? ((url, protocol) => new WebSocket(url, protocol)))(this.#options.url, PROTOCOL);
    this.#ws = ws;
    this.#openTimer = setTimeout(() => this.#onOpenTimeout(), OPEN_TIMEOUT_MS);
    ws.onopen = () => void this.#sendHello();
    ws.onmessage = (frame) => this.#receive(String(frame.data));
    ws.onclose = (close) => this.#onClose(close.code, close.reason);
  }

  async #sendHello(): Promise<void> {
    const generation = this.#generation;
    this.#lastReceivedAt = Date.now();
    const resume = this.#options.resume();
    let ok: HelloOk;
    try {
      ok = await this.#request('hello', resume.length > 0 ? { resume } : {});
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#disconnect();
      this.#prepared = false;
      this.#onRefused(error);
      return;
    }
    if (generation !== this.#generation) return;
    this.refusal = null;
    clearTimeout(this.#openTimer);
    this.#attempt = 0;
    this.#heartbeatMs = ok.heartbeat_ms;
    this.#scheduleProbe();
    this.#setStatus('open');
    this.#options.listener.hello(ok);
  }

  #receive(text: string): void {
    this.#lastReceivedAt = Date.now();
    if (this.#silent) {
      this.#silent = false;
      this.#setStatus('open');
    }
    let frame: ServerFrame;
    try {
      frame = JSON.parse(text) as ServerFrame;
    } catch {
      return; // not a frame of this protocol
    }
    if (!('re' in frame)) {
      this.#options.listener.event(frame);
      return;
    }
    if (frame.re === null) return;
    const request = this.#pending.get(frame.re);
    if (!request) return;
    this.#pending.delete(frame.re);
    clearTimeout(request.timer);
    if ('ok' in frame) {
      request.resolve(frame.ok as never);
      if (request.use) this.#options.listener.used();
      return;
    }
    request.reject(asError(frame.error));
    // Every further request on this connection would get the same answer.
    if (frame.error.code === 'session_ended') this.#onClose(CLOSE.SESSION_ENDED, '');
  }

  /** The silence after which the page sends a ping. */
  #pingAfterMs(): number {
    return this.#options.inTalk() ? TALK_HEARTBEAT_INTERVAL_MS : this.#heartbeatMs + HEARTBEAT_GRACE_MS;
  }

  /** A page cannot see the server's own pings, so after a longer silence it sends one itself. */
  #scheduleProbe(): void {
    clearTimeout(this.#heartbeatTimer);
    const quietFor = (): number => Date.now() - this.#lastReceivedAt;
    // A talk can begin meanwhile, so it never waits for longer than is right in a talk.
    const wait = Math.min(Math.max(0, this.#pingAfterMs() - quietFor()), TALK_HEARTBEAT_INTERVAL_MS);
    this.#heartbeatTimer = setTimeout(() => {
      if (quietFor() >= this.#pingAfterMs()) void this.#probe();
      else this.#scheduleProbe();
    }, wait);
  }

  async #probe(): Promise<void> {
    const generation = this.#generation;
    const startedAt = Date.now();
    clearTimeout(this.#heartbeatTimer);
    this.#heartbeatTimer = setTimeout(() => this.#onSilence(startedAt), SILENCE_AFTER_PING_MS);
    try {
      await this.request('ping', {}, PING_TIMEOUT_MS);
      if (generation === this.#generation) this.#scheduleProbe();
    } catch {
      if (generation !== this.#generation || this.status !== 'open') return;
      // On a slow connection the answer can be behind much else.
      if (this.#lastReceivedAt > startedAt) this.#scheduleProbe();
      // The browser can take minutes to notice a dead connection, so it is replaced now.
      else this.#onClose(CLOSE.ABNORMAL, '');
    }
  }

  #onSilence(since: number): void {
    if (this.#lastReceivedAt > since) return;
    this.#silent = true;
    this.#options.listener.silence();
  }

  /** Nothing has answered, so nothing has refused this visitor: the next attempt is as this one. */
  #onOpenTimeout(): void {
    this.#disconnect();
    this.refusal = null;
    this.#retryWithBackoff();
  }

  #onClose(code: number, reason: string): void {
    const greeted = this.status === 'open';
    this.#disconnect();
    if (FINAL_CODES.has(code)) {
      this.#stopFor({ code, reason });
      return;
    }
    // Refused before the hello: the cookie may be gone, so the next attempt makes sure of a visitor
    // first.
    if (!greeted) this.#prepared = false;
    this.refusal = null;
    if (code === CLOSE.RESTART) this.#retryAfter(restartDelay(reason));
    // This client was too slow, not the server. The resume brings what it missed.
    else if (code === CLOSE.TOO_SLOW) this.#retryAfter(0);
    else this.#retryWithBackoff();
  }

  #stopFor(stop: Stop): void {
    this.stop = stop;
    this.#prepared = false;
    this.#setStatus('stopped');
  }

  /** Tries again, not earlier than the server asks for. */
  #onRefused(error: unknown): void {
    const { code, retryAfterMs } = error instanceof WireError ? error : new WireError('internal');
    this.refusal = code === 'disconnected' || code === 'timeout' ? null : code;
    this.#retryWithBackoff(Math.min(retryAfterMs ?? 0, MAX_BACKOFF_MS));
  }

  #disconnect(): void {
    this.#generation++;
    this.#silent = false;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#openTimer);
    clearTimeout(this.#heartbeatTimer);
    this.retryAt = null;
    const ws = this.#ws;
    this.#ws = null;
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      ws.close();
    }
    const requests = [...this.#pending.values()];
    this.#pending.clear();
    for (const request of requests) {
      clearTimeout(request.timer);
      request.reject(new WireError('disconnected'));
    }
  }

  /**
   * Retries with full jitter, so that the clients do not all reconnect at the same moment after an
   * outage.
   */
  #retryWithBackoff(minMs = 0): void {
    const limitMs = this.#options.inTalk() ? MAX_TALK_BACKOFF_MS : MAX_BACKOFF_MS;
    const maxMs = Math.min(limitMs, MIN_BACKOFF_MS * 2 ** this.#attempt);
    this.#attempt++;
    this.#retryAfter(minMs + (this.#options.random ?? Math.random)() * maxMs);
  }

  #retryAfter(ms: number): void {
    this.retryAt = Date.now() + ms;
    this.#retryTimer = setTimeout(() => void this.#connect(), ms);
    this.#setStatus('waiting');
  }

  #setStatus(status: Status): void {
    this.status = status;
    this.#options.listener.status(status);
  }
}

function asError(body: ErrorBody): WireError {
  return new WireError(body.code, body.message, body.retry_after_ms ?? null, body.field ?? null);
}

/**
 * Returns the delay that the server assigned to this client, in milliseconds. The server spreads
 * its clients itself.
 */
function restartDelay(reason: string): number {
  try {
    const { delay_ms: delay } = JSON.parse(reason) as { delay_ms?: unknown };
    return typeof delay === 'number' && delay >= 0 ? Math.min(delay, MAX_BACKOFF_MS) : DEFAULT_RESTART_DELAY_MS;
  } catch {
    return DEFAULT_RESTART_DELAY_MS;
  }
}

/** Returns the address of the socket for a page. */
export function socketUrl(page: { protocol: string; host: string }): string {
  return `${page.protocol === 'https:' ? 'wss' : 'ws'}://${page.host}/ws`;
}
