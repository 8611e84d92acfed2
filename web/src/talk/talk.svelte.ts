//! A talk of two: who, what was said, whether they are there, and how it ends.
import { codeOf } from '../wire/error';
import type {
  EndReason,
  Entry,
  Event,
  Face,
  Fields,
  OpenSession,
  Pairing,
  Partner,
  ResumedRoom,
  Slot,
} from '../wire/frames';
import type { TalkDeps } from './deps';
import type { LastTalk } from './last.svelte';
import { Log } from './log';
import { Messages } from './messages.svelte';
import type { Row } from './row.svelte';
import { Sending } from './sending';
import { Signs } from './signs.svelte';

export type TalkState = 'open' | 'away' | 'ended';

const PAGE = 50;
const LOG_PAGE = 100;

export class Talk {
  readonly session: string;
  readonly room: string;
  readonly slot: Slot;
  readonly partner: Partner;
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
  reported = $state(false);
  blocked = $state(false);
  /** The last try to block was refused. */
  blockFailed = $state(false);
  /** We went, so nobody is said to have left us. */
  leftByMe = $state(false);
  loading = $state(false);
  loadFailed = $state(false);
  hasOlder = $state(false);
  /** How many messages of theirs have come while this page was open: the title and the jump button count by it. */
  heard = $state(0);

  /** A message that cannot be sent as it is written, on its way back to the field; `asked` when the person wants it there. */
  returned = $state.raw<{ row: Row; code: string; asked: boolean } | null>(null);

  readonly messages: Messages;
  readonly sending: Sending;
  readonly signs: Signs;
  readonly #log: Log;
  readonly #deps: TalkDeps;
  #myId: string | null = null;
  #entered = false;

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
    this.signs = new Signs(pairing.room, deps.ask);
    this.messages = new Messages((entry) => this.#isMine(entry));
    this.#log = new Log({
      take: (entry) => this.#take(entry),
      replay: async (after) => {
        try {
          const { resync } = await deps.ask('join', { room: this.room, after });
          if (resync) void this.#log.resync();
        } catch (error) {
          if (codeOf(error) === 'age_gate') deps.onAgeGate();
          throw error;
        }
      },
      page: async (after) => (await deps.api.log(this.room, { after, limit: LOG_PAGE })).items,
    });
    this.sending = new Sending({
      room: this.room,
      ask: deps.ask,
      messages: this.messages,
      outbox: deps.outbox,
      onClosed: () => this.finish('gone'),
      onAgeGate: () => deps.onAgeGate(),
      onRefused: (row, code) => (this.returned = { row, code, asked: false }),
    });
  }

  /** A talk that is over, to be read again. */
  static archived(deps: TalkDeps, talk: LastTalk): Talk {
    const read = new Talk(deps, { ...talk, you: null, shared: [], languages: [], relaxed: false });
    read.state = 'ended';
    read.reported = talk.deed?.reported ?? false;
    read.blocked = talk.deed?.blocked ?? false;
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
    } catch (error) {
      const code = codeOf(error);
      if (code === 'closed' || code === 'forbidden' || code === 'not_found') this.finish('gone');
      else if (code === 'age_gate') this.#deps.onAgeGate();
      // Without a connection the next hello enters again.
      else if (code !== 'disconnected') this.loadFailed = true;
    } finally {
      this.loading = false;
    }
  }

  /** The rules were accepted: on from where the server stopped us. */
  accepted(): void {
    if (this.state !== 'ended') void (this.#entered ? this.enter() : this.comeBack());
  }

  /** The rules were not accepted: nothing is lost, and all can be tried again. */
  declined(): void {
    if (this.state === 'ended') return;
    if (this.#entered) this.sending.giveUp('age_gate');
    else this.loadFailed = true;
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
    this.signs.theyStopped();
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
        if (event.room === this.room && !this.#own(event.sender)) this.signs.theyType();
        break;
      case 'read':
        if (event.room === this.room && event.member === this.partner.id) this.signs.theySaw(event.seq);
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
    this.signs.sent();
    return this.sending.post(this.#deps.newId(), text, Date.now());
  }

  /** The person wants to write a refused message differently. */
  rewrite(row: Row): void {
    this.returned = { row, code: row.reason ?? 'bad_payload', asked: true };
  }

  /** The person is writing. */
  typed(): void {
    if (this.state === 'open') this.signs.typed();
  }

  /** The reader has seen everything up to an entry. */
  saw(seq: number): void {
    if (this.#entered && this.state !== 'ended') this.signs.saw(seq);
  }

  /** Ends the talk, and with `seek` lets the server look for the next person at once. */
  async next(seek: boolean): Promise<void> {
    this.leftByMe = true; // the event of the end may come before the answer
    await this.#deps.ask('next', { session: this.session, seek });
    this.finish('next', true);
  }

  async report(what: Omit<Fields<'report'>, 'room'>): Promise<void> {
    const before = { reported: this.reported, blocked: this.blocked };
    this.reported = true; // the event of the end may come before the answer, here and in other tabs
    this.#deps.did(this.session, { reported: true, blocked: before.blocked || what.block });
    try {
      await this.#deps.ask('report', { room: this.room, ...what });
    } catch (error) {
      if (this.state !== 'ended' || this.endedBy !== 'report') {
        this.reported = before.reported;
        this.#deps.did(this.session, before);
      }
      throw error;
    }
    if (what.block) this.blocked = true;
    this.finish('report');
  }

  /** The two never meet again. An open talk ends. */
  async block(): Promise<void> {
    const before = { reported: this.reported, blocked: this.blocked };
    this.blocked = true;
    this.blockFailed = false;
    this.#deps.did(this.session, { ...before, blocked: true });
    try {
      await this.#deps.ask('block', { room: this.room, sender: this.partner.id });
    } catch (error) {
      this.blocked = before.blocked;
      this.blockFailed = true;
      this.#deps.did(this.session, before);
      throw error;
    }
    this.finish('block');
  }

  /** The end, whoever brought it. */
  finish(reason: EndReason | 'gone', silent = false): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.endedBy = this.#theirs(reason) ? 'left' : reason;
    this.awayUntil = null;
    this.signs.theyStopped();
    this.sending.end('left');
    this.#log.end();
    if (!silent) this.#deps.onEnd(this);
  }

  /** A report or a block that is not this person's own: no more is shown than that the other one left. */
  #theirs(reason: EndReason | 'gone'): boolean {
    if (reason !== 'report' && reason !== 'block') return false;
    const { reported, blocked } = this.#deps.deed(this.session);
    this.reported ||= reported;
    this.blocked ||= blocked;
    return !this.reported && !this.blocked;
  }

  #partner(state: 'away' | 'back' | 'left', until: number | null): void {
    if (this.state === 'ended') return;
    if (state === 'left') return this.finish('left');
    this.state = state === 'away' ? 'away' : 'open';
    this.awayUntil = state === 'away' ? until : null;
    if (state === 'away') this.signs.theyStopped();
    else this.signs.tellRead();
    this.#deps.onPartner(this, state);
  }

  #take(entry: Entry): void {
    const row = this.messages.take(entry);
    if (entry.type === 'message' && this.#isMine(entry)) this.sending.arrived(entry.client_id);
    if (!row) return;
    this.signs.theyStopped();
    this.heard++;
    if (!row.unknown) this.#deps.onMessage(this, row.text);
  }

  #isMine(entry: Entry): boolean {
    return this.#own(entry.sender);
  }

  #own(sender: Entry['sender']): boolean {
    return sender.slot === undefined ? sender.id === this.#myId : sender.slot === this.slot;
  }
}

function stamp(at: string | null | undefined): number | null {
  return at ? Date.parse(at) : null;
}
