//! The visitor as the server knows them, and which rules they accepted.
import { cookies } from '../ui/cookies';
import type { Api, Me } from '../wire/api';
import { codeOf, COOKIES_NEEDED, WireError } from '../wire/error';
import { MAX_INTERESTS, MAX_MESSAGE_CHARS } from '../wire/limits';

/** Used until the server has sent its own limits. */
const DEFAULT_LIMITS = { text: MAX_MESSAGE_CHARS, interests: MAX_INTERESTS };

export class VisitorState {
  me = $state.raw<Me | null>(null);
  readonly limits = $derived(this.me?.limits ?? DEFAULT_LIMITS);
  /**
   * `false` until the first answer. Until then the form shows neither the rules nor a form without
   * them.
   */
  readonly loaded = $derived(this.me !== null);
  readonly rulesAccepted = $derived(this.me !== null && this.me.rules.accepted === this.me.rules.current);
  readonly #api: Api;
  readonly #cookiesWork: () => boolean;
  /** `GET /me` has answered, but no socket has shown yet that the browser stored its cookie. */
  #unproven = false;

  constructor(api: Api, cookiesWork: () => boolean = () => cookies.work()) {
    this.#api = api;
    this.#cookiesWork = cookiesWork;
  }

  /**
   * Makes sure of a visitor before a connection. In a browser that stores no cookies each `GET /me`
   * would create another visitor. So after the first one that a socket did not know, the page only
   * asks the server whether it received the cookie.
   *
   * Returns what the server has told about the visitor, or `null` if it was not asked.
   *
   * Rejects with `cookies_needed` if it did not, and with `session_ended` if somebody was signed in:
   * `GET /me` would make another visitor of them.
   */
  async load(): Promise<Me | null> {
    if (!this.#cookiesWork()) throw new WireError(COOKIES_NEEDED);
    const known = this.#unproven || this.me?.visitor.account ? await this.#api.isKnown() : null;
    if (known === false) throw new WireError(this.me?.visitor.account ? 'session_ended' : COOKIES_NEEDED);
    if (this.#unproven) return null;
    this.me = await this.#api.me();
    this.#unproven = true;
    return this.me;
  }

  /**
   * Lets the next `load` create a visitor, once: after a hello, or when the person asks to try
   * again.
   */
  allowNewVisitor(): void {
    this.#unproven = false;
  }

  /** Records the age and the rules. The server's answer, or its next view, is what counts. */
  async acceptRules(): Promise<void> {
    const { me } = this;
    // Only `load` creates a visitor.
    if (me === null) throw new WireError('disconnected');
    let answer: Me;
    try {
      answer = await this.#api.acceptRules(me.rules.current);
    } catch (error) {
      // The rules have changed meanwhile: the next attempt accepts the new ones.
      if (codeOf(error) === 'conflict') this.me = await this.#api.me();
      throw error;
    }
    this.me = answer?.rules ? answer : { ...me, rules: { ...me.rules, accepted: me.rules.current } };
  }

  /** Forgets the acceptance, because the server does not know of it. */
  forgetRules(): void {
    if (this.me) this.me = { ...this.me, rules: { ...this.me.rules, accepted: null } };
  }

  /**
   * Tells the server the language of the page. A failure is ignored, because the cookie has the
   * same language.
   */
  async setLocale(locale: string): Promise<void> {
    try {
      await this.#api.setLocale(locale);
    } catch {
      // The next visit repeats it.
    }
  }
}
