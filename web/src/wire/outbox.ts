//! The outbox: what was written and not yet acknowledged, kept in this tab until it is.

export interface Letter {
  client_id: string;
  text: string;
  /** When it was written, in milliseconds. */
  at: number;
  /** Why it will not be sent by itself any more; null while it still will. */
  failed: string | null;
}

export type Keep = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

/** More than a person writes while a connection is away; the oldest are never dropped, new ones are refused. */
export const OUTBOX_LIMIT = 200;

export class Outbox {
  readonly #key: string;
  readonly #keep: Keep;
  #letters: Letter[];

  constructor(room: string, keep: Keep) {
    this.#key = `maju.outbox.${room}`;
    this.#keep = keep;
    this.#letters = this.#read();
  }

  /** In the order of writing. */
  get letters(): readonly Letter[] {
    return this.#letters;
  }

  /** False when the outbox is full. A letter that is already there is left as it is. */
  add(letter: Letter): boolean {
    if (this.#letters.some((known) => known.client_id === letter.client_id)) return true;
    if (this.#letters.length >= OUTBOX_LIMIT) return false;
    this.#letters = [...this.#letters, letter];
    this.#write();
    return true;
  }

  /** Marks a letter as failed for a reason, or (null) as one to send again. */
  mark(clientId: string, failed: string | null): void {
    this.#letters = this.#letters.map((letter) => (letter.client_id === clientId ? { ...letter, failed } : letter));
    this.#write();
  }

  remove(clientId: string): void {
    const left = this.#letters.filter((letter) => letter.client_id !== clientId);
    if (left.length === this.#letters.length) return;
    this.#letters = left;
    this.#write();
  }

  clear(): void {
    this.#letters = [];
    this.#write();
  }

  #read(): Letter[] {
    try {
      const kept: unknown = JSON.parse(this.#keep.getItem(this.#key) ?? '[]');
      return Array.isArray(kept) ? kept.filter(isLetter) : [];
    } catch {
      return []; // what cannot be read was not written by this page
    }
  }

  #write(): void {
    try {
      if (this.#letters.length === 0) this.#keep.removeItem(this.#key);
      else this.#keep.setItem(this.#key, JSON.stringify(this.#letters));
    } catch {
      // A full or forbidden storage costs only the reload; the letters are still here.
    }
  }
}

function isLetter(value: unknown): value is Letter {
  const letter = value as Letter;
  return typeof letter?.client_id === 'string' && typeof letter.text === 'string' && typeof letter.at === 'number';
}
