//! The guard against presses meant for the screen before.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SETTLE_MS, screenChanged, screenIsNew, settled } from './settled';

let button: HTMLButtonElement;
const pressed = vi.fn();

beforeEach(() => {
  vi.useFakeTimers();
  vi.advanceTimersByTime(10 * SETTLE_MS);
  button = document.createElement('button');
  document.body.append(button);
  settled(button);
  button.addEventListener('click', pressed);
});

afterEach(() => {
  vi.useRealTimers();
  button.remove();
  pressed.mockClear();
});

test('a press right after the button appeared is ignored', () => {
  button.click();
  vi.advanceTimersByTime(SETTLE_MS - 1);
  button.click();
  expect(pressed).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  button.click();
  expect(pressed).toHaveBeenCalledOnce();
});

test('a press right after the screen changed is ignored', () => {
  vi.advanceTimersByTime(SETTLE_MS);
  screenChanged();
  button.click();
  expect(pressed).not.toHaveBeenCalled();
  vi.advanceTimersByTime(SETTLE_MS);
  button.click();
  expect(pressed).toHaveBeenCalledOnce();
});

test('a screen is new for as long', () => {
  screenChanged();
  vi.advanceTimersByTime(SETTLE_MS - 1);
  expect(screenIsNew()).toBe(true);
  vi.advanceTimersByTime(1);
  expect(screenIsNew()).toBe(false);
});

test('the repeats of a held key are ignored, its first press is not', () => {
  vi.advanceTimersByTime(SETTLE_MS);
  const first = new KeyboardEvent('keydown', { key: 'Enter', cancelable: true });
  const repeat = new KeyboardEvent('keydown', { key: 'Enter', repeat: true, cancelable: true });
  button.dispatchEvent(first);
  button.dispatchEvent(repeat);
  expect([first.defaultPrevented, repeat.defaultPrevented]).toEqual([false, true]);
});
