//! The session with the server: the visitor, the connection and its status, the hello, and why a
//! connection is refused.
import { VisitorState } from '../accounts/visitor.svelte';
import { Connection } from '../ui/connection.svelte';
import { api, type Api } from '../wire/api';
import { codeOf, COOKIES_NEEDED } from '../wire/error';
import type { Event, HelloOk, Notice, ResumePoint } from '../wire/frames';
import { CLOSE, Socket, type SocketOptions, type Status, type Stop } from '../wire/socket';

export interface SessionOptions {
  url: string;
  api?: Api;
  open?: SocketOptions['open'];
  cookiesWork?: () => boolean;
}

export interface SessionListener {
  /** The rooms to resume, read at each hello. */
  resume(): ResumePoint[];
  /** Returns `true` while a talk is open, or may be. */
  inTalk(): boolean;
  hello(ok: HelloOk): void;
  event(event: Event): void;
  /** The connection works, at first or again. */
  connected(): void;
  disconnected(): void;
}

export class Session {
  status = $state<Status>('off');
  /** Why the connection has ended for good, or `null`. */
  stop = $state.raw<Stop | null>(null);
  /** When the next attempt to connect starts, in milliseconds since the epoch, or `null`. */
  retryAt = $state<number | null>(null);
  /** The server's code for why it refuses the connection, or `null`. */
  refusal = $state<string | null>(null);
  /**
   * The browser stores no cookies. Stays `true` during a new attempt until that attempt succeeds.
   */
  needsCookies = $state(false);
  /** The server has answered at least one hello. */
  greeted = $state(false);
  /** The newest notice that concerns the whole service, or `null`. */
  notice = $state.raw<Notice | null>(null);
  /** The server is newer than this page, so a reload is needed. */
  outdated = $state(false);
  /**
   * The server's clock minus the time since the page started, in milliseconds; `null` before the
   * first hello.
   */
  #serverAheadMs: number | null = null;

  readonly api: Api;
  readonly visitor: VisitorState;
  readonly connection = new Connection();
  readonly socket: Socket;
  readonly #listener: SessionListener;

  constructor(options: SessionOptions, listener: SessionListener) {
    this.#listener = listener;
    this.api = options.api ?? api;
    this.visitor = new VisitorState(this.api, options.cookiesWork);
    const socketOptions: SocketOptions = {
      url: options.url,
      prepare: () => this.visitor.load(),
      resume: () => listener.resume(),
      inTalk: () => listener.inTalk(),
      listener: {
        status: (status) => this.#onStatus(status),
        silence: () => this.connection.onSilence(),
        hello: (ok) => this.#onHello(ok),
        event: (event) => this.#onEvent(event),
      },
    };
    if (options.open) socketOptions.open = options.open;
    this.socket = new Socket(socketOptions);
  }

  /** Connects: at the start, and when the person asks to try again. */
  start(): void {
    this.visitor.allowNewVisitor();
    this.socket.start();
  }

  /**
   * Records the age and the rules. If the session has ended meanwhile, starts a new one for the
   * next attempt.
   */
  async acceptRules(): Promise<void> {
    try {
      await this.visitor.acceptRules();
    } catch (error) {
      if (codeOf(error) === 'session_ended') this.socket.renewSession();
      throw error;
    }
  }

  /**
   * The server's clock minus the local clock, in milliseconds, also after the local clock was set.
   */
  get clockSkewMs(): number {
    return this.#serverAheadMs === null ? 0 : this.#serverAheadMs + performance.now() - Date.now();
  }

  #onStatus(status: Status): void {
    this.status = status;
    this.stop = this.socket.stop;
    this.retryAt = this.socket.retryAt;
    this.refusal = this.socket.refusal;
    this.connection.onStatus(status);
    if (this.stop) this.needsCookies = this.stop.code === COOKIES_NEEDED;
    if (status === 'stopped' && this.stop?.code === CLOSE.UNSUPPORTED_VERSION) this.outdated = true;
    if (status === 'open') this.#listener.connected();
    if (status === 'waiting' || status === 'stopped') this.#listener.disconnected();
  }

  #onHello(ok: HelloOk): void {
    this.#serverAheadMs = Date.parse(ok.server_time) - performance.now();
    this.greeted = true;
    this.visitor.allowNewVisitor();
    this.needsCookies = false;
    this.#listener.hello(ok);
  }

  #onEvent(event: Event): void {
    if (event.type === 'notice') this.#onNotice(event);
    else this.#listener.event(event);
  }

  /**
   * A restart also has its own close code, and a notice about one room does not concern the
   * connection.
   */
  #onNotice(notice: Notice): void {
    if (notice.kind !== 'restart' && notice.room === undefined) this.notice = notice;
  }
}
