//! Interests as chips: what may be added, and how a typed line falls apart into them.
import { lineProblem } from '../ui/visible';

/** In Unicode scalar values of the lower case, as the server counts. Longer ones are a sentence, and sentences meet nobody. */
export const MAX_INTEREST_CHARS = 30;

export type Refused = 'full' | 'long' | 'invisible' | 'forbidden';
export type Added = { chips: string[]; added: string | null; refused: 'empty' | Refused | null };

/** One spelling for one interest: composed letters, single spaces, no ends. */
export function tidy(raw: string): string {
  return raw
    .normalize('NFC')
    .replace(/\s+/gu, ' ')
    .replace(/^[\s#,，、]+|[\s,，、]+$/gu, '');
}

/** A chip that is there already is not added twice, whatever its case. */
export function addChip(chips: readonly string[], raw: string, max: number): Added {
  const chip = tidy(raw);
  const same = [...chips];
  if (chip === '') return { chips: same, added: null, refused: 'empty' };
  const flaw = lineProblem(chip);
  if (flaw !== null) return { chips: same, added: null, refused: flaw };
  if ([...chip.toLowerCase().normalize('NFC')].length > MAX_INTEREST_CHARS)
    return { chips: same, added: null, refused: 'long' };
  if (chips.some((known) => known.toLowerCase() === chip.toLowerCase())) {
    return { chips: same, added: null, refused: null };
  }
  if (chips.length >= max) return { chips: same, added: null, refused: 'full' };
  return { chips: [...chips, chip], added: chip, refused: null };
}

/** Splits at commas: all but the last part are chips, the last is still being typed. */
export function splitTyped(text: string): { done: string[]; rest: string } {
  const parts = text.split(/[,，、]/u);
  const rest = parts.pop() ?? '';
  return { done: parts.filter((part) => tidy(part) !== ''), rest: rest.trimStart() };
}

/** Ideas that begin with, or else contain, what is typed; never one that is chosen already. */
export function suggest(ideas: readonly string[], chips: readonly string[], typed: string, most: number): string[] {
  const wanted = tidy(typed).toLocaleLowerCase();
  const chosen = new Set(chips.map((chip) => chip.toLocaleLowerCase()));
  const free = ideas.filter((idea) => !chosen.has(idea.toLocaleLowerCase()));
  if (wanted === '') return free.slice(0, most);
  const begins = free.filter((idea) => idea.toLocaleLowerCase().startsWith(wanted));
  const contains = free.filter((idea) => !begins.includes(idea) && idea.toLocaleLowerCase().includes(wanted));
  return [...begins, ...contains].slice(0, most);
}
