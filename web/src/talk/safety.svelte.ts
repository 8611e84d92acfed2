//! What a visitor does about a partner: report them, block them, and take a block back.
import type { EndReason, Fields } from '../wire/frames';
import type { TalkDeps } from './deps';
import type { OwnActions } from './last.svelte';

/** How long a block can be taken back with one press, in milliseconds. */
export const UNDO_MS = 10_000;

export interface SafetyDeps extends Pick<TalkDeps, 'request' | 'ownActions' | 'recordActions'> {
  session: string;
  room: string;
  /** The partner's public id in the room. */
  partner: string;
  /** Returns how the talk ended, or `null` while it is open. */
  endedBy(): string | null;
  end(reason: EndReason): void;
}

export class Safety {
  reported = $state(false);
  blocked = $state(false);
  /** The last attempt to block was refused. */
  blockFailed = $state(false);
  /** Until when the block can be undone, in milliseconds since the epoch. `null` without one. */
  undoUntil = $state<number | null>(null);
  /** The block was taken back. */
  undone = $state(false);
  /** The last attempt to take the block back was refused. */
  undoFailed = $state(false);
  readonly #deps: SafetyDeps;

  constructor(deps: SafetyDeps) {
    this.#deps = deps;
  }

  /** Reports the partner and ends an open talk. Rejects with the server's code. */
  async report(fields: Omit<Fields<'report'>, 'room'>): Promise<void> {
    const before = this.#actions();
    this.reported = true; // the `ended` event can arrive before the answer, here and in other tabs
    this.#record({ reported: true, blocked: before.blocked || fields.block });
    try {
      await this.#deps.request('report', { room: this.#deps.room, ...fields });
    } catch (error) {
      if (this.#deps.endedBy() !== 'report') {
        this.reported = before.reported;
        this.#record(before);
      }
      throw error;
    }
    if (fields.block) this.blocked = true;
    this.#deps.end('report');
  }

  /**
   * Blocks the partner, so that the two are never matched again, and ends an open talk. Rejects
   * with the code.
   */
  async block(): Promise<void> {
    const before = this.#actions();
    this.blocked = true;
    this.blockFailed = false;
    this.undone = false;
    this.#record({ ...before, blocked: true });
    try {
      await this.#deps.request('block', { room: this.#deps.room, sender: this.#deps.partner });
    } catch (error) {
      this.blocked = before.blocked;
      this.blockFailed = true;
      this.#record(before);
      throw error;
    }
    this.#offerUndo();
    this.#deps.end('block');
  }

  /** Takes the block back. The talk stays ended. If the server refuses, the block stays. */
  async undoBlock(): Promise<void> {
    if (this.undoUntil === null) return;
    this.undoUntil = null;
    this.blocked = false;
    this.undone = true;
    this.undoFailed = false;
    const back = { room: this.#deps.room, sender: this.#deps.partner, on: false };
    try {
      await this.#deps.request('block', back);
      this.#record(this.#actions());
    } catch {
      this.blocked = true;
      this.undone = false;
      this.undoFailed = true;
      this.#offerUndo();
    }
  }

  /**
   * Returns `true` for a report or block by the partner. The page then shows only that the partner
   * left.
   */
  isPartners(reason: string): boolean {
    if (reason !== 'report' && reason !== 'block') return false;
    const { reported, blocked } = this.#deps.ownActions(this.#deps.session);
    this.reported ||= reported;
    this.blocked ||= blocked;
    return !this.reported && !this.blocked;
  }

  #offerUndo(): void {
    this.undoUntil = Date.now() + UNDO_MS;
  }

  #actions(): OwnActions {
    return { reported: this.reported, blocked: this.blocked };
  }

  #record(actions: OwnActions): void {
    this.#deps.recordActions(this.#deps.session, actions);
  }
}
