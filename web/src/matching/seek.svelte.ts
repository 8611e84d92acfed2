//! Looking for somebody: asking, looking, widened, quiet, cooling down, met. Honest about each.
import { codeOf, WireError } from '../wire/error';
import type { Fields, Pairing } from '../wire/frames';
import type { Socket } from '../wire/socket';

export type Phase = 'idle' | 'asking' | 'looking' | 'widened' | 'quiet' | 'cooling' | 'met';

/** The server widens at the same time (docs/MATCHING.md). */
export const WIDEN_MS = 10_000;
export const QUIET_MS = 25_000;
/** Used when the server asks for patience without a number. */
const COOL_MS = 10_000;

export interface SeekDeps {
  ask: Socket['ask'];
  /** The server does not know that the rules were accepted; this is what was looked for. */
  onAgeGate(wanted: Fields<'seek'>): void;
  /** There is an open talk already. */
  onTalk(): void;
}

export class Seek {
  phase = $state<Phase>('idle');
  /** When looking began, in milliseconds; it survives reconnects. */
  since = $state(0);
  coolsUntil = $state(0);
  coolsFor = $state(0);
  waiting = $state<number | null>(null);
  medianMs = $state<number | null>(null);
  wanted = $state.raw<Fields<'seek'>>({ interests: [], languages: [], translate: false });
  met = $state.raw<Pairing | null>(null);
  /** The code of what went wrong with the last try, for the form. */
  failed = $state<string | null>(null);
  /** The field of the form that it was about; null when it was about none. */
  field = $state<'interests' | 'languages' | null>(null);
  retryAfterMs = $state(0);

  readonly active = $derived(this.phase !== 'idle' && this.phase !== 'met');
  readonly #deps: SeekDeps;
  #timers: ReturnType<typeof setTimeout>[] = [];
  #turn = 0;

  constructor(deps: SeekDeps) {
    this.#deps = deps;
  }

  /** Starts looking. A second start replaces the first. */
  start(wanted: Fields<'seek'>): Promise<void> {
    this.#begin(wanted);
    return this.#ask();
  }

  /** The server is already looking: after `next`, or after a reload. */
  adopt(wanted: Fields<'seek'>): void {
    this.#begin(wanted);
    this.#look();
  }

  /** The connection is back, and the server no longer looks for us. */
  async again(): Promise<void> {
    if (this.phase === 'idle' || this.phase === 'met' || this.phase === 'cooling') return;
    await this.#ask();
  }

  async cancel(): Promise<void> {
    const asked = this.phase !== 'cooling';
    this.#reset('idle');
    if (!asked) return;
    try {
      await this.#deps.ask('cancel', {});
    } catch {
      // Not connected: without its socket the ticket ends by itself.
    }
  }

  /** Two seats are taken. */
  found(pairing: Pairing): void {
    this.#reset('met');
    this.met = pairing;
  }

  /** The talk has begun, or the form is wanted again. */
  rest(): void {
    this.#reset('idle');
  }

  /** The form is being corrected: what was said of it no longer holds. */
  amend(): void {
    this.failed = null;
    this.field = null;
  }

  /** Waits as the server asked, then looks again by itself. */
  cool(wanted: Fields<'seek'>, forMs: number | null): void {
    this.#reset('cooling');
    this.wanted = wanted;
    this.coolsFor = forMs ?? COOL_MS;
    this.coolsUntil = Date.now() + this.coolsFor;
    this.#after(this.coolsFor, () => void this.start(wanted));
  }

  #begin(wanted: Fields<'seek'>): void {
    this.#reset('asking');
    this.wanted = wanted;
    this.since = Date.now();
  }

  async #ask(): Promise<void> {
    const turn = this.#turn;
    try {
      const ok = await this.#deps.ask('seek', this.wanted);
      if (turn !== this.#turn) return;
      this.waiting = ok.waiting;
      this.medianMs = ok.median_wait_ms ?? null;
      if (this.phase === 'asking') this.#look();
    } catch (error) {
      if (turn === this.#turn) this.#refused(error);
    }
  }

  #look(): void {
    this.phase = 'looking';
    const gone = Date.now() - this.since;
    // Without interests there is nothing to widen.
    if (this.wanted.interests.length > 0) this.#after(WIDEN_MS - gone, () => (this.phase = 'widened'));
    this.#after(QUIET_MS - gone, () => (this.phase = 'quiet'));
  }

  #refused(error: unknown): void {
    const code = codeOf(error);
    // No answer: the next hello says whether the server looks for us, and `again` asks once more if not.
    if (code === 'disconnected' || code === 'timeout' || code === 'session_ended') return;
    const wait = error instanceof WireError ? error.retryAfterMs : null;
    if (code === 'rate_limited') return this.cool(this.wanted, wait);
    this.#reset('idle');
    if (code === 'age_gate') return this.#deps.onAgeGate(this.wanted);
    if (code === 'already_in_session') return this.#deps.onTalk();
    this.failed = code;
    this.field = fieldOf(error);
    this.retryAfterMs = wait ?? 0;
  }

  #reset(phase: Phase): void {
    this.#turn++;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
    this.phase = phase;
    this.met = null;
    this.amend();
    this.waiting = null;
  }

  #after(ms: number, then: () => void): void {
    this.#timers.push(setTimeout(then, Math.max(0, ms)));
  }
}

/** `interests`, `interests.2` or `interests[2]`: a part of a field is shown at the field. */
function fieldOf(error: unknown): 'interests' | 'languages' | null {
  const named = error instanceof WireError ? /^\w+/.exec(error.field ?? '')?.[0] : null;
  return named === 'interests' || named === 'languages' ? named : null;
}

/** 0:04, 12:30: how long, in minutes and seconds. */
export function elapsed(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
