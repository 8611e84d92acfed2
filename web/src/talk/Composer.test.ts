//! The composer: sends the text of its field, stores drafts, shows how many characters are left
//! near the limit, and refuses invalid texts.
import { cleanup, render, screen } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { setLocale } from '../i18n';
import { tabStore } from '../ui/storage';
import Composer from './Composer.svelte';
import { Drafts } from './drafts';
import type { Talk } from './talk.svelte';

const send = vi.fn<(text: string) => void>();
const notifyTyping = vi.fn();
const onup = vi.fn();
const onsent = vi.fn();
const discard = vi.fn();
const drafts = new Drafts(tabStore, 'me');
const talk = {
  room: 'r',
  state: 'open',
  partner: { name: 'x', color: 'pine', animal: 'otter' },
  toRewrite: null,
  sending: { discard },
  drafts,
  send,
  notifyTyping,
} as unknown as Talk;
const refused = (text: string, requested = false) => ({
  row: { text, status: 'failed', reason: 'bad_payload' },
  code: 'bad_payload',
  requested,
});

beforeEach(() => {
  sessionStorage.clear();
  vi.stubGlobal('matchMedia', () => ({ matches: false }));
  setLocale('en');
  for (const spy of [send, notifyTyping, onup, onsent, discard]) spy.mockReset();
  talk.toRewrite = null;
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function show(limit = 2000) {
  const { component } = render(Composer, { talk, limit, onup, onsent });
  return { component, field: screen.getByRole<HTMLTextAreaElement>('textbox'), user: userEvent.setup() };
}

describe('the composer', () => {
  it('sends with Enter, trimmed, and is empty afterwards', async () => {
    const { field, user } = show();
    await user.type(field, '  hello there {Enter}');
    expect(send.mock.calls).toEqual([['hello there']]);
    expect(field.value).toBe('');
    expect(onsent).toHaveBeenCalledOnce();
  });

  it("has the partner's name in its label", () => {
    expect(show().field.getAttribute('aria-label')).toBe('Message to Green Otter');
  });

  it('starts a new line with Shift+Enter', async () => {
    const { field, user } = show();
    await user.type(field, 'one{Shift>}{Enter}{/Shift}two{Enter}');
    expect(send.mock.calls).toEqual([['one\ntwo']]);
  });

  it('sends with the button and returns the focus', async () => {
    const { field, user } = show();
    await user.type(field, 'hello');
    await user.click(screen.getByRole('button', { name: 'Send' }));
    expect(send.mock.calls).toEqual([['hello']]);
    expect(document.activeElement).toBe(field);
  });

  it('sends nothing if the field is empty', async () => {
    const { field, user } = show();
    await user.type(field, '   {Enter}');
    expect(send).not.toHaveBeenCalled();
  });

  it('keeps a draft after a reload, but not after sending', async () => {
    const { field, user } = show();
    await user.type(field, 'not yet');
    cleanup();
    const again = show();
    expect(again.field.value).toBe('not yet');
    await again.user.type(again.field, '{Enter}');
    cleanup();
    expect(show().field.value).toBe('');
  });

  it('shows how many characters are left from 1,800 on, and counts an emoji as one', async () => {
    const { field, user } = show();
    await user.click(field);
    await user.paste('가'.repeat(1799));
    expect(screen.queryByText(/characters left/)).toBeNull();
    await user.paste('😀');
    expect(screen.getByText('200 characters left')).toBeTruthy();
    await user.paste('가'.repeat(200));
    expect(screen.getByText("That's the limit")).toBeTruthy();
  });

  it('refuses a text that is too long and keeps it', async () => {
    const { field, user } = show();
    await user.click(field);
    await user.paste('가'.repeat(2001));
    expect(screen.getByText('1 character too many')).toBeTruthy();
    await user.keyboard('{Enter}');
    expect(send).not.toHaveBeenCalled();
    expect(field.value).toHaveLength(2001);
    expect(field.getAttribute('aria-invalid')).toBe('true');
  });

  it('refuses characters that the server would refuse, and shows it', async () => {
    const { field, user } = show();
    await user.click(field);
    await user.paste('a\u202eb');
    await user.keyboard('{Enter}');
    expect(send).not.toHaveBeenCalled();
    expect(screen.getByText("This has characters that can't be sent.")).toBeTruthy();
  });

  it('refuses a text without visible characters, shows it, and allows a correction', async () => {
    const { field, user } = show();
    await user.click(field);
    await user.paste('\u3164\u200b');
    await user.keyboard('{Enter}');
    expect(send).not.toHaveBeenCalled();
    expect(screen.getByText('Write at least one visible character.')).toBeTruthy();
    expect(field.getAttribute('aria-invalid')).toBe('true');
    await user.type(field, 'hi{Enter}');
    expect(send).toHaveBeenCalledOnce();
    expect(screen.queryByText('Write at least one visible character.')).toBeNull();
  });

  it('puts a message that the server refused back into the field, with the reason', async () => {
    talk.toRewrite = refused('what was written') as Talk['toRewrite'];
    const { field, user } = show();
    await vi.waitFor(() => expect(field.value).toBe('what was written'));
    expect(screen.getByText("This has characters that can't be sent.")).toBeTruthy();
    expect(discard).toHaveBeenCalledOnce();
    await user.type(field, ' anew{Enter}');
    expect(send.mock.calls).toEqual([['what was written anew']]);
  });

  it('keeps a draft, and puts a refused message before it only on request', async () => {
    sessionStorage.setItem('maju.draft.me.r', 'half a sentence');
    talk.toRewrite = refused('refused') as Talk['toRewrite'];
    expect(show().field.value).toBe('half a sentence');
    expect(discard).not.toHaveBeenCalled();
    cleanup();
    talk.toRewrite = refused('refused', true) as Talk['toRewrite'];
    const { field } = show();
    await vi.waitFor(() => expect(field.value).toBe('refused\nhalf a sentence'));
  });

  it('moves to the messages with the Up key, only if the field is empty', async () => {
    const { field, user } = show();
    await user.type(field, 'x{ArrowUp}');
    expect(onup).not.toHaveBeenCalled();
    await user.type(field, '{Backspace}{ArrowUp}');
    expect(onup).toHaveBeenCalledOnce();
  });

  it('sends the typing indicator, but not for an emptied field', async () => {
    const { field, user } = show();
    await user.type(field, 'h');
    expect(notifyTyping).toHaveBeenCalledOnce();
    await user.type(field, '{Backspace}');
    expect(notifyTyping).toHaveBeenCalledOnce();
  });

  it('keeps the unfinished message of a talk that ended, and begins with a carried one', async () => {
    const { field, user } = show();
    await user.type(field, 'half a sentence');
    talk.state = 'ended';
    cleanup();
    talk.state = 'open';
    expect(drafts.get('r')).toBe('half a sentence');
    drafts.set('r', '');
    drafts.set('before', 'from the talk before');
    drafts.carry('before');
    expect(show().field.value).toBe('from the talk before');
    cleanup();
    expect(show().field.value).toBe('from the talk before'); // after a reload
  });

  it('takes a first sentence, replaces it by another, and loses nothing that was written', async () => {
    const { component, field, user } = show();
    component.offer('Is it raining?');
    expect(field.value).toBe('Is it raining?');
    component.offer('How was your day?');
    expect(field.value).toBe('How was your day?');
    await user.type(field, ' Mine was long.');
    component.offer('Is it raining?');
    expect(field.value).toBe('How was your day? Mine was long. Is it raining?');
    expect(document.activeElement).toBe(field);
  });
});
