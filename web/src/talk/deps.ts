//! What a talk needs from outside: a connection, a memory, and somebody to tell.
import type { Api } from '../wire/api';
import type { Outbox } from '../wire/outbox';
import type { Socket } from '../wire/socket';
import type { Talk } from './talk.svelte';

export interface TalkDeps {
  ask: Socket['ask'];
  api: Pick<Api, 'messages' | 'log'>;
  outbox: Outbox;
  newId(): string;
  /** An interest as the reader wrote it. */
  spell(topic: string): string;
  /** A message of theirs has arrived, live. */
  onMessage(talk: Talk, text: string): void;
  onPartner(talk: Talk, state: 'away' | 'back'): void;
  onEnd(talk: Talk): void;
}
