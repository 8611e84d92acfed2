//! Dates and times in the time zone of the device.
import { expect, test } from 'vitest';
import { fieldsOf, utcOf } from './when';

test('a local time is an instant, and what is no time is empty', () => {
  expect(utcOf('2026-12-01', '09:30')).toBe(String(new Date(2026, 11, 1, 9, 30).getTime()));
  expect(fieldsOf(new Date(2026, 0, 2, 3, 4).getTime())).toEqual({ date: '2026-01-02', time: '03:04' });
  for (const [date, time] of [
    ['', '09:30'],
    ['2026-12-01', ''],
    ['2026-13-01', '09:30'],
  ] as const) {
    expect(utcOf(date, time)).toBe('');
  }
});
