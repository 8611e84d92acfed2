//! Protects people from presses that were meant for what was on the screen before.
//!
//! A button that ends, cancels or deletes something can appear exactly where another one was. For a
//! moment after it appeared, or after the screen changed, it ignores presses. It never reacts to
//! the repeats of a key that is held.

/** How long a protected button ignores presses after a change of the screen, in milliseconds. */
export const SETTLE_MS = 700;

let changedAt = -SETTLE_MS;

/** Tells that the screen changed, although the protected buttons on it may be the same as before. */
export function screenChanged(): void {
  changedAt = performance.now();
}

/** Returns `true` if the screen changed so short ago that a key may be meant for the one before. */
export function screenIsNew(): boolean {
  return performance.now() - changedAt < SETTLE_MS;
}

/** Protects a button: use it as an attachment, `{@attach settled}`. */
export function settled(node: HTMLElement): () => void {
  const shownAt = performance.now();
  const swallow = (event: Event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  const clicked = (event: Event) => {
    if (performance.now() - Math.max(shownAt, changedAt) < SETTLE_MS) swallow(event);
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.repeat && (event.key === 'Enter' || event.key === ' ')) swallow(event);
  };
  node.addEventListener('click', clicked, true);
  node.addEventListener('keydown', pressed, true);
  return () => {
    node.removeEventListener('click', clicked, true);
    node.removeEventListener('keydown', pressed, true);
  };
}
