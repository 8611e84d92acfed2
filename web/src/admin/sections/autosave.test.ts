//! The autosave: when it saves, and what it says.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { FormAnswer } from '../../wire/forms';
import { Autosave, QUIET_MS, RETRY_MS, type SaveState } from './autosave';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

function saving(answers: (string | Error)[]) {
  const states: SaveState[] = [];
  let sent = 0;
  const send = (): Promise<FormAnswer> => {
    const state = answers[sent++] ?? 'saved';
    return state instanceof Error
      ? Promise.reject(state)
      : Promise.resolve({ status: 200, path: '/admin', body: state === 'page' ? {} : { state } });
  };
  const autosave = new Autosave(send, (state) => states.push(state));
  return { autosave, states, sent: () => sent };
}

test('a draft is saved two seconds after the last key, once', async () => {
  const { autosave, states, sent } = saving([]);
  autosave.changed();
  await vi.advanceTimersByTimeAsync(QUIET_MS - 1);
  autosave.changed();
  await vi.advanceTimersByTimeAsync(QUIET_MS - 1);
  expect(sent()).toBe(0);
  expect(autosave.isUnsaved).toBe(true);
  await vi.advanceTimersByTimeAsync(1);
  expect(sent()).toBe(1);
  expect(states).toEqual(['unsaved', 'unsaved', 'saving', 'saved']);
  expect(autosave.isUnsaved).toBe(false);
});

test('what is written while a save runs is saved after it', async () => {
  const { autosave, sent } = saving([]);
  const saved = autosave.save();
  autosave.changed();
  await saved;
  expect(autosave.isUnsaved).toBe(true);
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  expect(sent()).toBe(2);
  expect(autosave.isUnsaved).toBe(false);
});

test('a save that fails is tried again until it succeeds', async () => {
  const { autosave, sent } = saving([new Error('offline'), 'page']);
  await autosave.save();
  expect(autosave.state).toBe('failed');
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  expect(autosave.state).toBe('failed');
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  expect(autosave.state).toBe('saved');
  expect(sent()).toBe(3);
});

test('a conflict waits for a person, and stays unsaved', async () => {
  const { autosave, sent } = saving(['conflict']);
  await autosave.save();
  autosave.changed();
  await vi.advanceTimersByTimeAsync(RETRY_MS * 3);
  expect(sent()).toBe(1);
  expect(autosave.state).toBe('conflict');
  expect(autosave.isUnsaved).toBe(true);
});

test('what is refused is sent again with the next key', async () => {
  const { autosave, sent } = saving(['refused']);
  await autosave.save();
  expect(autosave.state).toBe('refused');
  autosave.changed();
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  expect(sent()).toBe(2);
  expect(autosave.state).toBe('saved');
});
