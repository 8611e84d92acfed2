//! Text for screen readers: one hidden polite node, at most one announcement a second, several
//! messages joined into one.
import { t } from '../i18n';
import { excerptOf } from './excerpt';

export const MIN_INTERVAL_MS = 1000;

export class Announcer {
  /** The text of the node. */
  text = $state('');
  #sentences: string[] = [];
  #messages: { name: string; text: string }[] = [];
  #announcedAt = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Announces something that happened on the page. */
  announce(sentence: string): void {
    this.#sentences.push(sentence);
    this.#schedule();
  }

  /** Announces a new message of the partner. */
  announceMessage(name: string, text: string): void {
    this.#messages.push({ name, text });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#timer !== undefined) return;
    const delay = this.#announcedAt + MIN_INTERVAL_MS - Date.now();
    if (delay <= 0) this.#flush();
    else this.#timer = setTimeout(() => this.#flush(), delay);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const parts = [...new Set(this.#sentences)];
    const [only] = this.#messages;
    if (this.#messages.length === 1 && only)
      parts.push(t('announce.message', { name: only.name, text: excerptOf(only.text) }));
    else if (this.#messages.length > 1) parts.push(t('announce.many', { n: this.#messages.length }));
    this.#sentences = [];
    this.#messages = [];
    this.#announcedAt = Date.now();
    const text = parts.join(' ');
    // A screen reader announces only a change of the node, so the same text twice gets an invisible
    // difference.
    this.text = text === this.text ? `${text}\u00a0` : text;
  }
}

export const announcer = new Announcer();
