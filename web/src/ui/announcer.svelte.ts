//! What a screen reader is told: one hidden polite node, at most one announcement a second, many messages folded to one.
import { t } from '../i18n';
import { beginningOf } from './beginning';

export const PACE_MS = 1000;

export class Announcer {
  /** The text of the node. */
  text = $state('');
  #sayings: string[] = [];
  #messages: { name: string; text: string }[] = [];
  #spokeAt = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Something that happened on the page. */
  say(text: string): void {
    this.#sayings.push(text);
    this.#soon();
  }

  /** A new message of somebody else. */
  message(name: string, text: string): void {
    this.#messages.push({ name, text });
    this.#soon();
  }

  #soon(): void {
    if (this.#timer !== undefined) return;
    const wait = this.#spokeAt + PACE_MS - Date.now();
    if (wait <= 0) this.#speak();
    else this.#timer = setTimeout(() => this.#speak(), wait);
  }

  #speak(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const parts = [...new Set(this.#sayings)];
    const [only] = this.#messages;
    if (this.#messages.length === 1 && only)
      parts.push(t('announce.message', { name: only.name, text: beginningOf(only.text) }));
    else if (this.#messages.length > 1) parts.push(t('announce.many', { n: this.#messages.length }));
    this.#sayings = [];
    this.#messages = [];
    this.#spokeAt = Date.now();
    const said = parts.join(' ');
    // The same words twice would not change the node, and so would not be heard.
    this.text = said === this.text ? `${said}\u00a0` : said;
  }
}

export const announcer = new Announcer();
