//! For tests: a socket with the test in the server's place, and a storage in memory.
import type { ClientFrame, Event, HelloOk } from './frames';

type Numbered = ClientFrame & { id: number };

export class FakeSocket {
  static all: FakeSocket[] = [];
  static get last(): FakeSocket {
    const last = FakeSocket.all.at(-1);
    if (!last) throw new Error('no socket was opened');
    return last;
  }

  onopen: (() => void) | null = null;
  onmessage: ((frame: { data: string }) => void) | null = null;
  onclose: ((close: { code: number; reason: string }) => void) | null = null;
  closed = false;
  readyState = 1;
  readonly sent: Numbered[] = [];

  constructor() {
    FakeSocket.all.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Numbered);
  }

  close(): void {
    this.closed = true;
  }

  // What the server does.

  async accept(hello: Partial<HelloOk> = {}): Promise<void> {
    this.onopen?.();
    await this.answer('hello', {
      visitor: { id: 'v', name: 'n', color: 'pine', animal: 'otter', locale: 'ko', account: null },
      heartbeat_ms: 25_000,
      server_time: new Date().toISOString(),
      session: null,
      seeking: null,
      rooms: [],
      ...hello,
    });
  }

  frames<T extends ClientFrame['type']>(type: T): (Extract<ClientFrame, { type: T }> & { id: number })[] {
    return this.sent.filter((frame) => frame.type === type) as (Extract<ClientFrame, { type: T }> & { id: number })[];
  }

  /** Answers the newest request of a type. */
  async answer(type: ClientFrame['type'], ok: object): Promise<void> {
    this.deliver({ re: this.frames(type).at(-1)?.id, ok });
    await settled();
  }

  async refuse(type: ClientFrame['type'], code: string, retryAfterMs?: number, field?: string): Promise<void> {
    const retry = retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs };
    const error = { code, message: code, ...retry, ...(field === undefined ? {} : { field }) };
    this.deliver({ re: this.frames(type).at(-1)?.id, error });
    await settled();
  }

  async event(event: Event): Promise<void> {
    this.deliver(event);
    await settled();
  }

  deliver(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  async drop(code = 1006, reason = ''): Promise<void> {
    this.onclose?.({ code, reason });
    await settled();
  }
}

export const openFake = (): WebSocket => new FakeSocket() as unknown as WebSocket;

/** Runs all pending promise callbacks. Timers do not advance. */
export async function settled(): Promise<void> {
  for (let turns = 0; turns < 20; turns++) await Promise.resolve();
}

/** A store of its own for each test. */
export class FakeStorage {
  readonly items = new Map<string, string>();
  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }
  removeItem(key: string): void {
    this.items.delete(key);
  }
}
