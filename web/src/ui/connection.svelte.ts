//! The line that tells of the connection: silent for short gaps, honest about long ones.
import type { Status } from '../wire/socket';

export type Line = 'none' | 'connecting' | 'reconnecting' | 'countdown' | 'offline' | 'back';

const QUIET_MS = 2_000;
const COUNTDOWN_MS = 10_000;
const BACK_MS = 1_500;

export class Connection {
  line = $state<Line>('none');
  #wasOpen = false;
  #away = false;
  #online = true;
  #timers: ReturnType<typeof setTimeout>[] = [];

  status(status: Status): void {
    if (status === 'open') this.#returned();
    else if (status === 'off' || status === 'stopped') this.#clear('none');
    else if (!this.#away) this.#left();
  }

  /** What the browser says about the network. */
  network(online: boolean): void {
    this.#online = online;
    if (!online) {
      this.#away = true;
      this.#clear('offline');
    } else if (this.line === 'offline') {
      this.#left();
      this.line = this.#wasOpen ? 'reconnecting' : 'connecting';
    }
  }

  #left(): void {
    this.#away = true;
    this.#clear(this.#online ? 'none' : 'offline');
    if (!this.#online) return;
    this.#after(QUIET_MS, () => (this.line = this.#wasOpen ? 'reconnecting' : 'connecting'));
    this.#after(COUNTDOWN_MS, () => (this.line = 'countdown'));
  }

  #returned(): void {
    const told = this.line !== 'none' && this.line !== 'back';
    this.#away = false;
    this.#clear(told && this.#wasOpen ? 'back' : 'none');
    this.#wasOpen = true;
    if (this.line === 'back') this.#after(BACK_MS, () => (this.line = 'none'));
  }

  #after(ms: number, then: () => void): void {
    this.#timers.push(setTimeout(then, ms));
  }

  #clear(line: Line): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
    this.line = line;
  }
}
