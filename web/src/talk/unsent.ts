//! What a visitor wrote in this tab and did not send: drafts and the messages of the outbox.
import type { ListedStore } from '../ui/storage';
import { outboxesOf } from '../wire/outbox';
import { draftsOf } from './drafts';

/** Deletes all that a visitor has not sent, because they signed out of this browser. */
export function forgetUnsent(store: ListedStore, owner: string): void {
  const own = [draftsOf(owner), outboxesOf(owner)];
  for (const key of store.keys()) if (own.some((prefix) => key.startsWith(prefix))) store.set(key, null);
}
