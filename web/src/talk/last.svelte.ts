//! The list of last talks: those that can still be read or reported, stored on this device. Each
//! belongs to the visitor who had it, so that nobody else in this browser sees it in the list.
import { readJson, type KeyValueStore } from '../ui/storage';
import type { Pairing, Partner, Slot } from '../wire/frames';
import { TALK_READABLE_AFTER_END_MS } from '../wire/limits';

export interface LastTalk {
  /** The id of the visitor who had the talk. */
  owner: string;
  room: string;
  session: string;
  partner: Partner;
  /** This visitor's slot, to tell the two sides apart when reading. */
  slot: Slot;
  /** In milliseconds since the epoch; `null` while the talk is open. */
  ended_at: number | null;
  /** What this visitor did about the partner, so that every tab knows who caused the end. */
  actions?: OwnActions;
}

export interface OwnActions {
  reported: boolean;
  blocked: boolean;
}

const KEY = 'maju.talks';
const MAX_TALKS = 50;

export class LastTalks {
  /** The id of this visitor, or `null` until the server has told it. */
  owner = $state<string | null>(null);
  /** The talks of everybody who used this browser. */
  all = $state.raw<LastTalk[]>([]);
  /** The ended talks of this visitor, newest first. */
  readonly ended = $derived(this.all.filter((talk) => talk.owner === this.owner && talk.ended_at !== null));
  readonly #store: KeyValueStore;

  constructor(store: KeyValueStore) {
    this.#store = store;
    this.removeExpired();
  }

  find(session: string): LastTalk | undefined {
    return this.all.find((talk) => talk.owner === this.owner && talk.session === session);
  }

  /**
   * Stores a talk when it starts, so that a partner can be reported even after the tab was closed.
   */
  add({ room, session, partner, slot }: Pairing): void {
    const { owner } = this;
    if (owner === null) return;
    const { id, name, color, animal } = partner;
    const talk = { owner, room, session, partner: { id, name, color, animal }, slot, ended_at: null };
    this.#write([talk, ...this.#read().filter((known) => known.session !== session)]);
  }

  /** Returns `true` if a talk is open, as far as this device knows. */
  hasOpen(): boolean {
    return this.all.some((talk) => talk.ended_at === null);
  }

  markEnded(session: string): void {
    this.#markEnded((talk) => talk.session === session);
  }

  /**
   * Marks all talks but one as ended: the server knows at most one open talk, so the others ended
   * meanwhile, or end soon because nobody here is in them.
   */
  markEndedExcept(open: string | null): void {
    this.#markEnded((talk) => talk.session !== open);
  }

  /** Removes the talks of a visitor, because they signed out of this browser. */
  forget(owner: string): void {
    this.#write(this.#read().filter((talk) => talk.owner !== owner));
  }

  #markEnded(isEnded: (talk: LastTalk) => boolean): void {
    const now = Date.now();
    this.#write(this.#read().map((talk) => (isEnded(talk) ? { ...talk, ended_at: talk.ended_at ?? now } : talk)));
  }

  /** Returns whether this visitor reported or blocked the partner of a talk, in any tab. */
  ownActions(session: string): OwnActions {
    return this.#read().find((talk) => talk.session === session)?.actions ?? { reported: false, blocked: false };
  }

  recordActions(session: string, actions: OwnActions): void {
    this.#write(this.#read().map((talk) => (talk.session === session ? { ...talk, actions } : talk)));
  }

  remove(session: string): void {
    this.#write(this.#read().filter((talk) => talk.session !== session));
  }

  removeExpired(): void {
    this.#write(this.#read());
  }

  /** Reads the storage each time, because another tab can have changed it. */
  #read(): LastTalk[] {
    const stored = readJson(this.#store, KEY);
    return Array.isArray(stored) ? stored.filter(isLastTalk) : [];
  }

  #write(talks: LastTalk[]): void {
    const oldest = Date.now() - TALK_READABLE_AFTER_END_MS;
    this.all = talks.filter((talk) => talk.ended_at === null || talk.ended_at > oldest).slice(0, MAX_TALKS);
    this.#store.set(KEY, this.all.length > 0 ? JSON.stringify(this.all) : null);
  }
}

function isLastTalk(value: unknown): value is LastTalk {
  const talk = value as LastTalk;
  return (
    typeof talk?.owner === 'string' &&
    typeof talk.room === 'string' &&
    typeof talk.session === 'string' &&
    typeof talk.partner?.id === 'string' &&
    typeof talk.partner.name === 'string' &&
    (talk.ended_at === null || typeof talk.ended_at === 'number')
  );
}
