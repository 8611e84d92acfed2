//! One message on the page, from the moment it is written.

export type RowStatus = 'pending' | 'sent' | 'failed';

export class Row {
  readonly clientId: string;
  readonly mine: boolean;
  /**
   * Stays the same from writing to the acknowledgement, so that the row is never rendered again
   * from scratch.
   */
  readonly key: string;
  /** The sequence number, or `null` until the server has acknowledged the message. */
  seq = $state<number | null>(null);
  text = $state('');
  /** In milliseconds since the epoch: when it was written, later when the server accepted it. */
  at = $state(0);
  status = $state<RowStatus>('sent');
  /** Why it failed: `late`, `left`, or the server's code. */
  reason = $state<string | null>(null);
  /** Sending takes so long that the page shows it. */
  slow = $state(false);
  edited = $state(false);
  deleted = $state(false);
  /** The reader has unfolded a long message. */
  unfolded = $state(false);
  /** A kind of message that this page cannot show. */
  unknown = $state(false);

  constructor(clientId: string, mine: boolean, key: string) {
    this.clientId = clientId;
    this.mine = mine;
    this.key = key;
  }
}
