//! Which characters are visible, by the server's own rule, so that a refusal is known before
//! sending.

/**
 * A visible character: no space, control or format character, no mark alone, no letter or symbol
 * without ink.
 */
const VISIBLE =
  /[^\p{Z}\p{M}\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Default_Ignorable_Code_Point}\u115f\u1160\u2800\u3164\uffa0\u{13441}\u{13442}\u{1d159}]/u;

/**
 * Characters that are forbidden in a single line. Variation selectors and tags are left to the
 * server, which checks their neighbours.
 */
const FORBIDDEN_IN_LINE =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]|(?![\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f\u{e0020}-\u{e007f}\u{e0100}-\u{e01ef}])\p{Default_Ignorable_Code_Point}/u;

/**
 * A joiner that joins nothing. Written without lookbehind, which older versions of Safari do not
 * support.
 */
const STRAY_JOINER =
  /(?:^|[^\p{L}\p{N}\p{P}\p{S}\p{M}\p{Cn}])[\u200c\u200d]|[\u200c\u200d](?![\p{L}\p{N}\p{P}\p{S}\p{M}\p{Cn}])/u;

/** Returns `true` if at least one character can be seen. */
export function isVisible(text: string): boolean {
  return VISIBLE.test(text);
}

/** Returns why a name, a title or an interest is refused, or `null`. */
export function lineProblem(text: string): 'invisible' | 'forbidden' | null {
  if (!isVisible(text)) return 'invisible';
  return FORBIDDEN_IN_LINE.test(text) || STRAY_JOINER.test(text) ? 'forbidden' : null;
}
