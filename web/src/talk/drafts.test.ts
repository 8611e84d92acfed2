//! Unfinished messages survive the end of their talk, and can be carried into the next.
import { beforeEach, expect, it } from 'vitest';
import { tabStore } from '../ui/storage';
import { Drafts } from './drafts';

beforeEach(() => sessionStorage.clear());

it('a message belongs to its talk and survives a reload', () => {
  new Drafts(tabStore).set('a', 'half a sentence');
  const drafts = new Drafts(tabStore);
  expect([drafts.get('a'), drafts.begin('a'), drafts.begin('b')]).toEqual(['half a sentence', 'half a sentence', '']);
  drafts.set('a', '');
  expect(sessionStorage.length).toBe(0);
});

it('a carried message begins the next talk once, also after a reload', () => {
  new Drafts(tabStore).set('a', 'half a sentence');
  new Drafts(tabStore).carry('a');
  const drafts = new Drafts(tabStore);
  expect([drafts.isCarried('a'), drafts.begin('b')]).toEqual([true, 'half a sentence']);
  expect([drafts.isCarried('a'), drafts.get('a'), drafts.get('b'), drafts.begin('c')]).toEqual([
    false,
    '',
    'half a sentence',
    '',
  ]);
});

it('a carried message does not replace one that is already in the next talk', () => {
  const drafts = new Drafts(tabStore);
  drafts.set('a', 'old');
  drafts.carry('a');
  drafts.set('b', 'new');
  expect([drafts.begin('b'), drafts.isCarried('a')]).toEqual(['new', true]);
});

it('a message that is not carried after all stays where it was written', () => {
  const drafts = new Drafts(tabStore);
  drafts.carry('a'); // nothing to carry
  expect(drafts.isCarried('a')).toBe(false);
  drafts.set('a', 'half a sentence');
  drafts.carry('a');
  drafts.leave('b');
  expect(drafts.isCarried('a')).toBe(true);
  drafts.leave('a');
  expect([drafts.isCarried('a'), drafts.begin('b'), drafts.get('a')]).toEqual([false, '', 'half a sentence']);
});

it('an unreadable value is ignored', () => {
  sessionStorage.setItem('maju.draft.next', '{"room": 3}');
  expect(new Drafts(tabStore).begin('a')).toBe('');
});
