//! Messages between the tabs of this browser that show the same site. A browser without support has
//! one tab, as far as the page knows.

export interface Tabs<T> {
  /** Sends a message to the other tabs, never to this one. */
  post(message: T): void;
}

/** Returns the other tabs. `heard` gets what they send, unchecked: it comes from the same site. */
export function openTabs<T>(name: string, heard: (message: T) => void): Tabs<T> {
  if (typeof BroadcastChannel === 'undefined') return { post: () => undefined };
  const channel = new BroadcastChannel(name);
  channel.onmessage = (event: globalThis.MessageEvent<T>) => heard(event.data);
  return { post: (message) => channel.postMessage(message) };
}
