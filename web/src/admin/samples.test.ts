//! Samples become lines, figures and texts.
import { describe, expect, it } from 'vitest';
import { clock, latest, moved, number, parse, table } from './samples';

describe('samples', () => {
  it('puts lines on one axis and leaves gaps where nothing was measured', () => {
    const a: [number, number][] = [
      [100, 1],
      [120, 3],
    ];
    expect(table([a, [[110, 5]]], 103, 125, 10)).toEqual([
      [100, 110, 120],
      [1, null, 3],
      [null, 5, null],
    ]);
  });

  it('moves an earlier line to the present and scales it', () => {
    expect(moved([[40, 0.5]], 604_800, 60)).toEqual([[604_840, 30]]);
  });

  it('adds up the newest values that are fresh', () => {
    const range = parse({
      read_at: '1970-01-01T00:10:00.000Z',
      from: '1970-01-01T00:00:00.000Z',
      until: '1970-01-01T00:10:00.000Z',
      step_s: 10,
      items: [
        { series: 'a', points: [[590, 2]] },
        { series: 'b', points: [[580, 3]] },
        { series: 'old', points: [[100, 9]] },
      ],
    });
    expect(latest(range, ['a', 'b'], 60)).toBe(5);
    expect(latest(range, ['old', 'none'], 60)).toBeNull();
  });

  it('writes numbers and times as the server does', () => {
    expect(number(1284, 0)).toBe('1,284');
    expect(number(0.029, 2)).toBe('0.03');
    expect(clock(0, 32_400, true)).toBe('09:00:00');
    expect(clock(60, -3_600, false)).toBe('23:01');
  });
});
