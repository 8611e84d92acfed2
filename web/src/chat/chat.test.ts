//! The chat as a whole, with the test in the server's place: match, reload, reconnect, leave, end.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { endSentence } from './announcements';
import type { Chat } from './chat.svelte';
import { type FakeApi, fakeApi, message, newPage, open, pairing, server, them } from './fixture';
import { MATCH_ANIMATION_MS } from './navigation';
import { setLocale } from '../i18n';
import { deviceStore } from '../ui/storage';
import { LastTalks } from '../talk/last.svelte';
import { UNDO_MS } from '../talk/safety.svelte';
import { LOBBY, router } from '../router.svelte';
import { WireError } from '../wire/error';
import { FakeSocket, settled } from '../wire/fake';
import type { MessageEvent } from '../wire/frames';

let chat: Chat;
let stored: MessageEvent[];
let api: FakeApi;

beforeEach(async () => {
  vi.useFakeTimers();
  localStorage.clear();
  sessionStorage.clear();
  router.go(LOBBY);
  setLocale('en');
  FakeSocket.all = [];
  stored = [];
  api = fakeApi(() => stored);
  chat = newPage(api);
  await settled();
});
afterEach(() => {
  chat.session.socket.close();
  vi.useRealTimers();
});

const texts = () => chat.talk?.messages.rows.map((row) => `${row.seq ?? '-'} ${row.text} ${row.status}`);

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

describe('a match', () => {
  it('joins the room at once and shows the talk after the animation', async () => {
    await startTalk();
    expect(server().frames('join')[0]).toMatchObject({ room: 'r1', after: 0 });
    expect(router.route).toEqual({ name: 'talk', session: 's1' });
    expect(chat.seek.phase).toBe('idle');
  });

  it('ignores the same match when it arrives twice', async () => {
    await startTalk();
    const { talk } = chat;
    await server().event({ type: 'found', ...pairing });
    expect(chat.talk).toBe(talk);
  });

  it('continues the search if the partner never joined and the server put the visitor back in the queue', async () => {
    await startTalk();
    await server().event({ type: 'ended', session: 's1', reason: 'lost', seeking: { ticket: 't2' } });
    expect(router.route.name).toBe('search');
    expect(chat.seek.phase).toBe('looking');
    expect(server().frames('seek')).toHaveLength(1);
  });
});

describe('a reload', () => {
  it('reopens the open talk with its messages and the unsent ones', async () => {
    await startTalk();
    chat.talk?.send('on its way');
    const id = server().frames('send')[0]?.client_id;
    chat.session.socket.close();
    stored = [message(1, 'B'), message(2, 'A', 'x')];
    router.go(LOBBY);
    chat = newPage(api);
    await settled();
    await server().accept({ session: open });
    await server().answer('join', {
      head: 2,
      members_online: 2,
      you: { id: 'me', name: '', role: 'member' },
      room: {},
    });
    expect(router.route).toEqual({ name: 'talk', session: 's1' });
    expect(
      server()
        .frames('send')
        .map((frame) => frame.client_id),
    ).toEqual([id]);
    await server().event(message(3, 'A', id, 'on its way'));
    await server().answer('send', { seq: 3, at: '2026-01-01T10:00:00.000Z' });
    expect(texts()).toEqual(['1 text 1 sent', '2 text 2 sent', '3 on its way sent']);
  });
});

describe('a reconnect', () => {
  it('resumes after the last entry and repeats unacknowledged messages', async () => {
    await startTalk();
    await server().event(message(1, 'B'));
    chat.talk?.send('hello?');
    const id = server().frames('send')[0]?.client_id;
    await server().drop();
    expect(texts()).toEqual(['1 text 1 sent', '- hello? pending']);
    await reconnect({ session: open, rooms: [{ room: 'r1', head: 3, replayed: 2 }] });
    expect(server().frames('hello')[0]?.resume).toEqual([{ room: 'r1', after: 1 }]);
    // It had been committed before the connection broke: the replay shows it, and so does the
    // repeated answer.
    await server().event(message(2, 'A', id, 'hello?'));
    await server().event(message(3, 'B'));
    await server().answer('send', { seq: 2, at: '2026-01-01T10:00:00.000Z' });
    expect(texts()).toEqual(['1 text 1 sent', '2 hello? sent', '3 text 3 sent']);
  });

  it('reads the log page by page if the server asks for a resync', async () => {
    await startTalk();
    await server().drop();
    stored = Array.from({ length: 120 }, (_, at) => message(at + 1, 'B'));
    await reconnect({ session: open, rooms: [{ room: 'r1', resync: true, head: 120 }] });
    await settled();
    expect(chat.talk?.messages.rows.map((row) => row.seq)).toEqual(stored.map(({ seq }) => seq));
  });

  it('shows a talk that ended meanwhile with its last messages', async () => {
    await startTalk();
    chat.talk?.send('did you get this?');
    const id = server().frames('send')[0]?.client_id ?? '';
    await server().drop();
    stored = [message(1, 'A', id, 'did you get this?'), message(2, 'B', 'z', 'bye')];
    await reconnect({ session: null });
    await settled();
    expect(chat.talk?.state).toBe('ended');
    expect(texts()).toEqual(['1 did you get this? sent', '2 bye sent']);
    expect(chat.last.ended.map(({ session }) => session)).toEqual(['s1']);
  });

  it('shows whether the partner is away, and until when', async () => {
    await startTalk();
    await server().drop();
    await reconnect({
      session: { ...open, state: 'away', partner_until: '2026-01-01T10:00:30.000Z' },
      rooms: [{ room: 'r1', head: 0, replayed: 0 }],
    });
    expect(chat.talk?.state).toBe('away');
    expect(chat.talk?.awayUntil).toBe(Date.parse('2026-01-01T10:00:30.000Z'));
    await server().event({ type: 'partner', session: 's1', state: 'back' });
    expect([chat.talk?.state, chat.talk?.awayUntil]).toEqual(['open', null]);
  });

  it('starts the search again if the server no longer has it', async () => {
    await server().accept();
    void chat.startSeeking();
    await server().answer('seek', { ticket: 't', waiting: 1 });
    await server().drop();
    await reconnect({ seeking: null });
    expect(server().frames('seek')).toHaveLength(1);
    await server().answer('seek', { ticket: 't2', waiting: 1 });
    await server().drop();
    await reconnect({ seeking: { ticket: 't2' } });
    expect(server().frames('seek')).toHaveLength(0);
    expect(chat.seek.phase).toBe('looking');
  });
});

describe('the end', () => {
  it('by Next starts the next search in one step and does not say that the partner left', async () => {
    await startTalk();
    void chat.next();
    expect(router.route.name).toBe('search');
    await server().event({ type: 'ended', session: 's1', reason: 'next' });
    await server().answer('next', { ticket: 't2' });
    expect(server().frames('next')[0]).toMatchObject({ session: 's1', seek: true });
    expect(chat.seek.phase).toBe('looking');
    expect(chat.talk && endSentence(chat.talk)).toBe('You left the chat');
  });

  it('by Next while disconnected is sent after the reconnect', async () => {
    await startTalk();
    await server().drop();
    void chat.next();
    await settled();
    expect(chat.seek.pausedAt).not.toBeNull();
    await reconnect({ session: open, rooms: [] });
    expect(chat.seek.pausedAt).toBeNull();
    expect(server().frames('next')[0]).toMatchObject({ session: 's1', seek: true });
    expect(server().frames('join')).toHaveLength(0);
    await server().answer('next', { ticket: 't2' });
    expect([router.route.name, chat.seek.phase]).toEqual(['search', 'looking']);
  });

  it.each([
    ['left', 'Green Otter left the chat'],
    ['next', 'Green Otter left the chat'],
    ['lost', "The connection didn't come back, so the chat has ended"],
    ['report', 'Green Otter left the chat'],
    ['block', 'Green Otter left the chat'],
    ['moderator', 'A moderator ended the chat'],
  ] as const)('by %s shows: %s', async (reason, words) => {
    await startTalk();
    await server().event({ type: 'ended', session: 's1', reason });
    expect(chat.talk && endSentence(chat.talk)).toBe(words);
  });

  it('by leaving stays on the page and starts no search', async () => {
    await startTalk();
    void chat.leave();
    expect(server().frames('next')[0]).toMatchObject({ seek: false });
    await server().answer('next', {});
    expect([router.route.name, chat.talk?.state, chat.seek.phase]).toEqual(['talk', 'ended', 'idle']);
  });

  it('by a report shows thanks and both effects', async () => {
    await startTalk();
    const done = chat.talk?.safety.report({ reason: 'spam', seqs: [], block: true });
    await server().event({ type: 'ended', session: 's1', reason: 'report' });
    await server().answer('report', { report: 'x' });
    await done;
    expect(chat.talk && endSentence(chat.talk)).toMatch(/^Report received. The chat has ended/);
    expect(chat.talk?.safety.blocked).toBe(true);
  });

  it('by a block works before the partner has written, with their id of the room', async () => {
    await startTalk();
    void chat.talk?.safety.block();
    expect(server().frames('block')[0]).toMatchObject({ room: 'r1', sender: 'them' });
    await server().event({ type: 'ended', session: 's1', reason: 'block' });
    await server().answer('block', {});
    expect(chat.talk && endSentence(chat.talk)).toBe("Blocked. We won't pair you again in this browser.");
  });

  it('by a block can be undone for ten seconds, and the talk stays ended', async () => {
    await startTalk();
    void chat.talk?.safety.block();
    await server().answer('block', {});
    expect(chat.talk?.safety.undoUntil).toBe(Date.now() + UNDO_MS);
    void chat.talk?.safety.undoBlock();
    expect(server().frames('block')[1]).toMatchObject({ room: 'r1', sender: 'them', on: false });
    void chat.talk?.safety.undoBlock(); // a second press
    await server().answer('block', {});
    expect(server().frames('block')).toHaveLength(2);
    expect([chat.talk?.state, chat.talk?.safety.blocked, chat.talk?.safety.undoUntil]).toEqual(['ended', false, null]);
    expect(chat.last.ownActions('s1')).toEqual({ reported: false, blocked: false });
    expect(chat.talk && endSentence(chat.talk)).toMatch(/unblocked/);
  });

  it('by a block stays blocked if the server refuses to undo it, which can be tried again', async () => {
    await startTalk();
    void chat.talk?.safety.block();
    await server().answer('block', {});
    void chat.talk?.safety.undoBlock();
    await server().refuse('block', 'rate_limited');
    const safety = chat.talk?.safety;
    expect([safety?.blocked, safety?.undone, safety?.undoFailed]).toEqual([true, false, true]);
    expect(chat.last.ownActions('s1').blocked).toBe(true);
    void safety?.undoBlock();
    await server().answer('block', {});
    expect([safety?.blocked, safety?.undoFailed]).toEqual([false, false]);
  });

  it('by an own report or block in another tab is known here and after a reload', async () => {
    await startTalk();
    // As the other tab writes it.
    new LastTalks(deviceStore).recordActions('s1', { reported: true, blocked: true });
    await server().event({ type: 'ended', session: 's1', reason: 'report' });
    expect(chat.talk && endSentence(chat.talk)).toMatch(/^Report received. The chat has ended/);
    const known = chat.last.find('s1');
    const read = known && chat.archivedTalk(known);
    expect([read?.safety.reported, read?.safety.blocked]).toEqual([true, true]);
  });

  it('does not follow a refused block, which is shown until the next attempt', async () => {
    await startTalk();
    void chat.talk?.safety.block().catch(() => undefined);
    await server().refuse('block', 'rate_limited');
    expect([chat.talk?.state, chat.talk?.safety.blocked, chat.talk?.safety.blockFailed]).toEqual(['open', false, true]);
    void chat.talk?.safety.block();
    expect(chat.talk?.safety.blockFailed).toBe(false);
    await server().answer('block', {});
    expect([chat.talk?.state, chat.talk?.safety.blocked]).toEqual(['ended', true]);
  });

  it('does not follow a failed report', async () => {
    await startTalk();
    const done = expect(chat.talk?.safety.report({ reason: 'spam', seqs: [], block: true })).rejects.toThrow();
    await server().refuse('report', 'rate_limited');
    await done;
    expect([chat.talk?.state, chat.talk?.safety.reported]).toEqual(['open', false]);
    expect(chat.last.ownActions('s1')).toEqual({ reported: false, blocked: false });
  });

  it('of another talk changes nothing', async () => {
    await startTalk();
    await server().event({ type: 'ended', session: 'another', reason: 'left' });
    expect(chat.talk?.state).toBe('open');
  });
});

describe('the age gate', () => {
  const prompt = () => [chat.rulesPrompt !== null, chat.session.visitor.rulesAccepted];
  const ok = { ticket: 't', waiting: 1 };

  it('of a search shows the prompt and repeats the search after the acceptance', async () => {
    await server().accept();
    chat.choices.interests = ['jazz'];
    void chat.startSeeking();
    await server().refuse('seek', 'age_gate');
    expect([...prompt(), chat.seek.phase]).toEqual([true, false, 'idle']);
    void chat.acceptRules();
    await settled();
    await server().answer('seek', ok);
    expect(server().frames('seek')[1]?.interests).toEqual(['jazz']);
    expect([...prompt(), chat.seek.phase]).toEqual([false, true, 'looking']);
  });

  it('of a message shows the prompt and sends the message after the acceptance', async () => {
    await startTalk();
    chat.talk?.send('hello');
    await server().refuse('send', 'age_gate');
    expect([...prompt(), texts()]).toEqual([true, false, ['- hello pending']]);
    await chat.acceptRules();
    await server().answer('join', { head: 0, you: { id: 'me' } });
    await server().answer('send', { seq: 1, at: '2026-01-01T10:00:00.000Z' });
    const [first, second] = server().frames('send');
    expect(second?.client_id).toBe(first?.client_id);
    expect(texts()).toEqual(['1 hello sent']);
  });

  it('of joining a talk shows the prompt and joins after the acceptance', async () => {
    await server().accept({ session: open });
    await server().refuse('join', 'age_gate');
    expect([...prompt(), chat.talk?.state, chat.talk?.loadFailed]).toEqual([true, false, 'open', false]);
    void chat.acceptRules();
    await settled();
    await server().answer('join', { head: 0, you: { id: 'me' } });
    expect([chat.rulesPrompt, chat.talk?.loading, chat.talk?.resumePoint]).toEqual([
      null,
      false,
      { room: 'r1', after: 0 },
    ]);
  });

  it('that is declined loses nothing', async () => {
    await startTalk();
    chat.talk?.send('hello');
    await server().refuse('send', 'age_gate');
    chat.declineRules();
    expect([chat.rulesPrompt, texts()]).toEqual([null, ['- hello failed']]);
  });

  it('whose rules have changed meanwhile requires the new rules', async () => {
    await server().accept();
    void chat.startSeeking();
    await server().refuse('seek', 'age_gate');
    api.acceptRules.mockRejectedValueOnce(new WireError('conflict'));
    api.me.mockResolvedValueOnce({
      visitor: { id: 'v', account: null },
      rules: { current: '2', accepted: null },
      limits: {},
    });
    await expect(chat.acceptRules()).rejects.toMatchObject({ code: 'conflict' });
    expect(chat.rulesPrompt).not.toBeNull();
    void chat.acceptRules();
    await settled();
    expect(api.acceptRules).toHaveBeenLastCalledWith('2');
  });
});

describe('a refusal of the server', () => {
  it('of a text returns the text to be corrected', async () => {
    await startTalk();
    chat.talk?.send('hello');
    await server().refuse('send', 'bad_payload', undefined, 'payload.text');
    expect(chat.talk?.toRewrite).toMatchObject({ code: 'bad_payload', row: { text: 'hello' } });
  });

  it('of an ended session stops the connection and continues with a new visitor on request', async () => {
    await startTalk();
    chat.talk?.send('hello');
    await server().refuse('send', 'session_ended');
    expect([chat.session.stop?.code, chat.session.connection.line, texts()]).toEqual([
      4401,
      'none',
      ['- hello pending'],
    ]);
    chat.session.start();
    await settled();
    expect(api.me).toHaveBeenCalledTimes(2);
    await server().accept();
    expect(chat.session.status).toBe('open');
  });

  it('of a connection is shown with its code and retried after the requested time', async () => {
    chat.session.socket.close();
    api.me.mockRejectedValueOnce(new WireError('rate_limited', '', 7_000));
    const opened = FakeSocket.all.length;
    chat = newPage(api);
    await settled();
    expect([chat.session.status, chat.session.refusal]).toEqual(['waiting', 'rate_limited']);
    await vi.advanceTimersByTimeAsync(6_999);
    expect(FakeSocket.all).toHaveLength(opened);
    await vi.advanceTimersByTimeAsync(501);
    await server().accept();
    expect([chat.session.status, chat.session.refusal]).toEqual(['open', null]);
  });
});

describe('a browser without cookies', () => {
  it('sees an explanation, creates no more visitors, and continues once cookies are allowed', async () => {
    api.isKnown.mockResolvedValue(false);
    await server().drop(); // the socket's 401, as a page sees it
    await vi.advanceTimersByTimeAsync(120_000);
    expect([chat.session.needsCookies, chat.session.status, chat.session.connection.line]).toEqual([
      true,
      'stopped',
      'none',
    ]);
    expect(api.me).toHaveBeenCalledOnce();
    chat.session.start();
    await settled();
    expect(chat.session.needsCookies).toBe(true); // until a hello says otherwise
    await server().accept();
    expect([chat.session.needsCookies, chat.session.status]).toEqual([false, 'open']);
    expect(api.me).toHaveBeenCalledTimes(2);
  });

  it('that cleared them meanwhile gets one new visitor', async () => {
    await server().accept();
    await server().drop();
    await vi.advanceTimersByTimeAsync(1_000);
    await server().drop(); // refused: the cookie is gone
    await vi.advanceTimersByTimeAsync(2_000);
    await server().accept();
    expect(chat.session.status).toBe('open');
    expect(api.me).toHaveBeenCalledTimes(2);
  });
});

describe('reading and typing', () => {
  it('sends the read position once, and again when the partner is back', async () => {
    await startTalk();
    await server().event(message(1, 'B'));
    chat.talk?.markRead(1);
    chat.talk?.markRead(1);
    expect(
      server()
        .frames('read')
        .map(({ seq }) => seq),
    ).toEqual([1]);
    await server().event({ type: 'partner', session: 's1', state: 'away', until: '2026-01-01T10:00:30.000Z' });
    await server().event({ type: 'partner', session: 's1', state: 'back' });
    expect(
      server()
        .frames('read')
        .map(({ seq }) => seq),
    ).toEqual([1, 1]);
  });

  it('takes the read position of the partner only from the partner', async () => {
    await startTalk();
    await server().event({ type: 'read', room: 'r1', member: 'me', seq: 9 });
    expect(chat.talk?.indicators.partnerReadSeq).toBe(0);
    await server().event({ type: 'read', room: 'r1', member: 'them', seq: 4 });
    await server().event({ type: 'read', room: 'r1', member: 'them', seq: 2 });
    expect(chat.talk?.indicators.partnerReadSeq).toBe(4);
  });

  it('shows the typing indicator for a while, and not after the message arrived', async () => {
    await startTalk();
    const typing = () => server().event({ type: 'typing', room: 'r1', sender: { ...them, slot: 'B' } });
    await typing();
    expect(chat.talk?.indicators.typing).toBe(true);
    await vi.advanceTimersByTimeAsync(6_000);
    expect(chat.talk?.indicators.typing).toBe(false);
    await typing();
    await server().event(message(1, 'B'));
    expect(chat.talk?.indicators.typing).toBe(false);
  });

  it('sends one typing frame in three seconds', async () => {
    await startTalk();
    for (let n = 0; n < 5; n++) chat.talk?.notifyTyping();
    await vi.advanceTimersByTimeAsync(3_000);
    chat.talk?.notifyTyping();
    expect(server().frames('typing')).toHaveLength(2);
  });
});
