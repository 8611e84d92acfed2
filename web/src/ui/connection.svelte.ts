//! The line about the connection: hidden during short gaps, visible during long ones.
import type { Status } from '../wire/socket';

export type Line = 'none' | 'connecting' | 'reconnecting' | 'countdown' | 'offline' | 'back';

const HIDDEN_MS = 2_000;
const COUNTDOWN_AFTER_MS = 10_000;
const BACK_VISIBLE_MS = 1_500;

export class Connection {
  line = $state<Line>('none');
  /** This page is offline itself, so it does not know whether a partner is connected. */
  offline = $state(true);
  #wasOpen = false;
  #lost = false;
  #online = true;
  #timers: ReturnType<typeof setTimeout>[] = [];

  onStatus(status: Status): void {
    this.offline = status !== 'open';
    if (status === 'open') this.#onOpen();
    else if (status === 'off' || status === 'stopped') this.#setLine('none');
    else if (!this.#lost) this.#onLost();
  }

  /** The connection seems open, but nothing arrives. The next status ends it. */
  onSilence(): void {
    this.offline = true;
    if (this.#lost) return;
    this.#onLost();
    if (this.#online) this.line = 'reconnecting';
  }

  /** The browser reports whether there is a network. */
  onNetwork(online: boolean): void {
    this.#online = online;
    if (!online) {
      this.offline = true;
      this.#lost = true;
      this.#setLine('offline');
    } else if (this.line === 'offline') {
      this.#onLost();
      this.line = this.#wasOpen ? 'reconnecting' : 'connecting';
    }
  }

  #onLost(): void {
    this.#lost = true;
    this.#setLine(this.#online ? 'none' : 'offline');
    if (!this.#online) return;
    this.#after(HIDDEN_MS, () => (this.line = this.#wasOpen ? 'reconnecting' : 'connecting'));
    this.#after(COUNTDOWN_AFTER_MS, () => (this.line = 'countdown'));
  }

  #onOpen(): void {
    const visible = this.line !== 'none' && this.line !== 'back';
    this.#lost = false;
    this.#setLine(visible && this.#wasOpen ? 'back' : 'none');
    this.#wasOpen = true;
    if (this.line === 'back') this.#after(BACK_VISIBLE_MS, () => (this.line = 'none'));
  }

  #after(ms: number, then: () => void): void {
    this.#timers.push(setTimeout(then, ms));
  }

  #setLine(line: Line): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
    this.line = line;
  }
}
