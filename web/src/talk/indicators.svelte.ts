//! Ephemeral signals of a talk: the typing indicator, and how far each side has read.
import type { Socket } from '../wire/socket';

const TYPING_INTERVAL_MS = 3_000;
const TYPING_TIMEOUT_MS = 6_000;

export class Indicators {
  /** The partner is typing. */
  typing = $state(false);
  /** Sequence number up to which the partner has read. */
  partnerReadSeq = $state(0);

  readonly #room: string;
  readonly #request: Socket['request'];
  #ownReadSeq = 0;
  #typingSentAt = -Infinity;
  #typingTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(room: string, request: Socket['request']) {
    this.#room = room;
    this.#request = request;
  }

  /** Tells the partner that this visitor is typing, at most once every three seconds. */
  sendTyping(): void {
    const now = Date.now();
    if (now - this.#typingSentAt < TYPING_INTERVAL_MS) return;
    this.#typingSentAt = now;
    this.#request('typing', { room: this.#room }).catch(() => undefined);
  }

  /** Lets the next keystroke send the indicator at once, because a message was sent. */
  resetTyping(): void {
    this.#typingSentAt = -Infinity;
  }

  /**
   * Tells the partner that everything up to an entry has been read. Sent once for each entry, never
   * backwards.
   */
  markRead(seq: number): void {
    if (seq <= this.#ownReadSeq) return;
    this.#ownReadSeq = seq;
    this.sendRead();
  }

  /** Sends the read position again, because a partner who reconnected does not know it. */
  sendRead(): void {
    if (this.#ownReadSeq > 0) this.#request('read', { room: this.#room, seq: this.#ownReadSeq }).catch(() => undefined);
  }

  partnerTyped(): void {
    clearTimeout(this.#typingTimer);
    this.typing = true;
    this.#typingTimer = setTimeout(() => (this.typing = false), TYPING_TIMEOUT_MS);
  }

  partnerStopped(): void {
    clearTimeout(this.#typingTimer);
    this.typing = false;
  }

  partnerRead(seq: number): void {
    this.partnerReadSeq = Math.max(this.partnerReadSeq, seq);
  }
}
