//! The numbers of the landing page: their list, their form, and a chart of their history.
mod chart;
mod form;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

use self::chart::Chart;
use self::form::{Choice, Fields, change_of, digits, problem, source_name};
use super::desk::{Area, Desk};
use super::note::{Note, Undo};
use super::sections::Zone;
use crate::accounts::{Form, Role};
use crate::app::App;
use crate::cms::{self, Editor, LiveCounts, NewStat, Stat, StatChange};
use crate::error::{Error, Result};
use crate::locale::{AdminStrings, Locale};

/// Returns the routes of the numbers.
pub(super) fn pages() -> Router<App> {
    Router::new()
        .route("/admin/numbers", get(list).post(add))
        .route("/admin/numbers/order", get(back).post(order))
        .route("/admin/numbers/restore", get(back).post(restore))
        .route("/admin/numbers/{key}", get(edit).post(save))
        .route("/admin/numbers/{key}/delete", get(back).post(delete))
}

async fn back() -> Redirect {
    Redirect::to("/admin/numbers")
}

fn editor(desk: &Desk) -> Editor<'_> {
    Editor { who: &desk.staff.visitor, prefix_hash: &desk.prefix_hash }
}

/// A number of the list.
struct Row {
    key: String,
    labels: Vec<(Locale, String)>,
    value: String,
    source: &'static str,
    is_visible: bool,
    is_first: bool,
    is_last: bool,
}

#[derive(Template)]
#[template(path = "admin/numbers/list.html")]
struct List<'a> {
    t: &'static AdminStrings,
    token: &'a str,
    rows: Vec<Row>,
    entered: Fields,
    sources: Vec<Choice>,
    problem: Option<&'static str>,
}

async fn list(desk: Desk) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    respond_list(&desk, Fields::default(), None).await
}

async fn respond_list(desk: &Desk, entered: Fields, problem: Option<&'static str>) -> Result<Response> {
    let (stats, counts) = cms::stats(&desk.app).await?;
    let locale = desk.appearance.locale;
    let row = |(at, stat): (usize, &Stat)| Row {
        key: stat.key.clone(),
        labels: Locale::ALL.map(|locale| (locale, stat.label.own(locale).unwrap_or_default().to_owned())).into(),
        value: value_text(desk, stat, &counts).unwrap_or_else(|| desk.t().numbers.not_shown.to_owned()),
        source: source_name(stat, locale),
        is_visible: stat.visible,
        is_first: at == 0,
        is_last: at + 1 == stats.len(),
    };
    let view = List {
        t: desk.t(),
        token: desk.token(),
        rows: stats.iter().enumerate().map(row).collect(),
        sources: form::sources(locale),
        entered,
        problem,
    };
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    desk.respond(status, Area::Numbers, &[], desk.t().shell.numbers, &view).await
}

/// Returns a value with its unit, as visitors see it. `None` if they see none.
fn value_text(desk: &Desk, stat: &Stat, counts: &LiveCounts) -> Option<String> {
    let value = stat.shown_value(counts)?;
    Some(digits(value, stat.unit, desk.appearance.locale))
}

async fn add(desk: Desk, Form(entered): Form<Fields>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let (stats, _) = cms::stats(&desk.app).await?;
    let Some(change) = change_of(&entered, None) else {
        return respond_list(&desk, entered, Some(desk.t().numbers.problem_number)).await;
    };
    if stats.iter().any(|stat| stat.key == entered.key) {
        return respond_list(&desk, entered, Some(desk.t().numbers.problem_key)).await;
    }
    let new = NewStat {
        key: entered.key.clone(),
        label: change.label.unwrap_or_default(),
        unit: change.unit.unwrap_or(cms::Unit::Count),
        source: change.source.flatten(),
        manual: change.manual.flatten(),
    };
    match cms::add_stat(&desk.app, editor(&desk), new).await {
        Ok(stat) => {
            Note::said(desk.t().numbers.added).leave(&desk.session).await?;
            Ok(Redirect::to(&format!("/admin/numbers/{}", stat.key)).into_response())
        }
        Err(why) => {
            let text = problem(&desk.t().numbers, &why).ok_or(why)?;
            respond_list(&desk, entered, Some(text)).await
        }
    }
}

#[derive(Deserialize)]
struct Order {
    /// All keys in their new order, separated by commas; or one key that moves.
    keys: Option<String>,
    key: Option<String>,
    #[serde(rename = "move")]
    direction: Option<String>,
}

async fn order(desk: Desk, Form(wanted): Form<Order>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let (stats, _) = cms::stats(&desk.app).await?;
    let before: Vec<String> = stats.into_iter().map(|stat| stat.key).collect();
    let mut keys = before.clone();
    match (wanted.key, wanted.keys) {
        (Some(key), None) => {
            let at = keys.iter().position(|own| *own == key).ok_or(Error::NotFound)?;
            let is_up = wanted.direction.as_deref() == Some("up");
            let to = if is_up { at.saturating_sub(1) } else { (at + 1).min(keys.len() - 1) };
            keys.swap(at, to);
        }
        (_, Some(list)) => keys = list.split(',').map(str::to_owned).collect(),
        _ => return Err(Error::NotFound),
    }
    cms::order_stats(&desk.app, editor(&desk), &keys).await?;
    let undo = Undo { path: "/admin/numbers/order".to_owned(), fields: vec![("keys".to_owned(), before.join(","))] };
    Note { text: desk.t().numbers.moved.to_owned(), undo: Some(undo) }.leave(&desk.session).await?;
    Ok(Redirect::to("/admin/numbers").into_response())
}

#[derive(Default, Deserialize)]
struct View {
    range: Option<String>,
}

#[derive(Template)]
#[template(path = "admin/numbers/edit.html")]
struct Edit<'a> {
    t: &'static AdminStrings,
    token: &'a str,
    path: String,
    name: String,
    now: String,
    looks: String,
    entered: Fields,
    sources: Vec<Choice>,
    range: &'static str,
    chart: Option<Chart>,
    problem: Option<String>,
}

async fn edit(desk: Desk, Path(key): Path<String>, Query(view): Query<View>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    respond(&desk, &key, None, None, &view).await
}

async fn respond(
    desk: &Desk,
    key: &str,
    entered: Option<Fields>,
    problem: Option<String>,
    view: &View,
) -> Result<Response> {
    let (t, locale) = (desk.t(), desk.appearance.locale);
    let (stats, counts) = cms::stats(&desk.app).await?;
    let stat = stats.into_iter().find(|stat| stat.key == key).ok_or(Error::NotFound)?;
    let zone = Zone::of(&desk.app, locale).await?;
    let name = stat.label.text(locale).to_owned();
    let shown = value_text(desk, &stat, &counts);
    let ranges = &t.numbers.ranges;
    let (range, range_name) =
        ranges.iter().find(|(range, _)| view.range.as_deref() == Some(range)).copied().unwrap_or(ranges[1]);
    let edit = Edit {
        t,
        token: desk.token(),
        path: format!("/admin/numbers/{key}"),
        now: stat
            .raw_value(&counts)
            .map_or_else(|| t.numbers.unknown.to_owned(), |value| digits(value, stat.unit, locale)),
        looks: match &shown {
            Some(value) => (t.numbers.looks_like)(&format!("{value} {name}")),
            None => t.numbers.not_shown.to_owned(),
        },
        entered: entered.unwrap_or_else(|| Fields::of(&stat)),
        sources: form::sources(locale),
        range,
        chart: chart::read(desk, &zone, &stat, range, range_name).await?,
        name,
        problem,
    };
    let status = if edit.problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let above = [("/admin/numbers".to_owned(), t.shell.numbers.to_owned())];
    let title = edit.name.clone();
    desk.respond(status, Area::Numbers, &above, &title, &edit).await
}

async fn save(desk: Desk, Path(key): Path<String>, Form(mut entered): Form<Fields>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let t = &desk.t().numbers;
    let Some(change) = change_of(&entered, None) else {
        return respond(&desk, &key, Some(entered), Some(t.problem_number.to_owned()), &View::default()).await;
    };
    let before = cms::stats(&desk.app).await?.0.into_iter().find(|stat| stat.key == key).ok_or(Error::NotFound)?;
    let version = entered.version.parse().unwrap_or(0);
    match cms::save_stat(&desk.app, editor(&desk), &key, Some(version), change).await {
        Ok(_) => {
            let undo = Undo { path: format!("/admin/numbers/{key}"), fields: Fields::of(&before).pairs(version + 1) };
            Note { text: t.saved.to_owned(), undo: Some(undo) }.leave(&desk.session).await?;
            Ok(Redirect::to(&format!("/admin/numbers/{key}")).into_response())
        }
        Err(Error::Outdated { .. }) => {
            entered.version = before.version.to_string();
            let text = (t.outdated)(&before.updated_by);
            respond(&desk, &key, Some(entered), Some(text), &View::default()).await
        }
        Err(why) => {
            let text = problem(t, &why).ok_or(why)?;
            respond(&desk, &key, Some(entered), Some(text.to_owned()), &View::default()).await
        }
    }
}

#[derive(Deserialize)]
struct Nothing {}

async fn delete(desk: Desk, Path(key): Path<String>, Form(Nothing {}): Form<Nothing>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let stat = cms::delete_stat(&desk.app, editor(&desk), &key).await?;
    let mut fields = Fields::of(&stat).pairs(1);
    fields.push(("position".to_owned(), stat.position.to_string()));
    let undo = Undo { path: "/admin/numbers/restore".to_owned(), fields };
    Note { text: desk.t().numbers.deleted.to_owned(), undo: Some(undo) }.leave(&desk.session).await?;
    Ok(Redirect::to("/admin/numbers").into_response())
}

/// Puts a number back that was deleted.
async fn restore(desk: Desk, Form(entered): Form<Fields>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let change: StatChange = change_of(&entered, None).ok_or(Error::NotFound)?;
    let stat = Stat {
        key: entered.key.clone(),
        position: entered.position.parse().unwrap_or(0),
        visible: change.visible.unwrap_or(false),
        manual: change.manual.flatten(),
        source: change.source.flatten(),
        label: change.label.unwrap_or_default(),
        unit: change.unit.unwrap_or(cms::Unit::Count),
        hide_below: change.hide_below.unwrap_or(1),
        hide_when_stale: change.hide_when_stale.unwrap_or(false),
        round_to: change.round_to.unwrap_or(1),
        version: 1,
        updated_by: desk.staff.account.handle.clone(),
        updated_at: desk.app.clock.now(),
    };
    cms::restore_stat(&desk.app, editor(&desk), stat).await?;
    Ok(Redirect::to("/admin/numbers").into_response())
}
