//! What a page learns when it was offline while its talk ended, how the end is heard, and how soon
//! the page tries again.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { endSentence } from './announcements';
import type { Chat } from './chat.svelte';
import { fakeApi, newPage, pairing, server } from './fixture';
import { MATCH_ANIMATION_MS } from './navigation';
import { setLocale } from '../i18n';
import { LOBBY, router } from '../router.svelte';
import { announcer } from '../ui/announcer.svelte';
import { FakeSocket, settled } from '../wire/fake';

let chat: Chat;

beforeEach(async () => {
  vi.useFakeTimers();
  localStorage.clear();
  sessionStorage.clear();
  router.go(LOBBY);
  setLocale('en');
  FakeSocket.all = [];
  chat = newPage(fakeApi(() => []));
  await settled();
});
afterEach(() => {
  chat.session.socket.close();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

async function startTalk(): Promise<void> {
  await server().accept();
  void chat.startSeeking();
  await server().answer('seek', { ticket: 't', waiting: 1 });
  await server().event({ type: 'found', ...pairing });
  await server().answer('join', { head: 0, members_online: 1, you: { id: 'me', name: '', role: 'member' }, room: {} });
  await vi.advanceTimersByTimeAsync(MATCH_ANIMATION_MS);
}

async function reconnect(hello: object): Promise<void> {
  await vi.advanceTimersByTimeAsync(1_000);
  await server().accept(hello);
}

it.each(['lost', 'left', 'moderator'] as const)('shows that the talk has ended meanwhile as %s', async (reason) => {
  await startTalk();
  await server().drop();
  await reconnect({ session: null, rooms: [{ room: 'r1', head: 0, replayed: 0, ended: reason }] });
  expect([chat.talk?.state, chat.talk?.endedBy]).toEqual(['ended', reason]);
});

it('learns the reason of the end after a message was refused', async () => {
  await startTalk();
  chat.talk?.send('too late');
  await server().refuse('send', 'closed');
  expect(chat.talk?.endedBy).toBe('gone');
  await server().event({ type: 'ended', session: 's1', reason: 'lost' });
  expect(chat.talk?.endedBy).toBe('lost');
});

it.each([
  ['announced', 'another element', false],
  ['not announced', 'the heading with the same sentence', true],
])('is %s if %s has the focus', async (_, __, focused) => {
  await startTalk();
  const announce = vi.spyOn(announcer, 'announce');
  const [heading, other] = ['h2', 'button'].map((tag) => document.body.appendChild(document.createElement(tag)));
  heading?.setAttribute('tabindex', '-1');
  await server().event({ type: 'ended', session: 's1', reason: 'left' });
  const sentence = chat.talk ? endSentence(chat.talk) : '';
  if (heading) heading.textContent = sentence;
  (focused ? heading : other)?.focus();
  await vi.advanceTimersByTimeAsync(0);
  expect(sentence).toBe('Green Otter left the chat');
  expect(announce.mock.calls).toEqual(focused ? [] : [[sentence]]);
  document.body.replaceChildren();
});

it("knows the server's clock also after the clock of this device was set", async () => {
  await startTalk();
  expect(chat.session.clockSkewMs).toBe(0);
  vi.setSystemTime(Date.now() + 3_600_000);
  expect(chat.session.clockSkewMs).toBe(-3_600_000);
});

it('tries again soon while a talk is open, also after a reload', async () => {
  await startTalk();
  for (let tries = 0; tries < 6; tries++) {
    await server().drop();
    expect((chat.session.retryAt ?? 0) - Date.now()).toBeLessThanOrEqual(5_000);
    await vi.advanceTimersByTimeAsync(5_000);
  }
  chat.session.socket.close();
  vi.spyOn(Math, 'random').mockReturnValue(1);
  chat = newPage(fakeApi(() => []));
  await settled();
  for (let tries = 0; tries < 8; tries++) {
    await server().drop();
    await vi.advanceTimersByTimeAsync((chat.session.retryAt ?? 0) - Date.now());
    await settled();
  }
  await server().drop();
  expect((chat.session.retryAt ?? 0) - Date.now()).toBe(5_000);
});
