//! A talk of two: the partner, the messages, whether the partner is connected, and how the talk
//! ends.
import { codeOf } from '../wire/error';
import {
  isEntry,
  isMessage,
  type EndReason,
  type Entry,
  type Event,
  type Face,
  type MessageEvent,
  type OpenSession,
  type Pairing,
  type Partner,
  type ResumedRoom,
  type Sender,
  type Slot,
} from '../wire/frames';
import { MAX_PAGE_ITEMS } from '../wire/limits';
import type { TalkDeps } from './deps';
import type { Drafts } from './drafts';
import { Indicators } from './indicators.svelte';
import type { LastTalk } from './last.svelte';
import { Log } from './log';
import { Messages } from './messages.svelte';
import type { Row } from './row.svelte';
import { Safety } from './safety.svelte';
import { Sending } from './sending';

export type TalkState = 'open' | 'away' | 'ended';

/** `gone`: the page learned only afterwards that the talk had ended. */
export type TalkEndReason = EndReason | 'gone';

/** The number of messages that are loaded at once. */
const PAGE_ROWS = 50;

export class Talk {
  readonly session: string;
  readonly room: string;
  readonly slot: Slot;
  readonly partner: Partner;
  readonly you: Face | null;
  /**
   * The shared interests in lower case, as the server sends them. `interests` has the same ones in
   * the spelling of this visitor.
   */
  readonly shared: readonly string[];
  readonly interests: readonly string[];
  readonly languages: readonly string[];
  readonly relaxed: boolean;

  state = $state<TalkState>('open');
  /** When an absent partner must be back, in the server's time, in milliseconds since the epoch. */
  awayUntil = $state<number | null>(null);
  endedBy = $state<TalkEndReason | null>(null);
  /** When it ended, in milliseconds since the epoch; `null` while it is open. */
  endedAt = $state<number | null>(null);
  /** This visitor left, so the page does not say that the partner did. */
  leftByMe = $state(false);
  loading = $state(false);
  loadFailed = $state(false);
  hasOlder = $state(false);
  /** Number of messages of the partner that arrived while this page was open. */
  receivedCount = $state(0);

  /**
   * A message that the server refused because of its text, on its way back to the composer.
   * `requested` is `true` if the person asked to edit it.
   */
  toRewrite = $state.raw<{ row: Row; code: string; requested: boolean } | null>(null);

  readonly messages: Messages;
  readonly sending: Sending;
  readonly indicators: Indicators;
  readonly safety: Safety;
  readonly drafts: Drafts;
  readonly #log: Log;
  readonly #deps: TalkDeps;
  #ownId: string | null = null;
  #joined = false;

  constructor(deps: TalkDeps, pairing: Omit<Pairing, 'you'> & { you: Face | null }) {
    this.#deps = deps;
    this.session = pairing.session;
    this.room = pairing.room;
    this.slot = pairing.slot;
    this.partner = pairing.partner;
    this.you = pairing.you;
    this.shared = pairing.shared;
    this.interests = pairing.shared.map((interest) => deps.ownSpelling(interest));
    this.languages = pairing.languages ?? [];
    this.relaxed = pairing.relaxed;
    this.drafts = deps.drafts;
    this.indicators = new Indicators(pairing.room, deps.request);
    this.safety = new Safety({
      session: pairing.session,
      room: pairing.room,
      partner: pairing.partner.id,
      request: deps.request,
      ownActions: deps.ownActions,
      recordActions: deps.recordActions,
      endedBy: () => this.endedBy,
      end: (reason) => this.end(reason),
    });
    this.messages = new Messages((message) => this.#isOwn(message.sender));
    this.#log = new Log({
      apply: (entry) => this.#applyEntry(entry),
      replay: (after) => this.#requestReplay(after),
      page: async (after) => (await deps.api.log(this.room, { after, limit: MAX_PAGE_ITEMS })).items,
    });
    this.sending = new Sending({
      room: this.room,
      request: deps.request,
      messages: this.messages,
      outbox: deps.outbox,
      onClosed: () => this.end('gone'),
      onRulesNeeded: () => deps.onRulesNeeded(),
      onRefused: (row, code) => (this.toRewrite = { row, code, requested: false }),
    });
  }

  /** Returns an ended talk, to be read again. Its messages are not loaded yet. */
  static archived(deps: TalkDeps, talk: LastTalk): Talk {
    const archived = new Talk(deps, { ...talk, you: null, shared: [], languages: [], relaxed: false });
    archived.state = 'ended';
    archived.endedAt = talk.ended_at;
    archived.safety.reported = talk.actions?.reported ?? false;
    archived.safety.blocked = talk.actions?.blocked ?? false;
    // Written before the session expired, and the talk was over when the person was back.
    archived.sending.restoreEnded('left');
    return archived;
  }

  /** What this visitor wrote and did not send, in its order: unsent messages, then the unfinished one. */
  get unsent(): string[] {
    return [...this.sending.unsent, this.drafts.get(this.room)].filter((text) => text.trim() !== '');
  }

  /** Where to resume after a reconnect. `null` before the room is joined and after the end. */
  get resumePoint(): { room: string; after: number } | null {
    return this.#joined && this.state !== 'ended' ? { room: this.room, after: this.#log.head } : null;
  }

  /**
   * Joins the room: when the talk begins, and when the server no longer knows this connection as a
   * member.
   */
  async join(): Promise<void> {
    await this.#open(async () => {
      const ok = await this.#deps.request('join', { room: this.room, after: this.#log.head });
      this.#ownId = ok.you?.id ?? null;
      if (ok.resync) void this.#log.resync();
    });
  }

  /** Joins the room after a reload: loads the newest page first, older ones on demand. */
  async reopen(): Promise<void> {
    this.sending.restore();
    await this.#open(async () => {
      this.#log.hold();
      const ok = await this.#deps.request('join', { room: this.room });
      this.#ownId = ok.you?.id ?? null;
      await this.#loadNewest();
      this.#log.continueAfter(ok.head);
    });
  }

  async #open(join: () => Promise<void>): Promise<void> {
    this.loading = true;
    this.loadFailed = false;
    try {
      await join();
      this.#joined = true;
      this.sending.start();
    } catch (error) {
      const code = codeOf(error);
      if (code === 'closed' || code === 'forbidden' || code === 'not_found') this.end('gone');
      else if (code === 'age_gate') this.#deps.onRulesNeeded();
      // While disconnected nothing has failed: the next hello joins again.
      else if (code !== 'disconnected') this.loadFailed = true;
    } finally {
      this.loading = false;
    }
  }

  /** Continues where the server stopped this visitor, now that the rules are accepted. */
  rulesAccepted(): void {
    if (this.state !== 'ended') void (this.#joined ? this.join() : this.reopen());
  }

  /**
   * Marks what waits for the rules as failed. Nothing is lost, and everything can be tried again.
   */
  rulesDeclined(): void {
    if (this.state === 'ended') return;
    if (this.#joined) this.sending.failPending('age_gate');
    else this.loadFailed = true;
  }

  /** Loads the newest page of an ended talk. Returns `false` if the talk can no longer be read. */
  async load(): Promise<boolean> {
    this.loading = true;
    try {
      await this.#loadNewest();
      return true;
    } catch {
      return false;
    } finally {
      this.loading = false;
    }
  }

  /** Loads the page before the oldest loaded message. */
  async loadOlder(): Promise<void> {
    const before = this.messages.firstSeq;
    if (this.loading || !this.hasOlder || before === null) return;
    this.loading = true;
    try {
      await this.#loadPage({ before, limit: PAGE_ROWS });
    } catch {
      this.hasOlder = true; // the next scroll tries again
    } finally {
      this.loading = false;
    }
  }

  #loadNewest(): Promise<void> {
    return this.#loadPage({ limit: PAGE_ROWS });
  }

  async #loadPage(range: { before?: number; limit: number }): Promise<void> {
    const { items } = await this.#deps.api.messages(this.room, range);
    this.messages.addPage(items);
    this.hasOlder = items.length > 0 && (items[0]?.seq ?? 1) > 1;
  }

  /**
   * Applies the server's view of the open talk after a reconnect. `room` is `undefined` if it was
   * not resumed.
   */
  resumed(session: OpenSession, room: ResumedRoom | undefined): void {
    this.state = session.state;
    this.awayUntil = session.state === 'away' ? millis(session.partner_until) : null;
    if (!this.#joined) void this.reopen();
    else if (room === undefined) void this.join();
    else {
      if ('resync' in room) void this.#log.resync();
      this.sending.start();
    }
  }

  /** The connection is lost. */
  disconnected(): void {
    this.sending.pause();
    this.indicators.partnerStopped();
  }

  /** Applies an event of the server. Events about other rooms and talks are ignored. */
  apply(event: Event): void {
    switch (event.type) {
      case 'typing':
        if (event.room === this.room && !this.#isOwn(event.sender)) this.indicators.partnerTyped();
        break;
      case 'read':
        if (event.room === this.room && event.member === this.partner.id) this.indicators.partnerRead(event.seq);
        break;
      case 'resync':
        if (event.room === this.room) void this.#log.resync();
        break;
      case 'partner':
        if (event.session === this.session) this.#onPartnerState(event.state, millis(event.until));
        break;
      case 'ended':
        if (event.session === this.session) this.end(event.reason, this.leftByMe);
        break;
      default:
        if (isEntry(event) && event.room === this.room) this.#log.receive(event);
    }
  }

  /** Sends a message, at once or as soon as there is a connection. */
  send(text: string): Row {
    this.indicators.resetTyping();
    return this.sending.send(this.#deps.newId(), text, Date.now());
  }

  /** Returns a refused message to the composer, because the person wants to edit it. */
  rewrite(row: Row): void {
    this.toRewrite = { row, code: row.reason ?? 'bad_payload', requested: true };
  }

  /** Tells the partner that this visitor is typing. */
  notifyTyping(): void {
    if (this.state === 'open') this.indicators.sendTyping();
  }

  /** Tells the partner that everything up to an entry has been read. */
  markRead(seq: number): void {
    if (this.#joined && this.state !== 'ended') this.indicators.markRead(seq);
  }

  /** Leaves the talk. With `seek` the server starts the next search in the same step. */
  async leave(seek: boolean): Promise<void> {
    this.leftByMe = true; // the `ended` event can arrive before the answer
    await this.#deps.request('next', { session: this.session, seek });
    this.end('next', true);
  }

  /** Ends the talk on this page, whichever side ended it. With `silent` nothing is announced. */
  end(reason: TalkEndReason, silent = false): void {
    if (this.state === 'ended') {
      // A refused message can tell that the talk has ended before the server tells how.
      if (this.endedBy === 'gone') this.endedBy = this.safety.isPartners(reason) ? 'left' : reason;
      return;
    }
    this.state = 'ended';
    this.endedBy = this.safety.isPartners(reason) ? 'left' : reason;
    this.endedAt = Date.now();
    this.awayUntil = null;
    this.indicators.partnerStopped();
    this.sending.end('left');
    this.#log.end();
    if (!silent) this.#deps.onEnd(this);
  }

  #onPartnerState(state: 'away' | 'back' | 'left', until: number | null): void {
    if (this.state === 'ended') return;
    if (state === 'left') return this.end('left');
    this.state = state === 'away' ? 'away' : 'open';
    this.awayUntil = state === 'away' ? until : null;
    if (state === 'away') this.indicators.partnerStopped();
    else this.indicators.sendRead();
    this.#deps.onPartnerState(this, state);
  }

  async #requestReplay(after: number): Promise<void> {
    try {
      const { resync } = await this.#deps.request('join', { room: this.room, after });
      if (resync) void this.#log.resync();
    } catch (error) {
      if (codeOf(error) === 'age_gate') this.#deps.onRulesNeeded();
      throw error;
    }
  }

  #applyEntry(entry: Entry): void {
    if (isMessage(entry)) this.#applyMessage(entry);
  }

  #applyMessage(message: MessageEvent): void {
    const row = this.messages.add(message);
    if (this.#isOwn(message.sender)) this.sending.acknowledge(message.client_id);
    if (!row) return;
    this.indicators.partnerStopped();
    this.receivedCount++;
    if (!row.unknown) this.#deps.onMessage(this, row.text);
  }

  #isOwn(sender: Sender): boolean {
    return sender.slot === undefined ? sender.id === this.#ownId : sender.slot === this.slot;
  }
}

function millis(at: string | null | undefined): number | null {
  return at ? Date.parse(at) : null;
}
