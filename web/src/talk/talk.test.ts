//! A talk by itself: reopening, older pages, pages that do not load, reading after the end.
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { tabStore } from '../ui/storage';
import { WireError } from '../wire/error';
import { FakeStorage, settled } from '../wire/fake';
import type { MessageEvent, Pairing } from '../wire/frames';
import { Outbox } from '../wire/outbox';
import type { TalkDeps } from './deps';
import { Drafts } from './drafts';
import { Talk } from './talk.svelte';

const face = { name: 'x', color: 'pine', animal: 'otter' } as const;
const pairing: Pairing = {
  session: 's',
  room: 'r',
  slot: 'A',
  partner: { ...face, id: 'them' },
  you: { ...face, id: 'me', slot: 'A' },
  shared: ['jazz'],
  languages: ['en'],
  relaxed: false,
};
const message = (seq: number): MessageEvent => ({
  type: 'message',
  room: 'r',
  seq,
  client_id: `c${seq}`,
  sender: { ...face, id: 'them', slot: 'B' },
  payload: { kind: 'text', text: `${seq}` },
  at: '2026-01-01T10:00:00.000Z',
});

const request = vi.fn<(type: string, fields: Record<string, unknown>) => Promise<unknown>>();
const messages = vi.fn<TalkDeps['api']['messages']>();
const log = vi.fn<TalkDeps['api']['log']>();
const onEnd = vi.fn();
let stored: MessageEvent[];
let deps: TalkDeps;

beforeEach(() => {
  for (const spy of [request, messages, log, onEnd]) spy.mockReset();
  stored = Array.from({ length: 120 }, (_, at) => message(at + 1));
  request.mockResolvedValue({ head: 120, members_online: 2, you: { id: 'me' } });
  messages.mockImplementation(async (_room, { before = Infinity, limit }) => ({
    items: stored.filter(({ seq }) => seq < before).slice(-limit),
    next: null,
  }));
  log.mockImplementation(async (_room, { after, limit }) => ({
    items: stored.filter(({ seq }) => seq > after).slice(0, limit),
    next: null,
  }));
  deps = {
    request: request as unknown as TalkDeps['request'],
    api: { messages, log },
    outbox: new Outbox('me', 'r', new FakeStorage()),
    drafts: new Drafts(tabStore, 'me'),
    newId: () => 'id',
    ownSpelling: (interest) => interest.toUpperCase(),
    onMessage: vi.fn(),
    onPartnerState: vi.fn(),
    onEnd,
    onRulesNeeded: vi.fn(),
    ownActions: () => ({ reported: false, blocked: false }),
    recordActions: vi.fn(),
  };
});

const seqs = (talk: Talk) => talk.messages.rows.map((row) => row.seq);

describe('reopening', () => {
  it('loads the newest page, and older ones on demand, each once', async () => {
    const talk = new Talk(deps, pairing);
    await talk.reopen();
    expect([seqs(talk)[0], seqs(talk).at(-1), talk.hasOlder]).toEqual([71, 120, true]);
    await Promise.all([talk.loadOlder(), talk.loadOlder()]);
    expect([seqs(talk).length, messages.mock.calls.length]).toEqual([100, 2]);
    await talk.loadOlder();
    await talk.loadOlder();
    expect(seqs(talk)).toEqual(stored.map(({ seq }) => seq));
    expect(talk.hasOlder).toBe(false);
    expect(talk.resumePoint).toEqual({ room: 'r', after: 120 });
  });

  it('keeps entries that arrive while the page loads, in order', async () => {
    const talk = new Talk(deps, pairing);
    const done = talk.reopen();
    talk.apply(message(122));
    talk.apply(message(121));
    await done;
    expect(seqs(talk).slice(-3)).toEqual([120, 121, 122]);
  });

  it('can be repeated if the page does not load', async () => {
    messages.mockRejectedValueOnce(new WireError('unavailable'));
    const talk = new Talk(deps, pairing);
    await talk.reopen();
    expect([talk.loadFailed, talk.resumePoint]).toEqual([true, null]);
    await talk.reopen();
    expect([talk.loadFailed, seqs(talk).length]).toEqual([false, 50]);
  });

  it('shows no failure after a lost connection, and ends the talk if the server does not know it', async () => {
    request.mockRejectedValueOnce(new WireError('disconnected'));
    const talk = new Talk(deps, pairing);
    await talk.reopen();
    expect([talk.loadFailed, talk.state]).toEqual([false, 'open']);
    request.mockRejectedValueOnce(new WireError('not_found'));
    await talk.reopen();
    expect([talk.state, onEnd.mock.calls.length]).toEqual(['ended', 1]);
  });

  it('reads the log page by page if the answer asks for a resync', async () => {
    request.mockResolvedValue({ head: 120, members_online: 2, you: { id: 'me' }, resync: true });
    const talk = new Talk(deps, pairing);
    await talk.join();
    await settled();
    expect(seqs(talk)).toEqual(stored.map(({ seq }) => seq));
  });
});

it('gives an entry of an unknown kind its place in the log and shows nothing', async () => {
  const talk = new Talk(deps, pairing);
  await talk.reopen();
  talk.apply({ type: 'pinned', room: 'r', seq: 121, client_id: 'c121' } as never);
  talk.apply({ type: 'confetti', amount: 3 } as never);
  talk.apply(message(122));
  expect([seqs(talk).slice(-2), talk.resumePoint]).toEqual([[120, 122], { room: 'r', after: 122 }]);
  expect(request.mock.calls.map(([type]) => type)).toEqual(['join']);
});

describe('after the end', () => {
  it('can be loaded, and returns false if it cannot', async () => {
    const known = {
      owner: 'me',
      room: 'r',
      session: 's',
      partner: { ...face, id: 'them' },
      slot: 'A' as const,
      ended_at: 1,
    };
    const talk = Talk.archived(deps, known);
    expect([await talk.load(), talk.state, seqs(talk).length]).toEqual([true, 'ended', 50]);
    messages.mockRejectedValueOnce(new WireError('not_found'));
    expect(await Talk.archived(deps, known).load()).toBe(false);
  });

  it('shows what was not sent before the session expired, sends none of it, and has it after a reload', async () => {
    const known = {
      owner: 'me',
      room: 'r',
      session: 's',
      partner: { ...face, id: 'them' },
      slot: 'A' as const,
      ended_at: 1,
    };
    deps.outbox.add({ client_id: 'u', text: 'unsent', at: 1, failed: null });
    deps.drafts.set('r', 'half a sentence');
    for (let reloads = 0; reloads < 2; reloads++) {
      const talk = Talk.archived(deps, known);
      await talk.load();
      const last = talk.messages.rows.at(-1);
      expect([last?.text, last?.status, last?.reason]).toEqual(['unsent', 'failed', 'left']);
      expect(talk.unsent).toEqual(['unsent', 'half a sentence']);
    }
    expect(request).not.toHaveBeenCalled();
    deps.drafts.set('r', '');
  });

  it('ignores events and sends nothing', async () => {
    const talk = new Talk(deps, pairing);
    await talk.join();
    talk.apply({ type: 'ended', session: 's', reason: 'left' });
    request.mockClear();
    talk.notifyTyping();
    talk.markRead(3);
    talk.apply({ type: 'partner', session: 's', state: 'back' });
    expect([talk.state, request.mock.calls.length, talk.resumePoint]).toEqual(['ended', 0, null]);
  });
});

it('shows shared interests as the reader wrote them', () => {
  const talk = new Talk(deps, pairing);
  expect([talk.interests, talk.shared]).toEqual([['JAZZ'], ['jazz']]);
});
