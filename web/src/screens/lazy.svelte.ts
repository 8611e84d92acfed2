//! The talk's screen and the overlays, fetched while the lobby is read: the first page is small, and they are there in time.
import type Overlays from './Overlays.svelte';
import type TalkScreen from './TalkScreen.svelte';

/** A fetch that fails is tried again after this long. */
const AGAIN_MS = 2_000;
/** So many failures with a connection mean that this build is gone from the server. */
const GONE_AFTER = 3;

export class LazyScreens {
  screen = $state.raw<typeof TalkScreen | null>(null);
  overlays = $state.raw<typeof Overlays | null>(null);
  /** Only a reload helps. */
  gone = $state(false);
  #failures = 0;

  async fetch(): Promise<void> {
    try {
      const [screen, overlays] = await Promise.all([import('./TalkScreen.svelte'), import('./Overlays.svelte')]);
      [this.screen, this.overlays] = [screen.default, overlays.default];
      this.gone = false;
    } catch {
      if (navigator.onLine && ++this.#failures >= GONE_AFTER) this.gone = true;
      setTimeout(() => void this.fetch(), AGAIN_MS);
    }
  }
}
