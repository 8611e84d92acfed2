//! Which messages are shown large: emoji only, three at most.
import { expect, it } from 'vitest';
import { isLargeEmoji } from './emoji';

it.each(['🍿', '🍿🎬', '🍿 🎬', '😂😂😂', '❤️', '👩‍👩‍👧‍👦', '🏳️‍🌈', '🇰🇷', '👍🏽', '7️⃣', '👩🏽‍💻', '❤️‍🔥', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', '☔', '🙋‍♀️'])(
  '%s is large',
  (text) => {
    expect(isLargeEmoji(text)).toBe(true);
  },
);

it.each([
  '',
  ' ',
  'ㅋㅋㅋ',
  '😂😂😂😂',
  '좋아요 👍',
  '©',
  '7',
  '123',
  '#',
  '❤',
  '™',
  '👍a',
  '🇰',
  '\u200d',
  '😂\n😂',
  '!',
])('%j is text', (text) => {
  expect(isLargeEmoji(text)).toBe(false);
});
