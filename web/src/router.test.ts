//! Which screen an address selects.
import { expect, it } from 'vitest';
import { routeOf, talkPath } from './router.svelte';

it.each([
  ['/chat', { name: 'lobby' }],
  ['/chat?search', { name: 'search' }],
  [talkPath('a b'), { name: 'talk', session: 'a b' }],
  // Not well formed: an unknown talk, not an error.
  ['/chat/s/%E0%A4%A', { name: 'talk', session: '%E0%A4%A' }],
])('%s', (path, route) => {
  expect(routeOf(path)).toEqual(route);
});
