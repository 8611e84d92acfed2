//! What a talk needs from outside: requests to the server, stored messages, and callbacks.
import type { Api } from '../wire/api';
import type { Outbox } from '../wire/outbox';
import type { Socket } from '../wire/socket';
import type { Drafts } from './drafts';
import type { OwnActions } from './last.svelte';
import type { Talk } from './talk.svelte';

/** The requests, the storage and the callbacks that a `Talk` is created with. */
export interface TalkDeps {
  request: Socket['request'];
  api: Pick<Api, 'messages' | 'log'>;
  outbox: Outbox;
  drafts: Drafts;
  newId(): string;
  /**
   * Returns an interest in the spelling of this visitor. The server sends interests in lower case.
   */
  ownSpelling(interest: string): string;
  /** Returns whether this visitor reported or blocked the partner of a talk, in any tab. */
  ownActions(session: string): OwnActions;
  /** Stores the same for all tabs. */
  recordActions(session: string, actions: OwnActions): void;
  /** A new message of the partner has arrived. */
  onMessage(talk: Talk, text: string): void;
  onPartnerState(talk: Talk, state: 'away' | 'back'): void;
  onEnd(talk: Talk): void;
  /**
   * The server refused a request with `age_gate`. The page asks for the age and the rules, and then
   * calls the talk's `rulesAccepted` or `rulesDeclined`.
   */
  onRulesNeeded(): void;
}
