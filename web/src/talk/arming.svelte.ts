//! Next never skips by accident: the first press arms it for two seconds, the second one skips.

export const ARMED_MS = 2_000;

export class Arming {
  armed = $state(false);
  readonly #fire: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(fire: () => void) {
    this.#fire = fire;
  }

  press(): void {
    clearTimeout(this.#timer);
    if (this.armed) {
      this.armed = false;
      this.#fire();
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
