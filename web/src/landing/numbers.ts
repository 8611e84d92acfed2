//! The live numbers: read at an interval, and only while the page is visible. Only texts change;
//! the server rendered the rest.
import { api } from '../wire/api';

/**
 * Minimum time between two reads. Up to a quarter more is added at random, to spread the requests
 * of open pages.
 */
const READ_INTERVAL_MS = 15_000;
/** The first read follows soon, because the page can come from a cache. */
const FIRST_READ_MS = 2_000;
/** After failures the interval doubles up to this. */
const MAX_INTERVAL_MS = 240_000;
/** Numbers older than this show their time. */
const FRESH_MS = 60_000;
const ANIMATION_MS = 500;

export interface Answer {
  items: { key: string; value: number | null }[];
  as_of?: string | null;
}

/**
 * Returns a number as it is shown: the digits, and the counter word of the unit. From 100 s on, a
 * wait is shown in minutes.
 */
export function figure(
  value: number,
  unit: string | undefined,
  korean: boolean,
): { digits: string; counter: string | null } {
  const minutes = unit === 'seconds' && value >= 100;
  const shown = minutes ? Math.floor((value + 30) / 60) : value;
  const digits = shown.toLocaleString('en-US');
  if (unit !== 'seconds') return { digits, counter: null };
  if (minutes) return { digits, counter: korean ? '분' : 'min' };
  return { digits, counter: korean ? '초' : 's' };
}

export class Numbers {
  readonly section: HTMLElement;
  readonly #korean: boolean;
  readonly #shown = new Map<HTMLElement, number>();
  readonly #reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the numbers were last read. */
  #readAt = performance.timeOrigin;
  /** When a read was last due. */
  #dueAt = Date.now();
  #intervalMs = FIRST_READ_MS;
  #reading = false;

  constructor(section: HTMLElement) {
    this.section = section;
    this.#korean = document.documentElement.lang === 'ko';
    for (const place of this.#places()) {
      const written = Number(place.querySelector('dd > span')?.textContent?.replaceAll(',', ''));
      // A wait in minutes is rounded, so the next value replaces it without an animation.
      if (Number.isFinite(written)) this.#shown.set(place, written);
    }
  }

  /**
   * Reads while the page is visible. Returns a function that stops. With reduced motion the numbers
   * do not change.
   */
  watch(): () => void {
    const plan = (): void => this.#plan();
    document.addEventListener('visibilitychange', plan);
    this.#plan();
    return () => {
      document.removeEventListener('visibilitychange', plan);
      clearTimeout(this.#timer);
    };
  }

  #plan(): void {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    const delay = this.#intervalMs * (1 + Math.random() / 4) - (Date.now() - this.#dueAt);
    this.#timer = setTimeout(() => void this.#readAndPlan(), Math.max(delay, 1_000));
  }

  async #readAndPlan(): Promise<void> {
    this.#dueAt = Date.now();
    if (this.#reducedMotion.matches) this.#intervalMs = READ_INTERVAL_MS;
    else if (!this.#reading) {
      this.#reading = true;
      try {
        this.show((await api.stats()) as Answer);
        this.#intervalMs = READ_INTERVAL_MS;
        this.#readAt = Date.now();
      } catch {
        this.#intervalMs = Math.min(Math.max(this.#intervalMs * 2, READ_INTERVAL_MS), MAX_INTERVAL_MS);
      }
      this.#reading = false;
    }
    if (Date.now() - this.#readAt > FRESH_MS) this.#date(this.#readAt);
    this.#plan();
  }

  /** Shows numbers that came by themselves. With reduced motion the numbers do not change. */
  receive(answer: Answer): void {
    if (this.#reducedMotion.matches) return;
    this.#readAt = Date.now();
    this.show(answer);
  }

  /** Shows an answer. A number that is no longer known is hidden. */
  show(answer: Answer): void {
    const known = new Map(answer.items.map(({ key, value }) => [key, value]));
    for (const place of this.#places()) {
      const value = known.get(place.dataset.stat ?? '');
      place.hidden = typeof value !== 'number' || !(value > 0);
      if (typeof value === 'number' && value > 0) this.#animate(place, value);
    }
    this.section.hidden = this.#places().every((place) => place.hidden);
    this.#date(answer.as_of ? Date.parse(answer.as_of) : null);
  }

  #places(): HTMLElement[] {
    return [...this.section.querySelectorAll<HTMLElement>('[data-stat]')];
  }

  #animate(place: HTMLElement, to: number): void {
    const from = this.#shown.get(place) ?? to;
    this.#shown.set(place, to);
    const minutes = place.dataset.unit === 'seconds' && Math.max(from, to) >= 100;
    if (from === to || minutes || this.#reducedMotion.matches || document.hidden) return this.#write(place, to);
    const startedAt = performance.now();
    const step = (now: number): void => {
      if (this.#shown.get(place) !== to) return; // a newer number has replaced this one
      const part = Math.min((now - startedAt) / ANIMATION_MS, 1);
      this.#write(place, Math.round(to + (from - to) * (1 - part) ** 3));
      if (part < 1) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  #write(place: HTMLElement, value: number): void {
    const { digits, counter } = figure(value, place.dataset.unit, this.#korean);
    const [number, unit] = [place.querySelector('dd > span'), place.querySelector('dd > small')];
    if (number && number.textContent !== digits) number.textContent = digits;
    if (unit && counter !== null && unit.textContent !== counter) unit.textContent = counter;
  }

  /** Shows the time of the numbers in the reader's time zone, unless they are fresh. */
  #date(at: number | null): void {
    const line = this.section.querySelector('[data-as-of]');
    if (!line) return;
    if (at === null) return line.replaceChildren();
    const time = document.createElement('time');
    time.dateTime = new Date(at).toISOString();
    const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' }).format(at);
    time.textContent = this.#korean ? `${clock} 기준` : `as of ${clock}`;
    line.replaceChildren(time);
  }
}
