//! The search for a partner: asking, looking, widened, quiet, cooling down, matched.
import { SETTLE_MS } from '../ui/settled';
import { codeOf, WireError } from '../wire/error';
import type { Fields, Pairing } from '../wire/frames';
import type { Socket } from '../wire/socket';

export type Phase = 'idle' | 'asking' | 'looking' | 'widened' | 'quiet' | 'cooling' | 'matched';

/** When the server starts to match without shared interests (docs/MATCHING.md). */
export const WIDEN_AFTER_MS = 10_000;
export const QUIET_AFTER_MS = 25_000;
/** Used if the server throttles without naming a time. */
const DEFAULT_COOLDOWN_MS = 10_000;

type Criteria = Fields<'seek'>;

export interface SeekDeps {
  request: Socket['request'];
  /** The server requires the age and the rules before it starts this search. */
  onRulesNeeded(criteria: Criteria): void;
  /** The visitor already has an open talk. */
  onOpenTalk(): void;
}

export class Seek {
  phase = $state<Phase>('idle');
  /**
   * When the search started, in milliseconds since the epoch, moved forward by the time without a
   * connection.
   */
  since = $state(0);
  /** Since when there is no connection, in milliseconds since the epoch, or `null`. */
  pausedAt = $state<number | null>(null);
  cooldownUntil = $state(0);
  cooldownMs = $state(0);
  waiting = $state<number | null>(null);
  medianMs = $state<number | null>(null);
  criteria = $state.raw<Criteria>({ interests: [], languages: [], translate: false });
  match = $state.raw<Pairing | null>(null);
  /** The code of the last failed attempt, for the form, or `null`. */
  error = $state<string | null>(null);
  /** The field of the form that the error concerns, or `null`. */
  errorField = $state<'interests' | 'languages' | null>(null);
  retryAfterMs = $state(0);

  readonly active = $derived(this.phase !== 'idle' && this.phase !== 'matched');
  readonly #deps: SeekDeps;
  #timers: ReturnType<typeof setTimeout>[] = [];
  #cancelledAt = -Infinity;
  /** Rises with each change, so that a late answer to an earlier search is ignored. */
  #generation = 0;

  constructor(deps: SeekDeps) {
    this.#deps = deps;
  }

  /** Starts a search. Replaces a search that is under way. */
  start(criteria: Criteria): Promise<void> {
    this.#begin(criteria);
    return this.#request();
  }

  /** Shows a search that the server has already started: after `next`, or after a reload. */
  adopt(criteria: Criteria): void {
    this.#begin(criteria);
    this.#look();
  }

  /** Asks again after a reconnect, if the server no longer has the search. */
  async resume(): Promise<void> {
    if (this.phase === 'idle' || this.phase === 'matched' || this.phase === 'cooling') return;
    await this.#request();
  }

  async cancel(): Promise<void> {
    this.#cancelledAt = performance.now();
    const requested = this.phase !== 'cooling';
    this.#setPhase('idle');
    if (!requested) return;
    try {
      await this.#deps.request('cancel', {});
    } catch {
      // Disconnected: the server drops the ticket of a closed socket.
    }
  }

  /** Returns `true` if the search was cancelled so short ago that a press may be meant for that. */
  get justCancelled(): boolean {
    return performance.now() - this.#cancelledAt < SETTLE_MS;
  }

  /** Stops the clock: there is no connection, so nobody can be found. */
  pause(): void {
    if (!this.active || this.phase === 'cooling' || this.pausedAt !== null) return;
    this.#clearTimers();
    this.pausedAt = Date.now();
  }

  /** The clock goes on where it stopped. */
  goOn(): void {
    if (this.pausedAt === null) return;
    this.since += Date.now() - this.pausedAt;
    this.pausedAt = null;
    if (this.phase === 'looking' || this.phase === 'widened') this.#look();
  }

  /** Returns how long the search has lasted, in milliseconds, without the time it was paused. */
  elapsedMs(now: number): number {
    return (this.pausedAt ?? now) - this.since;
  }

  /** A partner was found. */
  matched(pairing: Pairing): void {
    this.#setPhase('matched');
    this.match = pairing;
  }

  /** Shows the form again, or the talk has opened. */
  reset(): void {
    this.#setPhase('idle');
  }

  /** Removes the error, because the person is correcting the form. */
  clearError(): void {
    this.error = null;
    this.errorField = null;
  }

  /** Waits as long as the server asks, then starts the search automatically. */
  coolDown(criteria: Criteria, forMs: number | null): void {
    this.#setPhase('cooling');
    this.criteria = criteria;
    this.cooldownMs = forMs ?? DEFAULT_COOLDOWN_MS;
    this.cooldownUntil = Date.now() + this.cooldownMs;
    this.#after(this.cooldownMs, () => void this.start(criteria));
  }

  #begin(criteria: Criteria): void {
    this.#setPhase('asking');
    this.criteria = criteria;
    this.since = Date.now();
  }

  async #request(): Promise<void> {
    const generation = this.#generation;
    try {
      const ok = await this.#deps.request('seek', this.criteria);
      if (generation !== this.#generation) return;
      this.waiting = ok.waiting;
      this.medianMs = ok.median_wait_ms ?? null;
      if (this.phase === 'asking') this.#look();
    } catch (error) {
      if (generation === this.#generation) this.#onRefused(error);
    }
  }

  #look(): void {
    const elapsedMs = Date.now() - this.since;
    if (this.phase === 'asking') this.phase = 'looking';
    // Without interests there is nothing to widen.
    if (this.criteria.interests.length > 0 && this.phase === 'looking')
      this.#after(WIDEN_AFTER_MS - elapsedMs, () => (this.phase = 'widened'));
    this.#after(QUIET_AFTER_MS - elapsedMs, () => (this.phase = 'quiet'));
  }

  #onRefused(error: unknown): void {
    const code = codeOf(error);
    // No answer: the next hello shows whether the server has the search, and `resume` asks again if
    // not.
    if (code === 'disconnected') this.pause();
    if (code === 'disconnected' || code === 'timeout' || code === 'session_ended') return;
    const retryAfterMs = error instanceof WireError ? error.retryAfterMs : null;
    if (code === 'rate_limited') return this.coolDown(this.criteria, retryAfterMs);
    this.#setPhase('idle');
    if (code === 'age_gate') return this.#deps.onRulesNeeded(this.criteria);
    if (code === 'already_in_session') return this.#deps.onOpenTalk();
    this.error = code;
    this.errorField = fieldOf(error);
    this.retryAfterMs = retryAfterMs ?? 0;
  }

  #setPhase(phase: Phase): void {
    this.#generation++;
    this.#clearTimers();
    this.pausedAt = null;
    this.phase = phase;
    this.match = null;
    this.clearError();
    this.waiting = null;
  }

  #clearTimers(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
  }

  #after(ms: number, then: () => void): void {
    this.#timers.push(setTimeout(then, Math.max(0, ms)));
  }
}

/**
 * Returns the form's field for `interests`, `interests.2` or `interests[2]`; `null` for other
 * fields.
 */
function fieldOf(error: unknown): 'interests' | 'languages' | null {
  const name = error instanceof WireError ? /^\w+/.exec(error.field ?? '')?.[0] : null;
  return name === 'interests' || name === 'languages' ? name : null;
}

/** Returns a duration as minutes and seconds: 0:04, 12:30. */
export function elapsed(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
