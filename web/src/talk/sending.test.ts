//! Sending: one id for ever, in order, honest about what did not arrive.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WireError } from '../wire/error';
import { FakeStorage, settled } from '../wire/fake';
import { Outbox } from '../wire/outbox';
import type { Socket } from '../wire/socket';
import { Messages } from './messages.svelte';
import { SEND_TIMEOUT_MS, Sending, SLOW_AFTER_MS } from './sending';

interface Asked {
  clientId: string;
  ok(seq: number): Promise<void>;
  fail(code: string, retryAfterMs?: number): Promise<void>;
}

let keep: FakeStorage;
let asked: Asked[];
let messages: Messages;
let sending: Sending;
let closed: number;
let gated: number;
let refused: string[];

function tab(): Sending {
  messages = new Messages(() => true);
  const ask = ((_type: string, fields: { client_id: string }) =>
    new Promise((resolve, reject) => {
      asked.push({
        clientId: fields.client_id,
        ok: (seq) => (resolve({ seq, at: '2026-01-01T00:00:00.000Z' }), settled()),
        fail: (code, wait) => (reject(new WireError(code, code, wait ?? null)), settled()),
      });
    })) as unknown as Socket['request'];
  return new Sending({
    room: 'r',
    request: ask,
    messages,
    outbox: new Outbox('r', keep),
    onClosed: () => closed++,
    onRulesNeeded: () => gated++,
    onRefused: (row, code) => refused.push(`${row.text}: ${code}`),
  });
}

beforeEach(() => {
  vi.useFakeTimers();
  [keep, asked, closed, gated, refused] = [new FakeStorage(), [], 0, 0, []];
  sending = tab();
});
afterEach(() => vi.useRealTimers());

const ids = () => asked.map((one) => one.clientId);
const states = () => messages.rows.map((row) => `${row.clientId} ${row.status}${row.reason ? ` ${row.reason}` : ''}`);

describe('a message', () => {
  it('is pending at once, shows a clock only after a moment, and is sent with the answer', async () => {
    sending.start();
    const row = sending.send('a', 'hi', 1);
    expect([row.status, row.slow]).toEqual(['pending', false]);
    await vi.advanceTimersByTimeAsync(SLOW_AFTER_MS);
    expect(row.slow).toBe(true);
    await asked[0]?.ok(1);
    expect([row.status, row.slow, row.seq]).toEqual(['sent', false, 1]);
    expect(keep.items.size).toBe(0);
  });

  it('written without a connection goes out when there is one, in order', async () => {
    for (const id of ['a', 'b', 'c']) sending.send(id, id, 1);
    expect(ids()).toEqual([]);
    sending.start();
    for (const [at, id] of ['a', 'b', 'c'].entries()) {
      expect(ids().at(-1)).toBe(id); // one at a time
      await asked[at]?.ok(at + 1);
    }
    expect(ids()).toEqual(['a', 'b', 'c']);
    expect(states()).toEqual(['a sent', 'b sent', 'c sent']);
  });

  it('whose answer was lost is repeated under the same id', async () => {
    sending.start();
    sending.send('a', 'hi', 1);
    await asked[0]?.fail('disconnected');
    sending.pause();
    expect(states()).toEqual(['a pending']);
    sending.start();
    expect(ids()).toEqual(['a', 'a']);
    await asked[1]?.ok(1);
    expect(states()).toEqual(['a sent']);
  });

  it('is still there after a reload, and is sent by the new page', async () => {
    sending.send('a', 'hi', 1);
    sending.send('b', 'there', 2);
    sending = tab();
    sending.restore();
    expect(messages.rows.map((row) => row.text)).toEqual(['hi', 'there']);
    sending.start();
    await asked[0]?.ok(1);
    expect(ids()).toEqual(['a', 'b']);
  });

  it('that came back as an event is not sent again', async () => {
    sending.start();
    sending.send('a', 'hi', 1);
    sending.acknowledge('a');
    sending.pause();
    sending.start();
    expect(ids()).toEqual(['a']);
  });
});

describe('trouble', () => {
  it('fails a message that is late on an open connection, and retries with the same id', async () => {
    sending.start();
    const row = sending.send('a', 'hi', 1);
    await vi.advanceTimersByTimeAsync(SEND_TIMEOUT_MS);
    expect(states()).toEqual(['a failed late']);
    sending.pause();
    sending.start();
    expect(ids()).toEqual(['a']); // only by hand
    sending.retry(row);
    expect(ids()).toEqual(['a', 'a']);
    await asked[1]?.ok(4);
    expect(states()).toEqual(['a sent']);
  });

  it('takes a late answer for what it is', async () => {
    sending.start();
    sending.send('a', 'hi', 1);
    await vi.advanceTimersByTimeAsync(SEND_TIMEOUT_MS);
    await asked[0]?.ok(4);
    expect(states()).toEqual(['a sent']);
    expect(keep.items.size).toBe(0);
  });

  it('does not call a message late while there is no connection', async () => {
    sending.start();
    sending.send('a', 'hi', 1);
    await asked[0]?.fail('disconnected');
    sending.pause();
    await vi.advanceTimersByTimeAsync(10 * SEND_TIMEOUT_MS);
    expect(states()).toEqual(['a pending']);
  });

  it('waits as long as the server asks, and keeps the order', async () => {
    sending.start();
    sending.send('a', 'hi', 1);
    await asked[0]?.fail('rate_limited', 12_000);
    sending.send('b', 'there', 2);
    await vi.advanceTimersByTimeAsync(11_999);
    expect(ids()).toEqual(['a']);
    expect(states()).toEqual(['a pending', 'b pending']);
    await vi.advanceTimersByTimeAsync(1);
    await asked[1]?.ok(1);
    expect(ids()).toEqual(['a', 'a', 'b']);
  });

  it('asks again while the server is unwell, but not for ever', async () => {
    sending.start();
    sending.send('a', 'hi', 1);
    for (let tries = 0; tries < 3; tries++) {
      await asked.at(-1)?.fail('unavailable');
      await vi.advanceTimersByTimeAsync(1_000 * 2 ** tries);
    }
    expect(ids()).toEqual(['a', 'a', 'a', 'a']);
    await vi.advanceTimersByTimeAsync(SEND_TIMEOUT_MS);
    expect(states()).toEqual(['a failed late']);
  });

  it('goes on with the next letter when one is refused or late', async () => {
    sending.start();
    for (const id of ['a', 'b', 'c']) sending.send(id, id, 1);
    await asked[0]?.fail('bad_payload');
    expect(ids()).toEqual(['a', 'b']);
    await vi.advanceTimersByTimeAsync(SEND_TIMEOUT_MS);
    expect(states()).toEqual(['a failed bad_payload', 'b failed late', 'c failed late']);
  });

  it.each(['bad_payload', 'too_long', 'muted'])('%s is final and says why', async (code) => {
    sending.start();
    const row = sending.send('a', 'hi', 1);
    await asked[0]?.fail(code);
    expect(states()).toEqual([`a failed ${code}`]);
    expect(closed).toBe(0);
    sending.discard(row);
    expect(messages.rows).toEqual([]);
    expect(keep.items.size).toBe(0);
  });

  it.each([
    ['bad_payload', ['hi: bad_payload']],
    ['too_long', ['hi: too_long']],
    ['muted', []],
  ])('%s: only what is about the text sends it back to be corrected', async (code, back) => {
    sending.start();
    sending.send('a', 'hi', 1);
    await asked[0]?.fail(code);
    expect(refused).toEqual(back);
  });

  it('holds everything, in order and never late, until the rules are accepted', async () => {
    sending.start();
    sending.send('a', 'hi', 1);
    sending.send('b', 'there', 2);
    await asked[0]?.fail('age_gate');
    expect(gated).toBe(1);
    await vi.advanceTimersByTimeAsync(10 * SEND_TIMEOUT_MS);
    expect([ids(), states()]).toEqual([['a'], ['a pending', 'b pending']]);
    sending.start();
    await asked[1]?.ok(1);
    await asked[2]?.ok(2);
    expect([ids(), states()]).toEqual([
      ['a', 'a', 'b'],
      ['a sent', 'b sent'],
    ]);
  });

  it('keeps everything where the rules are declined, to be sent again', async () => {
    sending.start();
    const row = sending.send('a', 'hi', 1);
    await asked[0]?.fail('age_gate');
    sending.failPending('age_gate');
    expect(states()).toEqual(['a failed age_gate']);
    sending.retry(row);
    expect(ids()).toEqual(['a', 'a']);
    await asked[1]?.fail('age_gate');
    expect(gated).toBe(2);
  });

  it('tells that the talk is closed', async () => {
    sending.start();
    sending.send('a', 'hi', 1);
    await asked[0]?.fail('closed');
    expect(closed).toBe(1);
  });

  it('says at the end what did not arrive, and keeps nothing', () => {
    sending.send('a', 'hi', 1);
    sending.end('left');
    expect(states()).toEqual(['a failed left']);
    expect(keep.items.size).toBe(0);
    sending.start();
    expect(ids()).toEqual([]);
  });
});
