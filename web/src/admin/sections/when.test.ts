//! Dates and times in the time zone of the device.
import { expect, test } from 'vitest';
import { utcOf } from './when';

test('a local time is an instant, and what is no time is empty', () => {
  expect(utcOf('2026-12-01', '09:30')).toBe(String(new Date(2026, 11, 1, 9, 30).getTime()));
  for (const [date, time] of [
    ['', '09:30'],
    ['2026-12-01', ''],
    ['2026-13-01', '09:30'],
  ] as const) {
    expect(utcOf(date, time)).toBe('');
  }
});
