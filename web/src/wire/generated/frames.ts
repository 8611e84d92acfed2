//! The frames of `maju.v1`. Generated from src/gateway/frames.rs and the nouns' models by `make
//! gen`: do not edit.

/** Fields of other kinds are kept, never dropped. */
export type Payload = { kind: 'text'; text: string; lang?: string } | { kind: 'system'; [field: string]: unknown };

/** The WebSocket subprotocol. */
export const PROTOCOL = 'maju.v1';

/** The codes with which the server closes a socket. */
export const CLOSE_CODES = {
  RESTART: 1012,
  BAD_FRAME: 4400,
  SESSION_ENDED: 4401,
  BANNED: 4403,
  TOO_SLOW: 4408,
  SIGNED_IN_ELSEWHERE: 4409,
} as const;

/** The keys of the colours. */
export const COLORS = ['pine', 'persimmon', 'plum', 'indigo', 'ochre', 'sky', 'moss', 'rose'] as const;
export type Color = (typeof COLORS)[number];
export type Locale = "ko" | "en";
export type Slot = "A" | "B";
export type Sender = { id: string, 
/**
 * The alias in the sender's language, or the chosen name.
 */
name: string, slot?: Slot, color: Color, 
/**
 * The animal of the alias, so that a page can show the name in the reader's language. Null for
 * a chosen name.
 */
animal: string | null, };
export type RoomKind = "talk" | "public" | "private";
export type Naming = "anonymous" | "named";
export type RoomView = { id: string, slug: string | null, kind: RoomKind, naming: Naming, title: string | null, topic: string | null, history: boolean, language: string | null, created_at: string, closed_at: string | null, };
export type Message = { room: string, seq: number, client_id: string, sender: Sender, payload: Payload, reply_to?: number, at: string, edited_at?: string, deleted?: boolean, };
export type RoomEvent = { "type": "message" } & Message | { "type": "typing", room: string, sender: Sender, } | { "type": "presence", room: string, online: number, } | { "type": "read", room: string, member: string, seq: number, } | { "type": "resync", room: string, head: number, };
export type ReportReason = "spam" | "harassment" | "sexual" | "minor" | "violence" | "other";
export type Partner = { 
/**
 * The partner's public id in this room, the same as `sender.id` of its messages.
 */
id: string, 
/**
 * In the partner's language. A page shows `color` and `animal` in the language of the reader.
 */
name: string, color: Color, animal: string | null, };
export type Own = { 
/**
 * The visitor's public id in this room, the same as `sender.id` of its messages.
 */
id: string, name: string, color: Color, animal: string | null, slot: Slot, };
export type Pairing = { session: string, room: string, slot: Slot, partner: Partner, you: Own, 
/**
 * The interests that both named, in this side's own words.
 */
shared: Array<string>, 
/**
 * The primary subtags of the languages that both speak. Empty if they need a translation or
 * both take any language.
 */
languages: Array<string>, 
/**
 * `true` if the two met recently and neither had another possible partner.
 */
relaxed: boolean, };
export type OpenSession = { state: TalkState, 
/**
 * Until when a partner that is away can return.
 */
partner_until: string | null, session: string, room: string, slot: Slot, partner: Partner, you: Own, 
/**
 * The interests that both named, in this side's own words.
 */
shared: Array<string>, 
/**
 * The primary subtags of the languages that both speak. Empty if they need a translation or
 * both take any language.
 */
languages: Array<string>, 
/**
 * `true` if the two met recently and neither had another possible partner.
 */
relaxed: boolean, };
export type TalkState = "open" | "away";
export type PartnerState = "away" | "back" | "left";
export type EndReason = "left" | "next" | "lost" | "report" | "block" | "moderator";
export type SeekingRef = { ticket: string, };
export type TalkEvent = { "type": "found" } & Pairing | { "type": "partner", session: string, state: PartnerState, until?: string, } | { "type": "ended", session: string, reason: EndReason, seeking?: SeekingRef, };
export type Role = "member" | "moderator" | "editor" | "admin";
export type Account = { id: string, handle: string, role: Role, };
export type SessionTimes = { 
/**
 * Moves on with use.
 */
idle_until: string, 
/**
 * Does not move.
 */
ends_at: string, };
export type Visitor = { id: string, name: string, color: Color, 
/**
 * Null if the visitor chose the name.
 */
animal: string | null, locale: Locale, settings: { [name: string]: unknown }, 
/**
 * Null for a guest.
 */
account: Account | null, 
/**
 * When the session ends. Null for a guest.
 */
session: SessionTimes | null, };
export type ResumePoint = { room: string, after: number, };
export type Request = { "type": "hello", resume?: Array<ResumePoint>, } | { "type": "join", room: string, after?: number, } | { "type": "leave", room: string, } | { "type": "send", room: string, client_id: string, payload: Payload, reply_to?: number, } | { "type": "typing", room: string, } | { "type": "read", room: string, seq: number, } | { "type": "seek", interests: Array<string>, languages: Array<string>, translate: boolean, } | { "type": "cancel", } | { "type": "next", session: string, seek: boolean, } | { "type": "report", room: string, reason: ReportReason, seqs: number[], note?: string, block: boolean, } | { "type": "block", room: string, sender: string, on?: boolean, } | { "type": "ping", };
export type Waiting = { ticket: string, };
export type ResumedRoom = { room: string, head: number, replayed: number, 
/**
 * How the room's talk ended, as this side sees it; absent while it is open.
 */
ended?: EndReason, } | { room: string, resync: boolean, head: number, 
/**
 * How the room's talk ended, as this side sees it; absent while it is open.
 */
ended?: EndReason, };
export type HelloOk = { visitor: Visitor, heartbeat_ms: number, server_time: string, 
/**
 * The open talk.
 */
session: OpenSession | null, seeking: Waiting | null, rooms: Array<ResumedRoom>, };
export type MembershipView = { role: string, id: string, 
/**
 * The alias in the sender's language, or the chosen name.
 */
name: string, slot?: Slot, color: Color, 
/**
 * The animal of the alias, so that a page can show the name in the reader's language. Null for
 * a chosen name.
 */
animal: string | null, };
export type JoinOk = { room: RoomView, head: number, members_online: number, you: MembershipView, 
/**
 * `true` if `after` is too far back: the client has to page through the log.
 */
resync?: boolean, };
export type SendOk = { seq: number, at: string, };
export type SeekOk = { ticket: string, 
/**
 * Visitors who are waiting now, including this one.
 */
waiting: number, 
/**
 * The median of recent waits; absent if there were too few.
 */
median_wait_ms?: number, };
export type NextOk = { ticket?: string, };
export type ReportOk = { report: string, };
export type PingOk = { server_time: string, };
export type Empty = Record<symbol, never>;
export type NoticeKind = "restart" | "banned" | "revoked" | "session_expiring" | "signed_in_elsewhere";
export type Notice = { "type": "notice", kind: NoticeKind, 
/**
 * When it ends; absent if it has no end. For `signed_in_elsewhere`: when that was.
 */
at?: string, 
/**
 * The reason in the words of the staff member who decided it, or a name such as
 * `password_changed` if a session has ended.
 */
reason?: string, 
/**
 * For `signed_in_elsewhere`: the browser and the system of the other session, in a few words.
 */
device?: string, 
/**
 * The room it concerns; absent for the whole service.
 */
room?: string, };
export type ErrorBody = { code: string, message: string, retry_after_ms?: number, field?: string, };
export type Event = RoomEvent | TalkEvent | Notice;
export type Answer = { re: number | null; ok: Record<string, unknown> } | { re: number | null; error: ErrorBody };
export type ServerFrame = Answer | Event;
