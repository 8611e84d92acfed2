//! What came while nobody looked: a line above the first of it that stays put, and how many for the title.
import type { Row } from './row.svelte';

export class Unread {
  /** Seqs above this came while the page was out of sight; null while there is no line. */
  after = $state<number | null>(null);
  hidden = $state(false);

  /** The page went out of sight. A line that is there stays until it is answered, one that marks nothing moves on. */
  left(rows: readonly Row[]): void {
    this.hidden = true;
    if (this.first(rows) === null) this.after = lastSeq(rows);
  }

  came(): void {
    this.hidden = false;
  }

  /** Whoever answers has read. */
  answered(): void {
    this.after = null;
  }

  /** The row under the line. */
  first(rows: readonly Row[]): Row | null {
    const { after } = this;
    if (after === null) return null;
    return rows.find((row) => !row.mine && row.seq !== null && row.seq > after) ?? null;
  }

  count(rows: readonly Row[]): number {
    const { after } = this;
    if (!this.hidden || after === null) return 0;
    return rows.filter((row) => !row.mine && row.seq !== null && row.seq > after).length;
  }
}

export function lastSeq(rows: readonly Row[]): number {
  return rows.findLast((row) => row.seq !== null)?.seq ?? 0;
}
