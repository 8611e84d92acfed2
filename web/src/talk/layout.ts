//! How rows stand together: groups of one author within five minutes, and a line where a day begins.
import type { Row } from './row.svelte';

export const GROUP_MS = 5 * 60 * 1000;

export interface Placed {
  row: Row;
  /** Begins a group, ends a group. */
  first: boolean;
  last: boolean;
  /** The moment to name as a new day, or null. */
  day: number | null;
}

export function layout(rows: readonly Row[]): Placed[] {
  const placed: Placed[] = [];
  for (const row of rows) {
    const before = placed.at(-1);
    const newDay = before === undefined || dayOf(before.row.at) !== dayOf(row.at);
    const joins = before !== undefined && !newDay && together(before.row, row);
    if (joins) before.last = false;
    // The first day needs no line unless it is not today: the talk begins there.
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
