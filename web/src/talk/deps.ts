//! What a talk needs from outside: requests to the server, stored messages, and callbacks.
import type { Api } from '../wire/api';
import type { Outbox } from '../wire/outbox';
import type { Socket } from '../wire/socket';
import type { OwnActions } from './last.svelte';
import type { Talk } from './talk.svelte';

export interface TalkDeps {
  request: Socket['request'];
  api: Pick<Api, 'messages' | 'log'>;
  outbox: Outbox;
  newId(): string;
  /** Returns an interest as the reader wrote it. */
  ownSpelling(topic: string): string;
  /** Returns what this visitor did about the partner, in any tab. */
  ownActions(session: string): OwnActions;
  recordActions(session: string, actions: OwnActions): void;
  /** A new message of the partner has arrived. */
  onMessage(talk: Talk, text: string): void;
  onPartnerState(talk: Talk, state: 'away' | 'back'): void;
  onEnd(talk: Talk): void;
  /**
   * The server requires the age and the rules first. `rulesAccepted` or `rulesDeclined` follows.
   */
  onRulesNeeded(): void;
}
