//! Recognises messages of a few emoji alone, which are shown large.

/** More emoji than this are shown like text. */
export const MAX_LARGE_EMOJI = 3;
/** The longest emoji sequences are shorter than this, in UTF-16 code units. */
const MAX_CHARS = 90;

const FLAG = '\\p{Regional_Indicator}{2}';
const KEYCAP = '[0-9#*]\\ufe0f\\u20e3';
const TAGS = '(?:[\\u{e0020}-\\u{e007f}]+)?';
/** A picture by itself: drawn in colour by default, or by the sign that asks for it. */
const PICTURE =
  '(?:(?!\\p{Regional_Indicator})\\p{Emoji_Presentation}(?:\\ufe0f|\\p{Emoji_Modifier})?|\\p{Extended_Pictographic}(?:\\ufe0f|\\p{Emoji_Modifier}))';
/** After a joiner, a symbol without that sign is a picture too. */
const JOINED = '(?:\\u200d\\p{Extended_Pictographic}(?:\\ufe0f|\\p{Emoji_Modifier})?)*';
const ONLY_EMOJI = new RegExp(`^(?:(?:${FLAG}|${KEYCAP}|${PICTURE}${TAGS}${JOINED}) ?){1,${MAX_LARGE_EMOJI}}$`, 'u');

/** Returns `true` if a text is one to three emoji and nothing else. */
export function isLargeEmoji(text: string): boolean {
  return text.length <= MAX_CHARS && ONLY_EMOJI.test(text);
}
