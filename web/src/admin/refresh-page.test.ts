//! A page that reads itself again.
import { describe, expect, it, vi } from 'vitest';
import { refresh, type Shown } from './refresh-page';

function shown(isVisible = true): Shown & { read: ReturnType<typeof vi.fn> } {
  const page = document.implementation.createHTMLDocument();
  page.body.innerHTML = '<div data-refresh-page="10"><a href="/x">old</a></div>';
  const read = vi.fn().mockResolvedValue('<div data-refresh-page="10">new</div>');
  // A document without a window has no location.
  return { page: new Proxy(page, { get: locationOf }), read, isVisible: () => isVisible };
}

function locationOf(page: Document, name: string | symbol): unknown {
  if (name === 'location') return { pathname: '/admin/health', search: '' };
  const value: unknown = Reflect.get(page, name, page);
  return typeof value === 'function' ? (value as () => unknown).bind(page) : value;
}

describe('a page that refreshes', () => {
  it('replaces its part', async () => {
    const one = shown();
    await refresh(one);
    expect(one.read).toHaveBeenCalledWith('/admin/health');
    expect(one.page.body.textContent).toBe('new');
  });

  it('rests while it is hidden, and keeps its part if the server does not answer', async () => {
    const hidden = shown(false);
    await refresh(hidden);
    expect(hidden.read).not.toHaveBeenCalled();
    const silent = shown();
    silent.read.mockRejectedValue(new Error('503'));
    await refresh(silent);
    expect(silent.page.body.textContent).toBe('old');
  });
});
