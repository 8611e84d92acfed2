//! What may be sent: the server's own rule, so that a refusal is known before it is sent.
import { isVisible } from '../ui/visible';

export const MAX_TEXT_CHARS = 2000;
export const COUNTER_FROM_CHARS = 1800;

// Control characters but \n and \t, overrides and isolates of direction, and halves of a character.
// eslint-disable-next-line no-control-regex
const REFUSED = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\p{Surrogate}]/u;

export type Checked = { text: string; refused: 'empty' | 'invisible' | 'too_long' | 'bad_payload' | null };

/** The text itself was refused: sending it again as it is would never help, writing it differently does. */
export function isAboutText(code: string | null): boolean {
  return code === 'bad_payload' || code === 'too_long';
}

/** In composed form, without the white space around it. */
export function tidyText(raw: string): string {
  return raw.replace(/\r\n?/g, '\n').normalize('NFC').trim();
}

/** Counted as the server counts: Unicode scalar values, so that one emoji is not two. */
export function lengthOf(raw: string): number {
  return [...tidyText(raw)].length;
}

export function checked(raw: string, longest = MAX_TEXT_CHARS): Checked {
  const text = tidyText(raw);
  if (text === '') return { text, refused: 'empty' };
  if ([...text].length > longest) return { text, refused: 'too_long' };
  if (REFUSED.test(text)) return { text, refused: 'bad_payload' };
  return { text, refused: isVisible(text) ? null : 'invisible' };
}
