//! The first sentences that a new talk offers.
import { expect, it } from 'vitest';
import { icebreakers, ids } from './icebreakers';

const idOf = (topic: string) => ({ '영화': 'film', '비 오는 날': 'rain', 'Films': 'film' })[topic] ?? null;

it('every topic has two different sentences in both languages', () => {
  expect(ids.ko).toEqual(ids.en);
  for (const locale of ['ko', 'en'] as const) {
    const all = ids[locale].flatMap((id) => icebreakers(locale, [id], () => id));
    expect(all).toHaveLength(2 * ids[locale].length);
    for (const sentence of all)
      expect(sentence).toMatch(locale === 'ko' ? /^[^a-z]{6,40}\?$/ : /^[A-Z][^가-힣]{6,70}\?$/);
  }
});

it('one topic gives two sentences, two topics give one each', () => {
  expect(icebreakers('ko', ['영화'], idOf)).toEqual([
    '두 번 넘게 본 영화가 있어요?',
    '최근에 본 영화 중에 뭐가 제일 좋았어요?',
  ]);
  expect(icebreakers('ko', ['영화', '비 오는 날', '재즈'], idOf)).toEqual([
    '두 번 넘게 본 영화가 있어요?',
    '거긴 지금 비 와요?',
  ]);
});

it('a typed topic is named, and is never read as a pattern', () => {
  expect(icebreakers('en', ['$& banjo'], idOf)).toEqual([
    'How did you get into $& banjo?',
    'What do you like most about $& banjo?',
  ]);
});

it('without a topic there are still two', () => {
  expect(icebreakers('en', [], idOf)).toHaveLength(2);
});
