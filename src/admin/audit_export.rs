//! The audit log as a file: CSV for a spreadsheet, JSON Lines for a program. Streamed, so that its
//! length does not matter.
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde_json::json;

use super::audit_log::Asked;
use super::desk::Desk;
use super::format::Times;
use crate::accounts::Role;
use crate::app::App;
use crate::audit::{self, Filter, Listed};
use crate::clock::format_timestamp;
use crate::error::Result;
use crate::http::Query;

/// Entries that are read at once.
const PAGE_ROWS: i64 = 500;
/// The columns of the CSV.
const COLUMNS: [&str; 8] = ["id", "at", "actor", "actor_id", "action", "subject", "detail", "address_hash"];

/// How an entry is written.
type Write = fn(&Listed) -> String;

pub(super) async fn csv(desk: Desk, Query(asked): Query<Asked>) -> Result<Response> {
    // A mark at the start makes spreadsheets read it as UTF-8.
    let head = format!("\u{feff}{}\r\n", COLUMNS.join(","));
    export(desk, asked, head, csv_line, "text/csv; charset=utf-8", "audit.csv").await
}

pub(super) async fn json_lines(desk: Desk, Query(asked): Query<Asked>) -> Result<Response> {
    export(desk, asked, String::new(), json_line, "application/jsonl; charset=utf-8", "audit.jsonl").await
}

/// A filter that owns its texts, for a stream.
struct Owned {
    app: App,
    asked: Asked,
    times: Times,
    before: Option<i64>,
    is_done: bool,
}

async fn export(
    desk: Desk,
    asked: Asked,
    head: String,
    write: Write,
    kind: &'static str,
    name: &'static str,
) -> Result<Response> {
    let desk = desk.require(Role::Admin)?;
    let times = Times::of(&desk.app, desk.appearance.locale).await;
    asked.filter(times)?;
    let state = Owned { app: desk.app.clone(), asked, times, before: None, is_done: false };
    let pages = stream::try_unfold((state, Some(head)), move |(mut state, head)| async move {
        if let Some(head) = head {
            return Ok::<_, std::io::Error>(Some((head, (state, None))));
        }
        if state.is_done {
            return Ok(None);
        }
        let filter = state.asked.filter(state.times).unwrap_or_else(|_| Filter::default());
        let read = audit::list(&state.app.db, &filter, state.before, PAGE_ROWS).await;
        let found = read.map_err(std::io::Error::other)?;
        state.is_done = i64::try_from(found.len()).unwrap_or_default() < PAGE_ROWS;
        state.before = found.last().map(|act| act.id);
        let text: String = found.iter().map(write).collect();
        Ok(Some((text, (state, None))))
    });
    let mut response = Body::from_stream(pages).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"maju-{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Returns a keyed hash as it is shown.
pub(super) fn shown_hash(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn csv_line(act: &Listed) -> String {
    let fields = [
        act.id.to_string(),
        format_timestamp(act.at),
        act.actor_name.clone(),
        act.actor.map(|id| id.to_string()).unwrap_or_default(),
        act.action.clone(),
        act.subject.clone(),
        act.detail.to_string(),
        act.prefix_hash.as_deref().map(shown_hash).unwrap_or_default(),
    ];
    format!("{}\r\n", fields.map(|field| csv_field(&field)).join(","))
}

/// Returns a field in quotes. A spreadsheet would run a text that begins like a formula, so such a
/// text gets an apostrophe in front.
fn csv_field(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    format!("\"{}{}\"", if is_formula { "'" } else { "" }, text.replace('"', "\"\""))
}

fn json_line(act: &Listed) -> String {
    format!("{}\n", entry(act))
}

/// Returns an entry as JSON, for the export and the API.
pub(super) fn entry(act: &Listed) -> serde_json::Value {
    json!({
        "id": act.id,
        "at": format_timestamp(act.at),
        "actor": act.actor_name,
        "actor_id": act.actor,
        "action": act.action,
        "subject": act.subject,
        "detail": act.detail,
        "address_hash": act.prefix_hash.as_deref().map(shown_hash),
    })
}

#[cfg(test)]
mod tests {
    use super::csv_field;

    #[test]
    fn a_spreadsheet_runs_no_field_as_a_formula() {
        for (text, field) in [
            ("min", "\"min\""),
            ("a \"b\", c", "\"a \"\"b\"\", c\""),
            ("=1+1", "\"'=1+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("-2", "\"'-2\""),
            ("+82", "\"'+82\""),
            ("\t=1", "\"'\t=1\""),
        ] {
            assert_eq!(csv_field(text), field);
        }
    }
}
