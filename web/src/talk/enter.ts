//! The Enter key, for every way of writing.
//!
//! Hangul has no list of candidates: while a syllable is being composed, Enter means "send", but the browser reports it
//! as part of the composition, and the last syllable is not in the field yet. So we wait for the composition to end and
//! send once from what the field then holds. With kana, kanji and pinyin the same Enter picks a candidate, and is left
//! alone. Browsers differ in the order: most report the key first, Safari ends the composition first and then reports a
//! key with the code 229.

/** After a composition has been sent, a trailing Enter of the same press comes within this time. */
export const SWALLOW_MS = 60;

const IME_KEY = 229;
const HANGUL_END = /[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff]$/u;

export interface EnterOptions {
  /** Reads the field's value itself: only then is it the live one. */
  send(): void;
  /** True where Enter makes a new line, as on a phone. */
  newline?(): boolean;
}

export class EnterKey {
  readonly #options: EnterOptions;
  #composing = false;
  #armed = false;
  #text = '';
  #endedAt = -Infinity;
  #swallowUntil = -Infinity;

  constructor(options: EnterOptions) {
    this.#options = options;
  }

  /** Listens on a field; answers the way to stop. */
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
    // A cancelled composition ends empty; what was composed last then says nothing.
    this.#text = event.data;
    this.#endedAt = event.timeStamp;
    if (this.#armed) this.#sendSoon(event.timeStamp);
  }

  #key(event: KeyboardEvent): void {
    if (event.key !== 'Enter' && !(event.keyCode === IME_KEY && event.code === 'Enter')) {
      // Another key: the press that sent is over, and an Enter after this one is a new one, however fast.
      this.#swallowUntil = -Infinity;
      return;
    }
    if (event.shiftKey || event.altKey) return;
    if (this.#options.newline?.() && !event.ctrlKey && !event.metaKey) return;

    if (event.isComposing || this.#composing) {
      if (HANGUL_END.test(this.#text)) this.#armed = true;
      return;
    }
    if (event.timeStamp < this.#swallowUntil) {
      event.preventDefault();
      return;
    }
    if (event.keyCode === IME_KEY) {
      // Safari: the composition this key has just ended.
      const justEnded = event.timeStamp - this.#endedAt < SWALLOW_MS;
      if (justEnded && HANGUL_END.test(this.#text)) {
        event.preventDefault();
        this.#sendSoon(event.timeStamp);
      }
      return;
    }
    event.preventDefault();
    this.#options.send();
  }

  /** The browser would break the line where we have sent it. */
  #input(event: InputEvent): void {
    const breaks = event.inputType === 'insertLineBreak' || event.inputType === 'insertParagraph';
    if (breaks && (this.#armed || event.timeStamp < this.#swallowUntil)) event.preventDefault();
  }

  /** In the next task, when the field has its last syllable. */
  #sendSoon(now: number): void {
    this.#armed = false;
    this.#swallowUntil = now + SWALLOW_MS;
    setTimeout(() => this.#options.send(), 0);
  }
}
