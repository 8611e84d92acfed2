//! The TypeScript of the wire: written from the Rust types, committed, and checked to be in step. `make gen` rewrites it.
use std::path::Path;

use ts_rs::{Config, TS};

use super::frames;
use crate::{accounts, locale, matching, moderation, realtime, rooms};

const FILE: &str = "web/src/wire/generated/frames.ts";

/// What no Rust type says: a payload's fields, and the unions of what goes each way.
const HEAD: &str = "\
//! The frames of `maju.v1`. Generated from src/gateway/frames.rs and the nouns' models by `make gen`: do not edit.

/** Fields of other kinds are kept, never dropped. */
export type Payload = { kind: 'text'; text: string; lang?: string } | { kind: 'system'; [field: string]: unknown };
";
const TAIL: &str = "\
export type Event = RoomEvent | TalkEvent | Notice;
export type Answer = { re: number | null; ok: Record<string, unknown> } | { re: number | null; error: ErrorBody };
export type ServerFrame = Answer | Event;
";

fn declared<T: TS>(config: &Config) -> String {
    format!("export {}\n", T::decl(config))
}

fn typescript() -> String {
    let config = Config::default();
    let colors: Vec<String> = accounts::colors().map(|color| format!("'{color}'")).collect();
    let types = [
        declared::<locale::Locale>(&config),
        declared::<rooms::Slot>(&config),
        declared::<rooms::Sender>(&config),
        declared::<rooms::RoomKind>(&config),
        declared::<rooms::Naming>(&config),
        declared::<rooms::RoomView>(&config),
        declared::<rooms::Message>(&config),
        declared::<rooms::RoomEvent>(&config),
        declared::<moderation::ReportReason>(&config),
        declared::<matching::Partner>(&config),
        declared::<matching::Own>(&config),
        declared::<matching::Pairing>(&config),
        declared::<matching::OpenSession>(&config),
        declared::<matching::TalkState>(&config),
        declared::<matching::PartnerState>(&config),
        declared::<matching::EndReason>(&config),
        declared::<matching::SeekingRef>(&config),
        declared::<matching::TalkEvent>(&config),
        declared::<accounts::VisitorView>(&config),
        declared::<frames::ResumePoint>(&config),
        declared::<frames::ClientFrame>(&config),
        declared::<frames::Waiting>(&config),
        declared::<frames::ResumedRoom>(&config),
        declared::<frames::HelloOk>(&config),
        declared::<frames::MembershipView>(&config),
        declared::<frames::JoinOk>(&config),
        declared::<frames::SendOk>(&config),
        declared::<frames::SeekOk>(&config),
        declared::<frames::NextOk>(&config),
        declared::<frames::ReportOk>(&config),
        declared::<frames::PingOk>(&config),
        declared::<frames::Empty>(&config),
        declared::<realtime::NoticeKind>(&config),
        declared::<realtime::Notice>(&config),
        declared::<frames::ErrorBody<'static>>(&config),
    ];
    let colors = format!("export type Color = {};\n", colors.join(" | "));
    format!("{HEAD}\n{colors}{}{TAIL}", types.concat())
}

#[test]
fn the_typescript_is_in_step() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let wanted = typescript();
    if std::env::var_os("MAJU_GEN").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == wanted, "{FILE} is not what the Rust types say: run `make gen`");
}
