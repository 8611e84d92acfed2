//! The session with the server: the visitor, who is signed in, the connection and its status, the
//! hello, and why a connection is refused.
import { SignedIn, type SignedInDeps, type TabMessage } from '../accounts/signed-in.svelte';
import { VisitorState } from '../accounts/visitor.svelte';
import { LOBBY } from '../router.svelte';
import { Connection } from '../ui/connection.svelte';
import { openTabs } from '../ui/tabs';
import { api, type Api, type Me } from '../wire/api';
import { codeOf, COOKIES_NEEDED, WireError } from '../wire/error';
import type { Event, HelloOk, Notice, ResumePoint, SessionTimes, Visitor } from '../wire/frames';
import { CLOSE, Socket, type SocketOptions, type Status, type Stop } from '../wire/socket';

export interface SessionOptions {
  url: string;
  api?: Api;
  open?: SocketOptions['open'];
  cookiesWork?: () => boolean;
  /** The other tabs of this browser. */
  tabs?: SignedInDeps['tabs'];
  /** Replaces this page: with itself, or with another address. */
  load?: (address: string) => void;
}

/** Calls that handle the end of a session themselves. */
const OWN_HANDLING: ReadonlySet<string> = new Set(['stay', 'signOut']);
/** Calls that count as use of a session. */
const WRITES: ReadonlySet<string> = new Set(['acceptRules', 'setLocale']);

function loadPage(address: string): void {
  if (address === here()) location.reload();
  else location.assign(address);
}

/** How long after the end of a guest's session, and after each other, another tab's is looked for. */
const RECOGNISE_AFTER_MS = [300, 700, 1_500] as const;
/** Notices about the session of an account. */
const SESSION_NOTICES: ReadonlySet<string> = new Set(['session_expiring', 'signed_in_elsewhere', 'revoked']);

const here = (): string => location.pathname + location.search;

export interface SessionListener {
  /** The rooms to resume, read at each hello. */
  resume(): ResumePoint[];
  /** Returns `true` while a talk is open, or may be. */
  inTalk(): boolean;
  hello(ok: HelloOk): void;
  event(event: Event): void;
  /** The server has told the id of this page's visitor. */
  known(owner: string): void;
  /** Deletes from this browser what a visitor wrote and with whom they talked. */
  forget(owner: string): void;
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
  /** The session of a guest has ended, and whether another tab has one is being asked. */
  recognising = $state(false);
  /**
   * The server's clock minus the time since the page started, in milliseconds; `null` before the
   * first hello.
   */
  #serverAheadMs: number | null = null;

  readonly api: Api;
  readonly visitor: VisitorState;
  readonly signedIn: SignedIn;
  readonly connection = new Connection();
  readonly socket: Socket;
  readonly #listener: SessionListener;

  constructor(options: SessionOptions, listener: SessionListener) {
    this.#listener = listener;
    this.api = this.#watched(options.api ?? api);
    this.visitor = new VisitorState(this.api, options.cookiesWork);
    const load = options.load ?? loadPage;
    this.signedIn = new SignedIn({
      stay: () => this.api.stay(),
      signOut: () => this.api.signOut(),
      look: () => this.#look(),
      disconnect: () => this.socket.endSession(),
      reconnect: () => this.#reconnect(),
      reload: () => load(here()),
      leave: () => load(LOBBY),
      forget: (owner) => listener.forget(owner),
      tabs: options.tabs ?? ((heard) => openTabs<TabMessage>('maju.session', heard)),
    });
    const socketOptions: SocketOptions = {
      url: options.url,
      prepare: () => this.#prepare(),
      resume: () => listener.resume(),
      inTalk: () => listener.inTalk(),
      listener: {
        status: (status) => this.#onStatus(status),
        silence: () => this.connection.onSilence(),
        hello: (ok) => this.#onHello(ok),
        event: (event) => this.#onEvent(event),
        used: () => this.signedIn.used(),
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
      if (codeOf(error) === 'session_ended' && this.signedIn.account === null) this.socket.renewSession();
      throw error;
    }
  }

  /** Makes sure of a visitor before a connection, and that it is still the one of this page. */
  async #prepare(): Promise<void> {
    const me = await this.visitor.load();
    if (me !== null && !this.#greet(me.visitor, me.session)) throw new WireError('session_ended');
  }

  #greet(visitor: Visitor, times: SessionTimes | null | undefined): boolean {
    // Before the first hello the clock of the server is unknown, and with it when the session ends.
    const known = this.#serverAheadMs !== null ? times : undefined;
    const same = this.signedIn.greet(visitor, known, this.clockSkewMs);
    if (same) this.#listener.known(visitor.id);
    return same;
  }

  /** Asks the server who this browser is. Returns `null` if the session has ended. */
  async #look(): Promise<Me | null> {
    if (!(await this.api.isKnown())) return null;
    const me = await this.api.me();
    return this.#greet(me.visitor, me.session) ? me : null;
  }

  #reconnect(): void {
    if (this.status === 'stopped') this.start();
    else this.socket.renewSession();
  }

  /** Returns the API, with its calls watched for the use and the end of a session. */
  #watched(calls: Api): Api {
    const watched = ([name, call]: [string, (...args: never[]) => Promise<unknown>]) => {
      const then = async (...args: never[]) => {
        try {
          const answer = await call(...args);
          if (WRITES.has(name)) this.signedIn.used();
          return answer;
        } catch (error) {
          if (codeOf(error) === 'session_ended' && this.signedIn.account !== null) this.socket.endSession();
          throw error;
        }
      };
      return [name, OWN_HANDLING.has(name) ? call : then];
    };
    return Object.fromEntries(Object.entries(calls).map((entry) => watched(entry as never))) as unknown as Api;
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
    if (status === 'stopped') this.#onStopped();
    if (status === 'open') this.#listener.connected();
    if (status === 'waiting' || status === 'stopped') this.#listener.disconnected();
  }

  #onStopped(): void {
    const code = this.stop?.code;
    if (code !== CLOSE.SESSION_ENDED && code !== CLOSE.SIGNED_IN_ELSEWHERE) return;
    if (this.signedIn.account === null) void this.#goOnAsKnown();
    else this.signedIn.stopped(code === CLOSE.SIGNED_IN_ELSEWHERE, this.stop?.reason ?? '', this.clockSkewMs);
  }

  /**
   * The session of a guest has ended. If the person has signed up or in with another tab, this page
   * goes on with the cookie of that tab, which the server sends just after it has ended this session.
   */
  async #goOnAsKnown(): Promise<void> {
    if (this.recognising) return;
    this.recognising = true;
    try {
      for (const pause of RECOGNISE_AFTER_MS) {
        await new Promise((go) => setTimeout(go, pause));
        if (this.status !== 'stopped') return;
        const me = await this.#look().catch(() => null);
        if (this.signedIn.leaving || this.status !== 'stopped') return;
        if (me?.visitor.account) {
          this.start();
          return;
        }
      }
    } finally {
      this.recognising = false;
    }
  }

  #onHello(ok: HelloOk): void {
    this.#serverAheadMs = Date.parse(ok.server_time) - performance.now();
    if (!this.#greet(ok.visitor, ok.visitor.session)) return;
    this.signedIn.greeted();
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
    if (SESSION_NOTICES.has(notice.kind)) this.signedIn.noticed(notice, this.clockSkewMs);
    if (notice.kind !== 'restart' && notice.room === undefined) this.notice = notice;
  }
}
