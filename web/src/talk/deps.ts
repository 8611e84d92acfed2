//! What a talk needs from outside: a connection, a memory, and somebody to tell.
import type { Api } from '../wire/api';
import type { Outbox } from '../wire/outbox';
import type { Socket } from '../wire/socket';
import type { Deed } from './last.svelte';
import type { Talk } from './talk.svelte';

export interface TalkDeps {
  ask: Socket['ask'];
  api: Pick<Api, 'messages' | 'log'>;
  outbox: Outbox;
  newId(): string;
  /** An interest as the reader wrote it. */
  spell(topic: string): string;
  /** What this person did about the other one, in any tab. */
  deed(session: string): Deed;
  did(session: string, deed: Deed): void;
  /** A message of theirs has arrived, live. */
  onMessage(talk: Talk, text: string): void;
  onPartner(talk: Talk, state: 'away' | 'back'): void;
  onEnd(talk: Talk): void;
  /** The server wants the age and the rules first: `accepted` or `declined` follows. */
  onAgeGate(): void;
}
