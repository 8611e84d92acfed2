//! The wire's types, as the page uses them. The only file that imports the generated ones.
import type {
  ClientFrame as Request,
  HelloOk,
  JoinOk,
  NextOk,
  PingOk,
  ReportOk,
  RoomEvent,
  SeekOk,
  Sender,
  SendOk,
  Answer,
  Event as Told,
  Message,
  TalkEvent,
} from './generated/frames';

export type {
  Color,
  EndReason,
  Found as Pairing,
  HelloOk,
  JoinOk,
  OpenSession,
  Payload,
  Person as Partner,
  Reason as ReportReason,
  Resumed as ResumedRoom,
  ResumeFrom as ResumePoint,
  SeekOk,
  Sender,
  SendOk as Placed,
  Slot,
  VisitorView as Visitor,
  WireError as ErrorBody,
} from './generated/frames';

/** What a name is shown from. */
export type Face = Pick<Sender, 'name' | 'color' | 'animal'>;

/** A request with its number. */
export type ClientFrame = { id: number } & Request;

/** What has a place in a room's log. */
export type MessageEvent = Extract<RoomEvent, { type: 'message' }>;

/** Changes of an entry: a later server may send them, and a page that is open must not choke on one. */
type Change<T extends string> = { type: T; target: number } & Pick<
  Message,
  'room' | 'seq' | 'client_id' | 'sender' | 'at'
>;
export type EditedEvent = Change<'edited'> & Pick<Message, 'payload'>;
export type DeletedEvent = Change<'deleted'>;
export type ReactedEvent = Change<'reacted'> & { emoji: string; on: boolean; count: number };
type LaterNotice = {
  type: 'notice';
  kind: 'session_expiring' | 'signed_in_elsewhere' | 'revoked' | 'banned' | 'restart' | 'update';
  at?: string;
  reason?: string;
  /** The room it is about; absent for the whole service. */
  room?: string;
};

export type Entry = MessageEvent | EditedEvent | DeletedEvent | ReactedEvent;
export type FoundEvent = Extract<TalkEvent, { type: 'found' }>;
export type Event = Exclude<Told, { type: 'notice' }> | EditedEvent | DeletedEvent | ReactedEvent | LaterNotice;
export type ServerFrame = Answer | Event;
export type { Answer };

/** The answer to each frame. */
export interface Answers {
  hello: HelloOk;
  join: JoinOk;
  leave: object;
  send: SendOk;
  typing: object;
  read: object;
  seek: SeekOk;
  cancel: object;
  next: NextOk;
  report: ReportOk;
  block: object;
  ping: PingOk;
}

export type FrameType = Request['type'];

/** The fields of one frame, without what the socket adds itself. */
export type Fields<T extends FrameType> = Omit<Extract<ClientFrame, { type: T }>, 'id' | 'type'>;
