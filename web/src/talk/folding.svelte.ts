//! Folds long messages. The length is measured on the rendered box, because the number of lines
//! depends on its width.

/** Number of lines of a folded message. */
export const FOLDED_LINES = 12;
/**
 * A message with this many more lines is shown whole, because the button would need the same space.
 */
const SPARED_LINES = 3;
/** A text this short, in characters, fits even on the narrowest page and is never measured. */
const UNMEASURED_CHARS = 60;

/** Returns `true` if a text can be long enough to fold, so that it must be measured. */
export function mayFold(text: string): boolean {
  return text.length > UNMEASURED_CHARS || text.split('\n', FOLDED_LINES + 1).length > FOLDED_LINES;
}

export class Folding {
  /** The message is long enough to fold. */
  long = $state(false);

  /**
   * Measures the box of the text now and whenever its size changes. Returns a function that stops.
   */
  watch(box: HTMLElement): () => void {
    const measure = () => {
      const line = parseFloat(getComputedStyle(box).lineHeight) || 24;
      this.long = box.scrollHeight > (FOLDED_LINES + SPARED_LINES + 0.5) * line;
    };
    measure();
    if (typeof ResizeObserver === 'undefined') return () => undefined;
    const observer = new ResizeObserver(measure);
    observer.observe(box);
    return () => observer.disconnect();
  }
}
