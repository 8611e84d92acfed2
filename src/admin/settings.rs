//! The settings of this node, read-only, and the nodes that are alive.
use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::desk::{Area, Desk};
use super::format::Times;
use crate::accounts::Role;
use crate::config::Config;
use crate::db;
use crate::error::Result;
use crate::locale::{AdminStrings, SettingsStrings};
use crate::matching;

/// The settings that are secrets as a whole: only whether they are set is shown.
const SECRETS: [&str; 1] = ["verifier-secret"];

pub(super) struct Row {
    pub name: &'static str,
    pub about: &'static str,
    pub value: String,
    usual: String,
    pub origin: String,
    pub is_usual: bool,
}

struct NodeRow {
    name: String,
    version: String,
    address: String,
    started: String,
    is_this: bool,
    leads: bool,
}

#[derive(Template)]
#[template(path = "admin/settings.html")]
struct Page {
    t: &'static AdminStrings,
    s: &'static SettingsStrings,
    rows: Vec<Row>,
    warnings: Vec<String>,
    nodes: Vec<NodeRow>,
}

pub(super) async fn page(desk: Desk) -> Result<Response> {
    let desk = desk.require(Role::Admin)?;
    let t = desk.t();
    let s = &t.settings;
    let times = Times::of(&desk.app, desk.appearance.locale).await;
    let now = desk.app.clock.now();
    let nodes = db::with_timeout(db::REQUEST_TIMEOUT, matching::live_nodes(&desk.app.db)).await.unwrap_or_default();
    let node = |one: matching::LiveNode| NodeRow {
        // The first part tells them apart, and the whole is not needed anywhere.
        name: one.node.to_string().chars().take(8).collect(),
        version: if one.version.is_empty() { s.old_version.to_owned() } else { one.version },
        address: one.address,
        started: times.ago(now, one.started_at),
        is_this: one.node == desk.app.node,
        leads: one.leads_since.is_some(),
    };
    let page = Page {
        t,
        s,
        rows: rows(&desk.app.config, s),
        warnings: desk.app.config.notes.clone(),
        nodes: nodes.into_iter().map(node).collect(),
    };
    desk.respond(StatusCode::OK, Area::Settings, &[], t.shell.settings, &page).await
}

pub(super) fn rows(config: &Config, s: &'static SettingsStrings) -> Vec<Row> {
    let usual = Config::usual_entries();
    let shown = |name: &str, value: &Result<String, &'static str>| match value {
        Ok(_) if SECRETS.contains(&name) => s.is_set.to_owned(),
        Ok(value) => value.trim_matches('"').to_owned(),
        Err(_) => s.not_set.to_owned(),
    };
    let row = |(name, value): (&'static str, Result<String, &'static str>)| {
        let origin = config.origins.get(name);
        Row {
            name,
            about: s.about.iter().find(|(known, _)| *known == name).map_or("", |(_, about)| about),
            usual: usual
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| shown(name, value))
                .unwrap_or_default(),
            value: shown(name, &value),
            origin: origin.map_or_else(|| s.usual.to_owned(), |origin| origin_in_words(s, origin)),
            is_usual: origin.is_none(),
        }
    };
    config.entries().into_iter().map(row).collect()
}

fn origin_in_words(s: &SettingsStrings, origin: &str) -> String {
    let kind = if origin.starts_with("--") {
        s.flag
    } else if origin.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
        s.variable
    } else {
        s.file
    };
    format!("{kind} · {origin}")
}
