//! Unfinished messages survive the end of their talk, and can be carried into the next.
import { beforeEach, expect, it } from 'vitest';
import { tabStorage, tabStore } from '../ui/storage';
import { Outbox } from '../wire/outbox';
import { Drafts } from './drafts';
import { forgetUnsent } from './unsent';

beforeEach(() => sessionStorage.clear());

it('a message belongs to its talk and survives a reload', () => {
  new Drafts(tabStore, 'me').set('a', 'half a sentence');
  const drafts = new Drafts(tabStore, 'me');
  expect([drafts.get('a'), drafts.begin('a'), drafts.begin('b')]).toEqual(['half a sentence', 'half a sentence', '']);
  drafts.set('a', '');
  expect(sessionStorage.length).toBe(0);
});

it('a carried message begins the next talk once, also after a reload', () => {
  new Drafts(tabStore, 'me').set('a', 'half a sentence');
  new Drafts(tabStore, 'me').carry('a');
  const drafts = new Drafts(tabStore, 'me');
  expect([drafts.isCarried('a'), drafts.begin('b')]).toEqual([true, 'half a sentence']);
  expect([drafts.isCarried('a'), drafts.get('a'), drafts.get('b'), drafts.begin('c')]).toEqual([
    false,
    '',
    'half a sentence',
    '',
  ]);
});

it('a carried message does not replace one that is already in the next talk', () => {
  const drafts = new Drafts(tabStore, 'me');
  drafts.set('a', 'old');
  drafts.carry('a');
  drafts.set('b', 'new');
  expect([drafts.begin('b'), drafts.isCarried('a')]).toEqual(['new', true]);
});

it('a message that is not carried after all stays where it was written', () => {
  const drafts = new Drafts(tabStore, 'me');
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
  sessionStorage.setItem('maju.draft.me.next', '{"room": 3}');
  expect(new Drafts(tabStore, 'me').begin('a')).toBe('');
});

it('a message belongs to the one who wrote it, and is there when they are back', () => {
  const mine = new Drafts(tabStore, 'me');
  mine.set('a', 'half a sentence');
  mine.carry('a');
  const others = new Drafts(tabStore, 'somebody else');
  expect([others.get('a'), others.isCarried('a'), others.begin('a'), others.begin('b')]).toEqual(['', false, '', '']);
  expect(new Drafts(tabStore, 'me').begin('a')).toBe('half a sentence');
});

it('signing out deletes what that person has not sent, and nothing else', () => {
  const letter = { client_id: 'x', text: 'unsent', at: 1, failed: null };
  for (const owner of ['me', 'me too']) {
    new Drafts(tabStore, owner).set('a', 'half a sentence');
    new Outbox(owner, 'a', tabStorage).add(letter);
  }
  sessionStorage.setItem('maju.other', 'kept');
  forgetUnsent(tabStore, 'me');
  expect(Object.keys(sessionStorage).sort()).toEqual(['maju.draft.me too.a', 'maju.other', 'maju.outbox.me too.a']);
});
