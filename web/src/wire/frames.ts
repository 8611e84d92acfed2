//! The wire's types, as the page uses them. The only file that imports the generated ones.
import type {
  ClientFrame,
  Done,
  Event as ServedEvent,
  Found,
  HelloOk,
  JoinOk,
  Message,
  NextOk,
  Notice,
  OpenSession as ServedSession,
  PingOk,
  ReportOk,
  Resumed,
  SeekOk,
  SendOk,
  WireError,
} from './generated/frames';

export type { ClientFrame, EndReason, HelloOk, JoinOk, Payload, Sender, SeekOk, Slot, VisitorView as Visitor } from './generated/frames';
export type { Reason as ReportReason, ResumeFrom as ResumePoint } from './generated/frames';
export type Placed = SendOk;
export type ErrorBody = WireError;
export type ResumedRoom = Resumed;

/** A face: the name in that person's own language, or the parts to build it in the reader's. */
export type Face = { name: string; color: string; animal: string | null };

/** The other side; its public id in the room where the server tells it. */
export type Partner = Face & { id?: string };
/** A talk of two: what `found` says, and `hello` again after a reconnect. */
export type Pairing = Omit<Found, 'partner'> & { partner: Partner };
export type OpenSession = Omit<ServedSession, 'partner'> & { partner: Partner };

export type MessageEvent = { type: 'message' } & Message;

// What docs/WIRE.md names and this server does not send yet: the page is ready for it.
type Change<T extends string> = Omit<Message, 'payload' | 'reply_to'> & { type: T; target: number };
export type EditedEvent = Change<'edited'> & Pick<Message, 'payload'>;
export type DeletedEvent = Change<'deleted'>;
export type ReactedEvent = Change<'reacted'> & { emoji: string; on: boolean; count: number };
export type NoticeEvent = Omit<Notice, 'kind'> & {
  kind: Notice['kind'] | 'session_expiring' | 'signed_in_elsewhere' | 'revoked' | 'banned' | 'update';
  at?: string;
  reason?: string;
};

/** What has a place in a room's log. */
export type Entry = MessageEvent | EditedEvent | DeletedEvent | ReactedEvent;
export type Event = Exclude<ServedEvent, Notice> | Exclude<Entry, MessageEvent> | NoticeEvent;
export type Answer = { re: number | null; ok: Record<string, unknown> } | { re: number | null; error: ErrorBody };
export type ServerFrame = Answer | Event;

/** The answer to each frame. */
export interface Answers {
  hello: HelloOk;
  join: JoinOk;
  leave: Done;
  send: SendOk;
  typing: Done;
  read: Done;
  seek: SeekOk;
  cancel: Done;
  next: NextOk;
  report: ReportOk;
  block: Done;
  ping: PingOk;
}

export type FrameType = ClientFrame['type'];

/** The fields of one frame, without what the socket adds itself. */
export type Fields<T extends FrameType> = Omit<Extract<ClientFrame, { type: T }>, 'type'>;
