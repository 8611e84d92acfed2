//! The socket: says hello, asks, hears, notices when nobody answers, and comes back by itself.
import { codeOf, COOKIES_NEEDED, WireError } from './error';
import type { Answers, ErrorBody, Event, Fields, FrameType, HelloOk, ResumePoint, ServerFrame } from './frames';

export type Status = 'off' | 'connecting' | 'open' | 'waiting' | 'stopped';

/** Why trying again would not help: the code of the close, or a browser that keeps no cookie. */
export interface Stop {
  code: number | typeof COOKIES_NEEDED;
  reason: string;
}

export interface Listener {
  status(status: Status): void;
  hello(ok: HelloOk): void;
  event(event: Event): void;
}

export interface SocketOptions {
  url: string;
  /** Runs before a connection that has no known visitor yet. */
  prepare(): Promise<void>;
  /** The rooms to take up again, asked at each hello. */
  resume(): ResumePoint[];
  listener: Listener;
  open?: (url: string, protocol: string) => WebSocket;
  random?: () => number;
}

export const PROTOCOL = 'maju.v1';
/** `WebSocket.OPEN`. */
const OPEN = 1;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const OPEN_LIMIT_MS = 10_000;
const ANSWER_LIMIT_MS = 15_000;
const PING_LIMIT_MS = 5_000;
/** Silence beyond the heartbeat after which we ask. */
const GRACE_MS = 5_000;
/** Bad frame, session ended, banned, signed in elsewhere, unsupported version. */
const FINAL_CODES = new Set([4400, 4401, 4403, 4409, 4410]);
const SESSION_ENDED = 4401;
/** Our queue at the server was full: nothing is wrong, and the resume brings what it held. */
const TOO_SLOW = 4408;

interface Waiter {
  resolve(ok: never): void;
  reject(error: WireError): void;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export class Socket {
  status: Status = 'off';
  stop: Stop | null = null;
  /** The server's code, when the last attempt was answered and refused; null when nothing was heard. */
  refusal: string | null = null;
  /** When the next attempt starts, in milliseconds since the epoch; null while none is planned. */
  nextTryAt: number | null = null;

  readonly #options: SocketOptions;
  #ws: WebSocket | null = null;
  #prepared = false;
  #attempt = 0;
  #turn = 0;
  #lastId = 0;
  #heartbeatMs = 25_000;
  #heardAt = 0;
  #waiters = new Map<number, Waiter>();
  #retry: ReturnType<typeof setTimeout> | undefined;
  #opening: ReturnType<typeof setTimeout> | undefined;
  #pulse: ReturnType<typeof setTimeout> | undefined;

  constructor(options: SocketOptions) {
    this.#options = options;
  }

  /** Connects, now. Harmless while connecting or open. */
  start(): void {
    if (this.status === 'connecting' || this.status === 'open') return;
    this.stop = null;
    void this.#begin();
  }

  /** Closes for good, until `start`. */
  close(): void {
    this.#drop();
    this.#say('off');
  }

  /** Throws the connection away and makes a new one at once: its hello brings the server's view. */
  restart(): void {
    this.#drop();
    void this.#begin();
  }

  /** The server does not know our session any more: makes sure of a visitor, then connects anew. */
  renew(): void {
    this.#prepared = false;
    this.restart();
  }

  /** The person came back, or the network did: do not wait any longer, and do not trust a silent connection. */
  wake(): void {
    if (this.status === 'waiting') void this.#begin();
    else if (this.status === 'open' && Date.now() - this.#heardAt > this.#heartbeatMs) void this.#probe();
  }

  /** The network is said to have gone or come: asks for a sign of life now, and says again how things stand. */
  doubt(): void {
    if (this.status === 'open') void this.#probe().then(() => this.status === 'open' && this.#say('open'));
    else this.wake();
  }

  /**
   * Sends one frame and answers with the server's `ok`. Rejects with the server's code, with `disconnected` when the
   * connection is not open or closes first, or with `timeout`. `send` has no time limit: a late answer still counts.
   */
  ask<T extends FrameType>(type: T, fields: Fields<T>, limitMs?: number): Promise<Answers[T]> {
    if (this.status !== 'open') return Promise.reject(new WireError('disconnected'));
    return this.#ask(type, fields, limitMs);
  }

  #ask<T extends FrameType>(type: T, fields: Fields<T>, limitMs?: number): Promise<Answers[T]> {
    const id = ++this.#lastId;
    const limit = limitMs ?? (type === 'send' ? undefined : ANSWER_LIMIT_MS);
    return new Promise<Answers[T]>((resolve, reject) => {
      const timer =
        limit === undefined
          ? undefined
          : setTimeout(() => {
              this.#waiters.delete(id);
              reject(new WireError('timeout'));
            }, limit);
      this.#waiters.set(id, { resolve: resolve as (ok: never) => void, reject, timer });
      // On a connection that is closing nothing is sent: its close, which comes now, answers.
      if (this.#ws?.readyState === OPEN) this.#ws.send(JSON.stringify({ id, type, ...fields }));
    });
  }

  async #begin(): Promise<void> {
    clearTimeout(this.#retry);
    this.nextTryAt = null;
    const turn = ++this.#turn;
    this.#say('connecting');
    if (!this.#prepared) {
      try {
        await this.#options.prepare();
      } catch (error) {
        if (turn !== this.#turn) return;
        if (codeOf(error) === COOKIES_NEEDED) this.#stopFor({ code: COOKIES_NEEDED, reason: '' });
        else this.#refused(error);
        return;
      }
      if (turn !== this.#turn) return;
      this.#prepared = true;
    }
    const ws = (this.#options.open ?? ((url, protocol) => new WebSocket(url, protocol)))(this.#options.url, PROTOCOL);
    this.#ws = ws;
    this.#opening = setTimeout(() => this.#lost(1006, ''), OPEN_LIMIT_MS);
    ws.onopen = () => void this.#greet();
    ws.onmessage = (frame) => this.#hear(String(frame.data));
    ws.onclose = (close) => this.#lost(close.code, close.reason);
  }

  async #greet(): Promise<void> {
    const turn = this.#turn;
    this.#heardAt = Date.now();
    const resume = this.#options.resume();
    let ok: HelloOk;
    try {
      ok = await this.#ask('hello', resume.length > 0 ? { resume } : {});
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#drop();
      this.#prepared = false;
      this.#refused(error);
      return;
    }
    if (turn !== this.#turn) return;
    this.refusal = null;
    clearTimeout(this.#opening);
    this.#attempt = 0;
    this.#heartbeatMs = ok.heartbeat_ms;
    this.#watch();
    this.#say('open');
    this.#options.listener.hello(ok);
  }

  #hear(text: string): void {
    this.#heardAt = Date.now();
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
    const waiter = this.#waiters.get(frame.re);
    if (!waiter) return;
    this.#waiters.delete(frame.re);
    clearTimeout(waiter.timer);
    if ('ok' in frame) {
      waiter.resolve(frame.ok as never);
      return;
    }
    waiter.reject(asError(frame.error));
    // Nothing that is asked on this connection has another answer.
    if (frame.error.code === 'session_ended') this.#lost(SESSION_ENDED, '');
  }

  /** The server's own pings are invisible to a page, so after a longer silence we ask for a sign of life. */
  #watch(): void {
    clearTimeout(this.#pulse);
    const quietFor = Date.now() - this.#heardAt;
    const wait = Math.max(0, this.#heartbeatMs + GRACE_MS - quietFor);
    this.#pulse = setTimeout(() => {
      if (Date.now() - this.#heardAt >= this.#heartbeatMs + GRACE_MS) void this.#probe();
      else this.#watch();
    }, wait);
  }

  async #probe(): Promise<void> {
    const turn = this.#turn;
    clearTimeout(this.#pulse);
    try {
      await this.ask('ping', {}, PING_LIMIT_MS);
      if (turn === this.#turn) this.#watch();
    } catch {
      // A dead connection may take minutes to say so: leave it and make another.
      if (turn === this.#turn && this.status === 'open') this.#lost(1006, '');
    }
  }

  #lost(code: number, reason: string): void {
    const greeted = this.status === 'open';
    this.#drop();
    if (FINAL_CODES.has(code)) {
      this.#stopFor({ code, reason });
      return;
    }
    // Refused before the hello: the cookie may be gone, so ask for a visitor again first.
    if (!greeted) this.#prepared = false;
    this.refusal = null;
    if (code === 1012) this.#waitFor(restartDelay(reason));
    else if (code === TOO_SLOW) this.#waitFor(0);
    else this.#later();
  }

  #stopFor(stop: Stop): void {
    this.stop = stop;
    this.#prepared = false;
    this.#say('stopped');
  }

  /** Tries again, no sooner than the server asks for. */
  #refused(error: unknown): void {
    const { code, retryAfterMs } = error instanceof WireError ? error : new WireError('internal');
    this.refusal = code === 'disconnected' || code === 'timeout' ? null : code;
    this.#later(Math.min(retryAfterMs ?? 0, LONGEST_WAIT_MS));
  }

  #drop(): void {
    this.#turn++;
    clearTimeout(this.#retry);
    clearTimeout(this.#opening);
    clearTimeout(this.#pulse);
    this.nextTryAt = null;
    const ws = this.#ws;
    this.#ws = null;
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      ws.close();
    }
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    for (const waiter of waiters) {
      clearTimeout(waiter.timer);
      waiter.reject(new WireError('disconnected'));
    }
  }

  /** Full jitter: after an outage nobody comes back at the same moment as everybody else. */
  #later(least = 0): void {
    const most = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#attempt);
    this.#attempt++;
    this.#waitFor(least + (this.#options.random ?? Math.random)() * most);
  }

  #waitFor(ms: number): void {
    this.nextTryAt = Date.now() + ms;
    this.#retry = setTimeout(() => void this.#begin(), ms);
    this.#say('waiting');
  }

  #say(status: Status): void {
    this.status = status;
    this.#options.listener.status(status);
  }
}

function asError(body: ErrorBody): WireError {
  return new WireError(body.code, body.message, body.retry_after_ms ?? null, body.field ?? null);
}

/** The server spreads its clients over this time itself; without a word from it we wait a second. */
function restartDelay(reason: string): number {
  try {
    const { delay_ms: delay } = JSON.parse(reason) as { delay_ms?: unknown };
    return typeof delay === 'number' && delay >= 0 ? Math.min(delay, LONGEST_WAIT_MS) : 1000;
  } catch {
    return 1000;
  }
}

/** The address of the socket beside this page. */
export function socketUrl(page: { protocol: string; host: string }): string {
  return `${page.protocol === 'https:' ? 'wss' : 'ws'}://${page.host}/ws`;
}
