//! Who is signed in on this page, until when, and why that ended. A state machine without a page or
//! a socket: the session with the server tells it what happens.
import type { Tabs } from '../ui/tabs';
import type { Me } from '../wire/api';
import { codeOf } from '../wire/error';
import type { Account, Notice, SessionTimes, Visitor } from '../wire/frames';
import { EXPIRY_WARNING_MS, SIGNED_IN_IDLE_TIMEOUT_MS } from '../wire/limits';

/** In the last minute, a screen reader says the time this often, in seconds. */
export const SPOKEN_EVERY_S = 15;
/** The page asks the server only a moment after the end, because their clocks can differ. */
const GRACE_MS = 1_500;
/** A timer can fire a moment too early. */
const TIMER_SLACK_MS = 50;
/** The other tabs hear of use at most this often. */
const TELL_EVERY_MS = 5_000;

/**
 * `guest`: nobody is signed in, or the server has not answered yet. `expiring`: the end is near.
 * `ended`: somebody was signed in, and this page cannot go on in their name.
 */
export type Phase = 'guest' | 'live' | 'expiring' | 'ended';

/** Why a session ended: the server's reasons, and `expired` if it tells none. */
const REASONS = [
  'expired',
  'signed_in_elsewhere',
  'signed_out',
  'ended_by_owner',
  'ended_by_staff',
  'password_changed',
  'role_changed',
  'deactivated',
  'deleted',
] as const;
export type Reason = (typeof REASONS)[number];

export interface Ended {
  reason: Reason;
  /** When somebody signed in elsewhere, in milliseconds since the epoch. `null` if it is unknown. */
  at: number | null;
  /** On which device, in a few words of the server, or `null`. */
  device: string | null;
}

/** What the tabs of a browser tell each other. Times are of the local clock, which they share. */
export type TabMessage = { account: string } & (
  { type: 'used' | 'greeted'; idleUntil: number; endsAt: number } | { type: 'signed_out' }
);

export interface SignedInDeps {
  /** Asks the server to extend the session. */
  stay(): Promise<unknown>;
  signOut(): Promise<void>;
  /** Asks the server who this browser is. `null` if the session has ended. It counts as no use. */
  look(): Promise<Me | null>;
  /** Ends the connection for good. */
  disconnect(): void;
  /** Connects again, because somebody has signed in, in another tab. */
  reconnect(): void;
  /** Loads the page again, because it shows what belongs to somebody else. */
  reload(): void;
  /** Leaves for the lobby, without anything that this page has in memory. */
  leave(): void;
  /** Deletes from this browser what the visitor wrote and with whom they talked. */
  forget(owner: string): void;
  tabs(heard: (message: TabMessage) => void): Tabs<TabMessage>;
}

export class SignedIn {
  phase = $state<Phase>('guest');
  /** Who is signed in, or was when the session ended. `null` for a guest. */
  account = $state.raw<Account | null>(null);
  ended = $state.raw<Ended | null>(null);
  /** When the session ends, in milliseconds since the epoch by the local clock. */
  deadline = $state(Infinity);
  /** The session is at its greatest length, so that use does not extend it. */
  atLimit = $state(false);
  /** The dialog that asks before the end is to be shown. */
  asking = $state(false);
  /** The last attempt to stay or to sign out got no answer. */
  failed = $state(false);
  busy = $state(false);
  /** The page is about to be replaced, so what happens to the session does not matter to it. */
  leaving = $state(false);

  readonly #deps: SignedInDeps;
  readonly #tabs: Tabs<TabMessage>;
  /** The id of the visitor of this page. */
  #owner: string | null = null;
  #idleUntil = Infinity;
  #endsAt = Infinity;
  #toldAt = -Infinity;
  /** What the server said before it closed the socket. */
  #notice: Notice | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(deps: SignedInDeps) {
    this.#deps = deps;
    this.#tabs = deps.tabs((message) => this.#heard(message));
  }

  /**
   * The server has told who this browser is. `times` is `undefined` if it did not tell them.
   * `skewMs` is its clock minus the local one. Returns
   * `false` if this page cannot go on: its session has ended, or it belongs to somebody else.
   */
  greet(visitor: Visitor, times: SessionTimes | null | undefined, skewMs: number): boolean {
    if (this.leaving) return false;
    const account = visitor.account ?? null;
    // The browser has another visitor by now: this page must not show its texts to them.
    if (this.account !== null && account === null) {
      this.end({ reason: 'expired', at: null, device: null });
      return false;
    }
    const other = this.#owner !== null && this.#owner !== visitor.id;
    if (other && account !== null) {
      this.leaving = true;
      this.#stopTimer();
      this.#deps.reload();
      return false;
    }
    this.#owner = visitor.id;
    this.account = account;
    if (account === null) return true;
    this.ended = this.#notice = null;
    if (times) {
      this.#endsAt = Date.parse(times.ends_at) - skewMs;
      this.#idleUntil = Date.parse(times.idle_until) - skewMs;
    }
    this.#timesChanged();
    return true;
  }

  /** A hello has succeeded, so the tabs whose session had ended can go on. */
  greeted(): void {
    if (this.#isLive()) this.#tell('greeted');
  }

  /** The server has done something for this page, which counts as use. */
  used(): void {
    if (!this.#isLive()) return;
    const near = this.phase === 'expiring';
    this.#idleUntil = Math.max(this.#idleUntil, Date.now() + SIGNED_IN_IDLE_TIMEOUT_MS);
    this.#timesChanged();
    if (near || Date.now() - this.#toldAt >= TELL_EVERY_MS) this.#tell('used');
  }

  /** The server has sent a notice about the session. */
  noticed(notice: Notice, skewMs: number): void {
    if (!this.#isLive()) return;
    if (notice.kind !== 'session_expiring') {
      this.#notice = notice;
      return;
    }
    const at = notice.at ? Date.parse(notice.at) - skewMs : Date.now() + EXPIRY_WARNING_MS;
    // The server rounds to milliseconds: a notice about the greatest length names that time.
    if (at < this.#endsAt - 1_000) this.#idleUntil = at;
    else this.#idleUntil = Math.max(this.#idleUntil, at);
    this.#timesChanged();
  }

  /**
   * The connection has ended with the code of an ended session, or of a sign-in elsewhere.
   * `closeReason` is the text of the close.
   */
  stopped(elsewhere: boolean, closeReason: string, skewMs: number): void {
    const notice = this.#notice;
    const said = [notice?.reason, closeReason].find((word): word is Reason => REASONS.includes(word as Reason));
    // The server closes the socket within a second of the sign-in.
    const at = notice?.at ? Date.parse(notice.at) - skewMs : Date.now();
    this.end({ reason: elsewhere ? 'signed_in_elsewhere' : (said ?? 'expired'), at, device: notice?.device ?? null });
  }

  /** The session has ended. The first reason stays. A guest has nothing that could end. */
  end(ended: Ended): void {
    if (!this.#isLive() || this.leaving) return;
    this.ended = ended;
    this.phase = 'ended';
    this.asking = false;
    this.failed = false;
    this.#stopTimer();
    this.#deps.disconnect();
  }

  /** The page is visible again: timers can have been late, and the computer asleep. */
  wake(): void {
    if (this.#isLive()) this.#timesChanged();
  }

  /** The person wants to stay signed in. */
  async stay(): Promise<void> {
    if (this.busy || this.phase !== 'expiring') return;
    await this.#attempt(async () => {
      await this.#deps.stay();
      this.used();
      this.asking = false;
    });
  }

  /** The person has read that the session is at its greatest length. */
  later(): void {
    this.asking = false;
  }

  /** Signs out of this browser, and deletes here what this person has not sent. */
  async signOut(): Promise<void> {
    if (this.busy || !this.#isLive()) return;
    await this.#attempt(async () => {
      this.leaving = true; // the server closes the sockets before it answers
      await this.#deps.signOut();
      this.#tellSignedOut();
      if (this.#owner !== null) this.#deps.forget(this.#owner);
      this.leave();
    });
  }

  /** After the end: goes on as a guest. What was written stays for the same account. */
  leave(): void {
    this.leaving = true;
    this.#stopTimer();
    this.#deps.disconnect();
    this.#deps.leave();
  }

  async #attempt(act: () => Promise<void>): Promise<void> {
    this.busy = true;
    this.failed = false;
    try {
      await act();
    } catch (error) {
      this.leaving = false;
      if (codeOf(error) === 'session_ended') this.end({ reason: 'expired', at: null, device: null });
      else this.failed = true;
    } finally {
      this.busy = false;
    }
  }

  #isLive(): boolean {
    return this.phase === 'live' || this.phase === 'expiring';
  }

  /** Decides by the times whether the end is near, and when to look again. */
  #timesChanged(): void {
    this.deadline = Math.min(this.#idleUntil, this.#endsAt);
    this.atLimit = this.#endsAt <= this.#idleUntil;
    const left = this.deadline - Date.now();
    const near = left <= EXPIRY_WARNING_MS;
    // The dialog that was closed at the limit does not open again.
    if (near && this.phase !== 'expiring') this.asking = true;
    if (!near) this.asking = this.failed = false;
    this.phase = near ? 'expiring' : 'live';
    this.#stopTimer();
    if (this.deadline === Infinity) return;
    const wait = near ? Math.max(0, left) + GRACE_MS : left - EXPIRY_WARNING_MS + TIMER_SLACK_MS;
    this.#timer = setTimeout(() => void this.#look(), wait);
  }

  /**
   * By what this page knows, the end is near or has come. Another tab or a page without this script
   * can have used the session meanwhile, so the server is asked.
   */
  async #look(): Promise<void> {
    const over = this.phase === 'expiring';
    const until = this.deadline;
    let me: Me | null | undefined;
    try {
      me = await this.#deps.look();
    } catch {
      me = undefined; // no answer
    }
    if (!this.#isLive() || this.deadline !== until) return;
    if (me === null) this.end({ reason: 'expired', at: null, device: null });
    // `look` has told `greet` what the server knows, which has set the timer.
    else if (me === undefined && over) this.end({ reason: 'expired', at: null, device: null });
    else if (me === undefined) this.#timesChanged();
  }

  #heard(message: TabMessage): void {
    if (this.leaving) return;
    if (message.account !== this.account?.id) {
      // All tabs have one cookie, so this page is no longer who it was.
      if (message.type === 'greeted') this.#deps.reconnect();
      return;
    }
    if (message.type === 'signed_out') {
      this.end({ reason: 'signed_out', at: null, device: null });
      return;
    }
    if (this.#isLive()) {
      this.#idleUntil = Math.max(this.#idleUntil, message.idleUntil);
      this.#endsAt = message.endsAt;
      this.#timesChanged();
    } else if (message.type === 'greeted') this.#deps.reconnect();
  }

  #tell(type: 'used' | 'greeted'): void {
    if (this.account === null) return;
    this.#toldAt = Date.now();
    this.#tabs.post({ account: this.account.id, type, idleUntil: this.#idleUntil, endsAt: this.#endsAt });
  }

  #tellSignedOut(): void {
    if (this.account !== null) this.#tabs.post({ account: this.account.id, type: 'signed_out' });
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
