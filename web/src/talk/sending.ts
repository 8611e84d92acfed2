//! Sends the messages of the outbox one at a time and in order. Repeats them after a reconnect and
//! waits when throttled.
import { WireError } from '../wire/error';
import type { Outbox } from '../wire/outbox';
import type { Socket } from '../wire/socket';
import type { Messages } from './messages.svelte';
import type { Row } from './row.svelte';
import { isAboutText } from './text';

/** Only a message that takes longer than this shows that it is being sent. */
export const SLOW_AFTER_MS = 400;
/** A message that gets no answer on an open connection within this time has failed. */
export const SEND_TIMEOUT_MS = 10_000;
const MIN_RETRY_DELAY_MS = 1_000;
const MAX_RETRY_DELAY_MS = 8_000;

/** The server states a time after which it accepts the same message. */
const RATE_LIMIT_CODES = new Set(['rate_limited', 'slow_mode']);
/** The server can accept the message later, so it is sent again until its timeout. */
const TRANSIENT_CODES = new Set(['unavailable', 'internal', 'timeout']);

export interface SendingDeps {
  room: string;
  request: Socket['request'];
  messages: Messages;
  outbox: Outbox;
  /** The visitor is no longer a member, or the room is closed. */
  onClosed(): void;
  /** The server requires the age and the rules first. Pending messages keep waiting. */
  onRulesNeeded(): void;
  /** The server refuses the text as it is written. */
  onRefused(row: Row, code: string): void;
}

export class Sending {
  readonly #deps: SendingDeps;
  /**
   * The client id that is being sent. Only one at a time, so that no refusal can change the order.
   */
  #inFlight: string | null = null;
  readonly #timeouts = new Map<string, ReturnType<typeof setTimeout>>();
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #retries = 0;
  #started = false;
  #ended = false;

  constructor(deps: SendingDeps) {
    this.#deps = deps;
  }

  /** Shows the messages that an earlier page of this tab had not sent. */
  restore(): void {
    const { outbox, messages } = this.#deps;
    for (const unsent of outbox.messages) {
      const row = messages.addOwn(unsent.client_id, unsent.text, unsent.at);
      if (unsent.failed && row.seq === null) markFailed(row, unsent.failed);
    }
  }

  /**
   * Shows the same messages in a talk that is over: all have failed for a reason, and none is sent.
   * They stay in the outbox, so that a reload shows them again.
   */
  restoreEnded(reason: string): void {
    this.#ended = true;
    this.restore();
    for (const row of this.#deps.messages.rows) if (row.status === 'pending') markFailed(row, reason);
  }

  /** The texts that the server does not have yet, in their order. */
  get unsent(): string[] {
    const { outbox, messages } = this.#deps;
    const isUnsent = (id: string) => (messages.ownByClientId(id)?.seq ?? null) === null;
    return outbox.messages.filter((one) => isUnsent(one.client_id)).map(({ text }) => text);
  }

  /** Adds a message to the outbox and sends it in its turn. */
  send(clientId: string, text: string, at: number): Row {
    const { outbox, messages } = this.#deps;
    const row = messages.addOwn(clientId, text, at);
    this.#markSlowLater(row);
    if (!outbox.add({ client_id: clientId, text, at, failed: null })) markFailed(row, 'full');
    else this.#flush();
    return row;
  }

  /** Sends a failed message again. */
  retry(row: Row): void {
    if (row.status !== 'failed' || this.#ended) return;
    row.status = 'pending';
    row.reason = null;
    this.#markSlowLater(row);
    this.#deps.outbox.add({ client_id: row.clientId, text: row.text, at: row.at, failed: null });
    this.#deps.outbox.mark(row.clientId, null);
    this.#flush();
  }

  /** Removes a failed message. */
  discard(row: Row): void {
    if (row.status !== 'failed') return;
    this.#deps.outbox.remove(row.clientId);
    this.#deps.messages.remove(row);
  }

  /** The room is joined: sends everything pending, in order and with the same ids. */
  start(): void {
    this.#started = true;
    this.#resume();
  }

  /** The connection is lost. Timeouts stop, because no answer can arrive. */
  pause(): void {
    this.#started = false;
    this.#inFlight = null;
    this.#stopTimeouts();
  }

  /** Marks all pending messages as failed for a reason. Each can be sent again. */
  failPending(reason: string): void {
    for (const { client_id: clientId, failed } of this.#deps.outbox.messages)
      if (failed === null) this.#fail(clientId, reason);
    this.#started = true;
  }

  /** The talk has ended: pending messages fail for good, and the outbox is cleared. */
  end(reason: string): void {
    this.#ended = true;
    clearTimeout(this.#retryTimer);
    for (const row of this.#deps.messages.rows) if (row.status === 'pending') markFailed(row, reason);
    this.#deps.outbox.clear();
    this.pause();
  }

  /** An own message arrived as an event, so the server has it. */
  acknowledge(clientId: string): void {
    this.#deps.outbox.remove(clientId);
    this.#settle(clientId);
  }

  #resume(): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    this.#flush();
  }

  #flush(): void {
    if (!this.#started || this.#ended || this.#retryTimer !== undefined) return;
    const pending = this.#deps.outbox.messages.filter(({ failed }) => failed === null);
    for (const { client_id: clientId } of pending) this.#startTimeout(clientId);
    const [first] = pending;
    if (first && this.#inFlight === null) void this.#send(first.client_id, first.text);
  }

  async #send(clientId: string, text: string): Promise<void> {
    const { room, request, messages, outbox } = this.#deps;
    this.#inFlight = clientId;
    try {
      const placed = await request('send', { room, client_id: clientId, payload: { kind: 'text', text } });
      this.#retries = 0;
      messages.acknowledge(clientId, placed.seq, placed.at);
      outbox.remove(clientId);
      this.#settle(clientId);
    } catch (error) {
      const { code, retryAfterMs } = error instanceof WireError ? error : new WireError('internal');
      if (this.#inFlight === clientId) this.#inFlight = null;
      // The outcome is unknown: the message stays, and the next connection repeats it under the
      // same id.
      if (code !== 'disconnected' && code !== 'session_ended') this.#onRefused(clientId, code, retryAfterMs);
    }
  }

  #onRefused(clientId: string, code: string, retryAfterMs: number | null): void {
    if (this.#ended) return;
    if (code === 'age_gate') {
      this.pause();
      this.#deps.onRulesNeeded();
      return;
    }
    const throttled = RATE_LIMIT_CODES.has(code);
    if (throttled || TRANSIENT_CODES.has(code)) {
      // While the server itself asks to wait, no message times out.
      if (throttled) this.#stopTimeouts();
      const delay = retryAfterMs ?? Math.min(MAX_RETRY_DELAY_MS, MIN_RETRY_DELAY_MS * 2 ** this.#retries++);
      clearTimeout(this.#retryTimer);
      this.#retryTimer = setTimeout(() => this.#resume(), delay);
      return;
    }
    this.#fail(clientId, code);
    const row = this.#deps.messages.ownByClientId(clientId);
    if (row && isAboutText(code)) this.#deps.onRefused(row, code);
    if (code === 'closed' || code === 'forbidden' || code === 'not_found') this.#deps.onClosed();
    else this.#settle(clientId);
  }

  #onTimeout(clientId: string): void {
    this.#fail(clientId, 'late');
    this.#settle(clientId);
  }

  #fail(clientId: string, reason: string): void {
    const row = this.#deps.messages.ownByClientId(clientId);
    if (!row || row.status === 'sent') return;
    this.#deps.outbox.mark(clientId, reason);
    markFailed(row, reason);
  }

  /** Stops waiting for a message and continues with the next one. */
  #settle(clientId: string): void {
    clearTimeout(this.#timeouts.get(clientId));
    this.#timeouts.delete(clientId);
    if (this.#inFlight === clientId) this.#inFlight = null;
    this.#flush();
  }

  /** Starts the timeout of a message. All attempts share one: a repeat does not extend it. */
  #startTimeout(clientId: string): void {
    if (this.#timeouts.has(clientId)) return;
    this.#timeouts.set(
      clientId,
      setTimeout(() => this.#onTimeout(clientId), SEND_TIMEOUT_MS),
    );
  }

  #stopTimeouts(): void {
    for (const timer of this.#timeouts.values()) clearTimeout(timer);
    this.#timeouts.clear();
  }

  #markSlowLater(row: Row): void {
    setTimeout(() => {
      if (row.status === 'pending') row.slow = true;
    }, SLOW_AFTER_MS);
  }
}

function markFailed(row: Row, reason: string): void {
  row.status = 'failed';
  row.reason = reason;
  row.slow = false;
}
