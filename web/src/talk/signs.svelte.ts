//! What passes and is not kept: who is typing, and how far each side has read.
import type { Socket } from '../wire/socket';

const TYPING_EVERY_MS = 3_000;
const TYPING_LASTS_MS = 6_000;

export class Signs {
  /** They are writing. */
  typing = $state(false);
  /** How far they have read, as far as they have told us. */
  theyRead = $state(0);

  readonly #room: string;
  readonly #ask: Socket['ask'];
  #readUpTo = 0;
  #typedAt = -Infinity;
  #typingEnds: ReturnType<typeof setTimeout> | undefined;

  constructor(room: string, ask: Socket['ask']) {
    this.#room = room;
    this.#ask = ask;
  }

  /** The person is writing: told to the other side at most every three seconds. */
  typed(): void {
    const now = Date.now();
    if (now - this.#typedAt < TYPING_EVERY_MS) return;
    this.#typedAt = now;
    this.#ask('typing', { room: this.#room }).catch(() => undefined);
  }

  /** The message went off: the next letter is news again. */
  sent(): void {
    this.#typedAt = -Infinity;
  }

  /** The reader has seen everything up to an entry: told once, and never backwards. */
  saw(seq: number): void {
    if (seq <= this.#readUpTo) return;
    this.#readUpTo = seq;
    this.tellRead();
  }

  /** Who has just come back does not know how far we have read. */
  tellRead(): void {
    if (this.#readUpTo > 0) this.#ask('read', { room: this.#room, seq: this.#readUpTo }).catch(() => undefined);
  }

  theyType(): void {
    clearTimeout(this.#typingEnds);
    this.typing = true;
    this.#typingEnds = setTimeout(() => (this.typing = false), TYPING_LASTS_MS);
  }

  theyStopped(): void {
    clearTimeout(this.#typingEnds);
    this.typing = false;
  }

  theySaw(seq: number): void {
    this.theyRead = Math.max(this.theyRead, seq);
  }
}
