//! A chart with a cursor, drawn by uPlot over the one that the server has drawn. The values are read
//! with the pointer or with the arrow keys.
import 'uplot/dist/uPlot.min.css';
import uPlot from 'uplot';
import { clock, number, table, type Point, type SampleRange } from './samples';

export interface ChartOptions {
  /** The place, with the server's drawing in it. */
  figure: HTMLElement;
  lines: { name: string; cssClass: string }[];
  digits: number;
  /** A value that should not be exceeded. */
  goal: number | null;
  /** Seconds that the site's time zone is ahead of UTC. */
  offset: number;
  /** Says how the keyboard is used. */
  keys: string;
}

export interface Chart {
  update(lines: Point[][], range: SampleRange): void;
}

const DAY_S = 86_400;
const HEIGHT_PX = 190;

export function drawChart(options: ChartOptions): Chart {
  const { figure, lines, digits, offset } = options;
  const place = document.createElement('div');
  place.className = 'chart-live';
  place.tabIndex = 0;
  place.setAttribute('role', 'group');
  place.setAttribute('aria-label', `${figure.getAttribute('aria-label') ?? ''}. ${options.keys}`);
  const read = document.createElement('p');
  read.className = 'chart-read';
  read.setAttribute('role', 'status');
  let plot: uPlot | null = null;
  let marks: Mark[] = [];

  const time = (secs: number, length: number): string => {
    if (length <= DAY_S) return clock(secs, offset, false);
    const at = new Date((secs + offset) * 1_000);
    const day = `${at.getUTCMonth() + 1}/${at.getUTCDate()}`;
    return length > 14 * DAY_S ? day : `${day} ${clock(secs, offset, false)}`;
  };
  const span = (u: uPlot): number => (u.scales.x?.max ?? 0) - (u.scales.x?.min ?? 0);
  const say = (u: uPlot): void => {
    const { idx } = u.cursor;
    const at = typeof idx === 'number' ? u.data[0]?.[idx] : undefined;
    if (idx === null || idx === undefined || at === undefined) {
      read.textContent = '';
      return;
    }
    const values = lines.map(({ name }, nth) => {
      const value = u.data[nth + 1]?.[idx];
      return `${name} ${value === null || value === undefined ? '–' : number(value, digits)}`;
    });
    read.textContent = `${time(at, span(u))} · ${values.join(' · ')}`;
  };

  const build = (data: uPlot.AlignedData): uPlot => {
    const style = (cssClass: string): uPlot.Series => {
      const look = lookOf(figure, cssClass);
      return { stroke: look.color, width: look.width, dash: look.dash, points: { show: false } };
    };
    const grid = lookOf(figure, 'grid').color;
    const text = lookOf(figure, 'tick').color;
    const font = '11px system-ui, sans-serif';
    return new uPlot(
      {
        width: Math.max(200, place.clientWidth),
        height: HEIGHT_PX,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
        scales: { x: { time: true }, y: { range: (_u, _min, max) => [0, topOf(max, options.goal)] } },
        series: [{}, ...lines.map(({ cssClass }) => style(cssClass))],
        axes: [
          {
            stroke: text,
            font,
            grid: { show: false },
            size: 26,
            ticks: { show: false },
            values: (u, splits) => splits.map((secs) => time(secs, span(u))),
            space: 70,
          },
          {
            stroke: text,
            font,
            size: 44,
            grid: { stroke: grid, width: 1 },
            ticks: { show: false },
            values: (_u, splits) =>
              splits.map((value) => number(value, Number.isInteger(value) ? 0 : Number.isInteger(value * 10) ? 1 : 2)),
          },
        ],
        hooks: { setCursor: [say], draw: [(u) => drawMarks(u, marks, text)] },
      },
      data,
      place,
    );
  };

  place.addEventListener('keydown', (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (steps === undefined || !plot) return;
    event.preventDefault();
    const last = plot.data[0].length - 1;
    const index = Math.min(last, Math.max(0, (plot.cursor.idx ?? last) + steps));
    plot.setCursor({ left: plot.valToPos(plot.data[0][index] ?? 0, 'x'), top: 10 });
  });
  new ResizeObserver(() => {
    if (plot && place.clientWidth > 0) plot.setSize({ width: place.clientWidth, height: HEIGHT_PX });
  }).observe(place);

  return {
    update(points, range) {
      const data = table(points, range.from, range.until, range.stepS) as unknown as uPlot.AlignedData;
      if (plot) {
        plot.setData(data);
        return;
      }
      // The drawing of the server stays until this one is there, so nothing jumps.
      figure.before(place);
      marks = marksOf(figure, range);
      plot = build(data);
      figure.hidden = true;
      place.after(read);
    },
  };
}

/** Something that happened, with the look of its line. */
interface Mark {
  at: number;
  name: string;
  color: string;
  dash: number[];
}

/** The marks of the server's drawing, whose places are shares of the range. */
function marksOf(figure: HTMLElement, range: SampleRange): Mark[] {
  return [...figure.querySelectorAll('.mark-name')].map((text) => {
    const share = parseFloat(text.getAttribute('x') ?? '0') / 100;
    const line = text.previousElementSibling?.getAttribute('class') ?? 'mark-version';
    const { color, dash } = lookOf(figure, line);
    return { at: range.from + share * (range.until - range.from), name: text.textContent ?? '', color, dash };
  });
}

/** Draws a line and a name for each mark. Names close together are one below the other. */
function drawMarks(u: uPlot, marks: Mark[], color: string): void {
  const { ctx, bbox } = u;
  const scale = devicePixelRatio;
  ctx.save();
  ctx.font = `600 ${11 * scale}px system-ui, sans-serif`;
  let row = 0;
  let previous = -Infinity;
  for (const mark of marks) {
    const x = u.valToPos(mark.at, 'x', true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    row = x - previous < 90 * scale ? (row + 1) % 3 : 0;
    previous = x;
    ctx.strokeStyle = mark.color;
    ctx.lineWidth = 1.5 * scale;
    ctx.setLineDash(mark.dash.map((length) => length * scale));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const isLeft = x > bbox.left + bbox.width * 0.8;
    ctx.textAlign = isLeft ? 'right' : 'left';
    ctx.fillStyle = color;
    ctx.fillText(mark.name, x + (isLeft ? -4 : 4) * scale, bbox.top + (10 + row * 14) * scale);
  }
  ctx.restore();
}

/** The top of the scale: the highest value, or the goal. */
export function topOf(max: number | null, goal: number | null): number {
  return Math.max(max ?? 0, goal ?? 0, 1) * 1.06;
}

/** The look that the style sheet gives a line, in values that a canvas understands. */
function lookOf(figure: HTMLElement, cssClass: string): { color: string; width: number; dash: number[] } {
  const found = figure.querySelector(`.${cssClass}`);
  const own = figure.ownerDocument.createElementNS('http://www.w3.org/2000/svg', 'path');
  own.setAttribute('class', cssClass);
  if (!found) figure.querySelector('svg')?.append(own);
  const style = getComputedStyle(found ?? own);
  const color = cssClass === 'tick' ? style.fill : style.stroke;
  const dash = style.strokeDasharray === 'none' ? [] : style.strokeDasharray.split(/[ ,]+/).map(parseFloat);
  const width = parseFloat(style.strokeWidth) || 1;
  own.remove();
  return { color, width, dash };
}
