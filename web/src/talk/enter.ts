//! The Enter key in all scripts and browsers.
//!
//! Hangul has no list of candidates: while a syllable is composed, Enter means "send", but the
//! browser reports it as part of the composition, and the last syllable is not in the field yet. So
//! the page waits for the end of the composition and then sends the content of the field once. With
//! kana, kanji and pinyin the same Enter picks a candidate, and the page ignores it. The order of
//! events differs: most browsers report the key first, Safari ends the composition first and then
//! reports a key with the code 229.

/**
 * After a composition was sent, a second Enter event within this time belongs to the same press.
 */
export const SAME_PRESS_MS = 60;

const IME_KEY = 229;
const HANGUL_END = /[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff]$/u;

export interface EnterOptions {
  /** Sends the field. Must read its value when called, because only then is it complete. */
  send(): void;
  /** Returns `true` if Enter makes a new line, as on a phone. */
  newline?(): boolean;
}

export class EnterKey {
  readonly #options: EnterOptions;
  #composing = false;
  #armed = false;
  #text = '';
  #endedAt = -Infinity;
  #ignoreUntil = -Infinity;

  constructor(options: EnterOptions) {
    this.#options = options;
  }

  /** Listens on a field. Returns a function that stops listening. */
  attach(field: HTMLElement): () => void {
    const on: [string, (event: never) => void][] = [
      ['compositionstart', () => this.#start()],
      ['compositionupdate', (event: CompositionEvent) => (this.#text = event.data)],
      ['compositionend', (event: CompositionEvent) => this.#end(event)],
      ['keydown', (event: KeyboardEvent) => this.#key(event)],
      ['beforeinput', (event: InputEvent) => this.#input(event)],
      ['blur', () => (this.#armed = false)],
    ];
    for (const [type, handler] of on) field.addEventListener(type, handler as EventListener);
    return () => {
      for (const [type, handler] of on) field.removeEventListener(type, handler as EventListener);
    };
  }

  #start(): void {
    this.#composing = true;
    this.#armed = false;
    this.#text = '';
  }

  #end(event: CompositionEvent): void {
    this.#composing = false;
    // A cancelled composition ends with an empty text, so an earlier text must not count.
    this.#text = event.data;
    this.#endedAt = event.timeStamp;
    if (this.#armed) this.#sendSoon(event.timeStamp);
  }

  #key(event: KeyboardEvent): void {
    if (event.key !== 'Enter' && !(event.keyCode === IME_KEY && event.code === 'Enter')) {
      // Another key: the press that sent is over, and the next Enter is a new press, however fast
      // it follows.
      this.#ignoreUntil = -Infinity;
      return;
    }
    if (event.shiftKey || event.altKey) return;
    if (this.#options.newline?.() && !event.ctrlKey && !event.metaKey) return;

    if (event.isComposing || this.#composing) {
      if (HANGUL_END.test(this.#text)) this.#armed = true;
      return;
    }
    if (event.timeStamp < this.#ignoreUntil) {
      event.preventDefault();
      return;
    }
    if (event.keyCode === IME_KEY) {
      // Safari: this key has just ended the composition.
      const justEnded = event.timeStamp - this.#endedAt < SAME_PRESS_MS;
      if (justEnded && HANGUL_END.test(this.#text)) {
        event.preventDefault();
        this.#sendSoon(event.timeStamp);
      }
      return;
    }
    event.preventDefault();
    this.#options.send();
  }

  /** Prevents the line break that the browser would insert after the message was sent. */
  #input(event: InputEvent): void {
    const breaks = event.inputType === 'insertLineBreak' || event.inputType === 'insertParagraph';
    if (breaks && (this.#armed || event.timeStamp < this.#ignoreUntil)) event.preventDefault();
  }

  /** Sends in the next task, when the field contains its last syllable. */
  #sendSoon(now: number): void {
    this.#armed = false;
    this.#ignoreUntil = now + SAME_PRESS_MS;
    setTimeout(() => this.#options.send(), 0);
  }
}
