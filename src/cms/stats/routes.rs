//! The numbers over HTTP, for editors.
use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Label, LiveCounts, NewStat, Source, Stat, StatChange, Unit};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::cms::editors::{Caller, nullable, timestamp};
use crate::error::{Error, Problem, Result};
use crate::http::{Json, Path, Query};

/// Returns the routes `/admin/stats`.
pub(in crate::cms) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(change, delete)).routes(routes!(history))
}

/// A number of the landing page with its settings.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct StatView {
    key: String,
    position: i32,
    visible: bool,
    /// The value that is set by hand. Null if it is counted.
    manual: Option<i64>,
    source: Option<Source>,
    label: Label,
    unit: Unit,
    hide_below: i64,
    hide_when_stale: bool,
    round_to: i64,
    version: i64,
    /// The value now, before rounding and hiding. Null if it is not known.
    value: Option<i64>,
    /// The value that visitors see. Null if they see none.
    shown: Option<i64>,
    updated_by: String,
    updated_at: String,
}

impl StatView {
    pub(super) fn of(stat: &Stat, counts: Option<&LiveCounts>) -> Self {
        let Stat { key, position, visible, manual, source, label, unit, .. } = stat.clone();
        Self {
            key,
            position,
            visible,
            manual,
            source,
            label,
            unit,
            hide_below: stat.hide_below,
            hide_when_stale: stat.hide_when_stale,
            round_to: stat.round_to,
            version: stat.version,
            value: counts.and_then(|counts| stat.raw_value(counts)),
            shown: counts.filter(|_| visible).and_then(|counts| stat.shown_value(counts)),
            updated_by: stat.updated_by.clone(),
            updated_at: format_timestamp(stat.updated_at),
        }
    }
}

/// The numbers in order.
#[derive(Serialize, ToSchema)]
struct StatPage {
    items: Vec<StatView>,
    /// Always null: the list has one page.
    next: Option<String>,
}

/// The numbers of the landing page in order, the hidden ones too. For editors.
#[utoipa::path(get, path = "/admin/stats", tag = "editing",
    responses((status = 200, body = StatPage), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn list(State(app): State<App>, _caller: Caller) -> Result<Json<StatPage>> {
    let (stats, counts) = super::stats(&app).await?;
    Ok(Json(StatPage { items: stats.iter().map(|stat| StatView::of(stat, Some(&counts))).collect(), next: None }))
}

/// A number to be added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddStat {
    /// a-z, 0-9 and _, at most 40 characters.
    key: String,
    /// By language tag.
    label: BTreeMap<String, String>,
    unit: Option<Unit>,
    source: Option<Source>,
    manual: Option<i64>,
}

/// Adds a number at the end. It is hidden at first. For editors.
#[utoipa::path(post, path = "/admin/stats", tag = "editing", request_body = AddStat,
    responses((status = 201, body = StatView), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
async fn add(
    State(app): State<App>,
    caller: Caller,
    Json(AddStat { key, label, unit, source, manual }): Json<AddStat>,
) -> Result<(StatusCode, Json<StatView>)> {
    let new = NewStat { key, label: label.into_iter().collect(), unit: unit.unwrap_or(Unit::Count), source, manual };
    let stat = super::add_stat(&app, caller.editor(), new).await?;
    Ok((StatusCode::CREATED, Json(StatView::of(&stat, None))))
}

/// A change of a number. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeStat {
    /// The version that the change was made to; any if it is left out.
    version: Option<i64>,
    /// Null counts it from its source again.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>)]
    manual: Option<Option<i64>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Source>)]
    source: Option<Option<Source>>,
    /// By language tag.
    label: Option<BTreeMap<String, String>>,
    unit: Option<Unit>,
    visible: Option<bool>,
    /// It is put between the numbers with smaller and larger positions.
    position: Option<i32>,
    hide_below: Option<i64>,
    hide_when_stale: Option<bool>,
    round_to: Option<i64>,
}

/// Changes a number. For editors.
#[utoipa::path(patch, path = "/admin/stats/{key}", tag = "editing", params(("key" = String, Path)),
    request_body = ChangeStat,
    responses((status = 200, body = StatView), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(key): Path<String>,
    Json(change): Json<ChangeStat>,
) -> Result<Json<StatView>> {
    let version = change.version;
    let change = StatChange {
        manual: change.manual,
        source: change.source,
        label: change.label.map(|label| label.into_iter().collect()),
        unit: change.unit,
        visible: change.visible,
        position: change.position,
        hide_below: change.hide_below,
        hide_when_stale: change.hide_when_stale,
        round_to: change.round_to,
    };
    Ok(Json(StatView::of(&super::save_stat(&app, caller.editor(), &key, version, change).await?, None)))
}

/// Deletes a number. Its history is stored until its samples are too old. For editors.
#[utoipa::path(delete, path = "/admin/stats/{key}", tag = "editing", params(("key" = String, Path)),
    responses((status = 204), (status = 401, body = Problem)))]
async fn delete(State(app): State<App>, caller: Caller, Path(key): Path<String>) -> Result<StatusCode> {
    super::delete_stat(&app, caller.editor(), &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    /// The start (RFC 3339); a day before the end if it is left out.
    from: Option<String>,
    /// The end (RFC 3339); now if it is left out.
    to: Option<String>,
}

/// A value at a time.
#[derive(Serialize, ToSchema)]
struct StatSample {
    at: String,
    value: f64,
}

/// The values of a number, oldest first.
#[derive(Serialize, ToSchema)]
struct StatHistory {
    items: Vec<StatSample>,
    /// Always null: the list has one page.
    next: Option<String>,
}

/// The values of a number from `from` until `to`, before rounding and hiding. For editors.
#[utoipa::path(get, path = "/admin/stats/{key}/history", tag = "editing",
    params(("key" = String, Path), HistoryQuery),
    responses((status = 200, body = StatHistory), (status = 401, body = Problem)))]
async fn history(
    State(app): State<App>,
    _caller: Caller,
    Path(key): Path<String>,
    Query(HistoryQuery { from, to }): Query<HistoryQuery>,
) -> Result<Json<StatHistory>> {
    let (stats, _) = super::stats(&app).await?;
    if !stats.iter().any(|stat| stat.key == key) {
        return Err(Error::NotFound);
    }
    let to = to.as_deref().map(|to| timestamp("to", to)).transpose()?.unwrap_or_else(|| app.clock.now());
    let from = from.as_deref().map(|from| timestamp("from", from)).transpose()?.unwrap_or(to - time::Duration::DAY);
    let values = super::stat_history(&app, &key, from, to).await?.into_iter();
    let items = values.map(|(at, value)| StatSample { at: format_timestamp(at), value }).collect();
    Ok(Json(StatHistory { items, next: None }))
}
