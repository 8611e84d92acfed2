//! Who we are to the server: the visitor, and which rules were accepted.
import { cookies } from '../ui/cookies';
import type { Api, Me } from '../wire/api';
import { codeOf, COOKIES_NEEDED, WireError } from '../wire/error';

/** Used until the server has told its own. */
const FIRST_LIMITS = { text: 2000, interests: 5 };

export class VisitorState {
  me = $state.raw<Me | null>(null);
  readonly limits = $derived(this.me?.limits ?? FIRST_LIMITS);
  /** Unknown until the first answer: then the form shows neither the rules nor their absence. */
  readonly known = $derived(this.me !== null);
  readonly agreed = $derived(this.me !== null && this.me.rules.accepted === this.me.rules.current);
  readonly #api: Api;
  readonly #cookiesWork: () => boolean;
  /** `GET /me` has answered, and no socket has shown yet that the browser kept its cookie. */
  #unproven = false;

  constructor(api: Api, cookiesWork: () => boolean = () => cookies.work()) {
    this.#api = api;
    this.#cookiesWork = cookiesWork;
  }

  /**
   * Makes sure of a visitor before a connection. Where the browser keeps no cookie each `GET /me` would make another
   * one, so after the first that a socket did not know, the server is asked whether the cookie has come back at all.
   *
   * Rejects with `cookies_needed` when it has not.
   */
  async load(): Promise<void> {
    if (!this.#cookiesWork()) throw new WireError(COOKIES_NEEDED);
    if (!this.#unproven) {
      this.me = await this.#api.me();
      this.#unproven = true;
    } else if (!(await this.#api.isKnown())) throw new WireError(COOKIES_NEEDED);
  }

  /** After a hello, or when the person asks to try again: the next `load` may make a visitor, once. */
  trust(): void {
    this.#unproven = false;
  }

  /** Records the age and the rules. The server's answer, or else its next view, is what counts. */
  async agree(): Promise<void> {
    const { me } = this;
    // A visitor is made by `load` alone.
    if (me === null) throw new WireError('disconnected');
    let answer: Me;
    try {
      answer = await this.#api.acceptRules(me.rules.current);
    } catch (error) {
      // The rules have changed since: the next try accepts those of now.
      if (codeOf(error) === 'conflict') this.me = await this.#api.me();
      throw error;
    }
    this.me = answer?.rules ? answer : { ...me, rules: { ...me.rules, accepted: me.rules.current } };
  }

  /** The server does not know of an acceptance after all. */
  disagree(): void {
    if (this.me) this.me = { ...this.me, rules: { ...this.me.rules, accepted: null } };
  }

  /** Tells the server which language to speak. Not worth an error: the cookie says the same. */
  async speak(locale: string): Promise<void> {
    try {
      await this.#api.setLocale(locale);
    } catch {
      // The next visit repeats it.
    }
  }
}
