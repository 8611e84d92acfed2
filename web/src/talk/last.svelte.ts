//! Last talks: which ones can still be read or reported, kept on this device for 24 hours.
import { readJson, type Shelf } from '../ui/keep';
import type { Pairing, Partner, Slot } from '../wire/frames';

export interface LastTalk {
  room: string;
  session: string;
  partner: Partner;
  /** Which of the two seats was ours, to tell the sides apart when reading. */
  slot: Slot;
  /** In milliseconds; null while it is open. */
  ended_at: number | null;
  /** What this person did about the other one, so that every tab knows whose deed the end was. */
  deed?: Deed;
}

export interface Deed {
  reported: boolean;
  blocked: boolean;
}

const KEY = 'maju.talks';
export const KEPT_MS = 24 * 60 * 60 * 1000;
const MOST = 50;

export class LastTalks {
  all = $state.raw<LastTalk[]>([]);
  /** Newest first, without the open one. */
  readonly ended = $derived(this.all.filter((talk) => talk.ended_at !== null));
  readonly #shelf: Shelf;

  constructor(shelf: Shelf) {
    this.#shelf = shelf;
    this.sweep();
  }

  find(session: string): LastTalk | undefined {
    return this.all.find((talk) => talk.session === session);
  }

  /** Written down at the start, so that a closed tab can still report. */
  opened({ room, session, partner, slot }: Pairing): void {
    const { id, name, color, animal } = partner;
    const talk = { room, session, partner: { id, name, color, animal }, slot, ended_at: null };
    this.#write([talk, ...this.#read().filter((known) => known.session !== session)]);
  }

  over(session: string): void {
    const now = Date.now();
    this.#write(
      this.#read().map((talk) => (talk.session === session ? { ...talk, ended_at: talk.ended_at ?? now } : talk)),
    );
  }

  /** The server knows of one open talk at most: any other has ended while we were away. */
  settle(open: string | null): void {
    const now = Date.now();
    this.#write(
      this.#read().map((talk) => (talk.session !== open && talk.ended_at === null ? { ...talk, ended_at: now } : talk)),
    );
  }

  deed(session: string): Deed {
    return this.#read().find((talk) => talk.session === session)?.deed ?? { reported: false, blocked: false };
  }

  did(session: string, deed: Deed): void {
    this.#write(this.#read().map((talk) => (talk.session === session ? { ...talk, deed } : talk)));
  }

  forget(session: string): void {
    this.#write(this.#read().filter((talk) => talk.session !== session));
  }

  sweep(): void {
    this.#write(this.#read());
  }

  /** Read anew each time: another tab may have written. */
  #read(): LastTalk[] {
    const kept = readJson(this.#shelf, KEY);
    return Array.isArray(kept) ? kept.filter(isLastTalk) : [];
  }

  #write(talks: LastTalk[]): void {
    const oldest = Date.now() - KEPT_MS;
    this.all = talks.filter((talk) => talk.ended_at === null || talk.ended_at > oldest).slice(0, MOST);
    this.#shelf.set(KEY, this.all.length > 0 ? JSON.stringify(this.all) : null);
  }
}

function isLastTalk(value: unknown): value is LastTalk {
  const talk = value as LastTalk;
  return (
    typeof talk?.room === 'string' &&
    typeof talk.session === 'string' &&
    typeof talk.partner?.id === 'string' &&
    typeof talk.partner.name === 'string' &&
    (talk.ended_at === null || typeof talk.ended_at === 'number')
  );
}
