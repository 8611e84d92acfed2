//! Long messages fold: whether one is long is what its box measures, since a line has no length of its own.

/** Lines of a folded message. One that has only a little more is shown whole: the button would take the room it saves. */
export const FOLDED_LINES = 12;
const SPARED_LINES = 3;
/** A text this short cannot have so many lines, even on the narrowest page, and is never measured. */
const SHORT = 60;

/** Returns `true` if a text may be long enough to fold: few need to be measured. */
export function mayFold(text: string): boolean {
  return text.length > SHORT || text.split('\n', FOLDED_LINES + 1).length > FOLDED_LINES;
}

export class Folding {
  /** The text is longer than a folded one. */
  long = $state(false);

  /** Measures the text's box now, and whenever its width changes. */
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
