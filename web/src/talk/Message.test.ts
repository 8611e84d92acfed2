//! One message on the page: its status as an icon and as text, and the actions after a failure.
import { cleanup, render, screen } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { setLocale } from '../i18n';
import Message from './Message.svelte';
import { Row } from './row.svelte';
import type { Talk } from './talk.svelte';

const sending = { retry: vi.fn(), discard: vi.fn() };
const rewrite = vi.fn();
const onlink = vi.fn();
const oncopy = vi.fn();
const onmenu = vi.fn();
const onfold = vi.fn((row: Row) => (row.unfolded = !row.unfolded));
const talk = {
  partner: { id: 'p', name: 'x', color: 'pine', animal: 'otter' },
  indicators: { partnerReadSeq: 5 },
  sending,
  rewrite,
} as unknown as Talk;

beforeEach(() => setLocale('en'));
afterEach(cleanup);

function show(fields: Partial<Row>, mine = true, live = true) {
  const row = Object.assign(new Row('c', mine, 'k'), { text: 'hi', seq: 1, at: Date.now(), ...fields });
  render(Message, {
    talk,
    placed: { row, first: true, last: true, day: null },
    current: true,
    newest: true,
    live,
    position: 1,
    size: 1,
    limit: 1500,
    onfold,
    onlink,
    oncopy,
    onmenu,
  });
  return screen.getByRole('article');
}

describe('a message', () => {
  it('of this visitor is sent, then read', () => {
    expect(show({ seq: 6 }).textContent).toMatch(/Sent · /);
    cleanup();
    expect(show({ seq: 5 }).textContent).toMatch(/Read · /);
  });

  it("of the partner has their name in the reader's language", () => {
    expect(show({}, false).textContent).toMatch(/Green Otter/);
    cleanup();
    setLocale('ko');
    expect(show({}, false).textContent).toMatch(/초록 수달/);
  });

  it('that is pending shows nothing at first', () => {
    expect(show({ seq: null, status: 'pending' }).textContent).not.toMatch(/Sending/);
    cleanup();
    expect(show({ seq: null, status: 'pending', slow: true }).textContent).toMatch(/Sending/);
  });

  it('that failed shows why, and can be sent again or deleted', async () => {
    const user = userEvent.setup();
    expect(show({ seq: null, status: 'failed', reason: 'late' }).textContent).toMatch(
      /Not sent. Your message is still here./,
    );
    await user.click(screen.getByRole('button', { name: 'Retry' }));
    await user.click(screen.getByRole('button', { name: 'Delete' }));
    expect([sending.retry.mock.calls.length, sending.discard.mock.calls.length]).toEqual([1, 1]);
  });

  it.each([
    ['bad_payload', /has characters that can't be sent/],
    ['too_long', /Up to 1,500 characters/],
  ])('that failed for its text (%s) is to be written differently, not sent again', async (reason, words) => {
    const user = userEvent.setup();
    expect(show({ seq: null, status: 'failed', reason }).textContent).toMatch(words);
    expect(screen.queryByRole('button', { name: 'Retry' })).toBeNull();
    await user.click(screen.getByRole('button', { name: 'Edit' }));
    expect(rewrite).toHaveBeenLastCalledWith(expect.objectContaining({ reason }));
  });

  it.each([
    ['banned', /can't chat right now/],
    ['muted', /can't send messages right now/],
    ['age_gate', /confirmed the rules/],
  ])('that failed because we may not write (%s) says so', (reason, words) => {
    expect(show({ seq: null, status: 'failed', reason }).textContent).toMatch(words);
  });

  it('that failed because the partner left has no actions', () => {
    expect(show({ seq: null, status: 'failed', reason: 'left' }, true, false).textContent).toMatch(
      /They left before this arrived/,
    );
    expect(screen.getAllByRole('button').map((one) => one.getAttribute('aria-label'))).toEqual(['Copy message']);
  });

  it('that is long folds: the button has its state, the text is complete, and the name is short', async () => {
    const height = vi.spyOn(Element.prototype, 'scrollHeight', 'get').mockReturnValue(48_000);
    const user = userEvent.setup();
    const text = `a${'\n'.repeat(1998)}b`;
    const node = show({ text }, false);
    const more = await screen.findByRole('button', { name: 'Show more', expanded: false });
    expect(node.querySelector('.text')?.textContent).toBe(text);
    expect(node.querySelector('.text')?.classList.contains('folded')).toBe(true);
    const named = (node.getAttribute('aria-labelledby') ?? '').split(' ').map((id) => document.getElementById(id));
    expect(named.map((part) => part?.textContent).join(' ')).toMatch(/Green Otter: a b Long message/);
    await user.click(more);
    await screen.findByRole('button', { name: 'Show less', expanded: true });
    expect(node.querySelector('.text')?.classList.contains('folded')).toBe(false);
    height.mockRestore();
  });

  it('that is slightly longer than a folded one does not fold', () => {
    const height = vi.spyOn(Element.prototype, 'scrollHeight', 'get').mockReturnValue(14 * 24);
    show({ text: 'line\n'.repeat(14) }, false);
    expect(screen.getAllByRole('button').map((one) => one.getAttribute('aria-label'))).toEqual(['Copy message']);
    height.mockRestore();
  });

  it('is shown as text, never as markup', () => {
    const node = show({ text: '<img src=x onerror=alert(1)>' }, false);
    expect(node.querySelector('img')).toBeNull();
    expect(node.querySelector('.bubble .text')?.getAttribute('dir')).toBe('auto');
  });

  it('of few emoji is large, one with a word is not', () => {
    expect(show({ text: '🍿🎬' }, false).classList.contains('large')).toBe(true);
    cleanup();
    expect(show({ text: '🍿 a' }, false).classList.contains('large')).toBe(false);
    cleanup();
    expect(show({ text: '', deleted: true }, false).classList.contains('large')).toBe(false);
  });

  it('names its author once for a screen reader', () => {
    const node = show({ text: 'hi' }, false);
    const named = (node.getAttribute('aria-labelledby') ?? '').split(' ').map((id) => document.getElementById(id));
    const read = named.map((part) => {
      const copy = part?.cloneNode(true) as HTMLElement;
      for (const hidden of copy.querySelectorAll('[aria-hidden=true]')) hidden.remove();
      return copy.textContent;
    });
    expect(read.join(' ').match(/Green Otter/g)).toHaveLength(1);
  });

  it('asks before a link opens, and its text stays as it was written', async () => {
    const user = userEvent.setup();
    const text = 'see https://a.example/b.';
    const node = show({ text }, false);
    expect(node.querySelector('.text')?.textContent).toBe(text);
    expect(node.querySelector('a')).toBeNull();
    const link = screen.getByRole('button', { name: 'https://a.example/b' });
    await user.click(link);
    expect(onlink).toHaveBeenLastCalledWith(
      expect.objectContaining({ text }),
      expect.objectContaining({ href: 'https://a.example/b', host: 'a.example' }),
      link,
    );
  });

  it('is copied by its button, and its menu opens with the key for menus, not with the mouse', async () => {
    const user = userEvent.setup();
    const node = show({}, false);
    await user.click(screen.getByRole('button', { name: 'Copy message' }));
    expect(oncopy).toHaveBeenCalledOnce();
    node.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true, button: 2 }));
    expect(onmenu).not.toHaveBeenCalled();
    node.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true, button: 0 }));
    expect(onmenu).toHaveBeenCalledOnce();
  });
});
