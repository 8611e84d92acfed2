//! Korean particles: the form after a word depends on how its last syllable ends.

export type Josa = '이/가' | '을/를' | '은/는' | '과/와' | '으로/로';

const FIRST_SYLLABLE = 0xac00;
const LAST_SYLLABLE = 0xd7a3;
const ENDINGS = 28;
const RIEUL = 8;

/**
 * The final consonant of each digit as it is read (영 일 이 삼 사 오 육 칠 팔 구). -1 is any consonant but ㄹ.
 */
const DIGITS = [-1, RIEUL, 0, -1, 0, 0, -1, RIEUL, RIEUL, 0];

/**
 * Latin endings that close a syllable when the word is read in Korean: rock is 록, film is 필름, but
 * jazz is 재즈.
 */
const CLOSED_LATIN = /(?:[bcklmnpt]|ng)$/i;

/** Returns the number of the final consonant: 0 for none, 8 for ㄹ, another number for any other. */
function ending(word: string): number {
  const last = [...word.normalize('NFC').replace(/[^\p{L}\p{N}]+$/u, '')].pop();
  if (last === undefined) return 0;
  const code = last.codePointAt(0) ?? 0;
  if (code >= FIRST_SYLLABLE && code <= LAST_SYLLABLE) return (code - FIRST_SYLLABLE) % ENDINGS;
  if (/[0-9]/.test(last)) return DIGITS[Number(last)] ?? 0;
  if (/l/i.test(last)) return RIEUL;
  return CLOSED_LATIN.test(last) ? -1 : 0;
}

/** Returns the word with the fitting form of the particle. */
export function josa(word: string, pair: Josa): string {
  const [closed, open] = pair.split('/') as [string, string];
  const end = ending(word);
  // 으로 becomes 로 after a vowel and after ㄹ: 서울로, 집으로.
  const takesOpen = end === 0 || (pair === '으로/로' && end === RIEUL);
  return word + (takesOpen ? open : closed);
}
