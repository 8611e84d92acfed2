//! A talk of two: who, what was said, whether they are there, and how it ends.
import type { Api } from '../wire/api';
import { codeOf } from '../wire/error';
import type { EndReason, Entry, Event, Face, Fields, OpenSession, Pairing, ResumedRoom, Slot } from '../wire/frames';
import type { Outbox } from '../wire/outbox';
import type { Socket } from '../wire/socket';
import type { LastTalk } from './last.svelte';
import { Log } from './log';
import { Messages } from './messages.svelte';
import type { Row } from './row.svelte';
import { Sending } from './sending';

export type TalkState = 'open' | 'away' | 'ended';

const TYPING_EVERY_MS = 3_000;
const TYPING_LASTS_MS = 6_000;
const PAGE = 50;
const LOG_PAGE = 100;

export interface TalkDeps {
  ask: Socket['ask'];
  api: Pick<Api, 'messages' | 'log'>;
  outbox: Outbox;
  newId(): string;
  /** An interest as the reader wrote it. */
  spell(topic: string): string;
  /** A message of theirs has arrived, live. */
  onMessage(talk: Talk, text: string): void;
  onPartner(talk: Talk, state: 'away' | 'back'): void;
  onEnd(talk: Talk): void;
}

export class Talk {
  readonly session: string;
  readonly room: string;
  readonly slot: Slot;
  readonly partner: Face;
  readonly you: Face | null;
  /** As the server compares them; `topics` are the same as this person spelled them. */
  readonly shared: readonly string[];
  readonly topics: readonly string[];
  readonly languages: readonly string[];
  readonly relaxed: boolean;

  state = $state<TalkState>('open');
  /** When they must be back, in the server's time. */
  awayUntil = $state<number | null>(null);
  endedBy = $state<EndReason | 'gone' | null>(null);
  typing = $state(false);
  reported = $state(false);
  blocked = $state(false);
  /** We went, so nobody is said to have left us. */
  leftByMe = $state(false);
  /** How far they have read, as far as they have told us. */
  theyRead = $state(0);
  loading = $state(false);
  loadFailed = $state(false);
  hasOlder = $state(false);
  /** How many messages of theirs have come while this page was open: the title and the jump button count by it. */
  heard = $state(0);

  readonly messages: Messages;
  readonly sending: Sending;
  readonly #log: Log;
  readonly #deps: TalkDeps;
  #myId: string | null = null;
  #theirId: string | null;
  #readUpTo = 0;
  #entered = false;
  #typedAt = -Infinity;
  #typingEnds: ReturnType<typeof setTimeout> | undefined;

  constructor(deps: TalkDeps, pairing: Omit<Pairing, 'you'> & { you: Face | null }) {
    this.#deps = deps;
    this.session = pairing.session;
    this.room = pairing.room;
    this.slot = pairing.slot;
    this.partner = pairing.partner;
    this.you = pairing.you;
    this.shared = pairing.shared;
    this.topics = pairing.shared.map((topic) => deps.spell(topic));
    this.languages = pairing.languages ?? [];
    this.relaxed = pairing.relaxed;
    this.#theirId = pairing.partner.id ?? null;
    this.messages = new Messages((entry) => this.#isMine(entry));
    this.#log = new Log({
      take: (entry) => this.#take(entry),
      replay: async (after) => {
        const { resync } = await deps.ask('join', { room: this.room, after });
        if (resync) void this.#log.resync();
      },
      page: async (after) => (await deps.api.log(this.room, { after, limit: LOG_PAGE })).items,
    });
    this.sending = new Sending({
      room: this.room,
      ask: deps.ask,
      messages: this.messages,
      outbox: deps.outbox,
      onClosed: () => this.finish('gone'),
    });
  }

  /** A talk that is over, to be read again. */
  static archived(deps: TalkDeps, talk: LastTalk): Talk {
    const read = new Talk(deps, { ...talk, you: null, shared: [], languages: [], relaxed: false });
    read.state = 'ended';
    return read;
  }

  /** Where to take up again after a reconnect; null before the first entry or after the end. */
  get resumePoint(): { room: string; after: number } | null {
    return this.#entered && this.state !== 'ended' ? { room: this.room, after: this.#log.head } : null;
  }

  /** Sits down in a talk that has just begun, or again where the server has forgotten this connection. */
  async enter(): Promise<void> {
    await this.#join(async () => {
      const ok = await this.#deps.ask('join', { room: this.room, after: this.#log.head });
      this.#myId = ok.you?.id ?? null;
      if (ok.resync) void this.#log.resync();
    });
  }

  /** Comes back to a talk after a reload: the newest page first, older ones on demand. */
  async comeBack(): Promise<void> {
    this.sending.restore();
    await this.#join(async () => {
      this.#log.hold();
      const ok = await this.#deps.ask('join', { room: this.room });
      this.#myId = ok.you?.id ?? null;
      await this.#newest();
      this.#log.release(ok.head);
    });
  }

  async #join(how: () => Promise<void>): Promise<void> {
    this.loading = true;
    this.loadFailed = false;
    try {
      await how();
      this.#entered = true;
      this.sending.opened();
      this.#tellRead();
    } catch (error) {
      const code = codeOf(error);
      if (code === 'closed' || code === 'forbidden' || code === 'not_found') this.finish('gone');
      // Without a connection the next hello enters again.
      else if (code !== 'disconnected') this.loadFailed = true;
    } finally {
      this.loading = false;
    }
  }

  /** Reads the newest page of a talk that is over. False when it cannot be read any more. */
  async read(): Promise<boolean> {
    this.loading = true;
    try {
      await this.#newest();
      return true;
    } catch {
      return false;
    } finally {
      this.loading = false;
    }
  }

  async older(): Promise<void> {
    const before = this.messages.firstSeq;
    if (this.loading || !this.hasOlder || before === null) return;
    this.loading = true;
    try {
      const page = await this.#deps.api.messages(this.room, { before, limit: PAGE });
      this.messages.takePage(page.items);
      this.hasOlder = page.items.length > 0 && (page.items[0]?.seq ?? 1) > 1;
    } catch {
      this.hasOlder = true; // the next scroll asks again
    } finally {
      this.loading = false;
    }
  }

  async #newest(): Promise<void> {
    const page = await this.#deps.api.messages(this.room, { limit: PAGE });
    this.messages.takePage(page.items);
    this.hasOlder = page.items.length > 0 && (page.items[0]?.seq ?? 1) > 1;
  }

  /** The server's view after a reconnect. */
  resumed(session: OpenSession, room: ResumedRoom | undefined): void {
    this.state = session.state;
    this.awayUntil = session.state === 'away' ? stamp(session.partner_until) : null;
    if (!this.#entered) void this.comeBack();
    else if (room === undefined) void this.enter();
    else {
      if ('resync' in room) void this.#log.resync();
      this.sending.opened();
    }
  }

  disconnected(): void {
    this.sending.closed();
    this.#stopTyping();
  }

  hear(event: Event): void {
    switch (event.type) {
      case 'message':
      case 'edited':
      case 'deleted':
      case 'reacted':
        if (event.room === this.room) this.#log.hear(event);
        break;
      case 'typing':
        if (event.room === this.room && !this.#own(event.sender)) {
          this.#theirId = event.sender.id;
          this.#showTyping();
        }
        break;
      case 'read':
        if (event.room === this.room && event.member !== this.#myId) this.#theyHaveRead(event.member, event.seq);
        break;
      case 'resync':
        if (event.room === this.room) void this.#log.resync();
        break;
      case 'partner':
        if (event.session === this.session) this.#partner(event.state, stamp(event.until));
        break;
      case 'ended':
        if (event.session === this.session) this.finish(event.reason, this.leftByMe);
        break;
      default:
    }
  }

  post(text: string): Row {
    this.#typedAt = -Infinity;
    return this.sending.post(this.#deps.newId(), text, Date.now());
  }

  /** The person is writing: told to the other side at most every three seconds. */
  typed(): void {
    const now = Date.now();
    if (this.state !== 'open' || now - this.#typedAt < TYPING_EVERY_MS) return;
    this.#typedAt = now;
    this.#deps.ask('typing', { room: this.room }).catch(() => undefined);
  }

  /** The reader has seen everything up to an entry: told to the other side, once and never backwards. */
  saw(seq: number): void {
    if (seq <= this.#readUpTo || this.state === 'ended' || !this.#entered) return;
    this.#readUpTo = seq;
    this.#tellRead();
  }

  /** Ends the talk, and with `seek` lets the server look for the next person at once. */
  async next(seek: boolean): Promise<void> {
    this.leftByMe = true; // the event of the end may come before the answer
    await this.#deps.ask('next', { session: this.session, seek });
    this.finish('next', true);
  }

  async report(what: Omit<Fields<'report'>, 'room'>): Promise<void> {
    const before = this.reported;
    this.reported = true;
    try {
      await this.#deps.ask('report', { room: this.room, ...what });
    } catch (error) {
      if (this.state !== 'ended' || this.endedBy !== 'report') this.reported = before;
      throw error;
    }
    if (what.block) this.blocked = true;
    this.finish('report');
  }

  /** Whether the other side can be named to the server, which a block needs. */
  get canBlock(): boolean {
    return this.#theirId !== null && !this.blocked;
  }

  /** The two never meet again. An open talk ends. */
  async block(): Promise<void> {
    if (this.#theirId === null) return;
    this.blocked = true;
    try {
      await this.#deps.ask('block', { room: this.room, sender: this.#theirId });
    } catch (error) {
      this.blocked = false;
      throw error;
    }
    this.finish('block');
  }

  /** The end, whoever brought it. */
  finish(reason: EndReason | 'gone', silent = false): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.endedBy = reason;
    this.awayUntil = null;
    this.#stopTyping();
    this.sending.end('left');
    this.#log.end();
    if (!silent) this.#deps.onEnd(this);
  }

  #partner(state: 'away' | 'back' | 'left', until: number | null): void {
    if (this.state === 'ended') return;
    if (state === 'left') return this.finish('left');
    this.state = state === 'away' ? 'away' : 'open';
    this.awayUntil = state === 'away' ? until : null;
    if (state === 'away') this.#stopTyping();
    else this.#tellRead();
    this.#deps.onPartner(this, state);
  }

  /** Who has just come does not know how far we have read, nor who we are in this room: a block needs that. */
  #tellRead(): void {
    this.#deps.ask('read', { room: this.room, seq: this.#readUpTo }).catch(() => undefined);
  }

  #theyHaveRead(member: string, seq: number): void {
    // The one who entered first has told nobody: tell the second.
    if (this.#theirId !== member) this.#tellRead();
    this.#theirId = member;
    this.theyRead = Math.max(this.theyRead, seq);
  }

  #take(entry: Entry): void {
    const row = this.messages.take(entry);
    if (entry.type === 'message' && this.#isMine(entry)) this.sending.arrived(entry.client_id);
    if (!row) return;
    this.#stopTyping();
    this.heard++;
    if (!row.unknown) this.#deps.onMessage(this, row.text);
  }

  #isMine(entry: Entry): boolean {
    const own = this.#own(entry.sender);
    if (!own) this.#theirId = entry.sender.id;
    return own;
  }

  #own(sender: Entry['sender']): boolean {
    return sender.slot === undefined ? sender.id === this.#myId : sender.slot === this.slot;
  }

  #showTyping(): void {
    clearTimeout(this.#typingEnds);
    this.typing = true;
    this.#typingEnds = setTimeout(() => (this.typing = false), TYPING_LASTS_MS);
  }

  #stopTyping(): void {
    clearTimeout(this.#typingEnds);
    this.typing = false;
  }
}

function stamp(at: string | null | undefined): number | null {
  return at ? Date.parse(at) : null;
}
