//! Keyboard helpers: whether a key would write a letter, and which region is next.

/** Returns `true` if a key press on the target would write a letter. */
export function isWriting(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable ||
      /^(TEXTAREA|SELECT)$/.test(target.tagName) ||
      (target.tagName === 'INPUT' && !isCheckable(target)))
  );
}

const isCheckable = (target: HTMLElement): boolean =>
  /^(checkbox|radio|button)$/.test((target as HTMLInputElement).type);

/**
 * Returns the region after the one with the focus, and the first one after the last; `null` if none
 * is visible.
 */
export function nextRegion(
  regions: readonly HTMLElement[],
  focused: Element | null,
  backwards: boolean,
): HTMLElement | null {
  const shown = regions.filter((region) => region.getClientRects().length > 0);
  if (shown.length === 0) return null;
  const at = shown.findLastIndex((region) => region.contains(focused));
  const step = backwards ? -1 : 1;
  const next = at === -1 ? (backwards ? shown.length - 1 : 0) : (at + step + shown.length) % shown.length;
  return shown[next] ?? null;
}
