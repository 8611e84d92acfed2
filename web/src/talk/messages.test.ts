//! Messages: in the server's order, own unsent ones last, no duplicates, and rows that stay the
//! same object.
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

const ofSlotA = () => new Messages((entry) => entry.sender.slot === 'A');
const shape = (messages: Messages) => messages.rows.map((row) => [row.seq, row.status, row.text]);

describe('own messages', () => {
  it('come last until they are acknowledged, and keep their row', () => {
    const messages = ofSlotA();
    const row = messages.addOwn('x', 'hello', 1);
    messages.add(event(1, 'B'));
    expect(shape(messages)).toEqual([
      [1, 'sent', 'text 1'],
      [null, 'pending', 'hello'],
    ]);
    messages.acknowledge('x', 2, '2026-01-01T10:00:01.000Z');
    messages.add(event(2, 'A', 'x'));
    messages.add(event(3, 'B'));
    expect(shape(messages)).toEqual([
      [1, 'sent', 'text 1'],
      [2, 'sent', 'hello'],
      [3, 'sent', 'text 3'],
    ]);
    expect(messages.rows[1]).toBe(row);
    expect(row.key).toBe('x');
  });

  it('have the order of the server, not the order of writing', () => {
    const messages = ofSlotA();
    messages.addOwn('x', 'first written', 1);
    messages.addOwn('y', 'second written', 2);
    messages.add(event(1, 'A', 'y'));
    messages.add(event(2, 'A', 'x'));
    expect(messages.rows.map((row) => row.clientId)).toEqual(['y', 'x']);
  });

  it('are recognised by their client id in a loaded page', () => {
    const messages = ofSlotA();
    messages.addOwn('x', 'hello', 1).status = 'failed';
    messages.addPage([event(1, 'B'), event(2, 'A', 'x')]);
    expect(shape(messages)).toEqual([
      [1, 'sent', 'text 1'],
      [2, 'sent', 'hello'],
    ]);
  });

  it('of another tab are own messages as well', () => {
    const messages = ofSlotA();
    expect(messages.add(event(1, 'A', 'elsewhere'))).toBeNull();
    expect(messages.rows[0]?.mine).toBe(true);
  });

  it('cannot be removed after they are acknowledged', () => {
    const messages = ofSlotA();
    const row = messages.addOwn('x', 'hello', 1);
    messages.acknowledge('x', 1, '2026-01-01T10:00:00.000Z');
    messages.remove(row);
    expect(messages.rows).toHaveLength(1);
  });
});

describe('messages of the partner', () => {
  it('are added once, from the socket or from a page', () => {
    const messages = ofSlotA();
    expect(messages.add(event(4, 'B'))?.seq).toBe(4);
    expect(messages.add(event(4, 'B'))).toBeNull();
    messages.addPage([event(2, 'B'), event(3, 'A'), event(4, 'B')]);
    expect(messages.rows.map((row) => row.seq)).toEqual([2, 3, 4]);
    expect(messages.firstSeq).toBe(2);
  });

  it('are marked if they are deleted or of an unknown kind', () => {
    const messages = ofSlotA();
    messages.add({ ...event(1, 'B'), deleted: true });
    messages.add({ ...event(2, 'B'), payload: { kind: 'system' } });
    expect(messages.rows.map((row) => [row.deleted, row.unknown, row.text])).toEqual([
      [true, false, ''],
      [false, true, ''],
    ]);
  });
});

describe('the layout', () => {
  it('groups messages of one author within five minutes and marks a new day', () => {
    const messages = ofSlotA();
    const at = (day: number, minute: number) => new Date(2026, 0, day, 10, minute).toISOString();
    messages.addPage([
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
