//! REST: the addresses, the requests, and one error type for all failures.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { api } from './api';

const fetched = vi.fn<typeof fetch>();
const answer = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  fetched.mockResolvedValueOnce(
    new Response(typeof body === 'string' ? body : JSON.stringify(body), { status, headers }),
  );
const asked = () => {
  const [path, { method, body } = {}] = fetched.mock.calls[0] ?? [];
  return [method, path, body === undefined ? null : JSON.parse(String(body))];
};

const RAIN = encodeURIComponent('비 오는 날');

beforeEach(() => {
  fetched.mockReset();
  vi.stubGlobal('fetch', fetched);
});
afterEach(() => vi.unstubAllGlobals());

describe('calls', () => {
  it.each([
    [() => api.me(), ['GET', '/api/v1/me', null]],
    [() => api.isKnown(), ['GET', '/api/v1/rooms?limit=1', null]],
    [() => api.acceptRules('7'), ['PATCH', '/api/v1/me', { rules: '7', adult: true }]],
    [() => api.setLocale('ko'), ['PATCH', '/api/v1/me', { locale: 'ko' }]],
    [() => api.stay(), ['POST', '/api/v1/session/stay', null]],
    [() => api.signOut(), ['POST', '/api/v1/sign-out', null]],
    [() => api.topics('ko'), ['GET', '/api/v1/topics?locale=ko', null]],
    [() => api.together(['비 오는 날', 'c&a']), ['GET', `/api/v1/topics/together?interests=${RAIN}%2Cc%26a`, null]],
    [() => api.messages('r/1', { limit: 50 }), ['GET', '/api/v1/rooms/r%2F1/messages?limit=50', null]],
    [() => api.messages('r', { before: 9, limit: 50 }), ['GET', '/api/v1/rooms/r/messages?before=9&limit=50', null]],
    [() => api.log('r', { after: 0, limit: 100 }), ['GET', '/api/v1/rooms/r/log?after=0&limit=100', null]],
  ] as const)('%s', async (call, wanted) => {
    answer(200, {});
    await call();
    expect(asked()).toEqual(wanted);
  });
});

describe('the visitor of the cookie', () => {
  it.each([
    [200, {}, true],
    [401, { code: 'session_ended' }, false],
    [403, { code: 'banned' }, true],
  ])('is known or unknown after status %i', async (status, body, known) => {
    answer(status, body);
    await expect(api.isKnown()).resolves.toBe(known);
  });

  it('is not considered unknown while the server does not answer', async () => {
    answer(503, { code: 'unavailable' });
    await expect(api.isKnown()).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('errors', () => {
  it('have the code of the server and its retry time', async () => {
    answer(429, { code: 'rate_limited', detail: 'slow down', field: 'x' }, { 'Retry-After': '3' });
    await expect(api.me()).rejects.toMatchObject({
      code: 'rate_limited',
      message: 'slow down',
      retryAfterMs: 3000,
      field: 'x',
    });
  });

  it('of a proxy in between have a code as well', async () => {
    answer(502, '<html>bad gateway</html>');
    await expect(api.me()).rejects.toMatchObject({ code: 'unavailable' });
    answer(200, 'not json');
    await expect(api.me()).rejects.toMatchObject({ code: 'internal' });
  });

  it('without an answer are "disconnected", or "timeout" after the time limit', async () => {
    fetched.mockRejectedValueOnce(new TypeError('Failed to fetch'));
    await expect(api.me()).rejects.toMatchObject({ code: 'disconnected' });
    fetched.mockRejectedValueOnce(new DOMException('', 'TimeoutError'));
    await expect(api.me()).rejects.toMatchObject({ code: 'timeout' });
  });
});
