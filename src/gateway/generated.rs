//! The TypeScript types of the wire: generated from the Rust types, committed, and checked by a
//! test. `make gen` rewrites them.
use std::path::Path;

use ts_rs::{Config, TS};

use super::{PROTOCOL, frames};
use crate::realtime::CloseCode;
use crate::{accounts, locale, matching, moderation, realtime, rooms};

const FILE: &str = "web/src/wire/generated/frames.ts";

/// The close codes that the client handles.
const CLOSE_CODES: [CloseCode; 6] = [
    CloseCode::Restart,
    CloseCode::BadFrame,
    CloseCode::SessionEnded,
    CloseCode::Banned,
    CloseCode::TooSlow,
    CloseCode::SignedInElsewhere,
];

/// What no Rust type describes: a payload's fields, and the unions of what the server sends.
const HEAD: &str = "\
//! The frames of `maju.v1`. Generated from src/gateway/frames.rs and the nouns' models by `make
//! gen`: do not edit.

/** Fields of other kinds are kept, never dropped. */
export type Payload = { kind: 'text'; text: string; lang?: string } | { kind: 'system'; [field: string]: unknown };
";
const TAIL: &str = "\
export type Event = RoomEvent | TalkEvent | Notice;
export type Answer = { re: number | null; ok: Record<string, unknown> } | { re: number | null; error: ErrorBody };
export type ServerFrame = Answer | Event;
";

fn declaration<T: TS>(config: &Config) -> String {
    format!("export {}\n", T::decl(config))
}

fn typescript() -> String {
    let config = Config::default();
    let types = [
        declaration::<locale::Locale>(&config),
        declaration::<rooms::Slot>(&config),
        declaration::<rooms::Sender>(&config),
        declaration::<rooms::RoomKind>(&config),
        declaration::<rooms::Naming>(&config),
        declaration::<rooms::RoomView>(&config),
        declaration::<rooms::Message>(&config),
        declaration::<rooms::RoomEvent>(&config),
        declaration::<moderation::ReportReason>(&config),
        declaration::<matching::Partner>(&config),
        declaration::<matching::Own>(&config),
        declaration::<matching::Pairing>(&config),
        declaration::<matching::OpenSession>(&config),
        declaration::<matching::TalkState>(&config),
        declaration::<matching::PartnerState>(&config),
        declaration::<matching::EndReason>(&config),
        declaration::<matching::SeekingRef>(&config),
        declaration::<matching::TalkEvent>(&config),
        declaration::<accounts::Role>(&config),
        declaration::<accounts::AccountView>(&config),
        declaration::<accounts::SessionView>(&config),
        declaration::<accounts::VisitorView>(&config),
        declaration::<frames::ResumePoint>(&config),
        declaration::<frames::ClientFrame>(&config),
        declaration::<frames::Waiting>(&config),
        declaration::<frames::ResumedRoom>(&config),
        declaration::<frames::HelloOk>(&config),
        declaration::<frames::MembershipView>(&config),
        declaration::<frames::JoinOk>(&config),
        declaration::<frames::SendOk>(&config),
        declaration::<frames::SeekOk>(&config),
        declaration::<frames::NextOk>(&config),
        declaration::<frames::ReportOk>(&config),
        declaration::<frames::PingOk>(&config),
        declaration::<frames::Empty>(&config),
        declaration::<realtime::NoticeKind>(&config),
        declaration::<realtime::Notice>(&config),
        declaration::<frames::ErrorBody<'static>>(&config),
    ];
    format!("{HEAD}{}{}{TAIL}", constants(), types.concat())
}

/// Returns the subprotocol, the close codes and the colours, which are values in TypeScript too.
fn constants() -> String {
    let codes: Vec<String> = CLOSE_CODES
        .iter()
        .map(|code| format!("  {}: {},\n", upper_snake_case(&format!("{code:?}")), code.number()))
        .collect();
    let colors: Vec<String> = accounts::colors().map(|color| format!("'{color}'")).collect();
    format!(
        "
/** The WebSocket subprotocol. */
export const PROTOCOL = '{PROTOCOL}';

/** The codes with which the server closes a socket. */
export const CLOSE_CODES = {{
{}}} as const;

/** The keys of the colours. */
export const COLORS = [{}] as const;
export type Color = (typeof COLORS)[number];
",
        codes.concat(),
        colors.join(", ")
    )
}

/// Returns the name of a variant as a constant: `TOO_SLOW` for `TooSlow`.
fn upper_snake_case(name: &str) -> String {
    let parts = name.char_indices().map(|(at, c)| {
        let separator = if at > 0 && c.is_uppercase() { "_" } else { "" };
        format!("{separator}{}", c.to_ascii_uppercase())
    });
    parts.collect()
}

#[test]
fn the_typescript_is_in_step() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let wanted = typescript();
    if std::env::var_os("MAJU_GEN").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == wanted, "{FILE} does not match the Rust types: run `make gen`");
}
