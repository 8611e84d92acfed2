//! What a page learns when it was offline while its talk ended, and how soon it tries again.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Chat } from './chat.svelte';
import { MATCH_ANIMATION_MS } from './navigation';
import { LOBBY, router } from '../router.svelte';
import type { Api } from '../wire/api';
import { FakeSocket, openFake, settled } from '../wire/fake';
import type { Pairing } from '../wire/frames';

const pairing: Pairing = {
  session: 's1',
  room: 'r1',
  slot: 'A',
  partner: { name: 'Green Otter', color: 'pine', animal: 'otter', id: 'them' },
  you: { name: 'Plum Fox', color: 'plum', animal: 'fox', id: 'me', slot: 'A' },
  shared: [],
  languages: ['en'],
  relaxed: false,
};
const me = {
  visitor: { id: 'v', account: null },
  session: null,
  rules: { current: '1', accepted: '1' },
  limits: { text: 2000, interests: 5 },
};
const page = async () => ({ items: [], next: null });
const api = { me: async () => me, isKnown: async () => true, stats: page, messages: page, log: page };

let chat: Chat;

function newPage(): Chat {
  const chat = new Chat({ url: 'ws://x/ws', api: api as unknown as Api, open: openFake });
  chat.session.start();
  return chat;
}

beforeEach(async () => {
  vi.useFakeTimers();
  localStorage.clear();
  sessionStorage.clear();
  router.go(LOBBY);
  FakeSocket.all = [];
  chat = newPage();
  await settled();
});
afterEach(() => {
  chat.session.socket.close();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const server = () => FakeSocket.last;

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

it('tries again soon while a talk is open, also after a reload', async () => {
  await startTalk();
  for (let tries = 0; tries < 6; tries++) {
    await server().drop();
    expect((chat.session.retryAt ?? 0) - Date.now()).toBeLessThanOrEqual(5_000);
    await vi.advanceTimersByTimeAsync(5_000);
  }
  chat.session.socket.close();
  vi.spyOn(Math, 'random').mockReturnValue(1);
  chat = newPage();
  await settled();
  for (let tries = 0; tries < 8; tries++) {
    await server().drop();
    await vi.advanceTimersByTimeAsync((chat.session.retryAt ?? 0) - Date.now());
    await settled();
  }
  await server().drop();
  expect((chat.session.retryAt ?? 0) - Date.now()).toBe(5_000);
});
