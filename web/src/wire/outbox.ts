//! The outbox: messages that the server has not acknowledged yet, stored in this tab for the visitor
//! who wrote them.

export interface OutboxMessage {
  client_id: string;
  text: string;
  /** When it was written, in milliseconds. */
  at: number;
  /** Why it is no longer sent automatically; `null` while it still is. */
  failed: string | null;
}

export type SimpleStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

/**
 * More than a person writes during an outage. A full outbox refuses new messages and never drops
 * old ones.
 */
export const MAX_OUTBOX_MESSAGES = 200;

/** What the keys of a visitor's outboxes begin with. */
export const outboxesOf = (owner: string): string => `maju.outbox.${owner}.`;

export class Outbox {
  readonly #key: string;
  readonly #storage: SimpleStorage;
  #messages: OutboxMessage[];

  /** `owner` is the id of the visitor who writes. */
  constructor(owner: string, room: string, storage: SimpleStorage) {
    this.#key = outboxesOf(owner) + room;
    this.#storage = storage;
    this.#messages = this.#read();
  }

  /** The messages in the order in which they were written. */
  get messages(): readonly OutboxMessage[] {
    return this.#messages;
  }

  /** Adds a message, unless it is already there. Returns `false` if the outbox is full. */
  add(message: OutboxMessage): boolean {
    if (this.#messages.some((known) => known.client_id === message.client_id)) return true;
    if (this.#messages.length >= MAX_OUTBOX_MESSAGES) return false;
    this.#messages = [...this.#messages, message];
    this.#write();
    return true;
  }

  /** Marks a message as failed for a reason, or with `null` as one to send again. */
  mark(clientId: string, failed: string | null): void {
    this.#messages = this.#messages.map((message) =>
      message.client_id === clientId ? { ...message, failed } : message,
    );
    this.#write();
  }

  remove(clientId: string): void {
    const left = this.#messages.filter((message) => message.client_id !== clientId);
    if (left.length === this.#messages.length) return;
    this.#messages = left;
    this.#write();
  }

  clear(): void {
    this.#messages = [];
    this.#write();
  }

  #read(): OutboxMessage[] {
    try {
      const stored: unknown = JSON.parse(this.#storage.getItem(this.#key) ?? '[]');
      return Array.isArray(stored) ? stored.filter(isOutboxMessage) : [];
    } catch {
      return []; // invalid JSON was not written by this page
    }
  }

  #write(): void {
    try {
      if (this.#messages.length === 0) this.#storage.removeItem(this.#key);
      else this.#storage.setItem(this.#key, JSON.stringify(this.#messages));
    } catch {
      // With a full or forbidden storage the messages are lost only by a reload.
    }
  }
}

function isOutboxMessage(value: unknown): value is OutboxMessage {
  const message = value as OutboxMessage;
  return typeof message?.client_id === 'string' && typeof message.text === 'string' && typeof message.at === 'number';
}
