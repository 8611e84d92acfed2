//! The visitor: created once, and not repeatedly in a browser that stores no cookies.
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Api } from '../wire/api';
import { WireError } from '../wire/error';
import { VisitorState } from './visitor.svelte';

const me = vi.fn();
const isKnown = vi.fn<() => Promise<boolean>>();
const api = { me, isKnown } as unknown as Api;

beforeEach(() => {
  me.mockReset().mockResolvedValue({ visitor: {}, rules: { current: '1', accepted: null }, limits: {} });
  isKnown.mockReset().mockResolvedValue(false);
});

describe('a visitor', () => {
  it('is not created if the browser reports that cookies are blocked', async () => {
    const visitor = new VisitorState(api, () => false);
    await expect(visitor.load()).rejects.toMatchObject({ code: 'cookies_needed' });
    expect(me).not.toHaveBeenCalled();
  });

  it('is created once if the cookie is lost on the way, however many attempts follow', async () => {
    const visitor = new VisitorState(api, () => true);
    await visitor.load();
    for (let tries = 0; tries < 5; tries++)
      await expect(visitor.load()).rejects.toMatchObject({ code: 'cookies_needed' });
    expect(me).toHaveBeenCalledOnce();
  });

  it('is kept if a socket failed for another reason', async () => {
    isKnown.mockResolvedValue(true);
    const visitor = new VisitorState(api, () => true);
    for (let tries = 0; tries < 3; tries++) await visitor.load();
    expect(me).toHaveBeenCalledOnce();
  });

  it('is neither created nor given up while the server does not answer', async () => {
    isKnown.mockRejectedValue(new WireError('unavailable'));
    const visitor = new VisitorState(api, () => true);
    await visitor.load();
    await expect(visitor.load()).rejects.toMatchObject({ code: 'unavailable' });
    expect(me).toHaveBeenCalledOnce();
  });

  it('is created again, once, if the cookie was cleared after a hello', async () => {
    const visitor = new VisitorState(api, () => true);
    await visitor.load();
    visitor.allowNewVisitor();
    await visitor.load();
    await expect(visitor.load()).rejects.toMatchObject({ code: 'cookies_needed' });
    expect(me).toHaveBeenCalledTimes(2);
  });
});
