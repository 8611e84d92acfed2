//! The dialogs about a session: what they count and say, what Escape means, and where they lead.
import { cleanup, render, screen } from '@testing-library/svelte';
import { tick } from 'svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Chat } from '../chat/chat.svelte';
import { setLocale } from '../i18n';
import { router } from '../router.svelte';
import EndedDialog from './EndedDialog.svelte';
import ExpiringDialog from './ExpiringDialog.svelte';
import type { Ended, SignedIn } from './signed-in.svelte';

const START = Date.UTC(2026, 10, 30, 9);
const signedIn = {
  account: { id: 'hana', handle: 'hana', role: 'member' },
  deadline: 0,
  atLimit: false,
  failed: false,
  busy: false,
  stay: vi.fn(),
  later: vi.fn(),
  signOut: vi.fn(),
  leave: vi.fn(),
};

beforeEach(() => {
  vi.useFakeTimers({ now: START });
  setLocale('en');
  router.go('/chat/s/1');
  Object.assign(signedIn, { deadline: START + 120_000, atLimit: false });
  for (const spy of [signedIn.stay, signedIn.later, signedIn.signOut, signedIn.leave]) spy.mockReset();
  // jsdom has no modal dialogs.
  HTMLDialogElement.prototype.showModal = function () {
    this.open = true;
  };
  HTMLDialogElement.prototype.close = function () {
    this.open = false;
  };
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await tick();
}
const press = (name: string) => screen.getByRole('button', { name }).click();
const link = (name: string) => screen.getByRole('link', { name }).getAttribute('href');

describe('before the end', () => {
  const show = () => render(ExpiringDialog, { signedIn: signedIn as unknown as SignedIn });
  const shown = () => document.querySelector('.left')?.textContent;
  // Asking by the role would compute the style of everything, each second.
  const spoken = () => document.querySelector('[role=status]')?.textContent;

  it('the time is counted in minutes until the last one, and is said at most every fifteen seconds', async () => {
    show();
    expect([shown(), spoken()]).toEqual(['2 minutes', '2 minutes left']);
    const said = new Set<string | null | undefined>();
    const seen = new Set<string | null | undefined>();
    for (let second = 0; second < 120; second++) {
      await pass(1_000);
      said.add(spoken());
      seen.add(shown());
    }
    expect([...said]).toEqual([
      '2 minutes left',
      '60 seconds left',
      '45 seconds left',
      '30 seconds left',
      '15 seconds left',
      '0 seconds left',
    ]);
    expect(seen.size).toBe(62); // two minutes, and each second from 60 to 0
  });

  it('the person stays, signs out, or stays with Escape', () => {
    show();
    press('Stay signed in');
    screen.getByRole('dialog').dispatchEvent(new Event('cancel', { cancelable: true }));
    expect(signedIn.stay).toHaveBeenCalledTimes(2);
    press('Sign out');
    expect(signedIn.signOut).toHaveBeenCalledOnce();
  });

  it('at the greatest length only a new sign-in helps', () => {
    signedIn.atLimit = true;
    show();
    expect(link('Sign in again')).toBe('/signin?next=%2Fchat%2Fs%2F1');
    screen.getByRole('dialog').dispatchEvent(new Event('cancel', { cancelable: true }));
    press('Later');
    expect([signedIn.later.mock.calls.length, signedIn.stay.mock.calls.length]).toEqual([2, 0]);
  });
});

describe('after the end', () => {
  const show = (ended: Partial<Ended>, unsent: string[] = []) =>
    render(EndedDialog, {
      chat: { session: { signedIn }, talk: { unsent } } as unknown as Chat,
      ended: { reason: 'expired', at: null, device: null, ...ended },
    });

  it('of its time it names the account, and leads to the sign-in and back here', () => {
    show({});
    expect(screen.getByRole('heading', { level: 2 }).textContent).toBe('Your session ended');
    expect([screen.getByText('hana').tagName, link('Sign in again')]).toEqual(['BDI', '/signin?next=%2Fchat%2Fs%2F1']);
    expect(screen.queryByText('Not sent yet')).toBeNull();
    press('Continue signed out');
    expect(signedIn.leave).toHaveBeenCalledOnce();
  });

  it('by a sign-in elsewhere it tells device and time, and offers three ways', () => {
    show({ reason: 'signed_in_elsewhere', at: START, device: 'Safari · iPhone' }, ['half a sentence']);
    const facts = [...document.querySelectorAll('dt')].map(
      (term) => `${term.textContent}: ${term.nextElementSibling?.textContent}`,
    );
    expect(facts.map((fact) => fact.replace(/\d+:\d+ .M/, 'HH:MM'))).toEqual([
      'Username: hana',
      'Device: Safari · iPhone',
      'Time: Today at HH:MM',
    ]);
    expect(screen.getByText('half a sentence')).toBeTruthy();
    expect([link('Continue here'), link("This wasn't me")]).toEqual([
      '/signin?next=%2Fchat%2Fs%2F1',
      '/signin?next=%2Faccount%2Fpassword',
    ]);
    press('Sign out');
    expect(signedIn.leave).toHaveBeenCalledOnce();
  });

  it('of an unknown device it says nothing that it does not know', () => {
    show({ reason: 'signed_in_elsewhere' });
    expect([...document.querySelectorAll('dt')].map((term) => term.textContent)).toEqual(['Username']);
  });

  it('by another password it leads those who did not change it to a new one', () => {
    show({ reason: 'password_changed' });
    expect(link("I didn't change it")).toBe('/reset');
  });

  it('by the people who run the site it does not ask to sign in again', () => {
    show({ reason: 'deactivated' }, ['unsent']);
    expect(screen.queryByRole('link')).toBeNull();
    expect(screen.queryByText(/stays in this tab/)).toBeNull();
    press('Continue signed out');
    expect(signedIn.leave).toHaveBeenCalledOnce();
  });

  it('does not close with Escape, nor when the browser closes it', () => {
    show({});
    const dialog = screen.getByRole<HTMLDialogElement>('dialog');
    const escape = new Event('cancel', { cancelable: true });
    dialog.dispatchEvent(escape);
    expect(escape.defaultPrevented).toBe(true);
    dialog.open = false;
    dialog.dispatchEvent(new Event('close'));
    expect(dialog.open).toBe(true);
  });
});
