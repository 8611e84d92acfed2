//! The chat: one socket, and the nouns that listen to it. Decides which screen follows from what the server says.
import { aliasOf } from './accounts/alias';
import { VisitorState } from './accounts/visitor.svelte';
import { locale, t, type Key } from './i18n';
import { Choices } from './matching/choices.svelte';
import { Seek } from './matching/seek.svelte';
import { LOBBY, router, talkPath } from './router.svelte';
import { LastTalks, type LastTalk } from './talk/last.svelte';
import type { TalkDeps } from './talk/deps';
import { Talk } from './talk/talk.svelte';
import { announcer } from './ui/announcer.svelte';
import { Connection } from './ui/connection.svelte';
import { device, tabStorage } from './ui/keep';
import { notify } from './ui/notify.svelte';
import { api, type Api } from './wire/api';
import { codeOf, COOKIES_NEEDED, WireError } from './wire/error';
import type { Event, Fields, HelloOk, OpenSession, Pairing } from './wire/frames';
import { Outbox } from './wire/outbox';
import { Socket, type SocketOptions, type Status, type Stop } from './wire/socket';

/** Long enough for the two tiles to meet. */
export const MEETING_MS = 900;

export interface ChatOptions {
  url: string;
  api?: Api;
  open?: SocketOptions['open'];
  cookiesWork?: () => boolean;
}

export class Chat {
  status = $state<Status>('off');
  stop = $state.raw<Stop | null>(null);
  nextTryAt = $state<number | null>(null);
  /** Why the server does not let the connection through, by its code. */
  refusal = $state<string | null>(null);
  /** The browser keeps no cookie: stays `true` while a new try is on its way, until it has succeeded. */
  needsCookies = $state(false);
  /** The server has said how things stand at least once. */
  greeted = $state(false);
  /** A sentence for the top of the lobby. */
  word = $state<Key | null>(null);
  talk = $state.raw<Talk | null>(null);
  notice = $state.raw<Extract<Event, { type: 'notice' }> | null>(null);
  /** The server wants the age and the rules before it goes on, with what was looked for when it said so. */
  gate = $state.raw<{ wanted: Fields<'seek'> | null } | null>(null);
  /** The server is newer than this page. */
  outdated = $state(false);

  readonly visitor: VisitorState;
  readonly choices: Choices;
  readonly seek: Seek;
  readonly last = new LastTalks(device);
  readonly connection = new Connection();
  readonly socket: Socket;
  readonly api: Api;
  /** The server's clock minus ours, in milliseconds. */
  skew = 0;
  #leaving: { talk: Talk; wanted: Fields<'seek'> | null } | null = null;

  constructor(options: ChatOptions) {
    this.api = options.api ?? api;
    this.visitor = new VisitorState(this.api, options.cookiesWork);
    this.choices = new Choices(device, locale());
    const socketOptions: SocketOptions = {
      url: options.url,
      prepare: () => this.visitor.load(),
      resume: () => [this.talk?.resumePoint ?? []].flat(),
      listener: {
        status: (status) => this.#status(status),
        hello: (ok) => this.#hello(ok),
        event: (event) => this.#event(event),
      },
    };
    if (options.open) socketOptions.open = options.open;
    this.socket = new Socket(socketOptions);
    this.seek = new Seek({
      ask: (type, fields) => this.socket.ask(type, fields),
      onAgeGate: (wanted) => this.#ageGate(wanted),
      // Only a hello tells which talk it is.
      onTalk: () => this.socket.restart(),
    });
  }

  /** Connects, at the beginning and whenever the person asks to try again. */
  start(): void {
    this.visitor.trust();
    this.socket.start();
  }

  /** The one button of the lobby. */
  async meet(): Promise<void> {
    this.word = null;
    const wanted = this.choices.keep();
    await this.seek.start(wanted);
  }

  /** On to the next person: out of this talk, and looking again, in one step. */
  async next(): Promise<void> {
    const { talk } = this;
    const wanted = this.choices.wanted();
    router.go(LOBBY);
    if (!talk || talk.state === 'ended') return this.seek.start(wanted);
    this.last.over(talk.session);
    this.seek.adopt(wanted);
    await this.#leave(talk, wanted);
  }

  /** Out of this talk, without another one. */
  async leave(): Promise<void> {
    const { talk } = this;
    if (!talk || talk.state === 'ended') return;
    this.last.over(talk.session);
    await this.#leave(talk, null);
  }

  async #leave(talk: Talk, wanted: Fields<'seek'> | null): Promise<void> {
    this.#leaving = { talk, wanted };
    try {
      await talk.next(wanted !== null);
      this.#leaving = null;
    } catch (error) {
      const code = codeOf(error);
      // Not heard: the next hello shows whether we are still in it, and leaves again.
      const unheard = code === 'disconnected' || code === 'timeout';
      if (!unheard) this.#leaving = null;
      talk.finish('next', true);
      if (unheard || wanted === null) return;
      if (code === 'not_found' || code === 'closed' || code === 'conflict') return this.seek.start(wanted);
      // Too quick for another talk, or not allowed one: leaving is always allowed.
      this.socket.ask('next', { session: talk.session, seek: false }).catch(() => undefined);
      if (code === 'rate_limited') this.seek.cool(wanted, error instanceof WireError ? error.retryAfterMs : null);
      else await this.seek.start(wanted);
    }
  }

  #ageGate(wanted: Fields<'seek'> | null): void {
    this.visitor.disagree();
    this.gate = { wanted: wanted ?? this.gate?.wanted ?? null };
  }

  /**
   * Records the age and the rules, and goes on with what the server had refused for want of them.
   *
   * Rejects with the server's code; with `conflict` the rules have changed once more.
   */
  async accept(): Promise<void> {
    await this.agree();
    const wanted = this.gate?.wanted ?? null;
    this.gate = null;
    this.talk?.accepted();
    if (wanted) await this.seek.start(wanted);
  }

  /** Not now: nothing goes on, and nothing that was written is lost. */
  decline(): void {
    this.gate = null;
    this.talk?.declined();
  }

  /** Records the age and the rules. A session that has ended meanwhile is made anew for the next try. */
  async agree(): Promise<void> {
    try {
      await this.visitor.agree();
    } catch (error) {
      if (codeOf(error) === 'session_ended') this.socket.renew();
      throw error;
    }
  }

  /** The talk of an address: the open one, or one that is over and can still be read. Null when there is none. */
  async openTalk(session: string): Promise<Talk | null> {
    if (this.talk?.session === session) return this.talk;
    const known = this.last.find(session);
    if (!known) return null;
    const talk = Talk.archived(this.#deps(known.room), known);
    return (await talk.read()) ? talk : null;
  }

  /** For a report from the list of last talks. */
  archived(known: LastTalk): Talk {
    return Talk.archived(this.#deps(known.room), known);
  }

  #status(status: Status): void {
    this.status = status;
    this.stop = this.socket.stop;
    this.nextTryAt = this.socket.nextTryAt;
    this.refusal = this.socket.refusal;
    this.connection.status(status);
    if (this.stop) this.needsCookies = this.stop.code === COOKIES_NEEDED;
    if (status === 'stopped' && this.stop?.code === 4410) this.outdated = true;
    if (status === 'waiting' || status === 'stopped') this.talk?.disconnected();
  }

  #hello(ok: HelloOk): void {
    this.skew = Date.parse(ok.server_time) - Date.now();
    this.greeted = true;
    this.visitor.trust();
    this.needsCookies = false;
    this.last.settle(ok.session?.session ?? null);
    const leaving = this.#leaving;
    if (leaving && ok.session?.session === leaving.talk.session) {
      void this.#leave(leaving.talk, leaving.wanted);
      return;
    }
    this.#leaving = null;
    if (ok.session) this.#sit(ok.session, ok);
    else {
      if (this.talk && this.talk.state !== 'ended') {
        this.talk.finish('gone');
        // What came before the end and was not heard can still be read.
        void this.talk.read();
      }
      if (!ok.seeking) void this.seek.again();
      else if (!this.seek.active) this.seek.adopt(this.choices.wanted());
    }
  }

  #sit(session: OpenSession, ok: HelloOk): void {
    if (this.talk?.session === session.session) {
      this.talk.resumed(
        session,
        ok.rooms.find((room) => room.room === session.room),
      );
      return;
    }
    this.last.opened(session);
    this.talk = new Talk(this.#deps(session.room), session);
    this.talk.state = session.state;
    this.talk.awayUntil = session.partner_until ? Date.parse(session.partner_until) : null;
    void this.talk.comeBack();
    this.seek.rest();
    if (router.route.name === 'lobby') router.go(talkPath(session.session), true);
  }

  #event(event: Event): void {
    if (event.type === 'found') this.#found(event);
    else if (event.type === 'notice') this.#told(event);
    else {
      if (event.type === 'ended') this.last.over(event.session);
      this.talk?.hear(event);
      // The other side never came: the server has put us back at the front.
      if (event.type === 'ended' && event.seeking && event.session === this.talk?.session) this.#waitAgain();
    }
  }

  #waitAgain(): void {
    if (this.seek.active) return;
    this.seek.adopt(this.choices.wanted());
    router.go(LOBBY, true);
  }

  #found(pairing: Pairing): void {
    if (this.talk?.session === pairing.session) return;
    const here = router.route.name === 'lobby' || this.seek.active;
    this.last.opened(pairing);
    this.talk?.finish('gone', true);
    const talk = new Talk(this.#deps(pairing.room), pairing);
    this.talk = talk;
    void talk.enter();
    this.seek.found(pairing);
    const words = t('seek.met', { name: aliasOf(pairing.partner) });
    announcer.say(words);
    notify.tell(words);
    setTimeout(() => {
      if (this.seek.met?.session === pairing.session) this.seek.rest();
      if (here && this.talk === talk) router.go(talkPath(pairing.session));
    }, MEETING_MS);
  }

  #told(notice: Extract<Event, { type: 'notice' }>): void {
    if (notice.kind === 'update') this.outdated = true;
    // A restart is announced by its close code as well, and needs no words; one room is not the connection.
    else if (notice.kind !== 'restart' && notice.room === undefined) this.notice = notice;
  }

  #deps(room: string): TalkDeps {
    return {
      ask: (type, fields) => this.socket.ask(type, fields),
      api: this.api,
      outbox: new Outbox(room, tabStorage),
      newId: () => crypto.randomUUID(),
      spell: (topic) =>
        this.choices.interests.find((own) => own.toLocaleLowerCase() === topic.toLocaleLowerCase()) ?? topic,
      deed: (session) => this.last.deed(session),
      did: (session, deed) => this.last.did(session, deed),
      onMessage: (talk, text) => announcer.message(aliasOf(talk.partner), text),
      onPartner: (talk, state) => announcer.say(t(state, { name: aliasOf(talk.partner) })),
      onAgeGate: () => this.#ageGate(null),
      onEnd: (talk) => {
        this.last.over(talk.session);
        announcer.say(endWords(talk));
      },
    };
  }
}

/** How a talk ended, in words. Who reported or blocked is never told to the other side. */
export function endWords(talk: Talk): string {
  const name = aliasOf(talk.partner);
  if (talk.reported) return talk.endedBy === 'report' && talk.blocked ? t('end.reported') : t('end.reported.only');
  if (talk.blocked) return t('end.blocked');
  if (talk.leftByMe) return t('end.by_me');
  if (talk.endedBy === 'left' || talk.endedBy === 'next') return t('end.left', { name });
  if (talk.endedBy === 'lost') return t('end.lost', { name });
  if (talk.endedBy === 'moderator') return t('end.moderator');
  return t('end.over');
}
