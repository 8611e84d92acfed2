//! Groups the rows: messages of one author within five minutes, and a divider where a day begins.
import type { Row } from './row.svelte';

export const GROUP_MS = 5 * 60 * 1000;

export interface PlacedRow {
  row: Row;
  /** The row is the first, the last of its group. */
  first: boolean;
  last: boolean;
  /** The time to show as a new day, or `null`. */
  day: number | null;
}

export function layout(rows: readonly Row[]): PlacedRow[] {
  const placed: PlacedRow[] = [];
  for (const row of rows) {
    const before = placed.at(-1);
    const newDay = before === undefined || dayOf(before.row.at) !== dayOf(row.at);
    const joins = before !== undefined && !newDay && together(before.row, row);
    if (joins) before.last = false;
    // The first day needs a divider only if it is not today.
    const named = newDay && (before !== undefined || dayOf(row.at) !== dayOf(Date.now()));
    placed.push({ row, first: !joins, last: true, day: named ? row.at : null });
  }
  return placed;
}

function together(before: Row, row: Row): boolean {
  return before.mine === row.mine && row.at - before.at < GROUP_MS;
}

function dayOf(at: number): string {
  return new Date(at).toDateString();
}
