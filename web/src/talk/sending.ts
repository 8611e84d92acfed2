//! Sending: every letter of the outbox in order, again after a reconnect, waiting where the server asks for it.
import { WireError } from '../wire/error';
import type { Outbox } from '../wire/outbox';
import type { Socket } from '../wire/socket';
import type { Messages } from './messages.svelte';
import type { Row } from './row.svelte';
import { isAboutText } from './text';

/** A clock is shown only for what takes longer. */
export const SLOW_MS = 400;
/** On an open connection, no answer for this long means it was not sent. */
export const LATE_MS = 10_000;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 8_000;

/** The server names a time after which it takes the same message. */
const ASKED_TO_WAIT = new Set(['rate_limited', 'slow_mode']);
/** It may take it a little later, and is asked again until the message is late. */
const MAY_PASS = new Set(['unavailable', 'internal', 'timeout']);

export interface SendingDeps {
  room: string;
  ask: Socket['ask'];
  messages: Messages;
  outbox: Outbox;
  /** The visitor is no longer in the room, or the room is closed. */
  onClosed(): void;
  /** The server wants the age and the rules first. What waits, waits on. */
  onAgeGate(): void;
  /** The text cannot be sent as it is written. */
  onRefused(row: Row, code: string): void;
}

export class Sending {
  readonly #deps: SendingDeps;
  /** One at a time, so that no refusal can change the order. */
  #flying: string | null = null;
  readonly #late = new Map<string, ReturnType<typeof setTimeout>>();
  #pause: ReturnType<typeof setTimeout> | undefined;
  #pauses = 0;
  #open = false;
  #over = false;

  constructor(deps: SendingDeps) {
    this.#deps = deps;
  }

  /** Takes up what an earlier page of this tab left behind. */
  restore(): void {
    const { outbox, messages } = this.#deps;
    for (const letter of outbox.letters) {
      const row = messages.write(letter.client_id, letter.text, letter.at);
      if (letter.failed && row.seq === null) fail(row, letter.failed);
    }
  }

  post(clientId: string, text: string, at: number): Row {
    const { outbox, messages } = this.#deps;
    const row = messages.write(clientId, text, at);
    this.#soonSlow(row);
    if (!outbox.add({ client_id: clientId, text, at, failed: null })) fail(row, 'full');
    else this.#flush();
    return row;
  }

  retry(row: Row): void {
    if (row.status !== 'failed' || this.#over) return;
    row.status = 'pending';
    row.reason = null;
    this.#soonSlow(row);
    this.#deps.outbox.add({ client_id: row.clientId, text: row.text, at: row.at, failed: null });
    this.#deps.outbox.mark(row.clientId, null);
    this.#flush();
  }

  discard(row: Row): void {
    if (row.status !== 'failed') return;
    this.#deps.outbox.remove(row.clientId);
    this.#deps.messages.forget(row);
  }

  /** The room can be written to: everything that waits goes out, in order, with the ids it had. */
  opened(): void {
    this.#open = true;
    this.#resume();
  }

  /** The connection is gone: nothing is late while nothing can arrive. */
  closed(): void {
    this.#open = false;
    this.#flying = null;
    this.#stopClocks();
  }

  /** It cannot go on for now: what waits has failed for this reason, and can be sent again. */
  giveUp(reason: string): void {
    for (const { client_id: clientId, failed } of this.#deps.outbox.letters)
      if (failed === null) this.#fail(clientId, reason);
    this.#open = true;
  }

  /** The talk is over: what did not arrive never will. */
  end(reason: string): void {
    this.#over = true;
    clearTimeout(this.#pause);
    for (const row of this.#deps.messages.rows) if (row.status === 'pending') fail(row, reason);
    this.#deps.outbox.clear();
    this.closed();
  }

  /** An own message came back as an event. */
  arrived(clientId: string): void {
    this.#deps.outbox.remove(clientId);
    this.#landed(clientId);
  }

  #resume(): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
    this.#flush();
  }

  #flush(): void {
    if (!this.#open || this.#over || this.#pause !== undefined) return;
    const waiting = this.#deps.outbox.letters.filter(({ failed }) => failed === null);
    for (const { client_id: clientId } of waiting) this.#startClock(clientId);
    const [first] = waiting;
    if (first && this.#flying === null) void this.#send(first.client_id, first.text);
  }

  async #send(clientId: string, text: string): Promise<void> {
    const { room, ask, messages, outbox } = this.#deps;
    this.#flying = clientId;
    try {
      const placed = await ask('send', { room, client_id: clientId, payload: { kind: 'text', text } });
      this.#pauses = 0;
      messages.placed(clientId, placed.seq, placed.at);
      outbox.remove(clientId);
      this.#landed(clientId);
    } catch (error) {
      const { code, retryAfterMs } = error instanceof WireError ? error : new WireError('internal');
      if (this.#flying === clientId) this.#flying = null;
      // Nothing is known: the letter stays, and the next connection repeats it under the same id.
      if (code !== 'disconnected' && code !== 'session_ended') this.#refused(clientId, code, retryAfterMs);
    }
  }

  #refused(clientId: string, code: string, retryAfterMs: number | null): void {
    if (this.#over) return;
    if (code === 'age_gate') {
      this.closed();
      this.#deps.onAgeGate();
      return;
    }
    const asked = ASKED_TO_WAIT.has(code);
    if (asked || MAY_PASS.has(code)) {
      // Nothing is late while the server itself asks for patience.
      if (asked) this.#stopClocks();
      const pause = retryAfterMs ?? Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#pauses++);
      clearTimeout(this.#pause);
      this.#pause = setTimeout(() => this.#resume(), pause);
      return;
    }
    this.#fail(clientId, code);
    const row = this.#deps.messages.mineBy(clientId);
    if (row && isAboutText(code)) this.#deps.onRefused(row, code);
    if (code === 'closed' || code === 'forbidden' || code === 'not_found') this.#deps.onClosed();
    else this.#landed(clientId);
  }

  #giveUp(clientId: string): void {
    this.#fail(clientId, 'late');
    this.#landed(clientId);
  }

  #fail(clientId: string, reason: string): void {
    const row = this.#deps.messages.mineBy(clientId);
    if (!row || row.status === 'sent') return;
    this.#deps.outbox.mark(clientId, reason);
    fail(row, reason);
  }

  /** Nothing more is expected of a letter: on to the next. */
  #landed(clientId: string): void {
    clearTimeout(this.#late.get(clientId));
    this.#late.delete(clientId);
    if (this.#flying === clientId) this.#flying = null;
    this.#flush();
  }

  /** One time for all tries of a letter: a repeat does not make it younger. */
  #startClock(clientId: string): void {
    if (this.#late.has(clientId)) return;
    this.#late.set(
      clientId,
      setTimeout(() => this.#giveUp(clientId), LATE_MS),
    );
  }

  #stopClocks(): void {
    for (const timer of this.#late.values()) clearTimeout(timer);
    this.#late.clear();
  }

  #soonSlow(row: Row): void {
    setTimeout(() => {
      if (row.status === 'pending') row.slow = true;
    }, SLOW_MS);
  }
}

function fail(row: Row, reason: string): void {
  row.status = 'failed';
  row.reason = reason;
  row.slow = false;
}
