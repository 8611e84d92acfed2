//! Unfinished messages, one for each talk, kept as long as the tab. One of an ended talk can be
//! carried into the next. They belong to the visitor who wrote them: an account keeps its visitor
//! when it signs in again, and anybody else in this browser is another visitor.
import { readJson, type KeyValueStore } from '../ui/storage';

interface Carried {
  /** The talk in which it was written. */
  room: string;
  text: string;
}

/** What the keys of a visitor's unfinished messages begin with. */
export const draftsOf = (owner: string): string => `maju.draft.${owner}.`;

export class Drafts {
  readonly #store: KeyValueStore;
  readonly #prefix: string;

  /** `owner` is the id of the visitor who writes. */
  constructor(store: KeyValueStore, owner: string) {
    this.#store = store;
    this.#prefix = draftsOf(owner);
  }

  /** Returns the unfinished message of a talk, or an empty text. */
  get(room: string): string {
    return this.#store.get(this.#prefix + room) ?? '';
  }

  set(room: string, text: string): void {
    this.#store.set(this.#prefix + room, text === '' ? null : text);
  }

  /** Keeps the unfinished message of an ended talk for the next one. */
  carry(room: string): void {
    const text = this.get(room);
    if (text !== '') this.#store.set(this.#carriedKey, JSON.stringify({ room, text } satisfies Carried));
  }

  /** Does not use it in the next talk after all. The message itself stays. */
  leave(room: string): void {
    if (this.isCarried(room)) this.#store.set(this.#carriedKey, null);
  }

  isCarried(room: string): boolean {
    return this.#carried()?.room === room;
  }

  /**
   * Returns the text with which the field of a talk begins: its own unfinished message, otherwise
   * the one that was carried, which then belongs to this talk.
   */
  begin(room: string): string {
    const own = this.get(room);
    if (own !== '') return own;
    const carried = this.#carried();
    if (carried === null || carried.room === room) return '';
    this.#store.set(this.#carriedKey, null);
    this.set(carried.room, '');
    this.set(room, carried.text);
    return carried.text;
  }

  get #carriedKey(): string {
    return `${this.#prefix}next`;
  }

  #carried(): Carried | null {
    const value = readJson(this.#store, this.#carriedKey) as Partial<Carried> | null;
    if (typeof value?.room !== 'string' || typeof value.text !== 'string') return null;
    return { room: value.room, text: value.text };
  }
}
