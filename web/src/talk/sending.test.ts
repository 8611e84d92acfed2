//! Sending: one id for each message, in order, with a visible failure.
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
    outbox: new Outbox('me', 'r', keep),
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
  it('is pending at once, is marked as slow after a moment, and is sent with the answer', async () => {
    sending.start();
    const row = sending.send('a', 'hi', 1);
    expect([row.status, row.slow]).toEqual(['pending', false]);
    await vi.advanceTimersByTimeAsync(SLOW_AFTER_MS);
    expect(row.slow).toBe(true);
    await asked[0]?.ok(1);
    expect([row.status, row.slow, row.seq]).toEqual(['sent', false, 1]);
    expect(keep.items.size).toBe(0);
  });

  it('written while disconnected is sent after the reconnect, in order', async () => {
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

  it('whose answer was lost is repeated with the same id', async () => {
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

  it('survives a reload and is sent by the new page', async () => {
    sending.send('a', 'hi', 1);
    sending.send('b', 'there', 2);
    sending = tab();
    sending.restore();
    expect(messages.rows.map((row) => row.text)).toEqual(['hi', 'there']);
    sending.start();
    await asked[0]?.ok(1);
    expect(ids()).toEqual(['a', 'b']);
  });

  it('that arrived as an event is not sent again', async () => {
    sending.start();
    sending.send('a', 'hi', 1);
    sending.acknowledge('a');
    sending.pause();
    sending.start();
    expect(ids()).toEqual(['a']);
  });
});

describe('a failure', () => {
  it('follows a timeout on an open connection, and a retry uses the same id', async () => {
    sending.start();
    const row = sending.send('a', 'hi', 1);
    await vi.advanceTimersByTimeAsync(SEND_TIMEOUT_MS);
    expect(states()).toEqual(['a failed late']);
    sending.pause();
    sending.start();
    expect(ids()).toEqual(['a']); // only on request
    sending.retry(row);
    expect(ids()).toEqual(['a', 'a']);
    await asked[1]?.ok(4);
    expect(states()).toEqual(['a sent']);
  });

  it('is undone by a late answer', async () => {
    sending.start();
    sending.send('a', 'hi', 1);
    await vi.advanceTimersByTimeAsync(SEND_TIMEOUT_MS);
    await asked[0]?.ok(4);
    expect(states()).toEqual(['a sent']);
    expect(keep.items.size).toBe(0);
  });

  it('does not follow a timeout while disconnected', async () => {
    sending.start();
    sending.send('a', 'hi', 1);
    await asked[0]?.fail('disconnected');
    sending.pause();
    await vi.advanceTimersByTimeAsync(10 * SEND_TIMEOUT_MS);
    expect(states()).toEqual(['a pending']);
  });

  it('is avoided by waiting as long as the server asks, in order', async () => {
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

  it('follows repeated attempts while the server is unavailable', async () => {
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

  it('of one message does not stop the next one', async () => {
    sending.start();
    for (const id of ['a', 'b', 'c']) sending.send(id, id, 1);
    await asked[0]?.fail('bad_payload');
    expect(ids()).toEqual(['a', 'b']);
    await vi.advanceTimersByTimeAsync(SEND_TIMEOUT_MS);
    expect(states()).toEqual(['a failed bad_payload', 'b failed late', 'c failed late']);
  });

  it.each(['bad_payload', 'too_long', 'muted'])('with %s is final and has the code', async (code) => {
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

  it('does not happen while the rules are not accepted: everything waits in order', async () => {
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

  it('of all pending messages follows declined rules, and each can be sent again', async () => {
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

  it('with "closed" is reported', async () => {
    sending.start();
    sending.send('a', 'hi', 1);
    await asked[0]?.fail('closed');
    expect(closed).toBe(1);
  });

  it('of all pending messages follows the end of the talk, and the outbox is empty', () => {
    sending.send('a', 'hi', 1);
    sending.end('left');
    expect(states()).toEqual(['a failed left']);
    expect(keep.items.size).toBe(0);
    sending.start();
    expect(ids()).toEqual([]);
  });
});
