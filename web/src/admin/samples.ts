//! The samples of the dashboard: what is asked for, and how values and times are written.

/** A point: seconds since 1970, and a value. */
export type Point = [number, number];

export interface SampleRange {
  readAt: number;
  from: number;
  until: number;
  stepS: number;
  series: Map<string, Point[]>;
}

interface Answer {
  read_at: string;
  from: string;
  until: string;
  step_s: number;
  items: { series: string; points: Point[] }[];
}

/** Reads series of a range that ends `before` seconds ago. */
export async function readSamples(series: string[], range: string, before = 0): Promise<SampleRange> {
  const query = new URLSearchParams({ series: series.join(','), range, before: String(before) });
  const answer = await fetch(`/api/v1/admin/samples?${query}`);
  if (!answer.ok) throw new Error(String(answer.status));
  return parse((await answer.json()) as Answer);
}

export function parse(answer: Answer): SampleRange {
  const secs = (text: string): number => Date.parse(text) / 1_000;
  return {
    readAt: secs(answer.read_at),
    from: secs(answer.from),
    until: secs(answer.until),
    stepS: answer.step_s,
    series: new Map(answer.items.map(({ series, points }) => [series, points])),
  };
}

/** A line to be drawn: its points, moved and scaled. */
export interface LineData {
  points: Point[];
}

/** The points of a line that was measured `before` seconds earlier, as they are drawn now. */
export function moved(points: Point[], before: number, scale: number): Point[] {
  return points.map(([at, value]) => [at + before, value * scale]);
}

/**
 * Several lines on one axis of time: the times, then the values of each line. A step without a
 * measurement is `null`, which breaks the line.
 */
export function table(lines: Point[][], from: number, until: number, stepS: number): (number | null)[][] {
  const first = Math.floor(from / stepS) * stepS;
  const count = Math.max(1, Math.floor((until - first) / stepS) + 1);
  const times = Array.from({ length: count }, (_, nth) => first + nth * stepS);
  const columns = lines.map((points) => {
    const values: (number | null)[] = Array<null>(count).fill(null);
    for (const [at, value] of points) {
      const index = Math.round((at - first) / stepS);
      if (index >= 0 && index < count) values[index] = value;
    }
    return values;
  });
  return [times, ...columns];
}

/** A number with separated thousands, as the server writes it. */
export function number(value: number, digits: number): string {
  return new Intl.NumberFormat('en', { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

/** A time of day in the site's time zone, which is `offset` seconds ahead of UTC. */
export function clock(secs: number, offset: number, withSeconds: boolean): string {
  const iso = new Date((secs + offset) * 1_000).toISOString();
  return iso.slice(11, withSeconds ? 19 : 16);
}

/** The sum of the newest values of series, if one of them is fresh. `null` if none is. */
export function latest(range: SampleRange, series: string[], freshS: number): number | null {
  const newest = series.map((name) => range.series.get(name)?.at(-1));
  const fresh = newest.filter((point): point is Point => !!point && range.readAt - point[0] <= freshS);
  return fresh.length > 0 ? fresh.reduce((sum, [, value]) => sum + value, 0) : null;
}
