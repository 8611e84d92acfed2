//! A talk by itself: coming back to it, older pages, what does not load, reading it after its end.
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { WireError } from '../wire/error';
import { FakeKeep, settled } from '../wire/fake';
import type { MessageEvent, Pairing } from '../wire/frames';
import { Outbox } from '../wire/outbox';
import type { TalkDeps } from './deps';
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

const ask = vi.fn<(type: string, fields: Record<string, unknown>) => Promise<unknown>>();
const messages = vi.fn<TalkDeps['api']['messages']>();
const log = vi.fn<TalkDeps['api']['log']>();
const onEnd = vi.fn();
let stored: MessageEvent[];
let deps: TalkDeps;

beforeEach(() => {
  for (const spy of [ask, messages, log, onEnd]) spy.mockReset();
  stored = Array.from({ length: 120 }, (_, at) => message(at + 1));
  ask.mockResolvedValue({ head: 120, members_online: 2, you: { id: 'me' } });
  messages.mockImplementation(async (_room, { before = Infinity, limit }) => ({
    items: stored.filter(({ seq }) => seq < before).slice(-limit),
    next: null,
  }));
  log.mockImplementation(async (_room, { after, limit }) => ({
    items: stored.filter(({ seq }) => seq > after).slice(0, limit),
    next: null,
  }));
  deps = {
    ask: ask as unknown as TalkDeps['ask'],
    api: { messages, log },
    outbox: new Outbox('r', new FakeKeep()),
    newId: () => 'id',
    spell: (topic) => topic.toUpperCase(),
    onMessage: vi.fn(),
    onPartner: vi.fn(),
    onEnd,
    onAgeGate: vi.fn(),
    deed: () => ({ reported: false, blocked: false }),
    did: vi.fn(),
  };
});

const seqs = (talk: Talk) => talk.messages.rows.map((row) => row.seq);

describe('coming back', () => {
  it('reads the newest page, and older ones when asked, each once', async () => {
    const talk = new Talk(deps, pairing);
    await talk.comeBack();
    expect([seqs(talk)[0], seqs(talk).at(-1), talk.hasOlder]).toEqual([71, 120, true]);
    await Promise.all([talk.older(), talk.older()]);
    expect([seqs(talk).length, messages.mock.calls.length]).toEqual([100, 2]);
    await talk.older();
    await talk.older();
    expect(seqs(talk)).toEqual(stored.map(({ seq }) => seq));
    expect(talk.hasOlder).toBe(false);
    expect(talk.resumePoint).toEqual({ room: 'r', after: 120 });
  });

  it('keeps what is heard while the page loads, in its place', async () => {
    const talk = new Talk(deps, pairing);
    const done = talk.comeBack();
    talk.hear(message(122));
    talk.hear(message(121));
    await done;
    expect(seqs(talk).slice(-3)).toEqual([120, 121, 122]);
  });

  it('can be tried again when the page does not load', async () => {
    messages.mockRejectedValueOnce(new WireError('unavailable'));
    const talk = new Talk(deps, pairing);
    await talk.comeBack();
    expect([talk.loadFailed, talk.resumePoint]).toEqual([true, null]);
    await talk.comeBack();
    expect([talk.loadFailed, seqs(talk).length]).toEqual([false, 50]);
  });

  it('is quiet about a connection that broke, and ends where the server does not know the talk', async () => {
    ask.mockRejectedValueOnce(new WireError('disconnected'));
    const talk = new Talk(deps, pairing);
    await talk.comeBack();
    expect([talk.loadFailed, talk.state]).toEqual([false, 'open']);
    ask.mockRejectedValueOnce(new WireError('not_found'));
    await talk.comeBack();
    expect([talk.state, onEnd.mock.calls.length]).toEqual(['ended', 1]);
  });

  it('reads the pages when the answer says that too much is missing', async () => {
    ask.mockResolvedValue({ head: 120, members_online: 2, you: { id: 'me' }, resync: true });
    const talk = new Talk(deps, pairing);
    await talk.enter();
    await settled();
    expect(seqs(talk)).toEqual(stored.map(({ seq }) => seq));
  });
});

describe('after the end', () => {
  it('can be read, and says when it cannot', async () => {
    const known = { room: 'r', session: 's', partner: { ...face, id: 'them' }, slot: 'A' as const, ended_at: 1 };
    const talk = Talk.archived(deps, known);
    expect([await talk.read(), talk.state, seqs(talk).length]).toEqual([true, 'ended', 50]);
    messages.mockRejectedValueOnce(new WireError('not_found'));
    expect(await Talk.archived(deps, known).read()).toBe(false);
  });

  it('takes no more: not what is heard, not what is written', async () => {
    const talk = new Talk(deps, pairing);
    await talk.enter();
    talk.hear({ type: 'ended', session: 's', reason: 'left' });
    ask.mockClear();
    talk.typed();
    talk.saw(3);
    talk.hear({ type: 'partner', session: 's', state: 'back' });
    expect([talk.state, ask.mock.calls.length, talk.resumePoint]).toEqual(['ended', 0, null]);
  });
});

it('shows shared interests as the reader wrote them', () => {
  const talk = new Talk(deps, pairing);
  expect([talk.topics, talk.shared]).toEqual([['JAZZ'], ['jazz']]);
});
