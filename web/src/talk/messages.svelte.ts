//! The messages of a talk: in the server's order, without duplicates, with unsent messages last.
import type { MessageEvent, Payload } from '../wire/frames';
import { Row } from './row.svelte';

export class Messages {
  rows = $state.raw<Row[]>([]);
  readonly #bySeq = new Map<number, Row>();
  readonly #ownByClientId = new Map<string, Row>();
  readonly #isOwn: (message: MessageEvent) => boolean;

  constructor(isOwn: (message: MessageEvent) => boolean) {
    this.#isOwn = isOwn;
  }

  /** Sequence number of the oldest loaded message, or `null`. */
  get firstSeq(): number | null {
    return this.rows.find((row) => row.seq !== null)?.seq ?? null;
  }

  ownByClientId(clientId: string): Row | undefined {
    return this.#ownByClientId.get(clientId);
  }

  /** Adds a message that was just written. Returns the existing row if the client id is known. */
  addOwn(clientId: string, text: string, at: number): Row {
    const known = this.#ownByClientId.get(clientId);
    if (known) return known;
    const row = new Row(clientId, true, clientId);
    row.text = text;
    row.at = at;
    row.status = 'pending';
    this.#ownByClientId.set(clientId, row);
    this.rows = [...this.rows, row];
    return row;
  }

  /**
   * Marks an own message as sent: on the server's answer or on its event, whichever arrives first,
   * and also if the message had already failed. Returns `null` if the client id is unknown.
   */
  acknowledge(clientId: string, seq: number, at: string): Row | null {
    const row = this.#ownByClientId.get(clientId);
    if (!row) return null;
    row.status = 'sent';
    row.reason = null;
    row.slow = false;
    if (row.seq === null) {
      row.seq = seq;
      row.at = Date.parse(at);
      this.#bySeq.set(seq, row);
      this.#sort();
    }
    return row;
  }

  /** Removes an unsent message. */
  remove(row: Row): void {
    if (row.seq !== null) return;
    this.#ownByClientId.delete(row.clientId);
    this.rows = this.rows.filter((other) => other !== row);
  }

  /**
   * Adds a message of the log. Returns its row if it is new and from the partner, otherwise `null`.
   */
  add(message: MessageEvent): Row | null {
    const row = this.#newRow(message);
    if (!row) return null;
    this.rows = [...this.rows, row];
    this.#sort();
    return row.mine ? null : row;
  }

  /** Adds a page of messages in its place. */
  addPage(page: readonly MessageEvent[]): void {
    const added: Row[] = [];
    for (const message of page) {
      const row = this.#newRow(message);
      if (row) added.push(row);
    }
    if (added.length === 0) return;
    this.rows = [...this.rows, ...added];
    this.#sort();
  }

  /**
   * Returns a new row, or `null` if the message is already here. An own unsent one is then
   * acknowledged.
   */
  #newRow(message: MessageEvent): Row | null {
    if (this.#bySeq.has(message.seq)) return null;
    const mine = this.#isOwn(message);
    if (mine && this.acknowledge(message.client_id, message.seq, message.at)) return null;
    const row = new Row(message.client_id, mine, mine ? message.client_id : `seq-${message.seq}`);
    row.seq = message.seq;
    row.at = Date.parse(message.at);
    row.edited = message.edited_at !== undefined && message.edited_at !== null;
    setContent(row, message.payload);
    if (message.deleted) clearContent(row);
    this.#bySeq.set(message.seq, row);
    if (mine) this.#ownByClientId.set(message.client_id, row);
    return row;
  }

  #sort(): void {
    const sent = this.rows.filter((row) => row.seq !== null).sort((a, b) => (a.seq ?? 0) - (b.seq ?? 0));
    this.rows = [...sent, ...this.rows.filter((row) => row.seq === null)];
  }
}

function setContent(row: Row, payload: Payload | null | undefined): void {
  row.unknown = payload?.kind !== 'text';
  row.text = payload?.kind === 'text' ? payload.text : '';
}

function clearContent(row: Row): void {
  row.deleted = true;
  row.text = '';
}
