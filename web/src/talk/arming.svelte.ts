//! Protects Next against an accidental press: the first press arms it for two seconds, the second
//! one skips.

/** How long the first press stays armed. */
export const ARMED_MS = 2_000;

export class Arming {
  armed = $state(false);
  readonly #confirm: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(confirm: () => void) {
    this.#confirm = confirm;
  }

  press(): void {
    clearTimeout(this.#timer);
    if (this.armed) {
      this.armed = false;
      this.#confirm();
      return;
    }
    this.armed = true;
    this.#timer = setTimeout(() => (this.armed = false), ARMED_MS);
  }

  disarm(): void {
    clearTimeout(this.#timer);
    this.armed = false;
  }
}
