//! Loads the talk's screen and the overlays after the first page, so that the first page is small.
import type Overlays from './Overlays.svelte';
import type TalkScreen from './TalkScreen.svelte';

/** Delay before a failed load is tried again. */
const RETRY_MS = 2_000;
/** After this many failures with a network, the server no longer has the files of this build. */
const MAX_FAILURES = 3;

export class LazyScreens {
  screen = $state.raw<typeof TalkScreen | null>(null);
  overlays = $state.raw<typeof Overlays | null>(null);
  /** The server no longer has the files of this build, so only a reload helps. */
  outdated = $state(false);
  #failures = 0;

  async load(): Promise<void> {
    try {
      const [screen, overlays] = await Promise.all([import('./TalkScreen.svelte'), import('./Overlays.svelte')]);
      [this.screen, this.overlays] = [screen.default, overlays.default];
      this.outdated = false;
    } catch {
      if (navigator.onLine && ++this.#failures >= MAX_FAILURES) this.outdated = true;
      setTimeout(() => void this.load(), RETRY_MS);
    }
  }
}
