//! The audit log: a filtered list in sentences, and the check of its chain.
use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};

use super::audit_export::shown_hash;
use super::desk::{Area, Desk};
use super::format::{Times, number};
use super::person_acts::Nothing;
use super::state::Verification;
use crate::accounts::{Form, Role};
use crate::app::App;
use crate::audit::{self, Filter, Flaw, Listed, Verdict};
use crate::error::{Error, Result};
use crate::http::Query;
use crate::locale::{AdminStrings, AuditStrings, Told};

/// The entries on a page.
pub(super) const PAGE_ROWS: i64 = 50;
/// The longest text of a filter, in characters.
const MAX_FILTER: usize = 64;

/// What is asked for. Days are those of the site's time zone.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    pub actor: String,
    #[serde(default)]
    pub action: String,
    #[serde(default)]
    pub from: String,
    #[serde(default)]
    pub to: String,
    #[serde(default)]
    pub cursor: String,
}

impl Asked {
    /// Returns the filter.
    ///
    /// # Errors
    /// `bad_frame` with the field `from` or `to` for a text that is no date.
    pub(super) fn filter(&self, times: Times) -> Result<Filter<'_>> {
        let day = |name: &'static str, text: &str| -> Result<Option<OffsetDateTime>> {
            if text.is_empty() {
                return Ok(None);
            }
            let date = Date::parse(text, format_description!("[year]-[month]-[day]"));
            let date = date.map_err(|_| Error::bad_field(name, "This is not a date like 2027-06-30."))?;
            Ok(Some(date.midnight().assume_offset(times.offset())))
        };
        let until = day("to", &self.to)?.map(|day| day.saturating_add(Duration::DAY));
        Ok(Filter { actor: self.actor.trim(), action: self.action.trim(), from: day("from", &self.from)?, until })
    }

    /// Returns the number before which a page begins. `None` for the newest.
    ///
    /// # Errors
    /// `bad_frame` with the field `cursor`.
    pub(super) fn before(&self) -> Result<Option<i64>> {
        if self.cursor.is_empty() {
            return Ok(None);
        }
        self.cursor.parse().map(Some).map_err(|_| Error::bad_field("cursor", "This is not the cursor of a list."))
    }

    /// Returns the address of a page with the same filter.
    fn path(&self, page: &str, cursor: Option<i64>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let given = [("actor", &self.actor), ("action", &self.action), ("from", &self.from), ("to", &self.to)];
        query.extend_pairs(given.into_iter().filter(|(_, text)| !text.is_empty()));
        if let Some(cursor) = cursor {
            query.append_pair("cursor", &cursor.to_string());
        }
        format!("{page}?{}", query.finish())
    }
}

/// An action in the filter.
struct Choice {
    value: String,
    name: String,
    is_chosen: bool,
}

struct Row {
    id: i64,
    sentence: String,
    ago: String,
    at: String,
    action: String,
    subject: String,
    detail: String,
    hash: Option<String>,
}

/// The state of the chain on the page.
struct ChainView {
    /// The class of its badge.
    class: &'static str,
    text: Option<String>,
    is_running: bool,
    button: &'static str,
}

#[derive(Template)]
#[template(path = "admin/audit.html")]
struct List<'a> {
    t: &'static AdminStrings,
    a: &'static AuditStrings,
    token: &'a str,
    asked: Asked,
    problem: Option<&'static str>,
    actions: Vec<Choice>,
    rows: Vec<Row>,
    older: Option<String>,
    newest: Option<String>,
    csv: String,
    lines: String,
    chain: ChainView,
}

pub(super) async fn list(desk: Desk, Query(asked): Query<Asked>) -> Result<Response> {
    let desk = desk.require(Role::Admin)?;
    let t = desk.t();
    let a = &t.audit;
    let asked = Asked {
        actor: asked.actor.chars().take(MAX_FILTER).collect(),
        action: asked.action.chars().take(MAX_FILTER).collect(),
        ..asked
    };
    let times = Times::of(&desk.app, desk.appearance.locale).await;
    let (filter, problem) = match asked.filter(times) {
        Ok(filter) => (filter, None),
        // The page keeps what was typed, and shows nothing that was not asked for.
        Err(_) => (Filter { action: "(none)", ..Filter::default() }, Some(a.bad_date)),
    };
    let before = asked.before().unwrap_or_default();
    let mut found = audit::list(&desk.app.db, &filter, before, PAGE_ROWS + 1).await?;
    let page_rows = usize::try_from(PAGE_ROWS).unwrap_or_default();
    let has_more = found.len() > page_rows;
    found.truncate(page_rows);
    let last = found.last().map(|act| act.id);
    let now = desk.app.clock.now();
    let known = audit::actions(&desk.app.db).await?;
    let page = List {
        t,
        a,
        token: desk.token(),
        problem,
        actions: known.into_iter().map(|action| choice(a, action, &asked.action)).collect(),
        rows: found.into_iter().map(|act| row(a, times, now, act)).collect(),
        older: last.filter(|_| has_more).map(|id| asked.path("/admin/audit", Some(id))),
        newest: before.map(|_| asked.path("/admin/audit", None)),
        csv: asked.path("/admin/audit.csv", None),
        lines: asked.path("/admin/audit.jsonl", None),
        chain: chain(&desk.app, a, times, now),
        asked: asked.clone(),
    };
    let status = if problem.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    desk.respond(status, Area::Audit, &[], t.shell.audit, &page).await
}

fn choice(a: &AuditStrings, action: String, chosen: &str) -> Choice {
    let name = (a.action_name)(&action);
    let name = if name.is_empty() { action.clone() } else { name.to_owned() };
    Choice { is_chosen: action == chosen, value: action, name }
}

/// Returns the name of an actor for a reader.
pub(super) fn actor_name<'a>(a: &AuditStrings, name: &'a str) -> &'a str {
    match name {
        "(shell)" => a.shell,
        "(system)" => a.system,
        name => name,
    }
}

fn row(a: &AuditStrings, times: Times, now: OffsetDateTime, act: Listed) -> Row {
    let actor = actor_name(a, &act.actor_name);
    let told = Told { actor, action: &act.action, subject: &act.subject, detail: &act.detail };
    Row {
        id: act.id,
        sentence: (a.sentence)(&told),
        ago: times.ago(now, act.at),
        at: times.full(act.at),
        detail: serde_json::to_string_pretty(&act.detail).unwrap_or_default(),
        hash: act.prefix_hash.as_deref().map(shown_hash),
        action: act.action,
        subject: act.subject,
    }
}

fn chain(app: &App, a: &'static AuditStrings, times: Times, now: OffsetDateTime) -> ChainView {
    let view = |class, text: String| ChainView { class, text: Some(text), is_running: false, button: a.check_again };
    match &*app.admin.verification.lock() {
        Verification::None => ChainView { class: "", text: None, is_running: false, button: a.check },
        Verification::Running { checked, all } => {
            ChainView { is_running: true, ..view("badge-warn", (a.running)(*checked, *all)) }
        }
        Verification::Done { at, verdict: Verdict::Whole { entries, head } } => {
            let short: String = head.chars().take(16).collect();
            view("badge-good", (a.whole)(&number(*entries as f64, 0), &times.ago(now, *at), &short))
        }
        Verification::Done { verdict: Verdict::Broken { entry, flaw }, .. } => {
            view("badge-bad", (a.broken)(*entry, flaw_name(*flaw)))
        }
        Verification::Failed => view("badge-bad", a.failed.to_owned()),
    }
}

/// Returns the stable name of a flaw, for a search in the documents.
fn flaw_name(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Missing => "missing",
        Flaw::Changed => "changed",
        Flaw::Added => "added",
        Flaw::OtherHead => "other head",
        Flaw::NoHead => "no head",
    }
}

/// Starts a check of the whole chain, unless one runs on this node.
pub(super) async fn verify(desk: Desk, Form(Nothing {}): Form<Nothing>) -> Result<Response> {
    let desk = desk.require(Role::Admin)?;
    let app = desk.app.clone();
    let is_new = {
        let mut verification = app.admin.verification.lock();
        let is_running = matches!(*verification, Verification::Running { .. });
        if !is_running {
            *verification = Verification::Running { checked: 0, all: 0 };
        }
        !is_running
    };
    if is_new {
        let node = app.clone();
        app.tasks.spawn("admin.verify", async move {
            let stopping = node.tasks.stopping.clone();
            stopping.run_until_cancelled(run_verification(&node)).await;
        });
    }
    Ok(Redirect::to("/admin/audit").into_response())
}

async fn run_verification(app: &App) {
    let progress = |checked, all| *app.admin.verification.lock() = Verification::Running { checked, all };
    let done = match audit::verify_with_progress(&app.db, progress).await {
        Ok(verdict) => Verification::Done { at: app.clock.now(), verdict },
        Err(why) => {
            tracing::warn!(error.cause = %why, "the audit log could not be checked");
            Verification::Failed
        }
    };
    *app.admin.verification.lock() = done;
}
