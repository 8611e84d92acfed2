//! The time, for countdowns: reading it in a component draws that component again twice a second.
import { createSubscriber } from 'svelte/reactivity';

const subscribe = createSubscriber((update) => {
  const timer = setInterval(update, 500);
  return () => clearInterval(timer);
});

export function now(): number {
  subscribe();
  return Date.now();
}

/** The way of a frame from the server: what is a little more than thirty seconds is thirty. */
const SLACK_MS = 250;

/** Whole seconds until a moment, never below zero. */
export function secondsUntil(moment: number, from: number): number {
  return Math.max(0, Math.ceil((moment - from - SLACK_MS) / 1000));
}
