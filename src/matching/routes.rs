//! Matching over HTTP: the suggested topics with their people, and the waits by hour. They need no
//! visitor.
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::limits::{MAX_INTERESTS, WAIT_DAYS};
use super::live_topics::{self, TopicsPage};
use super::waits;
use crate::app::App;
use crate::error::{Error, Problem, Result};
use crate::http::{Json, Query};
use crate::locale::Locale;

/// Caches keep a copy and ask each time whether it is current.
const CACHE_REVALIDATE: &str = "no-cache";

/// Returns the routes `/topics` and `/waits`.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(topics)).routes(routes!(together)).routes(routes!(waits_by_hour))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TopicsQuery {
    /// `ko` or `en`; English when it is left out.
    #[param(example = "ko")]
    locale: Option<String>,
}

/// The suggested topics in one language, with how many people chose them now. At most two seconds
/// old.
#[utoipa::path(get, path = "/topics", tag = "site", params(TopicsQuery), responses(
    (status = 200, body = TopicsPage),
    (status = 304, description = "The caller's copy is current."),
    (status = 400, body = Problem, content_type = "application/problem+json"),
))]
async fn topics(State(app): State<App>, request: HeaderMap, Query(query): Query<TopicsQuery>) -> Result<Response> {
    let locale = match query.locale.as_deref() {
        None => Locale::En,
        Some(tag) => Locale::of_tag(tag).ok_or_else(|| Error::bad_field("locale", unknown_locale()))?,
    };
    Ok(live_topics::page(&app, locale).await.respond(&request, CACHE_REVALIDATE, ""))
}

fn unknown_locale() -> String {
    format!("This language is not available. Use one of: {}.", Locale::ALL.map(Locale::tag).join(", "))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TogetherQuery {
    /// One to five interests, with commas between them. An interest with a comma cannot be asked
    /// about.
    #[param(example = "음악,비 오는 날")]
    interests: String,
}

/// How many people chose the same.
#[derive(Serialize, ToSchema)]
struct Together {
    /// The people who chose all of these interests and are searching or in a talk now. Null if they
    /// are fewer than 5 or not known.
    waiting: Option<i64>,
}

/// How many people chose all of some interests. At most two seconds old.
#[utoipa::path(get, path = "/topics/together", tag = "site", params(TogetherQuery), responses(
    (status = 200, body = inline(Together)),
    (status = 400, body = Problem, content_type = "application/problem+json"),
))]
async fn together(State(app): State<App>, Query(query): Query<TogetherQuery>) -> Result<Response> {
    let interests: Vec<&str> = query.interests.split(',').take(MAX_INTERESTS + 1).collect();
    if interests.len() > MAX_INTERESTS {
        return Err(Error::bad_field("interests", format!("At most {MAX_INTERESTS} interests.")));
    }
    let waiting = live_topics::together(&app, &interests).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Together { waiting })).into_response())
}

/// The median wait in one hour of the day.
#[derive(Serialize, ToSchema)]
struct HourWait {
    /// 0 to 23, in the site's time zone.
    hour: usize,
    /// In seconds. Null if too few people waited in this hour.
    median_s: Option<i64>,
}

/// How long people wait by the hour of the day.
#[derive(Serialize, ToSchema)]
struct Waits {
    /// All 24 hours in order.
    hours: Vec<HourWait>,
    /// The hour in which most people met. Null if no hour has a median.
    busiest: Option<usize>,
    /// The present hour, so that a page can show the hours on its reader's clock.
    now: i32,
    /// How many days the medians are about.
    days: i64,
}

/// The median wait by the hour of the day over the last days, in the site's time zone.
#[utoipa::path(get, path = "/waits", tag = "site", responses((status = 200, body = inline(Waits))))]
async fn waits_by_hour(State(app): State<App>) -> Result<Response> {
    let waits = waits::by_hour(&app).await?;
    let hours = waits.median_secs.iter().enumerate().map(|(hour, median)| HourWait { hour, median_s: *median });
    let body = Waits { hours: hours.collect(), busiest: waits.busiest, now: waits.now, days: WAIT_DAYS };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}
