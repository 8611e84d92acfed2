//! For tests: a socket whose other end the test plays.
import type { ClientFrame, Event, HelloOk } from './frames';

type Numbered = ClientFrame & { id: number };

export class FakeSocket {
  static all: FakeSocket[] = [];
  static get last(): FakeSocket {
    const last = FakeSocket.all.at(-1);
    if (!last) throw new Error('nobody has connected');
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

  // The server's side.

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

  /** Answers the newest frame of a kind. */
  async answer(type: ClientFrame['type'], ok: object): Promise<void> {
    this.hear({ re: this.frames(type).at(-1)?.id, ok });
    await settled();
  }

  async refuse(type: ClientFrame['type'], code: string, retryAfterMs?: number, field?: string): Promise<void> {
    const wait = retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs };
    const error = { code, message: code, ...wait, ...(field === undefined ? {} : { field }) };
    this.hear({ re: this.frames(type).at(-1)?.id, error });
    await settled();
  }

  async event(event: Event): Promise<void> {
    this.hear(event);
    await settled();
  }

  hear(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  async drop(code = 1006, reason = ''): Promise<void> {
    this.onclose?.({ code, reason });
    await settled();
  }
}

export const openFake = (): WebSocket => new FakeSocket() as unknown as WebSocket;

/** Lets every promise that can go on do so; timers stand still. */
export async function settled(): Promise<void> {
  for (let turns = 0; turns < 20; turns++) await Promise.resolve();
}

/** A shelf of its own for each test. */
export class FakeKeep {
  readonly kept = new Map<string, string>();
  getItem(key: string): string | null {
    return this.kept.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.kept.set(key, value);
  }
  removeItem(key: string): void {
    this.kept.delete(key);
  }
}
