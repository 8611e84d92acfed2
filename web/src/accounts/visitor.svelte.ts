//! Who we are to the server: the visitor, and which rules were accepted.
import type { Api, Me } from '../wire/api';

/** Used until the server has told its own. */
const FIRST_LIMITS = { text: 2000, interests: 5 };

export class VisitorState {
  me = $state.raw<Me | null>(null);
  readonly limits = $derived(this.me?.limits ?? FIRST_LIMITS);
  /** Unknown until the first answer: then the form shows neither the rules nor their absence. */
  readonly known = $derived(this.me !== null);
  readonly agreed = $derived(this.me !== null && this.me.rules.accepted === this.me.rules.current);
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  async load(): Promise<void> {
    this.me = await this.#api.me();
  }

  /** Records the age and the rules. The server's answer, or else its next view, is what counts. */
  async agree(): Promise<void> {
    const me = this.me ?? (await this.#api.me());
    const answer = await this.#api.acceptRules(me.rules.current);
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
