//! What the tests of the chat share: two people, a fake server, and a page that talks to it.
import { vi } from 'vitest';
import { Chat } from './chat.svelte';
import type { SessionOptions } from './session.svelte';
import type { Api } from '../wire/api';
import { FakeSocket, openFake } from '../wire/fake';
import type { MessageEvent, OpenSession, Pairing, Partner } from '../wire/frames';

export const them: Partner = { name: 'Green Otter', color: 'pine', animal: 'otter', id: 'them' };
export const me = { name: 'Plum Fox', color: 'plum', animal: 'fox', id: 'me', slot: 'A' } as const;
export const pairing: Pairing = {
  session: 's1',
  room: 'r1',
  slot: 'A',
  partner: them,
  you: me,
  shared: ['jazz'],
  languages: ['en'],
  relaxed: false,
};
export const open: OpenSession = { ...pairing, state: 'open', partner_until: null };
export const message = (seq: number, slot: 'A' | 'B', clientId = `c${seq}`, text = `text ${seq}`): MessageEvent => ({
  type: 'message',
  room: 'r1',
  seq,
  client_id: clientId,
  sender: { ...(slot === 'A' ? me : them), slot },
  payload: { kind: 'text', text },
  at: '2026-01-01T10:00:00.000Z',
});

export type FakeApi = { [K in keyof Api]: ReturnType<typeof vi.fn> };

/** Returns an API that knows the visitor and serves the stored messages. */
export function fakeApi(stored: () => MessageEvent[]): FakeApi {
  const answer = {
    visitor: { id: 'v', account: null },
    session: null,
    rules: { current: '1', accepted: '1' },
    limits: { text: 2000, interests: 5 },
  };
  return {
    me: vi.fn(async () => answer),
    isKnown: vi.fn(async () => true),
    acceptRules: vi.fn(async () => answer),
    setLocale: vi.fn(async () => answer),
    stay: vi.fn(async () => undefined),
    signOut: vi.fn(async () => undefined),
    banners: vi.fn(async () => ({ items: [], next: null })),
    stats: vi.fn(async () => ({ items: [], next: null })),
    topics: vi.fn(async () => ({ items: [], next: null })),
    together: vi.fn(async () => ({ waiting: null })),
    waits: vi.fn(async () => ({ hours: [], busiest: null, days: 7 })),
    messages: vi.fn(async () => ({ items: stored().slice(-50), next: null })),
    log: vi.fn(async (_room: string, { after }: { after: number }) => ({
      items: stored()
        .filter((one) => one.seq > after)
        .slice(0, 100),
      next: null,
    })),
  };
}

/** Starts a page. It is alone in its browser, unless `options` say otherwise. */
export function newPage(api: FakeApi, options: Partial<SessionOptions> = {}): Chat {
  const alone = { tabs: () => ({ post: () => undefined }), load: () => undefined };
  const chat = new Chat({ url: 'ws://x/ws', api: api as unknown as Api, open: openFake, ...alone, ...options });
  chat.session.start();
  return chat;
}

/** The server's end of the newest socket. */
export const server = () => FakeSocket.last;
