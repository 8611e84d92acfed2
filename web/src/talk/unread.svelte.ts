//! Unread messages: a divider above the first message that arrived while the page was hidden, and
//! their number.
import type { Row } from './row.svelte';

export class Unread {
  /**
   * Messages after this sequence number arrived while the page was hidden. `null` if there is no
   * divider.
   */
  after = $state<number | null>(null);
  hidden = $state(false);

  /** The page was hidden. A divider with messages below it stays; one without moves to the end. */
  onHidden(rows: readonly Row[]): void {
    this.hidden = true;
    if (this.first(rows) === null) this.after = lastSeq(rows);
  }

  onVisible(): void {
    this.hidden = false;
  }

  /** Removes the divider: a person who answers has read everything. */
  clear(): void {
    this.after = null;
  }

  /** Returns the row below the divider, or `null`. */
  first(rows: readonly Row[]): Row | null {
    const { after } = this;
    if (after === null) return null;
    return rows.find((row) => !row.mine && row.seq !== null && row.seq > after) ?? null;
  }

  /** Returns the number of unread messages while the page is hidden, otherwise 0. */
  count(rows: readonly Row[]): number {
    const { after } = this;
    if (!this.hidden || after === null) return 0;
    return rows.filter((row) => !row.mine && row.seq !== null && row.seq > after).length;
  }
}

/** Returns the sequence number of the newest sent message, or 0. */
export function lastSeq(rows: readonly Row[]): number {
  return rows.findLast((row) => row.seq !== null)?.seq ?? 0;
}
