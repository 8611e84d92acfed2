//! The chat with an account: how its session ends, what was not sent, and who sees it afterwards.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Chat } from './chat.svelte';
import { type FakeApi, fakeApi, newPage, open, pairing, server } from './fixture';
import { MATCH_ANIMATION_MS } from './navigation';
import { LOBBY, router } from '../router.svelte';
import { WireError } from '../wire/error';
import { FakeSocket, settled } from '../wire/fake';
import type { Account, Visitor } from '../wire/frames';

const hana: Account = { id: 'a-hana', handle: 'hana', role: 'member' };
const dora: Account = { id: 'a-dora', handle: 'dora', role: 'member' };
const in30minutes = () => ({
  idle_until: new Date(Date.now() + 30 * 60_000).toISOString(),
  ends_at: new Date(Date.now() + 12 * 3_600_000).toISOString(),
});
const visitor = (account: Account | null) =>
  ({
    id: account ? `v-${account.handle}` : 'v-guest',
    name: 'n',
    color: 'pine',
    account,
    session: account && in30minutes(),
  }) as unknown as Visitor;

let chat: Chat;
let api: FakeApi;
let loaded: string[];

/** Loads a page in this tab, for whom the server takes its cookie. */
async function load(account: Account | null): Promise<void> {
  chat?.session.socket.close();
  FakeSocket.all = [];
  api = fakeApi(() => []);
  api.me.mockResolvedValue({
    visitor: visitor(account),
    session: account && in30minutes(),
    rules: { current: '1', accepted: '1' },
    limits: { text: 2000, interests: 5 },
  });
  router.go(LOBBY);
  chat = newPage(api, { load: (address) => void loaded.push(address) });
  await settled();
}

const accept = (account: Account | null, hello: object = {}) =>
  server().accept({ visitor: visitor(account), ...hello });

async function startTalk(account: Account | null): Promise<void> {
  await accept(account);
  void chat.startSeeking();
  await server().answer('seek', { ticket: 't', waiting: 1 });
  await server().event({ type: 'found', ...pairing });
  await server().answer('join', { head: 0, members_online: 1, you: { id: 'me', name: '', role: 'member' }, room: {} });
  await vi.advanceTimersByTimeAsync(MATCH_ANIMATION_MS);
}

/** In a talk with an unsent message and an unfinished one. */
async function startTalkAndWrite(account: Account | null): Promise<void> {
  await startTalk(account);
  chat.talk?.send('on its way');
  chat.talk?.drafts.set('r1', 'half a sentence');
}

const ended = () => [chat.session.signedIn.phase, chat.session.signedIn.ended?.reason ?? null];
const own = ['on its way', 'half a sentence'];

beforeEach(async () => {
  vi.useFakeTimers();
  localStorage.clear();
  sessionStorage.clear();
  loaded = [];
  await load(hana);
});
afterEach(() => {
  chat.session.socket.close();
  vi.useRealTimers();
});

describe('a session that ends', () => {
  it.each([
    [4401, 'expired', ['ended', 'expired']],
    [4401, '', ['ended', 'expired']],
    [4401, 'password_changed', ['ended', 'password_changed']],
    [4409, '', ['ended', 'signed_in_elsewhere']],
  ])('with %i (%s) is not tried again, makes no guest, and keeps what was written', async (code, reason, how) => {
    await startTalkAndWrite(hana);
    await server().drop(code, reason);
    await vi.advanceTimersByTimeAsync(10 * 60_000);
    chat.networkChanged(true);
    chat.session.socket.retryNow();
    await settled();
    expect(ended()).toEqual(how);
    expect([FakeSocket.all.length, api.me.mock.calls.length]).toEqual([1, 1]);
    expect([chat.talk?.unsent, chat.talk?.state, chat.session.connection.line]).toEqual([own, 'open', 'none']);
  });

  it('while the page was away is found out before the server makes a guest of the person', async () => {
    await startTalkAndWrite(hana);
    api.isKnown.mockResolvedValue(false);
    await server().drop(); // the network
    await vi.advanceTimersByTimeAsync(1_000);
    await server().drop(); // the upgrade is refused with 401, which a page sees as this
    await vi.advanceTimersByTimeAsync(10 * 60_000);
    expect([...ended(), api.me.mock.calls.length]).toEqual(['ended', 'expired', 1]);
  });

  it.each(['messages', 'log', 'acceptRules', 'setLocale'] as const)(
    'is found out by a refused call: %s',
    async (call) => {
      await accept(hana);
      api[call].mockRejectedValue(new WireError('session_ended'));
      await (chat.session.api[call] as (...args: unknown[]) => Promise<unknown>)('r', { after: 0, limit: 1 }).catch(
        () => undefined,
      );
      expect([...ended(), chat.session.status]).toEqual(['ended', 'expired', 'stopped']);
    },
  );

  it('is found out by a refused frame', async () => {
    await startTalkAndWrite(hana);
    await server().refuse('send', 'session_ended');
    expect([...ended(), chat.talk?.unsent]).toEqual(['ended', 'expired', own]);
  });

  it('of a guest goes on as before: a new visitor, without a reload', async () => {
    await load(null);
    await startTalk(null);
    api.isKnown.mockResolvedValue(false);
    await server().drop(4401);
    expect(chat.session.recognising).toBe(true);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(chat.session.recognising).toBe(false);
    expect([chat.session.signedIn.phase, chat.session.stop?.code]).toEqual(['guest', 4401]);
    chat.session.start();
    await settled();
    await server().accept({ visitor: { ...visitor(null), id: 'v-new' } });
    expect([chat.session.status, loaded]).toEqual(['open', []]);
  });
});

describe('a guest who gets an account in another tab', () => {
  const signedUp = (account: Account, id: string) => {
    const me = { ...visitor(account), id } as Visitor;
    api.me.mockResolvedValue({ visitor: me, session: in30minutes(), rules: { current: '1', accepted: '1' } } as never);
    return me;
  };

  it('goes on with the same talk, and nothing written is lost', async () => {
    await load(null);
    await startTalkAndWrite(null);
    // The cookie of the other tab comes a moment after the end.
    api.isKnown.mockResolvedValueOnce(false).mockResolvedValue(true);
    const me = signedUp(hana, 'v-guest');
    await server().drop(4401);
    await vi.advanceTimersByTimeAsync(1_100);
    await server().accept({ visitor: me, session: open });
    expect([chat.session.status, chat.session.stop, chat.session.signedIn.account]).toEqual(['open', null, hana]);
    expect([chat.talk?.state, chat.talk?.drafts.get('r1'), loaded]).toEqual(['open', 'half a sentence', []]);
  });

  it('who is somebody else by now sees a page of their own', async () => {
    await load(null);
    await startTalkAndWrite(null);
    signedUp(dora, 'v-dora');
    await server().drop(4401);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([chat.session.signedIn.leaving, loaded.length]).toEqual([true, 1]);
  });
});

describe('what was written before the end', () => {
  beforeEach(async () => {
    await startTalkAndWrite(hana);
    await server().drop(4401, 'expired');
  });

  it('is back when the same account signs in while the talk is open', async () => {
    await load(hana);
    await accept(hana, { session: open });
    await server().answer('join', {
      head: 0,
      members_online: 2,
      you: { id: 'me', name: '', role: 'member' },
      room: {},
    });
    expect(server().frames('send')[0]?.payload).toEqual({ kind: 'text', text: 'on its way' });
    expect(chat.talk?.drafts.begin('r1')).toBe('half a sentence');
  });

  it('is back when the same account signs in after the talk has ended', async () => {
    await load(hana);
    await accept(hana);
    const talk = await chat.findTalk('s1');
    expect([talk?.state, talk?.unsent]).toEqual(['ended', own]);
  });

  it.each([
    ['another account', dora],
    ['a guest', null],
  ])('is seen by no other person in this browser: %s', async (_, other) => {
    await load(other);
    await accept(other);
    expect([chat.last.ended, await chat.findTalk('s1')]).toEqual([[], null]);
    // Even in a talk of the same room nothing appears.
    await accept(other, { session: { ...open, session: 's2' } });
    expect([chat.talk?.unsent, chat.talk?.drafts.begin('r1'), chat.talk?.drafts.begin('r2')]).toEqual([[], '', '']);
    // And it waits for its owner.
    await load(hana);
    await accept(hana);
    expect((await chat.findTalk('s1'))?.unsent).toEqual(own);
  });
});

describe('a page that belongs to somebody else by now', () => {
  it.each([
    ['another account', hana, dora],
    ['an account instead of a guest', null, dora],
  ])('is loaded again before it shows anything: %s', async (_, before, after) => {
    await load(before);
    await startTalkAndWrite(before);
    await server().drop();
    await vi.advanceTimersByTimeAsync(1_000);
    await accept(after, { session: { ...open, session: 's2', room: 'r2' } });
    expect(loaded).toEqual(['/chat/s/s1']);
    expect(chat.talk?.session).toBe('s1');
  });

  it('says that the session has ended if the browser is a guest by now', async () => {
    await startTalkAndWrite(hana);
    await server().drop();
    await vi.advanceTimersByTimeAsync(1_000);
    await accept(null);
    expect([...ended(), loaded, chat.talk?.state]).toEqual(['ended', 'expired', [], 'open']);
  });
});

describe('signing out', () => {
  it('deletes what the person wrote and their list of talks, and leaves for the lobby', async () => {
    await startTalkAndWrite(hana);
    await chat.session.signedIn.signOut();
    expect([loaded, chat.session.signedIn.leaving, chat.session.status]).toEqual([['/chat'], true, 'stopped']);
    expect(JSON.stringify({ ...localStorage, ...sessionStorage })).not.toMatch(/on its way|half a sentence|s1|otter/i);
  });

  it('that gets no answer deletes nothing', async () => {
    await startTalkAndWrite(hana);
    api.signOut.mockRejectedValue(new WireError('disconnected'));
    await chat.session.signedIn.signOut();
    expect([chat.session.signedIn.failed, loaded, chat.talk?.unsent]).toEqual([true, [], own]);
  });
});

describe('the time until the end', () => {
  const left = () => Math.round((chat.session.signedIn.deadline - Date.now()) / 1000);

  it('begins again with each answer that counts as use, and with no other', async () => {
    await startTalk(hana);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(left()).toBe(1_794); // the `join` was the last use, before the tiles met
    void chat.session.socket.request('ping', {});
    await server().answer('ping', { server_time: '' });
    expect(left()).toBe(1_794);
    chat.talk?.send('hello');
    await server().refuse('send', 'rate_limited', 60_000);
    expect(left()).toBe(1_794);
    void chat.session.socket.request('typing', { room: 'r1' });
    await server().answer('typing', {});
    expect(left()).toBe(1_800);
    await vi.advanceTimersByTimeAsync(5_000);
    await chat.session.visitor.setLocale('en');
    expect(left()).toBe(1_800);
  });

  it('is unknown before a hello has told the clock of the server', async () => {
    await load(null);
    api.me.mockResolvedValue({ visitor: visitor(hana), session: in30minutes(), rules: {}, limits: {} });
    vi.setSystemTime(Date.now() + 3_600_000); // the clock of this device is wrong
    chat = newPage(api);
    await settled();
    await vi.advanceTimersByTimeAsync(3_000);
    expect([chat.session.signedIn.phase, chat.session.signedIn.asking]).toEqual(['live', false]);
    const earlier = Date.now() - 3_600_000;
    const times = {
      idle_until: new Date(earlier + 30 * 60_000).toISOString(),
      ends_at: new Date(earlier + 12 * 3_600_000).toISOString(),
    };
    await accept(hana, { visitor: { ...visitor(hana), session: times }, server_time: new Date(earlier).toISOString() });
    expect([chat.session.signedIn.phase, left()]).toEqual(['live', 1_800]);
  });

  it('is what the notice of the server says', async () => {
    await startTalk(hana);
    const at = new Date(Date.now() + 90_000).toISOString();
    await server().event({ type: 'notice', kind: 'session_expiring', at });
    expect([chat.session.signedIn.asking, left()]).toEqual([true, 90]);
    await chat.session.signedIn.stay();
    expect([chat.session.signedIn.asking, left(), api.stay.mock.calls.length]).toEqual([false, 1_800, 1]);
  });
});
