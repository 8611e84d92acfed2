//! Which messages of the open talk the person has seen, to count the others while they are in the
//! lobby or read an old talk.
import type { Talk } from '../talk/talk.svelte';
import { lastSeq } from '../talk/unread.svelte';

export class Seen {
  #session: string | null = null;
  #seq = $state(0);

  /** The talk is on the screen, so all of its messages are seen. */
  show(talk: Talk): void {
    this.#session = talk.session;
    this.#seq = lastSeq(talk.messages.rows);
  }

  /** Returns the number of the partner's messages that arrived after the talk was last shown. */
  unread(talk: Talk): number {
    const seen = talk.session === this.#session ? this.#seq : 0;
    return talk.messages.rows.filter((row) => !row.mine && row.seq !== null && row.seq > seen).length;
  }
}

export const seen = new Seen();
