//! The log of a room, entry by entry: in order, without a hole, nothing twice. What comes early waits for what is missing.
import type { Entry } from '../wire/frames';

export interface LogDeps {
  /** Takes the next entry. */
  take(entry: Entry): void;
  /** Something before an early entry is missing: ask the socket to send everything after `after` again. */
  replay(after: number): Promise<void>;
  /** A page of entries after `after`, in order; empty at the end. */
  page(after: number): Promise<Entry[]>;
}

/** After a replay was promised, this long without it and the pages are read instead. */
export const REPLAY_LIMIT_MS = 3_000;
/** A page that could not be read is asked for again after this long. */
export const PAGE_AGAIN_MS = 2_000;
/** An end to every loop. A page of long entries is short: the list ends with an empty one. */
const MOST_PAGES = 1000;

export class Log {
  /** The last entry taken. */
  head = 0;
  readonly #deps: LogDeps;
  readonly #early = new Map<number, Entry>();
  #held = false;
  #filling = false;
  #limit: ReturnType<typeof setTimeout> | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  constructor(deps: LogDeps) {
    this.#deps = deps;
  }

  /** Entries wait while a first page is being read. */
  hold(): void {
    this.#held = true;
  }

  /** The page is in and ends at `head`: what came meanwhile follows. */
  release(head: number): void {
    this.#held = false;
    this.head = Math.max(this.head, head);
    this.#drain();
  }

  hear(entry: Entry): void {
    if (entry.seq <= this.head) return; // heard before
    this.#early.set(entry.seq, entry);
    if (!this.#held) this.#drain();
  }

  /** The gap is too long for the socket: reads the pages, again and again until that succeeds. */
  async resync(): Promise<void> {
    clearTimeout(this.#limit);
    clearTimeout(this.#again);
    this.#held = true;
    try {
      await this.#pages();
    } catch {
      // Nobody may write for a while, so no later entry would show the hole.
      if (!this.#over) this.#again = setTimeout(() => void this.resync(), PAGE_AGAIN_MS);
      return;
    } finally {
      this.#held = false;
      this.#filling = false;
    }
    this.#drain();
  }

  /** Nothing comes any more. */
  end(): void {
    this.#over = true;
    clearTimeout(this.#limit);
    clearTimeout(this.#again);
  }

  async #pages(): Promise<void> {
    for (let pages = 0; pages < MOST_PAGES; pages++) {
      const before = this.head;
      for (const entry of await this.#deps.page(before)) if (entry.seq > this.head) this.#next(entry);
      if (this.head === before) return;
    }
  }

  #drain(): void {
    for (const seq of this.#early.keys()) if (seq <= this.head) this.#early.delete(seq);
    for (let entry = this.#early.get(this.head + 1); entry; entry = this.#early.get(this.head + 1)) this.#next(entry);
    if (this.#early.size > 0) void this.#fill();
    else this.#filled();
  }

  #next(entry: Entry): void {
    this.#early.delete(entry.seq);
    this.head = entry.seq;
    this.#deps.take(entry);
  }

  async #fill(): Promise<void> {
    if (this.#filling) return;
    this.#filling = true;
    try {
      await this.#deps.replay(this.head);
    } catch {
      // Not connected: the next hello resumes from the head.
      this.#filling = false;
      return;
    }
    if (!this.#filling) return; // the replay came before its answer
    this.#limit = setTimeout(() => void this.resync(), REPLAY_LIMIT_MS);
  }

  #filled(): void {
    this.#filling = false;
    clearTimeout(this.#limit);
  }
}
