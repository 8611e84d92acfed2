//! The socket: hello with resume, backoff with full jitter, final and other close codes, silence.
import { beforeEach, afterEach, describe, expect, it, vi } from 'vitest';
import { WireError } from './error';
import { FakeSocket, openFake, settled } from './fake';
import type { Event, HelloOk, ResumePoint } from './frames';
import { Socket, socketUrl, type Status } from './socket';

let socket: Socket;
let statuses: Status[];
let events: Event[];
let hellos: HelloOk[];
let resume: ResumePoint[];
let inTalk: boolean;
let silences: number;
let uses: number;
let prepare: ReturnType<typeof vi.fn<() => Promise<void>>>;

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.all = [];
  [statuses, events, hellos, resume] = [[], [], [], []];
  [inTalk, silences, uses] = [false, 0, 0];
  prepare = vi.fn(() => Promise.resolve());
  socket = new Socket({
    url: 'ws://x/ws',
    prepare,
    resume: () => resume,
    open: openFake,
    random: () => 1,
    inTalk: () => inTalk,
    listener: {
      status: (s) => statuses.push(s),
      silence: () => silences++,
      event: (e) => events.push(e),
      hello: (h) => hellos.push(h),
      used: () => uses++,
    },
  });
});
afterEach(() => {
  socket.close();
  vi.useRealTimers();
});

async function connected(): Promise<FakeSocket> {
  socket.start();
  await settled();
  await FakeSocket.last.accept();
  return FakeSocket.last;
}

describe('connecting', () => {
  it('makes sure of a visitor, says hello, and is open only after the answer', async () => {
    socket.start();
    await settled();
    expect(prepare).toHaveBeenCalledOnce();
    FakeSocket.last.onopen?.();
    await settled();
    expect(FakeSocket.last.sent).toEqual([{ id: 1, type: 'hello' }]);
    expect(statuses).toEqual(['connecting']);
    await FakeSocket.last.answer('hello', { heartbeat_ms: 25_000 });
    expect(statuses).toEqual(['connecting', 'open']);
    expect(hellos).toHaveLength(1);
  });

  it('resumes after the last entry of each room, with rising request ids', async () => {
    const first = await connected();
    resume = [{ room: 'r', after: 7 }];
    await first.drop();
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.onopen?.();
    await settled();
    expect(FakeSocket.last.sent).toEqual([{ id: 2, type: 'hello', resume: [{ room: 'r', after: 7 }] }]);
  });

  it('makes sure of a visitor again if it was refused before the hello', async () => {
    socket.start();
    await settled();
    await FakeSocket.last.drop();
    await vi.advanceTimersByTimeAsync(500);
    expect(prepare).toHaveBeenCalledTimes(2);
  });

  it('waits and tries again if there is no visitor', async () => {
    prepare.mockRejectedValueOnce(new Error('down'));
    socket.start();
    await settled();
    expect(statuses.at(-1)).toBe('waiting');
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeSocket.all).toHaveLength(1);
  });

  it('gives up on a connection that does not open', async () => {
    socket.start();
    await settled();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(statuses.at(-1)).toBe('waiting');
    expect(FakeSocket.last.closed).toBe(true);
  });
});

describe('the backoff', () => {
  it('doubles from half a second to thirty seconds, with full jitter', async () => {
    await connected();
    const waits: number[] = [];
    for (let tries = 0; tries < 8; tries++) {
      await FakeSocket.last.drop();
      waits.push((socket.retryAt ?? 0) - Date.now());
      await vi.advanceTimersByTimeAsync(waits.at(-1) ?? 0);
      await settled();
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    await FakeSocket.last.accept();
    await FakeSocket.last.drop();
    expect((socket.retryAt ?? 0) - Date.now()).toBe(500);
  });

  it('uses the delay that a restarting server names', async () => {
    const open = await connected();
    await open.drop(1012, '{"delay_ms": 3210}');
    expect((socket.retryAt ?? 0) - Date.now()).toBe(3210);
  });

  it('is skipped if the server closed the connection as too slow', async () => {
    const open = await connected();
    resume = [{ room: 'r', after: 3 }];
    await open.drop(4408);
    await vi.advanceTimersByTimeAsync(0);
    FakeSocket.last.onopen?.();
    await settled();
    expect(FakeSocket.last.frames('hello')[0]?.resume).toEqual(resume);
  });

  it('ends when the person or the network is back', async () => {
    await (await connected()).drop();
    socket.retryNow();
    await settled();
    expect(FakeSocket.all).toHaveLength(2);
  });
});

describe('a final close code', () => {
  it.each([4400, 4401, 4403, 4409, 4410])('%i stops the reconnects until the next start', async (code) => {
    await (await connected()).drop(code, 'why');
    await vi.advanceTimersByTimeAsync(120_000);
    expect(socket.stop).toEqual({ code, reason: 'why' });
    expect(FakeSocket.all).toHaveLength(1);
    socket.start();
    await settled();
    expect(prepare).toHaveBeenCalledTimes(2); // a new cookie may be needed
    expect(FakeSocket.all).toHaveLength(2);
  });
});

describe('a browser without cookies', () => {
  it('stops the reconnects until the next start', async () => {
    prepare.mockRejectedValueOnce(new WireError('cookies_needed'));
    socket.start();
    await settled();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(socket.stop?.code).toBe('cookies_needed');
    expect([prepare.mock.calls.length, FakeSocket.all.length, statuses.at(-1)]).toEqual([1, 0, 'stopped']);
    socket.retryNow(); // the tab is visible again
    socket.start();
    await settled();
    expect(FakeSocket.all).toHaveLength(1);
  });
});

describe('requests', () => {
  it('get their own answers in any order', async () => {
    const open = await connected();
    const first = socket.request('cancel', {});
    const second = socket.request('ping', {});
    const [cancel, ping] = [open.frames('cancel')[0], open.frames('ping')[0]];
    open.deliver({ re: ping?.id, ok: { server_time: 'now' } });
    open.deliver({ re: cancel?.id, error: { code: 'rate_limited', message: 'slow', retry_after_ms: 900 } });
    await expect(second).resolves.toEqual({ server_time: 'now' });
    await expect(first).rejects.toMatchObject({ code: 'rate_limited', retryAfterMs: 900 });
  });

  it('are rejected with "disconnected" if the connection closes first or is not open', async () => {
    const open = await connected();
    const asked = socket.request('send', { room: 'r', client_id: 'c', payload: { kind: 'text', text: 'hi' } });
    const caught = expect(asked).rejects.toMatchObject({ code: 'disconnected' });
    await open.drop();
    await caught;
    await expect(socket.request('ping', {})).rejects.toMatchObject({ code: 'disconnected' });
  });

  it('are not sent on a closing connection and are rejected when it has closed', async () => {
    const open = await connected();
    open.readyState = 2;
    const caught = expect(socket.request('ping', {})).rejects.toMatchObject({ code: 'disconnected' });
    expect(open.frames('ping')).toEqual([]);
    await open.drop(1000);
    await caught;
  });

  it('time out, except messages', async () => {
    await connected();
    let lost = '';
    let sent = 'waiting';
    socket.request('cancel', {}).catch((error: { code: string }) => (lost = error.code));
    socket
      .request('send', { room: 'r', client_id: 'c', payload: { kind: 'text', text: 'hi' } })
      .catch(() => (sent = 'given up'));
    await vi.advanceTimersByTimeAsync(16_000);
    expect([lost, sent]).toEqual(['timeout', 'waiting']);
  });

  it('ignore invalid frames and answers to unknown requests', async () => {
    const open = await connected();
    open.onmessage?.({ data: 'not json' });
    open.deliver({ re: null, error: { code: 'bad_frame', message: '' } });
    open.deliver({ re: 99, ok: {} });
    open.deliver({ type: 'newer', kind: 'unknown' });
    // Passed on: the talk ignores frames that it does not know.
    expect(events).toEqual([{ type: 'newer', kind: 'unknown' }]);
  });
});

describe('in a talk', () => {
  beforeEach(() => (inTalk = true));

  it('the backoff ends at five seconds', async () => {
    await connected();
    const waits: number[] = [];
    for (let tries = 0; tries < 6; tries++) {
      await FakeSocket.last.drop();
      waits.push((socket.retryAt ?? 0) - Date.now());
      await vi.advanceTimersByTimeAsync(waits.at(-1) ?? 0);
      await settled();
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 5_000, 5_000]);
  });

  it('silence is reported after twelve seconds, and the connection is replaced after fifteen', async () => {
    const open = await connected();
    await vi.advanceTimersByTimeAsync(10_000);
    expect([open.frames('ping').length, silences]).toEqual([1, 0]);
    await vi.advanceTimersByTimeAsync(2_000);
    expect([silences, socket.status]).toEqual([1, 'open']);
    await vi.advanceTimersByTimeAsync(3_000);
    expect([open.closed, statuses.at(-1)]).toEqual([true, 'waiting']);
  });

  it('a late answer ends the silence', async () => {
    const open = await connected();
    await vi.advanceTimersByTimeAsync(13_000);
    const before = statuses.length;
    await open.answer('ping', { server_time: '' });
    expect([silences, statuses.slice(before), open.closed]).toEqual([1, ['open'], false]);
    // The next silence is found, too.
    await vi.advanceTimersByTimeAsync(12_000);
    expect([silences, open.frames('ping').length]).toEqual([2, 2]);
  });

  it('other frames count as an answer', async () => {
    const open = await connected();
    await vi.advanceTimersByTimeAsync(11_000);
    open.deliver({ type: 'newer' });
    await vi.advanceTimersByTimeAsync(6_000);
    expect([silences, open.closed, socket.status]).toEqual([0, false, 'open']);
  });

  it('a talk that begins on an open connection is noticed', async () => {
    inTalk = false;
    const open = await connected();
    await vi.advanceTimersByTimeAsync(9_000);
    inTalk = true;
    await vi.advanceTimersByTimeAsync(3_000);
    expect([open.frames('ping').length, silences]).toEqual([1, 1]);
  });
});

it('does not ask for a visitor again if nothing answered an attempt', async () => {
  await connected();
  await FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(500);
  await settled();
  await vi.advanceTimersByTimeAsync(10_000); // the attempt hangs
  await vi.advanceTimersByTimeAsync(1_000);
  await settled();
  expect([FakeSocket.all.length, prepare.mock.calls.length]).toEqual([3, 1]);
});

describe('silence', () => {
  it('causes a ping after the heartbeat, and a dead connection is replaced', async () => {
    const open = await connected();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(open.frames('ping')).toHaveLength(1);
    await open.answer('ping', { server_time: '' });
    await vi.advanceTimersByTimeAsync(30_000);
    expect(open.frames('ping')).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(open.closed).toBe(true);
    expect(statuses.at(-1)).toBe('waiting');
  });

  it('causes a ping when the network has changed', async () => {
    const open = await connected();
    socket.networkChanged();
    await open.answer('ping', { server_time: '' });
    // Reported again, so that the page hides its offline line.
    expect(statuses.filter((s) => s === 'open')).toHaveLength(2);
    socket.networkChanged();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(statuses.at(-1)).toBe('waiting');
  });
});

it('has the host of the page', () => {
  expect(socketUrl({ protocol: 'https:', host: 'maju.example' })).toBe('wss://maju.example/ws');
  expect(socketUrl({ protocol: 'http:', host: '127.0.0.1:8080' })).toBe('ws://127.0.0.1:8080/ws');
});
