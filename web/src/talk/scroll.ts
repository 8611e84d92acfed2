//! Scroll arithmetic of the list: whether the reader is at the end, and how to keep the position
//! when rows are added above.

/** A reader this close to the end counts as being at the end. */
export const BOTTOM_PX = 80;
/** Older messages are loaded this far before the reader reaches the top. */
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

/** A row and the position of its upper edge, in pixels from the top of the view. */
export interface Anchor {
  key: string;
  top: number;
}

export interface RowBox {
  key: string;
  top: number;
  bottom: number;
}

/** Returns the first row that is visible, entirely or in part; `null` if there is none. */
export function anchorOf(rows: Iterable<RowBox>, viewTop: number): Anchor | null {
  for (const row of rows) if (row.bottom > viewTop) return { key: row.key, top: row.top - viewTop };
  return null;
}

/** Returns the scroll position that puts the anchor's row back where it was. */
export function restored(scrollTop: number, anchor: Anchor, topNow: number): number {
  return scrollTop + (topNow - anchor.top);
}
