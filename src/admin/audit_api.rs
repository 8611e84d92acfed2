//! The audit log over REST.
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::audit_export::entry;
use super::audit_log::{self, PAGE_ROWS};
use super::format::Times;
use crate::accounts::{Role, Staff};
use crate::app::App;
use crate::audit;
use crate::error::{Problem, Result};
use crate::http::{Json, Query};
use crate::locale::Locale;

/// Returns the route `/admin/audit`.
pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_audit))
}

#[derive(Deserialize)]
struct AuditAsked {
    #[serde(flatten)]
    filter: audit_log::Asked,
}

/// Entries of the audit log, the newest first.
#[derive(Serialize, utoipa::ToSchema)]
struct AuditPage {
    /// Objects with `id, at, actor, actor_id, action, subject, detail, address_hash`.
    #[schema(value_type = Vec<Object>)]
    items: Vec<serde_json::Value>,
    /// Null on the last page.
    next: Option<String>,
}

/// The audit log, for administrators. Days are those of the site's time zone.
#[utoipa::path(get, path = "/admin/audit",
    params(
        ("actor" = Option<String>, Query, description = "The handle of an actor as it was then, or an account's id"),
        ("action" = Option<String>, Query, description = "An action, or the part before its dot"),
        ("from" = Option<String>, Query, description = "The first day, like 2027-06-30"),
        ("to" = Option<String>, Query, description = "The last day"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")
    ),
    responses((status = 200, body = AuditPage), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn list_audit(
    State(app): State<App>,
    staff: Staff,
    Query(AuditAsked { filter: asked }): Query<AuditAsked>,
) -> Result<Json<AuditPage>> {
    staff.require(Role::Admin)?;
    let times = Times::of(&app, Locale::En).await;
    let filter = asked.filter(times)?;
    let mut found = audit::list(&app.db, &filter, asked.before()?, PAGE_ROWS + 1).await?;
    let limit = usize::try_from(PAGE_ROWS).unwrap_or_default();
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|act| act.id.to_string());
    Ok(Json(AuditPage { items: found.iter().map(entry).collect(), next }))
}
