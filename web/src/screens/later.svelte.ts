//! The talk's screen, fetched while the lobby is read, so that the first page is small and the talk is there in time.
import type TalkScreen from './TalkScreen.svelte';

/** A fetch that fails is tried again after this long. */
const AGAIN_MS = 2_000;
/** So many failures with a connection mean that this build is gone from the server. */
const GONE_AFTER = 3;

export class Later {
  screen = $state.raw<typeof TalkScreen | null>(null);
  /** Only a reload helps. */
  gone = $state(false);
  #failures = 0;

  async fetch(): Promise<void> {
    try {
      this.screen = (await import('./TalkScreen.svelte')).default;
      this.gone = false;
    } catch {
      if (navigator.onLine && ++this.#failures >= GONE_AFTER) this.gone = true;
      setTimeout(() => void this.fetch(), AGAIN_MS);
    }
  }
}
