//! What others can see of a text: the server's own notion, so that a refusal is known before it is sent.

/** No space, no control or format character, no mark without a base, none of the letters and symbols without ink. */
const VISIBLE =
  /[^\p{Z}\p{M}\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Default_Ignorable_Code_Point}\u115f\u1160\u2800\u3164\uffa0\u{13441}\u{13442}\u{1d159}]/u;

/** Has no place in one line. Variation selectors and tags are left to the server, which looks at their neighbours. */
const FORBIDDEN_IN_LINE =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]|(?![\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f\u{e0020}-\u{e007f}\u{e0100}-\u{e01ef}])\p{Default_Ignorable_Code_Point}/u;

/** A joiner that joins nothing. Without lookbehind, which older Safari cannot read. */
const STRAY_JOINER =
  /(?:^|[^\p{L}\p{N}\p{P}\p{S}\p{M}\p{Cn}])[\u200c\u200d]|[\u200c\u200d](?![\p{L}\p{N}\p{P}\p{S}\p{M}\p{Cn}])/u;

/** Returns `true` if at least one character can be seen. */
export function isVisible(text: string): boolean {
  return VISIBLE.test(text);
}

/** Why a name, a title or an interest is refused; null when it is not. */
export function lineProblem(text: string): 'invisible' | 'forbidden' | null {
  if (!isVisible(text)) return 'invisible';
  return FORBIDDEN_IN_LINE.test(text) || STRAY_JOINER.test(text) ? 'forbidden' : null;
}
