//! Interests as chips: which can be added, and how a typed line is split into them.
import { lineProblem } from '../ui/visible';
import { MAX_INTEREST_CHARS } from '../wire/limits';

export type Refused = 'full' | 'long' | 'invisible' | 'forbidden';
export type Added = { chips: string[]; added: string | null; refused: 'empty' | Refused | null };

/** Returns an interest in its normal form: composed letters, single spaces, nothing around it. */
export function tidy(raw: string): string {
  return raw
    .normalize('NFC')
    .replace(/\s+/gu, ' ')
    .replace(/^[\s#,，、]+|[\s,，、]+$/gu, '');
}

type KeyOf = (word: string) => string;
const lowerCase: KeyOf = (word) => word.toLocaleLowerCase();

/** Adds a chip. One with the same key as a chip that is already there is not added again. */
export function addChip(chips: readonly string[], raw: string, max: number, keyOf: KeyOf = lowerCase): Added {
  const chip = tidy(raw);
  const same = [...chips];
  if (chip === '') return { chips: same, added: null, refused: 'empty' };
  const flaw = lineProblem(chip);
  if (flaw !== null) return { chips: same, added: null, refused: flaw };
  if ([...chip.toLowerCase().normalize('NFC')].length > MAX_INTEREST_CHARS)
    return { chips: same, added: null, refused: 'long' };
  if (chips.some((known) => keyOf(known) === keyOf(chip))) {
    return { chips: same, added: null, refused: null };
  }
  if (chips.length >= max) return { chips: same, added: null, refused: 'full' };
  return { chips: [...chips, chip], added: chip, refused: null };
}

/** Splits a line at commas. `done` has the complete parts, `rest` is still being typed. */
export function splitTyped(text: string): { done: string[]; rest: string } {
  const parts = text.split(/[,，、]/u);
  const rest = parts.pop() ?? '';
  return { done: parts.filter((part) => tidy(part) !== ''), rest: rest.trimStart() };
}

/**
 * Returns ideas that begin with the typed text, then ideas that contain it, under any of their
 * names. Chosen ones are left out.
 */
export function suggest(
  ideas: readonly string[],
  chips: readonly string[],
  typed: string,
  max: number,
  keyOf: KeyOf = lowerCase,
  otherNames: (idea: string) => readonly string[] = () => [],
): string[] {
  const wanted = tidy(typed).toLocaleLowerCase();
  const chosen = new Set(chips.map(keyOf));
  const free = ideas.filter((idea) => !chosen.has(keyOf(idea)));
  if (wanted === '') return free.slice(0, max);
  const names = (idea: string) => [idea, ...otherNames(idea)].map(lowerCase);
  const begins = free.filter((idea) => names(idea).some((name) => name.startsWith(wanted)));
  const contains = free.filter((idea) => !begins.includes(idea) && names(idea).some((name) => name.includes(wanted)));
  return [...begins, ...contains].slice(0, max);
}
