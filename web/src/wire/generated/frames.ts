//! The frames of `maju.v1`. Generated from src/gateway/frames.rs and the nouns' models by `make gen`: do not edit.

/** Fields of other kinds are kept, never dropped. */
export type Payload = { kind: 'text'; text: string; lang?: string } | { kind: 'system'; [field: string]: unknown };

export type Color = 'pine' | 'persimmon' | 'plum' | 'indigo' | 'ochre' | 'sky' | 'moss' | 'rose';
export type Locale = "ko" | "en";
export type Slot = "A" | "B";
export type Sender = { id: string, name: string, slot?: Slot, color: string, animal: string | null, };
export type Kind = "public" | "private" | "talk";
export type Naming = "anonymous" | "named";
export type RoomView = { id: string, slug: string | null, kind: Kind, naming: Naming, title: string | null, topic: string | null, history: boolean, language: string | null, created_at: string, closed_at: string | null, };
export type Message = { room: string, seq: number, client_id: string, sender: Sender, payload: Payload, reply_to?: number, at: string, edited_at?: string, deleted?: boolean, };
export type RoomEvent = { "type": "message" } & Message | { "type": "typing", room: string, sender: Sender, } | { "type": "presence", room: string, online: number, } | { "type": "read", room: string, member: string, seq: number, } | { "type": "resync", room: string, head: number, };
export type Reason = "spam" | "harassment" | "sexual" | "minor" | "violence" | "other";
export type Person = { name: string, color: string, animal: string | null, };
export type You = { id: string, name: string, color: string, animal: string | null, slot: Slot, };
export type Found = { session: string, room: string, slot: Slot, partner: Person, you: You, shared: Array<string>, languages: Array<string>, relaxed: boolean, };
export type OpenState = "open" | "away";
export type OpenSession = { state: OpenState, partner_until: string | null, } & Found;
export type PartnerState = "away" | "back" | "left";
export type EndReason = "left" | "next" | "lost" | "report" | "block" | "moderator";
export type SeekingRef = { ticket: string, };
export type TalkEvent = { "type": "found" } & Found | { "type": "partner", session: string, state: PartnerState, until?: string, } | { "type": "ended", session: string, reason: EndReason, seeking?: SeekingRef, };
export type VisitorView = { id: string, name: string, color: string, animal: string | null, locale: Locale, settings: Record<string, unknown>, account: null, };
export type ResumeFrom = { room: string, after: number, };
export type ClientFrame = { "type": "hello", resume?: Array<ResumeFrom>, } | { "type": "join", room: string, after?: number, } | { "type": "leave", room: string, } | { "type": "send", room: string, client_id: string, payload: Payload, reply_to?: number, } | { "type": "typing", room: string, } | { "type": "read", room: string, seq: number, } | { "type": "seek", interests: Array<string>, languages: Array<string>, translate: boolean, } | { "type": "cancel", } | { "type": "next", session: string, seek: boolean, } | { "type": "report", room: string, reason: Reason, seqs: number[], note?: string, block: boolean, } | { "type": "block", room: string, sender: string, } | { "type": "ping", };
export type Waiting = { ticket: string, };
export type Resumed = { room: string, head: number, replayed: number, } | { room: string, resync: boolean, head: number, };
export type HelloOk = { visitor: VisitorView, heartbeat_ms: number, server_time: string, session: OpenSession | null, seeking: Waiting | null, rooms: Array<Resumed>, };
export type Membership = { role: string, } & Sender;
export type JoinOk = { room: RoomView, head: number, members_online: number, you: Membership, resync?: boolean, };
export type SendOk = { seq: number, at: string, };
export type SeekOk = { ticket: string, waiting: number, median_wait_ms?: number, };
export type NextOk = { ticket?: string, };
export type ReportOk = { report: string, };
export type PingOk = { server_time: string, };
export type Done = Record<string, never>;
export type NoticeKind = "restart";
export type Notice = { "type": "notice", kind: NoticeKind, };
export type WireError = { code: string, message: string, retry_after_ms?: number, field?: string, };
export type Event = RoomEvent | TalkEvent | Notice;
export type Answer = { re: number | null; ok: Record<string, unknown> } | { re: number | null; error: WireError };
export type ServerFrame = Answer | Event;
