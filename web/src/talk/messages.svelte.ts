//! The messages of a talk: in the order of the server, what is not sent yet last, nothing twice.
import type { Entry, MessageEvent, Payload } from '../wire/frames';
import { Row } from './row.svelte';

export class Messages {
  rows = $state.raw<Row[]>([]);
  readonly #bySeq = new Map<number, Row>();
  readonly #mine = new Map<string, Row>();
  readonly #isMine: (entry: Entry) => boolean;

  constructor(isMine: (entry: Entry) => boolean) {
    this.#isMine = isMine;
  }

  get firstSeq(): number | null {
    return this.rows.find((row) => row.seq !== null)?.seq ?? null;
  }

  mineBy(clientId: string): Row | undefined {
    return this.#mine.get(clientId);
  }

  /** A message just written. */
  write(clientId: string, text: string, at: number): Row {
    const known = this.#mine.get(clientId);
    if (known) return known;
    const row = new Row(clientId, true, clientId);
    row.text = text;
    row.at = at;
    row.status = 'pending';
    this.#mine.set(clientId, row);
    this.rows = [...this.rows, row];
    return row;
  }

  /** The server has it: from the answer or from the event, whichever comes first, and also after it was given up. */
  placed(clientId: string, seq: number, at: string): Row | null {
    const row = this.#mine.get(clientId);
    if (!row) return null;
    row.status = 'sent';
    row.reason = null;
    row.slow = false;
    if (row.seq === null) {
      row.seq = seq;
      row.at = Date.parse(at);
      this.#bySeq.set(seq, row);
      this.#arrange();
    }
    return row;
  }

  forget(row: Row): void {
    if (row.seq !== null) return;
    this.#mine.delete(row.clientId);
    this.rows = this.rows.filter((other) => other !== row);
  }

  /** Takes an entry of the log; answers the row when it is a message that was not here before and is not ours. */
  take(entry: Entry): Row | null {
    switch (entry.type) {
      case 'message':
        return this.#message(entry);
      case 'edited': {
        const row = this.#bySeq.get(entry.target);
        if (row) {
          this.#fill(row, entry.payload);
          row.edited = true;
        }
        return null;
      }
      case 'deleted': {
        const row = this.#bySeq.get(entry.target);
        if (row) remove(row);
        return null;
      }
      default:
        return null; // it has a place in the log, and nothing to show here
    }
  }

  /** A page of older messages, or the newest one: placed where they belong. */
  takePage(items: readonly MessageEvent[]): void {
    const fresh: Row[] = [];
    for (const item of items) {
      const row = this.#row(item);
      if (row) fresh.push(row);
    }
    if (fresh.length === 0) return;
    this.rows = [...this.rows, ...fresh];
    this.#arrange();
  }

  #message(event: MessageEvent): Row | null {
    const row = this.#row(event);
    if (!row) return null;
    this.rows = [...this.rows, row];
    this.#arrange();
    return row.mine ? null : row;
  }

  /** A new row for a message that is not here yet; null when it is, and then it counts as acknowledged. */
  #row(event: MessageEvent): Row | null {
    if (this.#bySeq.has(event.seq)) return null;
    const mine = this.#isMine(event);
    if (mine && this.placed(event.client_id, event.seq, event.at)) return null;
    const row = new Row(event.client_id, mine, mine ? event.client_id : `seq-${event.seq}`);
    row.seq = event.seq;
    row.at = Date.parse(event.at);
    row.edited = event.edited_at !== undefined && event.edited_at !== null;
    this.#fill(row, event.payload);
    if (event.deleted) remove(row);
    this.#bySeq.set(event.seq, row);
    if (mine) this.#mine.set(event.client_id, row);
    return row;
  }

  #fill(row: Row, payload: Payload | null | undefined): void {
    row.unknown = payload?.kind !== 'text';
    row.text = payload?.kind === 'text' ? payload.text : '';
  }

  #arrange(): void {
    const sorted = this.rows.filter((row) => row.seq !== null).sort((a, b) => (a.seq ?? 0) - (b.seq ?? 0));
    this.rows = [...sorted, ...this.rows.filter((row) => row.seq === null)];
  }
}

function remove(row: Row): void {
  row.deleted = true;
  row.text = '';
}
