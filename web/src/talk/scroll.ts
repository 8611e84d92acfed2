//! Where the reader is in the list, in numbers: at the bottom, and how to stay put while rows come above.

/** Nearer to the end than this counts as being there. */
export const BOTTOM_PX = 80;
/** Older messages are asked for before the reader meets the top. */
export const TOP_PX = 240;

export interface View {
  scrollTop: number;
  scrollHeight: number;
  clientHeight: number;
}

export function atBottom(view: View): boolean {
  return view.scrollHeight - view.clientHeight - view.scrollTop <= BOTTOM_PX;
}

export function nearTop(view: View): boolean {
  return view.scrollTop <= TOP_PX;
}

/** A row and where its upper edge was, in pixels from the top of the view. */
export interface Anchor {
  key: string;
  top: number;
}

export interface RowBox {
  key: string;
  top: number;
  bottom: number;
}

/** The first row that can be seen, whole or in part. */
export function anchorOf(rows: Iterable<RowBox>, viewTop: number): Anchor | null {
  for (const row of rows) if (row.bottom > viewTop) return { key: row.key, top: row.top - viewTop };
  return null;
}

/** The scroll position that puts the anchor's row back where it was. */
export function restored(scrollTop: number, anchor: Anchor, topNow: number): number {
  return scrollTop + (topNow - anchor.top);
}
