//! One message on the page, from the moment it is written.

export type RowStatus = 'pending' | 'sent' | 'failed';

export class Row {
  readonly clientId: string;
  readonly mine: boolean;
  /** Stays the same from writing to the acknowledgement, so that the row is never drawn anew. */
  readonly key: string;
  seq = $state<number | null>(null);
  text = $state('');
  /** In milliseconds: when it was written, then when the server took it. */
  at = $state(0);
  status = $state<RowStatus>('sent');
  /** Why it failed: `late`, `left`, or the server's code. */
  reason = $state<string | null>(null);
  /** Sending takes long enough to say so. */
  slow = $state(false);
  edited = $state(false);
  deleted = $state(false);
  /** The reader has opened a long one. */
  unfolded = $state(false);
  /** A kind of message this page does not know. */
  unknown = $state(false);

  constructor(clientId: string, mine: boolean, key: string) {
    this.clientId = clientId;
    this.mine = mine;
    this.key = key;
  }
}
