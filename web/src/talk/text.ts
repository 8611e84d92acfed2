//! Checks a message with the server's own rule, so that a refusal is known before sending.
import { isVisible } from '../ui/visible';
import { MAX_MESSAGE_CHARS } from '../wire/limits';

/** The length from which the field shows how many characters are left. */
export const COUNTER_FROM_CHARS = MAX_MESSAGE_CHARS - 200;

// Control characters except \n and \t, direction overrides and isolates, and unpaired surrogates.
// eslint-disable-next-line no-control-regex
const REFUSED = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\p{Surrogate}]/u;

export type Checked = { text: string; refused: 'empty' | 'invisible' | 'too_long' | 'bad_payload' | null };

/**
 * Returns `true` if a code refuses the text itself: the same text can never be sent, an edited one
 * can.
 */
export function isAboutText(code: string | null): boolean {
  return code === 'bad_payload' || code === 'too_long';
}

/** Returns the text in composed form, without the white space around it. */
export function tidyText(raw: string): string {
  return raw.replace(/\r\n?/g, '\n').normalize('NFC').trim();
}

/**
 * Returns the length as the server counts it: in Unicode scalar values, so that an emoji is not
 * two.
 */
export function lengthOf(raw: string): number {
  return [...tidyText(raw)].length;
}

/** Returns the text as it is sent, and why it cannot be sent, or `null`. */
export function checked(raw: string, longest = MAX_MESSAGE_CHARS): Checked {
  const text = tidyText(raw);
  if (text === '') return { text, refused: 'empty' };
  if ([...text].length > longest) return { text, refused: 'too_long' };
  if (REFUSED.test(text)) return { text, refused: 'bad_payload' };
  return { text, refused: isVisible(text) ? null : 'invisible' };
}
