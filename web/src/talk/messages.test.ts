//! Messages: the server's order, ours last until it has a place, nothing twice, rows that stay the same.
import { describe, expect, it } from 'vitest';
import type { MessageEvent } from '../wire/frames';
import { layout } from './layout';
import { Messages } from './messages.svelte';

const event = (seq: number, slot: 'A' | 'B', clientId = `c${seq}`, at = '2026-01-01T10:00:00.000Z'): MessageEvent => ({
  type: 'message',
  room: 'r',
  seq,
  client_id: clientId,
  sender: { id: slot, name: '', color: 'pine', animal: null, slot },
  payload: { kind: 'text', text: `text ${seq}` },
  at,
});

const mine = () => new Messages((entry) => entry.sender.slot === 'A');
const shape = (messages: Messages) => messages.rows.map((row) => [row.seq, row.status, row.text]);

describe('own messages', () => {
  it('stand last until placed, and keep their row', () => {
    const messages = mine();
    const row = messages.write('x', 'hello', 1);
    messages.take(event(1, 'B'));
    expect(shape(messages)).toEqual([
      [1, 'sent', 'text 1'],
      [null, 'pending', 'hello'],
    ]);
    messages.placed('x', 2, '2026-01-01T10:00:01.000Z');
    messages.take(event(2, 'A', 'x'));
    messages.take(event(3, 'B'));
    expect(shape(messages)).toEqual([
      [1, 'sent', 'text 1'],
      [2, 'sent', 'hello'],
      [3, 'sent', 'text 3'],
    ]);
    expect(messages.rows[1]).toBe(row);
    expect(row.key).toBe('x');
  });

  it('take the place the server gave, not the order of writing', () => {
    const messages = mine();
    messages.write('x', 'first written', 1);
    messages.write('y', 'second written', 2);
    messages.take(event(1, 'A', 'y'));
    messages.take(event(2, 'A', 'x'));
    expect(messages.rows.map((row) => row.clientId)).toEqual(['y', 'x']);
  });

  it('are recognised by their id in a page that was read again', () => {
    const messages = mine();
    messages.write('x', 'hello', 1).status = 'failed';
    messages.takePage([event(1, 'B'), event(2, 'A', 'x')]);
    expect(shape(messages)).toEqual([
      [1, 'sent', 'text 1'],
      [2, 'sent', 'hello'],
    ]);
  });

  it('of another tab are ours as well', () => {
    const messages = mine();
    expect(messages.take(event(1, 'A', 'elsewhere'))).toBeNull();
    expect(messages.rows[0]?.mine).toBe(true);
  });

  it('cannot be forgotten once they have a place', () => {
    const messages = mine();
    const row = messages.write('x', 'hello', 1);
    messages.placed('x', 1, '2026-01-01T10:00:00.000Z');
    messages.forget(row);
    expect(messages.rows).toHaveLength(1);
  });
});

describe('theirs', () => {
  it('come once, from the socket or a page', () => {
    const messages = mine();
    expect(messages.take(event(4, 'B'))?.seq).toBe(4);
    expect(messages.take(event(4, 'B'))).toBeNull();
    messages.takePage([event(2, 'B'), event(3, 'A'), event(4, 'B')]);
    expect(messages.rows.map((row) => row.seq)).toEqual([2, 3, 4]);
    expect(messages.firstSeq).toBe(2);
  });

  it('that are deleted or unknown say so', () => {
    const messages = mine();
    messages.take(event(1, 'B'));
    messages.take({ ...event(2, 'B'), payload: { kind: 'system' } });
    messages.take({ ...event(3, 'B'), type: 'deleted', target: 1 });
    expect(messages.rows.map((row) => [row.deleted, row.unknown, row.text])).toEqual([
      [true, false, ''],
      [false, true, ''],
    ]);
  });
});

describe('the layout', () => {
  it('groups by author within five minutes, and names a new day', () => {
    const messages = mine();
    const at = (day: number, minute: number) => new Date(2026, 0, day, 10, minute).toISOString();
    messages.takePage([
      event(1, 'B', 'a', at(1, 0)),
      event(2, 'B', 'b', at(1, 4)),
      event(3, 'B', 'c', at(1, 10)),
      event(4, 'A', 'd', at(1, 11)),
      event(5, 'A', 'e', at(2, 11)),
    ]);
    const placed = layout(messages.rows);
    expect(placed.map(({ first, last }) => [first, last])).toEqual([
      [true, false],
      [false, true],
      [true, true],
      [true, true],
      [true, true],
    ]);
    expect(placed.map(({ day }) => day !== null)).toEqual([true, false, false, false, true]);
  });
});
