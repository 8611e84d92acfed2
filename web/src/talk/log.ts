//! Puts the entries of a room's log in order: no gaps, no duplicates. An early entry waits for the
//! ones before it.
import type { Entry } from '../wire/frames';

export interface LogDeps {
  /** Applies the next entry. */
  apply(entry: Entry): void;
  /** Asks the server to send all entries after `after` again over the socket. */
  replay(after: number): Promise<void>;
  /** Reads a page of entries after `after`, in order. Empty at the end. */
  page(after: number): Promise<Entry[]>;
}

/** If a requested replay does not arrive within this time, the log is read page by page instead. */
export const REPLAY_TIMEOUT_MS = 3_000;
/** Delay before a page that could not be read is requested again. */
export const PAGE_RETRY_MS = 2_000;
/**
 * Bounds the loop over the pages. A page of long entries can be short, so only an empty page is the
 * end.
 */
const MAX_PAGES = 1000;

export class Log {
  /** Sequence number of the last applied entry. */
  head = 0;
  readonly #deps: LogDeps;
  readonly #early = new Map<number, Entry>();
  #held = false;
  #filling = false;
  #replayTimer: ReturnType<typeof setTimeout> | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(deps: LogDeps) {
    this.#deps = deps;
  }

  /** Holds new entries back while a first page is loaded. */
  hold(): void {
    this.#held = true;
  }

  /**
   * Continues after `head`, the last entry of the loaded page, with the entries that were held
   * back.
   */
  continueAfter(head: number): void {
    this.#held = false;
    this.head = Math.max(this.head, head);
    this.#drain();
  }

  /** Receives an entry from the socket. */
  receive(entry: Entry): void {
    if (entry.seq <= this.head) return; // a duplicate
    this.#early.set(entry.seq, entry);
    if (!this.#held) this.#drain();
  }

  /**
   * Reads the log page by page, because the gap is too long for a replay. Retries until that
   * succeeds.
   */
  async resync(): Promise<void> {
    clearTimeout(this.#replayTimer);
    clearTimeout(this.#retryTimer);
    this.#held = true;
    try {
      await this.#readPages();
    } catch {
      // If nobody writes for a while, no later entry would reveal the gap, so the retry needs a
      // timer.
      if (!this.#ended) this.#retryTimer = setTimeout(() => void this.resync(), PAGE_RETRY_MS);
      return;
    } finally {
      this.#held = false;
      this.#filling = false;
    }
    this.#drain();
  }

  /** Stops all timers. No more entries are expected. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#replayTimer);
    clearTimeout(this.#retryTimer);
  }

  async #readPages(): Promise<void> {
    for (let pages = 0; pages < MAX_PAGES; pages++) {
      const before = this.head;
      for (const entry of await this.#deps.page(before)) if (entry.seq > this.head) this.#apply(entry);
      if (this.head === before) return;
    }
  }

  #drain(): void {
    for (const seq of this.#early.keys()) if (seq <= this.head) this.#early.delete(seq);
    for (let entry = this.#early.get(this.head + 1); entry; entry = this.#early.get(this.head + 1)) this.#apply(entry);
    if (this.#early.size > 0) void this.#fill();
    else this.#filled();
  }

  #apply(entry: Entry): void {
    this.#early.delete(entry.seq);
    this.head = entry.seq;
    this.#deps.apply(entry);
  }

  async #fill(): Promise<void> {
    if (this.#filling) return;
    this.#filling = true;
    try {
      await this.#deps.replay(this.head);
    } catch {
      // Disconnected: the next hello resumes after the head.
      this.#filling = false;
      return;
    }
    if (!this.#filling) return; // the replay arrived before its answer
    this.#replayTimer = setTimeout(() => void this.resync(), REPLAY_TIMEOUT_MS);
  }

  #filled(): void {
    this.#filling = false;
    clearTimeout(this.#replayTimer);
  }
}
