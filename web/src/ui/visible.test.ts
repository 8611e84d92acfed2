//! Visible characters: one rule for messages and interests, the same as the server's.
import { describe, expect, it } from 'vitest';
import { addChip } from '../matching/chips';
import { checked } from '../talk/text';
import { lineProblem, isVisible } from './visible';

const INVISIBLE = {
  'a zero width space': '\u200b',
  'a word joiner': '\u2060',
  'a byte order mark': '\ufeff',
  'a soft hyphen': '\u00ad',
  'a grapheme joiner': '\u034f',
  'an Arabic letter mark': '\u061c',
  'a Mongolian vowel separator': '\u180e',
  'a joiner': '\u200d',
  'a non-joiner': '\u200c',
  'a variation selector': '\ufe0f',
  'tags': '\u{e0041}\u{e0042}',
  'a Hangul filler': '\u3164',
  'a halfwidth Hangul filler': '\uffa0',
  'a choseong filler': '\u115f',
  'a jungseong filler': '\u1160',
  'blank Braille': '\u2800',
  'a null notehead': '\u{1d159}',
  'marks without a base': '\u0301\u0302\u20dd',
  'an ideographic space': '\u3000',
  'private use': '\ue000',
  'several of them': ' \u200b\u3164\n\u2800 \u0301',
};

describe('a text', () => {
  it.each(Object.entries(INVISIBLE))('of %s only is refused as a message and as an interest', (_, text) => {
    expect(isVisible(text)).toBe(false);
    // White space alone counts as empty and needs no error.
    expect(checked(text).refused).toBe(text.trim() === '' ? 'empty' : 'invisible');
    expect(addChip([], text, 5).added).toBeNull();
  });

  it.each([
    '안녕',
    'ㅋ',
    'ᄒ',
    '.',
    '0',
    '👍',
    '👩‍💻',
    '🏳️‍🌈',
    '🏴󠁧󠁢󠁥󠁮󠁧󠁿',
    'می‌خواهم',
    'ක්‍රි',
    'е́',
    'นี่',
    '❤️',
    '☕',
    '1️⃣',
    '\u200bhi',
  ])('of %s is a message', (text) => {
    expect(checked(text).refused).toBeNull();
  });
});

describe('an interest', () => {
  it.each(['👩‍💻', '👩🏽‍💻', '🏳️‍🌈', '❤️‍🔥', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', 'می‌خواهم', 'ක්‍රි', 'র‍্যাব', 'บ้าน', 'Straße', '日本語'])(
    '%s stays as it is written',
    (interest) => {
      expect(addChip([], ` ${interest} `, 5)).toMatchObject({ added: interest, refused: null });
    },
  );

  it.each(['a\u202eb', 'a\u2066b', 'a\u200eb', 'a\u200bb', 'a\u00adb', 'a\u0007b', 'a\u200d', '\u200da', 'a \u200cb'])(
    '%j hides something, and is refused with its reason',
    (interest) => {
      expect(lineProblem(interest)).toBe('forbidden');
      expect(addChip([], interest, 5)).toMatchObject({ added: null, refused: 'forbidden' });
    },
  );

  it('has up to 30 characters, counted as the server counts them: whole, composed and in lower case', () => {
    expect(addChip([], '👩‍💻'.repeat(10), 5).refused).toBeNull(); // 30 scalar values, 50 units of UTF-16
    expect(addChip([], `${'👩‍💻'.repeat(10)}a`, 5).refused).toBe('long');
    expect(addChip([], '\u1112\u1161\u11ab'.repeat(30), 5).refused).toBeNull();
    expect(addChip([], 'İ'.repeat(16), 5).refused).toBe('long');
  });
});
