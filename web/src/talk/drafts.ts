//! Unfinished messages, one for each talk, kept as long as the tab. One of an ended talk can be
//! carried into the next.
import { readJson, tabStore, type KeyValueStore } from '../ui/storage';

const CARRIED = 'maju.draft.next';
const key = (room: string): string => `maju.draft.${room}`;

interface Carried {
  /** The talk in which it was written. */
  room: string;
  text: string;
}

export class Drafts {
  readonly #store: KeyValueStore;

  constructor(store: KeyValueStore) {
    this.#store = store;
  }

  /** Returns the unfinished message of a talk, or an empty text. */
  get(room: string): string {
    return this.#store.get(key(room)) ?? '';
  }

  set(room: string, text: string): void {
    this.#store.set(key(room), text === '' ? null : text);
  }

  /** Keeps the unfinished message of an ended talk for the next one. */
  carry(room: string): void {
    const text = this.get(room);
    if (text !== '') this.#store.set(CARRIED, JSON.stringify({ room, text } satisfies Carried));
  }

  /** Does not use it in the next talk after all. The message itself stays. */
  leave(room: string): void {
    if (this.isCarried(room)) this.#store.set(CARRIED, null);
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
    this.#store.set(CARRIED, null);
    this.set(carried.room, '');
    this.set(room, carried.text);
    return carried.text;
  }

  #carried(): Carried | null {
    const value = readJson(this.#store, CARRIED) as Partial<Carried> | null;
    if (typeof value?.room !== 'string' || typeof value.text !== 'string') return null;
    return { room: value.room, text: value.text };
  }
}

export const drafts = new Drafts(tabStore);
