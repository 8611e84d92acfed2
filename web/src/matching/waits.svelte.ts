//! The usual waits by the hour of the day, in the reader's time. Unknown ones are not shown.
import { t } from '../i18n';
import type { Api, WaitsByHour } from '../wire/api';

const READ_INTERVAL_MS = 600_000;
const HOURS = 24;
export const BARS = 12;
const HOURS_A_BAR = HOURS / BARS;
/** With fewer known bars there is no picture of a day. */
const MIN_BARS = 6;
/** The height of the lowest bar, as a share of the highest. */
const MIN_SHARE = 0.08;

export interface Bar {
  /** The height as a share of the highest bar; `null` if the wait is unknown. */
  share: number | null;
  /** The present hour is in this bar. */
  now: boolean;
}

export class Waits {
  all = $state.raw<WaitsByHour | null>(null);
  /** The hour of the day when this was read, in the reader's time. */
  hour = $state(0);
  /** Bars of two hours from midnight; empty if too few are known. */
  readonly bars = $derived(this.all === null ? [] : barsOf(this.all, this.hour));
  /**
   * The hour with the most people, in the reader's time. `null` if too few hours are known to say
   * what is usual.
   */
  readonly busiest = $derived(
    this.all === null || this.all.busiest === null || this.bars.length === 0
      ? null
      : shifted(this.all.busiest, this.all, this.hour),
  );
  readonly #api: Pick<Api, 'waits'>;

  constructor(api: Pick<Api, 'waits'>) {
    this.#api = api;
  }

  /** Reads at an interval. Returns a function that stops. */
  watch(): () => void {
    void this.read();
    const timer = setInterval(() => void this.read(), READ_INTERVAL_MS);
    return () => clearInterval(timer);
  }

  async read(): Promise<void> {
    try {
      this.all = await this.#api.waits();
    } catch {
      this.all = null;
    }
    this.hour = new Date().getHours();
  }
}

/** Returns an hour of the site's clock on the reader's clock. */
function shifted(hour: number, waits: WaitsByHour, readersHour: number): number {
  const ahead = readersHour - (waits.now ?? readersHour);
  return (hour + ahead + HOURS) % HOURS;
}

function barsOf(waits: WaitsByHour, readersHour: number): Bar[] {
  const sums = Array.from({ length: BARS }, () => ({ seconds: 0, known: 0 }));
  for (const { hour, median_s } of waits.hours) {
    const bar = sums[Math.floor(shifted(hour, waits, readersHour) / HOURS_A_BAR)];
    if (!bar || median_s === null) continue;
    bar.seconds += median_s;
    bar.known++;
  }
  const means = sums.map(({ seconds, known }) => (known === 0 ? null : seconds / known));
  if (means.filter((mean) => mean !== null).length < MIN_BARS) return [];
  const highest = Math.max(1, ...means.map((mean) => mean ?? 0));
  return means.map((mean, at) => ({
    share: mean === null ? null : Math.max(MIN_SHARE, mean / highest),
    now: at === Math.floor(readersHour / HOURS_A_BAR),
  }));
}

/** Returns an hour of the day as words: "오후 9시", "9 PM". `Intl` mixes the two languages here. */
export function hourName(hour: number): string {
  if (hour === 0) return t('hour.midnight');
  if (hour === 12) return t('hour.noon');
  return hour < 12 ? t('hour.am', { h: hour }) : t('hour.pm', { h: hour - 12 });
}
