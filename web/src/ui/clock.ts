//! The time for countdowns. A component that reads it is updated twice a second.
import { createSubscriber } from 'svelte/reactivity';

const subscribe = createSubscriber((update) => {
  const timer = setInterval(update, 500);
  return () => clearInterval(timer);
});

export function now(): number {
  subscribe();
  return Date.now();
}

/** Allows for the delay of a frame: slightly more than thirty seconds is shown as thirty. */
const SLACK_MS = 250;

/** Returns the whole seconds until a moment, at least 0. */
export function secondsUntil(moment: number, from: number): number {
  return Math.max(0, Math.ceil((moment - from - SLACK_MS) / 1000));
}
