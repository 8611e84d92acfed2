//! A copy of all data of an account's owner, as JSON. It is made while it is sent, page by page, so
//! that its size does not matter.
mod store;

use std::io;

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::{Value, json};
use sqlx::PgPool;
use time::OffsetDateTime;

use super::{Profile, profile};
use crate::accounts::{Account, Visitor};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::db;
use crate::error::{Error, Result};
use crate::http::{Bucket, Key};
use crate::ids::{RoomId, Seq, VisitorId};
use store::RoomRow;

/// Rows that one read returns.
const PAGE_ROWS: i64 = 500;
/// Entries of a room that one read looks through.
const WINDOW_ENTRIES: i64 = 2_000;
/// Sessions that are listed.
const MAX_SESSIONS: i64 = 1_000;

/// Where an export goes on.
enum Stage {
    Rooms {
        after: RoomId,
    },
    Blocks {
        after: i64,
    },
    Reports {
        after: i64,
    },
    /// The next room whose messages are read.
    NextRoom {
        after: RoomId,
    },
    Messages {
        room: RoomRow,
        after: Seq,
    },
    Finished,
}

struct Export {
    app: App,
    account: Account,
    visitor: VisitorId,
    stage: Stage,
    /// What is not sent yet.
    piece: String,
    /// Whether the present list has an item.
    has_items: bool,
}

/// Returns all data of a visitor with an account: profile, sessions, rooms, blocks, reports made, and
/// own messages.
///
/// The body ends early, as an error of the transfer, if the session ends or Postgres is lost.
///
/// # Errors
/// `sign_in_needed`, `rate_limited`, `session_ended`, `unavailable`.
pub async fn export(app: &App, who: &Visitor) -> Result<Body> {
    let profile = profile(app, who).await?;
    app.limits.take(Bucket::Exports, Key::Visitor(who.id))?;
    let sessions = store::sessions(&app.db, profile.account.id, MAX_SESSIONS).await?;
    let mut export = Export {
        app: app.clone(),
        account: profile.account.clone(),
        visitor: who.id,
        stage: Stage::Rooms { after: RoomId(0) },
        piece: format!("{{\"exported_at\":{},\n", json!(format_timestamp(app.clock.now()))),
        has_items: false,
    };
    export.field("account", &account_json(&profile));
    export.field("visitor", &visitor_json(who));
    export.field("sessions", &sessions.iter().map(session_json).collect());
    export.open_list("rooms");
    Ok(Body::from_stream(stream::try_unfold(export, next_piece)))
}

fn time(at: Option<OffsetDateTime>) -> Option<String> {
    at.map(format_timestamp)
}

fn account_json(profile: &Profile) -> Value {
    json!({
        "id": profile.account.public_id, "handle": profile.account.handle, "role": profile.account.role,
        "email": profile.email, "email_verified": profile.email_verified, "one_time_codes": profile.totp,
        "pin": profile.pin, "password_set_at": time(profile.password_set_at),
        "created_at": format_timestamp(profile.created_at), "delete_after": time(profile.delete_after),
    })
}

fn visitor_json(who: &Visitor) -> Value {
    json!({
        "id": who.public_id, "name": who.name, "color": who.alias.color, "animal": who.alias.animal,
        "locale": who.locale, "settings": who.settings, "rules_accepted": who.rules_accepted,
    })
}

fn session_json(session: &store::SessionRow) -> Value {
    json!({
        "device": session.device, "signed_in_at": time(session.signed_in_at),
        "last_used_at": format_timestamp(session.last_used_at), "ended_at": time(session.ended_at),
        "end_reason": session.end_reason,
    })
}

/// Returns the next piece of the body, and the state after it. `None` at the end.
async fn next_piece(mut export: Export) -> io::Result<Option<(Bytes, Export)>> {
    while export.piece.is_empty() {
        if matches!(export.stage, Stage::Finished) {
            return Ok(None);
        }
        // The status was sent long ago: the reader only learns that the body is not complete.
        let advanced = db::with_timeout(db::JOB_TIMEOUT, export.advance()).await;
        advanced.map_err(|why| io::Error::other(why.to_string()))?;
    }
    Ok(Some((Bytes::from(std::mem::take(&mut export.piece)), export)))
}

impl Export {
    /// Reads one page.
    async fn advance(&mut self) -> Result<()> {
        let node = self.app.clone();
        let db: &PgPool = &node.db;
        if node.is_stopping() || !store::is_live(db, self.account.id, self.account.epoch).await? {
            return Err(Error::SessionEnded);
        }
        self.stage = match std::mem::replace(&mut self.stage, Stage::Finished) {
            Stage::Rooms { after } => {
                let rooms = store::rooms(db, self.visitor, after, PAGE_ROWS).await?;
                rooms.iter().for_each(|room| self.item(&room_json(room)));
                match rooms.last() {
                    Some(last) => Stage::Rooms { after: last.id },
                    None => self.next_list("blocks", Stage::Blocks { after: 0 }),
                }
            }
            Stage::Blocks { after } => {
                let blocks = store::blocks(db, self.visitor, after, PAGE_ROWS).await?;
                blocks.iter().for_each(|(_, at)| self.item(&json!({"blocked_at": format_timestamp(*at)})));
                match blocks.last() {
                    Some((last, _)) => Stage::Blocks { after: *last },
                    None => self.next_list("reports", Stage::Reports { after: 0 }),
                }
            }
            Stage::Reports { after } => {
                let reports = store::reports(db, self.visitor, after, PAGE_ROWS).await?;
                reports.iter().for_each(|report| self.item(&report_json(report)));
                match reports.last() {
                    Some(last) => Stage::Reports { after: last.id },
                    None => self.next_list("messages", Stage::NextRoom { after: RoomId(0) }),
                }
            }
            Stage::NextRoom { after } => match store::rooms(db, self.visitor, after, 1).await?.pop() {
                Some(room) => Stage::Messages { room, after: Seq::ZERO },
                None => {
                    self.piece.push_str("]}\n");
                    Stage::Finished
                }
            },
            Stage::Messages { room, after } => {
                let until = after.plus(WINDOW_ENTRIES).min(room.head);
                let messages = store::messages(db, room.id, self.visitor, after, until).await?;
                messages.iter().for_each(|message| self.item(&message_json(&room, message)));
                if until < room.head {
                    Stage::Messages { room, after: until }
                } else {
                    Stage::NextRoom { after: room.id }
                }
            }
            Stage::Finished => Stage::Finished,
        };
        Ok(())
    }

    fn field(&mut self, name: &str, value: &Value) {
        self.piece.push_str(&format!("\"{name}\":{value},\n"));
    }

    fn open_list(&mut self, name: &str) {
        self.piece.push_str(&format!("\"{name}\":["));
        self.has_items = false;
    }

    fn next_list(&mut self, name: &str, stage: Stage) -> Stage {
        self.piece.push_str("],\n");
        self.open_list(name);
        stage
    }

    fn item(&mut self, item: &Value) {
        self.piece.push_str(if self.has_items { ",\n" } else { "\n" });
        self.piece.push_str(&item.to_string());
        self.has_items = true;
    }
}

fn room_json(room: &RoomRow) -> Value {
    json!({
        "id": room.public_id, "kind": room.kind, "title": room.title, "name": room.name, "role": room.role,
        "joined_at": format_timestamp(room.joined_at), "left_at": time(room.left_at),
    })
}

fn report_json(report: &store::ReportRow) -> Value {
    json!({
        "id": report.public_id, "room": report.room, "reason": report.reason, "note": report.note,
        "at": format_timestamp(report.created_at),
    })
}

fn message_json(room: &RoomRow, message: &store::MessageRow) -> Value {
    json!({
        "room": room.public_id, "seq": message.seq, "at": format_timestamp(message.created_at),
        "payload": message.payload, "reply_to": message.reply_to, "edited_at": time(message.edited_at),
        "deleted_at": time(message.deleted_at),
    })
}
