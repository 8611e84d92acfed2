//! The wire's types and constants as the page uses them. Imports those that are generated.
import type {
  Request,
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
  Event,
  TalkEvent,
} from './generated/frames';

export { CLOSE_CODES, COLORS, PROTOCOL } from './generated/frames';
export type {
  Account,
  Color,
  EndReason,
  Event,
  Pairing,
  HelloOk,
  JoinOk,
  Notice,
  OpenSession,
  Payload,
  Partner,
  ReportReason,
  ResumedRoom,
  ResumePoint,
  SeekOk,
  Sender,
  SendOk,
  SessionTimes,
  Slot,
  Visitor,
  ErrorBody,
} from './generated/frames';

/** What a name is shown from. */
export type Face = Pick<Sender, 'name' | 'color' | 'animal'>;

/** A request with its number. */
export type ClientFrame = { id: number } & Request;

export type MessageEvent = Extract<RoomEvent, { type: 'message' }>;
export type FoundEvent = Extract<TalkEvent, { type: 'found' }>;

/**
 * An entry of a room's log: a message, or a kind that this page does not know because the server is
 * newer. An unknown entry takes its place in the log and shows nothing.
 */
export interface Entry {
  type: string;
  room: string;
  seq: number;
  client_id: string;
}

export function isMessage(entry: Entry): entry is MessageEvent {
  return entry.type === 'message';
}

/** Returns `true` if a frame is an entry of a room's log, of a known kind or not. */
export function isEntry(event: { type: string }): event is Entry {
  const { room, seq, client_id: clientId } = event as Partial<Entry>;
  return typeof room === 'string' && typeof seq === 'number' && typeof clientId === 'string';
}

export type ServerFrame = Answer | Event;
export type { Answer };

/** The answer to each request. */
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

/** The fields of a request, without those that the socket adds. */
export type Fields<T extends FrameType> = Omit<Extract<ClientFrame, { type: T }>, 'id' | 'type'>;
