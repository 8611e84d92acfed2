//! Saves a draft some time after the last key. It knows nothing of the page.
import type { FormAnswer } from '../../wire/forms';

/** The time after the last key until the draft is saved. */
export const QUIET_MS = 2_000;
/** The time until a save that failed is tried again. */
export const RETRY_MS = 10_000;

export type SaveState = 'saved' | 'unsaved' | 'saving' | 'failed' | 'refused' | 'conflict';

export class Autosave {
  state: SaveState = 'saved';
  readonly #send: () => Promise<FormAnswer>;
  readonly #show: (state: SaveState, answer: FormAnswer | null) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Whether something was written since the running save began. */
  #again = false;

  constructor(send: () => Promise<FormAnswer>, show: (state: SaveState, answer: FormAnswer | null) => void) {
    this.#send = send;
    this.#show = show;
  }

  /** Whether leaving the page would lose something. */
  get isUnsaved(): boolean {
    return this.state !== 'saved';
  }

  /** Something was written. */
  changed(): void {
    if (this.state === 'saving') {
      this.#again = true;
      return;
    }
    // A conflict is decided by a person: saving again would only meet it again.
    if (this.state !== 'conflict') this.#set('unsaved', null);
    this.#wait(QUIET_MS);
  }

  /** Saves at once. Does nothing while a save runs: what was written meanwhile is saved after it. */
  async save(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.state === 'saving') {
      this.#again = true;
      return;
    }
    this.#again = false;
    this.#set('saving', null);
    try {
      const answer = await this.#send();
      this.#set(stateOf(answer.body.state), answer);
    } catch {
      this.#set('failed', null);
    }
    if (this.#again) this.changed();
    else if (this.state === 'failed') this.#wait(RETRY_MS);
  }

  /** The page leaves for good, such as by its own form. */
  stop(): void {
    clearTimeout(this.#timer);
    this.state = 'saved';
  }

  #wait(ms: number): void {
    clearTimeout(this.#timer);
    if (this.state !== 'conflict') this.#timer = setTimeout(() => void this.save(), ms);
  }

  #set(state: SaveState, answer: FormAnswer | null): void {
    this.state = state;
    this.#show(state, answer);
  }
}

/** Anything but an answer of the form, such as the page of a sign-in, is a failure. */
function stateOf(state: unknown): SaveState {
  return state === 'saved' || state === 'conflict' || state === 'refused' ? state : 'failed';
}
