//! The chat: composes the session, the search, the talk and the navigation, and decides what
//! follows from each event.
import { locale, type Key } from '../i18n';
import { Choices } from '../matching/choices.svelte';
import { Seek } from '../matching/seek.svelte';
import type { TalkDeps } from '../talk/deps';
import { Drafts } from '../talk/drafts';
import { LastTalks, type LastTalk } from '../talk/last.svelte';
import { Talk } from '../talk/talk.svelte';
import { forgetUnsent } from '../talk/unsent';
import { deviceStore, tabStorage, tabStore } from '../ui/storage';
import { codeOf, WireError } from '../wire/error';
import type { Event, Fields, HelloOk, OpenSession, Pairing } from '../wire/frames';
import { Outbox } from '../wire/outbox';
import { announcements } from './announcements';
import { navigation } from './navigation';
import { Session, type SessionOptions } from './session.svelte';

/** What the visitor searches for. */
type Criteria = Fields<'seek'>;

export class Chat {
  /** A message for the top of the lobby, or `null`. */
  lobbyMessage = $state<Key | null>(null);
  /** The talk of this page: open, or ended and still shown. */
  talk = $state.raw<Talk | null>(null);
  /**
   * The server requires the age and the rules first. `criteria` is the search that it refused, or
   * `null`.
   */
  rulesPrompt = $state.raw<{ criteria: Criteria | null } | null>(null);

  readonly session: Session;
  readonly choices = new Choices(deviceStore, locale());
  readonly seek: Seek;
  readonly last = new LastTalks(deviceStore);
  /** A request to leave that the server has not confirmed yet. */
  #leaving: { talk: Talk; criteria: Criteria | null } | null = null;

  constructor(options: SessionOptions) {
    this.session = new Session(options, {
      resume: () => [this.talk?.resumePoint ?? []].flat(),
      // After a reload, the list of last talks knows of an open one before the first hello.
      inTalk: () => (this.talk ? this.talk.state !== 'ended' : this.last.hasOpen()),
      hello: (ok) => this.#onHello(ok),
      event: (event) => this.#onEvent(event),
      known: (owner) => (this.last.owner = owner),
      forget: (owner) => {
        forgetUnsent(tabStore, owner);
        this.last.forget(owner);
      },
      connected: () => this.seek.goOn(),
      disconnected: () => {
        this.talk?.disconnected();
        this.seek.pause();
      },
    });
    this.seek = new Seek({
      request: (type, fields) => this.session.socket.request(type, fields),
      onRulesNeeded: (criteria) => this.#promptForRules(criteria),
      // Only a hello contains the open talk.
      onOpenTalk: () => this.session.socket.restart(),
    });
  }

  /** Starts a search with the choices of the lobby, and shows it. */
  async startSeeking(): Promise<void> {
    this.lobbyMessage = null;
    const criteria = this.choices.save();
    // The same search is under way: it is only shown again.
    if (this.seek.active && JSON.stringify(criteria) === JSON.stringify(this.seek.criteria)) navigation.showSearch();
    else await this.#search(criteria);
  }

  /** Ends the search and shows the lobby, unless an old talk is being read. */
  async stopSeeking(): Promise<void> {
    if (navigation.inSearch()) navigation.showLobby(true);
    await this.seek.cancel();
  }

  /** The browser reports that the network went or came. */
  networkChanged(online: boolean): void {
    this.session.connection.onNetwork(online);
    // A search goes on when the connection turns out to work.
    if (!online) this.seek.pause();
    this.session.socket.networkChanged();
  }

  #search(criteria: Criteria): Promise<void> {
    navigation.showSearch();
    return this.seek.start(criteria);
  }

  /** Leaves the talk and starts the next search in one step. */
  async next(): Promise<void> {
    const { talk } = this;
    const criteria = this.choices.criteria();
    navigation.showSearch();
    if (!talk || talk.state === 'ended') return this.seek.start(criteria);
    this.last.markEnded(talk.session);
    this.seek.adopt(criteria);
    await this.#leave(talk, criteria);
  }

  /** Leaves the talk without a new search. */
  async leave(): Promise<void> {
    const { talk } = this;
    if (!talk || talk.state === 'ended') return;
    this.last.markEnded(talk.session);
    await this.#leave(talk, null);
  }

  async #leave(talk: Talk, criteria: Criteria | null): Promise<void> {
    this.#leaving = { talk, criteria };
    try {
      await talk.leave(criteria !== null);
      this.#leaving = null;
    } catch (error) {
      const code = codeOf(error);
      // The outcome is unknown: if the next hello still contains the talk, it is left again.
      const unknown = code === 'disconnected' || code === 'timeout';
      if (!unknown) this.#leaving = null;
      talk.end('next', true);
      // The search begins when the connection is back.
      if (code === 'disconnected') this.seek.pause();
      if (unknown || criteria === null) return;
      if (code === 'not_found' || code === 'closed' || code === 'conflict') return this.seek.start(criteria);
      // Rate limited, or not allowed to search: leaving alone is always allowed.
      this.session.socket.request('next', { session: talk.session, seek: false }).catch(() => undefined);
      if (code === 'rate_limited') this.seek.coolDown(criteria, error instanceof WireError ? error.retryAfterMs : null);
      else await this.seek.start(criteria);
    }
  }

  #promptForRules(criteria: Criteria | null): void {
    this.session.visitor.forgetRules();
    this.rulesPrompt = { criteria: criteria ?? this.rulesPrompt?.criteria ?? null };
  }

  /**
   * Records the age and the rules, then continues with what the server had refused.
   *
   * Rejects with the server's code. The code `conflict` means that the rules have changed again.
   */
  async acceptRules(): Promise<void> {
    await this.session.acceptRules();
    const criteria = this.rulesPrompt?.criteria ?? null;
    this.rulesPrompt = null;
    this.talk?.rulesAccepted();
    if (criteria) await this.#search(criteria);
  }

  /** Closes the prompt for the rules. Nothing continues, and no text is lost. */
  declineRules(): void {
    this.rulesPrompt = null;
    this.talk?.rulesDeclined();
  }

  /**
   * Returns the open talk, or an ended one that can still be read; `null` if there is no such talk.
   */
  async findTalk(session: string): Promise<Talk | null> {
    if (this.talk?.session === session) return this.talk;
    const known = this.last.find(session);
    if (!known) return null;
    const talk = this.archivedTalk(known);
    return (await talk.load()) ? talk : null;
  }

  /** Returns a talk of the list of last talks, without its messages. */
  archivedTalk(known: LastTalk): Talk {
    return Talk.archived(this.#talkDeps(known.room), known);
  }

  #onHello(ok: HelloOk): void {
    this.last.markEndedExcept(ok.session?.session ?? null);
    const leaving = this.#leaving;
    if (leaving && ok.session?.session === leaving.talk.session) {
      void this.#leave(leaving.talk, leaving.criteria);
      return;
    }
    this.#leaving = null;
    if (ok.session) this.#onOpenTalk(ok.session, ok);
    else this.#onNoOpenTalk(ok);
  }

  #onOpenTalk(session: OpenSession, ok: HelloOk): void {
    if (this.talk?.session === session.session) {
      const room = ok.rooms.find((resumed) => resumed.room === session.room);
      this.talk.resumed(session, room);
      return;
    }
    this.last.add(session);
    this.talk = new Talk(this.#talkDeps(session.room), session);
    this.talk.state = session.state;
    this.talk.awayUntil = session.partner_until ? Date.parse(session.partner_until) : null;
    void this.talk.reopen();
    this.seek.reset();
    if (navigation.inLobby()) navigation.showTalk(session.session, true);
  }

  #onNoOpenTalk(ok: HelloOk): void {
    if (this.talk && this.talk.state !== 'ended') {
      const { room } = this.talk;
      this.talk.end(ok.rooms.find((resumed) => resumed.room === room)?.ended ?? 'gone');
      // Messages sent before the end, while this page was disconnected, can still be read.
      void this.talk.load();
    }
    if (!ok.seeking) void this.seek.resume();
    else if (!this.seek.active) {
      this.seek.adopt(this.choices.criteria());
      if (navigation.inLobby()) navigation.showSearch(true);
    }
  }

  #onEvent(event: Event): void {
    if (event.type === 'found') {
      this.#onMatch(event);
      return;
    }
    if (event.type === 'ended') this.last.markEnded(event.session);
    this.talk?.apply(event);
    // The partner never joined, so the server has put this visitor back at the front of the queue.
    if (event.type === 'ended' && event.seeking && event.session === this.talk?.session) this.#seekAgain();
  }

  #seekAgain(): void {
    if (this.seek.active) return;
    this.seek.adopt(this.choices.criteria());
    navigation.showSearch(true);
  }

  #onMatch(pairing: Pairing): void {
    if (this.talk?.session === pairing.session) return;
    const follow = navigation.inLobby() || this.seek.active;
    this.last.add(pairing);
    this.talk?.end('gone', true);
    const talk = new Talk(this.#talkDeps(pairing.room), pairing);
    this.talk = talk;
    void talk.join();
    this.seek.matched(pairing);
    announcements.matched(pairing.partner);
    navigation.afterMatch(() => {
      if (this.seek.match?.session === pairing.session) this.seek.reset();
      // Back then leads from the talk to the lobby, not to a search that is over.
      if (follow && this.talk === talk) navigation.showTalk(pairing.session, navigation.inSearch());
    });
  }

  #talkDeps(room: string): TalkDeps {
    const owner = this.last.owner ?? '';
    return {
      request: (type, fields) => this.session.socket.request(type, fields),
      api: this.session.api,
      outbox: new Outbox(owner, room, tabStorage),
      drafts: new Drafts(tabStore, owner),
      newId: () => crypto.randomUUID(),
      ownSpelling: (interest) => this.choices.ownSpelling(interest),
      ownActions: (session) => this.last.ownActions(session),
      recordActions: (session, actions) => this.last.recordActions(session, actions),
      onMessage: (talk, text) => announcements.message(talk, text),
      onPartnerState: (talk, state) => announcements.partnerState(talk, state),
      onRulesNeeded: () => this.#promptForRules(null),
      onEnd: (talk) => {
        this.last.markEnded(talk.session);
        announcements.ended(talk);
      },
    };
  }
}
