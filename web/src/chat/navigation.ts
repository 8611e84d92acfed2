//! Moves between the lobby, the search and a talk.
import { LOBBY, router, SEARCH, talkPath } from '../router.svelte';

/** How long a match is shown before its talk opens: long enough for the two tiles to meet. */
export const MATCH_ANIMATION_MS = 900;

export const navigation = {
  /** Returns `true` if the lobby or the search is the current screen. */
  inLobby: (): boolean => router.route.name !== 'talk',

  /** Returns `true` if the search is the current screen. */
  inSearch: (): boolean => router.route.name === 'search',

  /** Shows the lobby. With `replace` the browser's Back button skips the current screen. */
  showLobby: (replace = false): void => router.go(LOBBY, replace),

  /** Shows the search. With `replace` the browser's Back button skips the current screen. */
  showSearch: (replace = false): void => router.go(SEARCH, replace),

  /**
   * Shows the talk of a session. With `replace` the browser's Back button skips the current screen.
   */
  showTalk: (session: string, replace = false): void => router.go(talkPath(session), replace),

  /** Runs `then` when the animation of a match has ended. */
  afterMatch: (then: () => void): void => {
    setTimeout(then, MATCH_ANIMATION_MS);
  },
};
