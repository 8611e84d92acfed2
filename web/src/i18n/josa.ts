//! Korean particles: which form follows a word depends on how its last syllable ends.

export type Josa = '이/가' | '을/를' | '은/는' | '과/와' | '으로/로';

const FIRST_SYLLABLE = 0xac00;
const LAST_SYLLABLE = 0xd7a3;
const ENDINGS = 28;
const RIEUL = 8;

/** 영 일 이 삼 사 오 육 칠 팔 구: the ending consonant of each digit as it is read; -1 stands for another one than ㄹ. */
const DIGITS = [-1, RIEUL, 0, -1, 0, 0, -1, RIEUL, RIEUL, 0];

/** Latin endings that close a syllable when the word is read in Korean (jam, jazz is 재즈, rock is 록, film is 필름). */
const CLOSED_LATIN = /(?:[bcklmnpt]|ng)$/i;

/** The number of the ending consonant: 0 for an open syllable, 8 for ㄹ, anything else for another one. */
function ending(word: string): number {
  const last = [...word.normalize('NFC').replace(/[^\p{L}\p{N}]+$/u, '')].pop();
  if (last === undefined) return 0;
  const code = last.codePointAt(0) ?? 0;
  if (code >= FIRST_SYLLABLE && code <= LAST_SYLLABLE) return (code - FIRST_SYLLABLE) % ENDINGS;
  if (/[0-9]/.test(last)) return DIGITS[Number(last)] ?? 0;
  if (/l/i.test(last)) return RIEUL;
  return CLOSED_LATIN.test(last) ? -1 : 0;
}

/** The word with the form of the particle that fits it. */
export function josa(word: string, pair: Josa): string {
  const [closed, open] = pair.split('/') as [string, string];
  const end = ending(word);
  // 으로 is 로 after a vowel and after ㄹ: 서울로, 집으로.
  const takesOpen = end === 0 || (pair === '으로/로' && end === RIEUL);
  return word + (takesOpen ? open : closed);
}
