//! The dashboard: its charts get cursors, and its figures and charts are read again while the page is
//! visible.
import type { Chart } from './chart';
import { clock, latest, moved, number, readSamples, type SampleRange } from './samples';

/** A figure older than this is not shown as the present one. */
const FRESH_S = 60;

interface Line {
  series: string;
  before: number;
  scale: number;
  name: string;
  cssClass: string;
  value: HTMLElement | null;
}

interface Panel {
  section: HTMLElement;
  digits: number;
  lines: Line[];
  chart: Chart | null;
}

export async function startDashboard(root: HTMLElement): Promise<void> {
  const { range = '1h', offset = '0', refresh = '0' } = root.dataset;
  const panels = [...root.querySelectorAll<HTMLElement>('[data-panel]')].map(panelOf);
  const figures = [...root.querySelectorAll<HTMLElement>('[data-figure]')];
  const readAt = root.querySelector<HTMLElement>('[data-read-at]');
  const series = new Set<string>();
  for (const panel of panels) for (const line of panel.lines) series.add(line.series);
  for (const figure of figures) for (const name of seriesOf(figure)) series.add(name);
  const befores = [...new Set(panels.flatMap(({ lines }) => lines.map((line) => line.before)))].filter(Boolean);

  const read = async (): Promise<void> => {
    const now = await readSamples([...series], range);
    const earlier = new Map<number, SampleRange>();
    for (const before of befores) {
      const names = panels.flatMap(({ lines }) => lines.filter((line) => line.before === before));
      const unique = [...new Set(names.map((line) => line.series))];
      earlier.set(before, await readSamples(unique, range, before));
    }
    for (const panel of panels) await show(panel, now, earlier, Number(offset), root.dataset.keys ?? '');
    // The figures are of the finest step only: a long range averages hours.
    if (now.stepS <= 60) for (const figure of figures) showFigure(figure, now);
    if (readAt)
      readAt.textContent = (readAt.textContent ?? '').replace(
        /\d\d:\d\d:\d\d/,
        clock(now.readAt, Number(offset), true),
      );
  };

  const note = statusLine(readAt);
  const attempt = async (): Promise<void> => {
    try {
      await read();
      note('');
    } catch {
      note(root.dataset.failed ?? '');
    }
  };
  await attempt();
  const seconds = Number(refresh);
  if (seconds <= 0) return;
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') void attempt();
    else note(root.dataset.paused ?? '');
  });
  setInterval(() => {
    if (document.visibilityState === 'visible') void attempt();
  }, seconds * 1_000);
}

function panelOf(section: HTMLElement): Panel {
  const lines = [...section.querySelectorAll<HTMLElement>('.legend li')].map((item) => ({
    series: item.dataset.series ?? '',
    before: Number(item.dataset.before),
    scale: Number(item.dataset.scale),
    name: item.querySelector('span')?.textContent ?? '',
    cssClass: item.dataset.line ?? 'line-1',
    value: item.querySelector<HTMLElement>('b'),
  }));
  return { section, digits: Number(section.dataset.digits), lines, chart: null };
}

function seriesOf(figure: HTMLElement): string[] {
  return (figure.dataset.figure ?? '').split(' ').filter(Boolean);
}

function showFigure(figure: HTMLElement, now: SampleRange): void {
  const value = latest(now, seriesOf(figure), FRESH_S);
  if (value !== null) figure.textContent = number(value, Number(figure.dataset.digits));
}

/** Draws a panel's lines. A panel without a chart had no values when the page was made. */
async function show(
  panel: Panel,
  now: SampleRange,
  earlier: Map<number, SampleRange>,
  offset: number,
  keys: string,
): Promise<void> {
  const figure = panel.section.querySelector<HTMLElement>('figure.chart');
  if (!figure) return;
  const lines = panel.lines.map((line) => {
    const source = line.before ? earlier.get(line.before) : now;
    return moved(source?.series.get(line.series) ?? [], line.before, line.scale);
  });
  panel.lines.forEach((line, nth) => {
    const last = lines[nth]?.at(-1);
    if (line.value && last) line.value.textContent = number(last[1], panel.digits);
  });
  if (panel.chart) {
    panel.chart.update(lines, now);
    return;
  }
  const { drawChart } = await import('./chart');
  panel.chart = drawChart({
    figure,
    lines: panel.lines.map(({ name, cssClass }) => ({ name, cssClass })),
    digits: panel.digits,
    goal: panel.section.dataset.goal ? Number(panel.section.dataset.goal) : null,
    offset,
    keys,
  });
  panel.chart.update(lines, now);
}

/** A line below the time of reading that a screen reader says. */
function statusLine(after: HTMLElement | null): (text: string) => void {
  const line = document.createElement('p');
  line.className = 'meta';
  line.setAttribute('role', 'status');
  after?.after(line);
  return (text) => {
    if (line.textContent !== text) line.textContent = text;
  };
}
