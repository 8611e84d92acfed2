//! What is said aloud of a long text.

/** The beginning of a text, for a name that is read aloud: whole characters, one line. */
export function excerptOf(text: string, most = 200): string {
  const line = text.replace(/\s+/gu, ' ').trim();
  const characters = [...line];
  return characters.length <= most ? line : `${characters.slice(0, most).join('')}…`;
}
