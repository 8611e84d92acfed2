//! The part of a long text that a screen reader announces.

/** Returns the beginning of a text, at most `maxChars` whole characters in one line. */
export function excerptOf(text: string, maxChars = 200): string {
  const line = text.replace(/\s+/gu, ' ').trim();
  const characters = [...line];
  return characters.length <= maxChars ? line : `${characters.slice(0, maxChars).join('')}…`;
}
