//! The page's keys: what counts as writing, and moving between regions.

/** True where a letter would be written. */
export function isWriting(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable ||
      /^(TEXTAREA|SELECT)$/.test(target.tagName) ||
      (target.tagName === 'INPUT' && !isTicked(target)))
  );
}

const isTicked = (target: HTMLElement): boolean => /^(checkbox|radio|button)$/.test((target as HTMLInputElement).type);

/** The next region after the one that has the focus, around and around. */
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
