//! Who is signed in: every event in every phase, the times near the end, and several tabs.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WireError } from '../wire/error';
import { settled } from '../wire/fake';
import type { Account, Notice, Visitor } from '../wire/frames';
import { EXPIRY_WARNING_MS as WARNING_MS, SIGNED_IN_IDLE_TIMEOUT_MS as IDLE_MS } from '../wire/limits';
import { SignedIn, type Phase, type TabMessage } from './signed-in.svelte';

const START = Date.UTC(2026, 10, 30, 9);
const LIMIT_MS = 12 * 3_600_000;
const MINUTE = 60_000;

const hana: Account = { id: 'hana', handle: 'hana', role: 'member' };
const dora: Account = { id: 'dora', handle: 'dora', role: 'member' };
const visitor = (account: Account | null, id = account?.id ?? 'g') => ({ id, account }) as unknown as Visitor;

/** The server's view of this browser's session. `null` if it has ended. */
let server: { account: Account; idleUntil: number; endsAt: number } | null;
let online: boolean;
let calls: string[];
/** The tabs of one browser. */
let tabs: { heard: (message: TabMessage) => void }[];

const times = (idleUntil: number, endsAt: number) => ({
  idle_until: new Date(idleUntil).toISOString(),
  ends_at: new Date(endsAt).toISOString(),
});

function page(): SignedIn {
  const call = (name: string) => () => void calls.push(name);
  const request = async (name: string): Promise<void> => {
    calls.push(name);
    if (!online) throw new WireError('disconnected');
    if (server === null) throw new WireError('session_ended');
  };
  const signedIn: SignedIn = new SignedIn({
    stay: async () => {
      await request('stay');
      if (server) server.idleUntil = Date.now() + IDLE_MS;
    },
    signOut: async () => {
      await request('signOut');
      server = null;
      signedIn.stopped(false, 'signed_out', 0); // the socket closes before the answer
    },
    look: async () => {
      if (!online) throw new WireError('disconnected');
      if (server === null || Date.now() >= Math.min(server.idleUntil, server.endsAt)) return null;
      const known = { visitor: visitor(server.account), session: times(server.idleUntil, server.endsAt) };
      return signedIn.greet(known.visitor, known.session, 0) ? (known as never) : null;
    },
    disconnect: call('disconnect'),
    reconnect: call('reconnect'),
    reload: call('reload'),
    leave: call('leave'),
    forget: (owner) => void calls.push(`forget ${owner}`),
    tabs: (heard) => {
      const own = { heard };
      tabs.push(own);
      return { post: (message) => tabs.forEach((tab) => tab !== own && tab.heard(message)) };
    },
  });
  return signedIn;
}

function signIn(signedIn: SignedIn, account = hana, idle = IDLE_MS, limit = LIMIT_MS): void {
  server = { account, idleUntil: Date.now() + idle, endsAt: Date.now() + limit };
  signedIn.greet(visitor(account), times(server.idleUntil, server.endsAt), 0);
}

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await settled();
}

/** Returns a page in a phase. The calls so far are forgotten. */
async function pageIn(phase: Phase): Promise<SignedIn> {
  const signedIn = page();
  if (phase === 'guest') signedIn.greet(visitor(null), null, 0);
  else signIn(signedIn);
  if (phase === 'expiring') await pass(IDLE_MS - WARNING_MS + 1_000);
  if (phase === 'ended') {
    signedIn.stopped(false, '', 0);
    server = null;
  }
  expect(signedIn.phase).toBe(phase);
  calls = [];
  return signedIn;
}

beforeEach(() => {
  vi.useFakeTimers({ now: START });
  [server, online, calls, tabs] = [null, true, [], []];
});
afterEach(() => vi.useRealTimers());

const notice = (kind: Notice['kind'], more: Partial<Notice> = {}): Notice => ({ type: 'notice', kind, ...more });
const soon = () => new Date(Date.now() + MINUTE).toISOString();
const tell = (message: Partial<TabMessage>) =>
  tabs[0]?.heard({ account: 'hana', idleUntil: Date.now() + IDLE_MS, endsAt: START + LIMIT_MS, ...message } as never);

/** What each event leads to, by phase: the next phase, and what the page is asked to do. */
const EVENTS: Record<string, [(it: SignedIn) => unknown, Record<Phase, string>]> = {
  'the same account is greeted': [
    (it) => signIn(it),
    { guest: 'guest + reload', live: 'live', expiring: 'live', ended: 'live' },
  ],
  'a guest is greeted': [
    (it) => it.greet(visitor(null), null, 0),
    { guest: 'guest', live: 'ended + disconnect', expiring: 'ended + disconnect', ended: 'ended' },
  ],
  'another account is greeted': [
    (it) => signIn(it, dora),
    { guest: 'guest + reload', live: 'live + reload', expiring: 'expiring + reload', ended: 'ended + reload' },
  ],
  'the server did something for the page': [
    (it) => it.used(),
    { guest: 'guest', live: 'live', expiring: 'live', ended: 'ended' },
  ],
  'a notice that the end is near': [
    (it) => it.noticed(notice('session_expiring', { at: soon() }), 0),
    { guest: 'guest', live: 'expiring', expiring: 'expiring', ended: 'ended' },
  ],
  'a notice about the reason': [
    (it) => it.noticed(notice('revoked', { reason: 'password_changed' }), 0),
    { guest: 'guest', live: 'live', expiring: 'expiring', ended: 'ended' },
  ],
  'the socket closes with 4401': [
    (it) => it.stopped(false, '', 0),
    { guest: 'guest', live: 'ended + disconnect', expiring: 'ended + disconnect', ended: 'ended' },
  ],
  'the socket closes with 4409': [
    (it) => it.stopped(true, '', 0),
    { guest: 'guest', live: 'ended + disconnect', expiring: 'ended + disconnect', ended: 'ended' },
  ],
  'the page is seen again': [(it) => it.wake(), { guest: 'guest', live: 'live', expiring: 'expiring', ended: 'ended' }],
  'an hour passes': [
    () => pass(2 * IDLE_MS),
    { guest: 'guest', live: 'ended + disconnect', expiring: 'ended + disconnect', ended: 'ended' },
  ],
  'an hour passes without a network': [
    () => ((online = false), pass(2 * IDLE_MS)),
    { guest: 'guest', live: 'ended + disconnect', expiring: 'ended + disconnect', ended: 'ended' },
  ],
  'the person stays': [(it) => it.stay(), { guest: 'guest', live: 'live', expiring: 'live + stay', ended: 'ended' }],
  'the person closes the dialog': [
    (it) => it.later(),
    { guest: 'guest', live: 'live', expiring: 'expiring', ended: 'ended' },
  ],
  'the person signs out': [
    (it) => it.signOut(),
    {
      guest: 'guest',
      live: 'live + signOut + forget hana + disconnect + leave',
      expiring: 'expiring + signOut + forget hana + disconnect + leave',
      ended: 'ended',
    },
  ],
  'another tab was used': [
    () => tell({ type: 'used' }),
    { guest: 'guest', live: 'live', expiring: 'live', ended: 'ended' },
  ],
  'another tab has connected': [
    () => tell({ type: 'greeted' }),
    { guest: 'guest + reconnect', live: 'live', expiring: 'live', ended: 'ended + reconnect' },
  ],
  'another tab has connected for another account': [
    () => tell({ type: 'greeted', account: 'dora' }),
    {
      guest: 'guest + reconnect',
      live: 'live + reconnect',
      expiring: 'expiring + reconnect',
      ended: 'ended + reconnect',
    },
  ],
  'another tab signed out': [
    () => tell({ type: 'signed_out' }),
    { guest: 'guest', live: 'ended + disconnect', expiring: 'ended + disconnect', ended: 'ended' },
  ],
  'another account signed out in another tab': [
    () => tell({ type: 'signed_out', account: 'dora' }),
    { guest: 'guest', live: 'live', expiring: 'expiring', ended: 'ended' },
  ],
};

describe.each(Object.entries(EVENTS))('%s', (_, [act, outcomes]) => {
  it.each(Object.entries(outcomes))('while %s: %s', async (phase, outcome) => {
    const signedIn = await pageIn(phase as Phase);
    await act(signedIn);
    await settled();
    expect([signedIn.phase, ...calls].join(' + ')).toBe(outcome);
    // A dialog asks only while the end is near, and says why only after it.
    expect(signedIn.asking && signedIn.phase !== 'expiring').toBe(false);
    expect(signedIn.ended !== null).toBe(signedIn.phase === 'ended');
  });
});

describe('the end', () => {
  it('is asked about two minutes before, to the second', async () => {
    const signedIn = await pageIn('live');
    await pass(IDLE_MS - WARNING_MS - 100);
    expect([signedIn.phase, signedIn.asking]).toEqual(['live', false]);
    await pass(200);
    expect([signedIn.phase, signedIn.asking, signedIn.deadline]).toEqual(['expiring', true, START + IDLE_MS]);
  });

  it('comes by the clock of the server, whatever the local one says', () => {
    const signedIn = page();
    const skew = 5 * MINUTE; // the server is ahead
    signedIn.greet(visitor(hana), times(START + skew + IDLE_MS, START + skew + LIMIT_MS), skew);
    expect(signedIn.deadline).toBe(START + IDLE_MS);
    signedIn.noticed(notice('session_expiring', { at: new Date(START + skew + MINUTE).toISOString() }), skew);
    expect([signedIn.phase, signedIn.deadline]).toEqual(['expiring', START + MINUTE]);
  });

  it('is not near if a page without this script was used, because the server is asked first', async () => {
    const signedIn = await pageIn('live');
    await pass(20 * MINUTE);
    if (server) server.idleUntil = Date.now() + IDLE_MS;
    await pass(10 * MINUTE);
    expect([signedIn.phase, signedIn.asking]).toEqual(['live', false]);
    await pass(20 * MINUTE - WARNING_MS + 100);
    expect(signedIn.phase).toBe('expiring');
  });

  it('is expired if the server knows the session no more', async () => {
    const signedIn = await pageIn('expiring');
    server = null;
    await pass(WARNING_MS + 2_000);
    expect([signedIn.phase, signedIn.ended?.reason, calls]).toEqual(['ended', 'expired', ['disconnect']]);
  });

  it('is found out when the computer wakes, although no timer ran', async () => {
    const signedIn = await pageIn('live');
    vi.setSystemTime(START + LIMIT_MS);
    server = null;
    signedIn.wake();
    await pass(2_000);
    expect([signedIn.phase, signedIn.ended?.reason]).toEqual(['ended', 'expired']);
  });

  it('at the greatest length is not moved by use, and its dialog closes once', async () => {
    const signedIn = page();
    signIn(signedIn, hana, IDLE_MS, 10 * MINUTE);
    await pass(9 * MINUTE);
    expect([signedIn.phase, signedIn.atLimit, signedIn.asking]).toEqual(['expiring', true, true]);
    signedIn.later();
    signedIn.used();
    signedIn.wake();
    expect([signedIn.phase, signedIn.asking, signedIn.deadline]).toEqual(['expiring', false, START + 10 * MINUTE]);
    server = null;
    await pass(2 * MINUTE);
    expect(signedIn.phase).toBe('ended');
  });

  it.each([
    [false, undefined, '', 'expired'],
    [false, undefined, 'role_changed', 'role_changed'],
    [false, 'password_changed', '', 'password_changed'],
    [false, 'deactivated', 'expired', 'deactivated'],
    [false, 'something new', 'bye', 'expired'],
    [true, undefined, '', 'signed_in_elsewhere'],
    [true, 'signed_out', 'signed_out', 'signed_in_elsewhere'],
  ] as const)('elsewhere: %s, notice %s, close %s is told as %s', async (elsewhere, said, close, reason) => {
    const signedIn = await pageIn('live');
    if (said) signedIn.noticed(notice('revoked', { reason: said }), 0);
    signedIn.stopped(elsewhere, close, 0);
    expect(signedIn.ended?.reason).toBe(reason);
    expect(signedIn.account?.handle).toBe('hana'); // who has to sign in again
  });

  it('elsewhere tells the device and the time, by the local clock', async () => {
    const signedIn = await pageIn('live');
    const more = { at: new Date(START + MINUTE).toISOString(), device: 'Safari · iPhone' };
    signedIn.noticed(notice('signed_in_elsewhere', more), MINUTE);
    signedIn.stopped(true, '', MINUTE);
    expect(signedIn.ended).toEqual({ reason: 'signed_in_elsewhere', at: START, device: 'Safari · iPhone' });
  });

  it('has one reason: the first', async () => {
    const signedIn = await pageIn('live');
    signedIn.stopped(true, '', 0);
    signedIn.stopped(false, 'expired', 0);
    expect(signedIn.ended?.reason).toBe('signed_in_elsewhere');
  });
});

describe('a choice without an answer', () => {
  it.each(['stay', 'signOut'] as const)('%s can be made again', async (choice) => {
    const signedIn = await pageIn('expiring');
    online = false;
    await signedIn[choice]();
    expect([signedIn.failed, signedIn.asking, signedIn.busy, signedIn.leaving]).toEqual([true, true, false, false]);
    online = true;
    await signedIn[choice]();
    expect([signedIn.failed, calls.filter((call) => call === choice)]).toEqual([false, [choice, choice]]);
  });

  it.each(['stay', 'signOut'] as const)('%s after the end says that the session has ended', async (choice) => {
    const signedIn = await pageIn('expiring');
    server = null;
    await signedIn[choice]();
    expect([signedIn.phase, signedIn.ended?.reason, signedIn.leaving]).toEqual(['ended', 'expired', false]);
  });
});

describe('two tabs', () => {
  it('agree: use in one closes the dialog of the other, and both end at the same time', async () => {
    const one = await pageIn('live');
    const other = page();
    other.greet(visitor(hana), server && times(server.idleUntil, server.endsAt), 0);
    await pass(IDLE_MS - WARNING_MS + 100);
    expect([one.asking, other.asking]).toEqual([true, true]);
    await other.stay();
    expect([one.asking, other.asking, one.phase]).toEqual([false, false, 'live']);
    expect(one.deadline).toBe(other.deadline);
  });

  it('tell each other of use at most every five seconds', async () => {
    const one = await pageIn('live');
    const heard = vi.fn();
    tabs.push({ heard });
    for (let second = 0; second < 11; second++) {
      one.used();
      await pass(1_000);
    }
    expect(heard).toHaveBeenCalledTimes(3);
  });

  it('say that the person signed out in the other', async () => {
    const one = await pageIn('live');
    const other = page();
    other.greet(visitor(hana), null, 0);
    await other.signOut();
    expect([one.phase, one.ended?.reason, other.phase, other.leaving]).toEqual(['ended', 'signed_out', 'live', true]);
  });

  it('go on in both when the account signs in again in one', async () => {
    const one = await pageIn('ended');
    const other = page();
    signIn(other);
    other.greeted();
    expect(calls).toEqual(['reconnect']);
    signIn(one);
    expect([one.phase, one.ended]).toEqual(['live', null]);
  });
});

it('keeps an account that a guest signs up for on the same page', () => {
  const signedIn = page();
  signedIn.greet(visitor(null, 'v'), null, 0);
  const known = signedIn.greet(visitor(hana, 'v'), times(START + IDLE_MS, START + LIMIT_MS), 0);
  expect([known, signedIn.phase, calls]).toEqual([true, 'live', []]);
});
