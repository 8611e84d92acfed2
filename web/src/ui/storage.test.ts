//! Storage and cookies, also in a browser that forbids them: the page still works.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Outbox } from '../wire/outbox';
import { cookies } from './cookies';
import { deviceStore, tabStore, tabStorage } from './storage';

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** Like a browser that blocks the data of a site: reading the property throws. */
function forbid(name: 'localStorage' | 'sessionStorage') {
  vi.spyOn(window, name, 'get').mockImplementation(() => {
    throw new DOMException('denied', 'SecurityError');
  });
}

describe('a storage that is forbidden', () => {
  it('loses values only by a reload', () => {
    forbid('localStorage');
    forbid('sessionStorage');
    deviceStore.set('maju.a', '1');
    tabStore.set('maju.b', '2');
    expect([deviceStore.get('maju.a'), tabStore.get('maju.b'), deviceStore.get('maju.c')]).toEqual(['1', '2', null]);
    tabStore.set('maju.b', null);
    expect(tabStore.get('maju.b')).toBeNull();
  });

  it('loses no message of the outbox while the page is open', () => {
    forbid('sessionStorage');
    new Outbox('me', 'room', tabStorage).add({ client_id: 'a', text: 'hi', at: 1, failed: null });
    expect(new Outbox('me', 'room', tabStorage).messages.map(({ text }) => text)).toEqual(['hi']);
  });
});

describe('cookies', () => {
  it('are tested by setting one, which is then removed', () => {
    expect(cookies.work()).toBe(true);
    expect(document.cookie).not.toContain('probe');
  });

  it.each([
    ['the browser says so', () => vi.spyOn(navigator, 'cookieEnabled', 'get').mockReturnValue(false)],
    ['none is kept', () => vi.spyOn(document, 'cookie', 'get').mockReturnValue('')],
    [
      'to name them throws',
      () => {
        const denied = () => {
          throw new DOMException('denied', 'SecurityError');
        };
        vi.spyOn(document, 'cookie', 'get').mockImplementation(denied);
        vi.spyOn(document, 'cookie', 'set').mockImplementation(denied);
      },
    ],
  ])('are known to be blocked when %s', (_, block) => {
    block();
    expect(cookies.work()).toBe(false);
    expect(cookies.get('maju_locale')).toBeNull();
    expect(() => cookies.set('maju_theme', 'dark')).not.toThrow();
  });

  it('of another page with an incomplete escape are ignored', () => {
    vi.spyOn(document, 'cookie', 'get').mockReturnValue('x=%; maju_theme=%E0; maju_locale=ko');
    expect([cookies.get('maju_theme'), cookies.get('maju_locale')]).toEqual([null, 'ko']);
  });
});
