//! Accounts: who is it. Everybody is a visitor: anonymous, made at the first visit, held by a cookie.
mod model;
mod names;
mod recent;
mod routes;
mod sessions;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::HashSet;
use std::time::Duration;

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::{Mutex, MutexGuard};
use sha2::Sha256;
use sqlx::{PgConnection, PgPool};
use tower_sessions::cookie::SameSite;
use tower_sessions::{Expiry, Session, SessionManagerLayer};

use crate::app::App;
use crate::config::Site;
use crate::db::{self, Loader};
use crate::error::{Error, Result};
use crate::http::{Bucket, Key, Prefix};

pub use crate::locale::Locale;
use crate::locale::cookies;
#[cfg(test)]
pub use model::RULES;
pub use model::{Ban, Visitor, VisitorView};
pub use names::Alias;
#[cfg(test)]
pub use names::colors;
pub use routes::router;
pub use sessions::Sessions;
pub use watch::{SessionKey, unwatch, watch};

/// The visitor's key in a session's data.
const VISITOR: &str = "visitor";
/// A cookie that was silent for this long is forgotten (DESIGN.md 8).
const SILENCE: time::Duration = time::Duration::days(30);
/// How often "last use" is written at most.
const TOUCH: Duration = Duration::from_secs(60);
/// How long a sweep may take.
const SWEEP: Duration = Duration::from_secs(30);

/// What this noun keeps on a node.
pub struct State {
    cookie: String,
    address_key: [u8; 32],
    visitors: Loader<i64, Visitor>,
    recent: recent::Recent,
    /// Who was active since that was last written.
    active: Mutex<HashSet<i64>>,
    watched: watch::Watched,
}

impl State {
    /// Loads the key of the address hashes and the name of the site's cookie.
    pub async fn new(db: &PgPool, site: &Site) -> Result<Self> {
        let address_key = db::secret::shared(db, "address").await?;
        Ok(Self {
            cookie: model::cookie_name(site, db::service::id(db).await?),
            address_key,
            visitors: Loader::default(),
            recent: recent::Recent::default(),
            active: Mutex::default(),
            watched: watch::Watched::default(),
        })
    }

    fn active(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.active.lock()
    }

    /// A keyed hash of an address prefix (16 bytes): what audit columns keep instead of an address.
    pub fn prefix_hash(&self, prefix: Prefix) -> Vec<u8> {
        // HMAC takes a key of any length, so this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.address_key) else { return Vec::new() };
        mac.update(&prefix.bytes());
        mac.finalize().into_bytes()[..16].to_vec()
    }
}

/// The cookie's layer. The cookie is `Secure` unless the site is a loopback one.
pub fn session_layer(app: &App) -> SessionManagerLayer<Sessions> {
    SessionManagerLayer::new(Sessions::new(app.db.clone()))
        .with_name(app.accounts.cookie.clone())
        .with_secure(!app.config.site.loopback)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(SILENCE))
}

/// Leaves only the site's own cookies in a request. The session layer drops a whole `Cookie` line for one byte in it that is not
/// ASCII, and other sites on the same host may have set anything.
pub async fn own_cookies(Shared(app): Shared<App>, mut request: Request) -> Request {
    let names = [app.accounts.cookie.as_str(), "maju_locale", "maju_theme"];
    let is_own = |pair: &&[u8]| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        pair.is_ascii() && names.iter().any(|own| own.as_bytes() == name.trim_ascii())
    };
    let own = cookies(request.headers()).filter(is_own).collect::<Vec<_>>().join(&b"; "[..]);
    match HeaderValue::from_bytes(&own) {
        Ok(own) if !own.is_empty() => drop(request.headers_mut().insert(header::COOKIE, own)),
        _ => drop(request.headers_mut().remove(header::COOKIE)),
    }
    request
}

/// Puts `unavailable` in the place of the bare 500 by which the session layer says that a session was not stored. Why was logged
/// by the store where it is ours to find.
pub async fn unsaved(answer: Response) -> Response {
    let bare =
        answer.status() == StatusCode::INTERNAL_SERVER_ERROR && !answer.headers().contains_key(header::CONTENT_TYPE);
    if bare { Error::Unavailable.into_response() } else { answer }
}

/// The visitor of a session, banned or not: [`Visitor::admitted`] tells. Counts as a request of that visitor's.
///
/// A visitor over the limit costs no query where the session is known on this node. A cookie that names no session costs its
/// address prefix a token.
///
/// # Errors
/// `session_ended` when there is no visitor (any more), `rate_limited`.
pub async fn visitor(app: &App, session: &Session, prefix: Prefix) -> Result<Visitor> {
    let cookie = session.id().ok_or(Error::SessionEnded)?;
    if let Some(known) = app.accounts.recent.visitor(cookie) {
        app.limits.take(Bucket::Requests, Key::Visitor(known))?;
        return look_up(app, session).await;
    }
    let key = Key::Prefix(prefix);
    app.limits.take(Bucket::UnknownCookies, key)?;
    let found = look_up(app, session).await;
    if !matches!(found, Err(Error::SessionEnded)) {
        app.limits.refund(Bucket::UnknownCookies, key);
    }
    let visitor = found?;
    app.accounts.recent.remember(cookie, visitor.id);
    app.limits.take(Bucket::Requests, Key::Visitor(visitor.id))?;
    Ok(visitor)
}

async fn look_up(app: &App, session: &Session) -> Result<Visitor> {
    let id = session_visitor(session).await?.ok_or(Error::SessionEnded)?;
    find(app, id).await?.ok_or(Error::SessionEnded)
}

/// A visitor as it is stored now. Errors: `session_ended` when it is gone, `banned`.
pub async fn by_id(app: &App, id: i64) -> Result<Visitor> {
    find(app, id).await?.ok_or(Error::SessionEnded)?.admitted()
}

/// The ban that keeps a visitor away now.
pub async fn ban(app: &App, visitor: i64) -> Result<Option<Ban>> {
    Ok(find(app, visitor).await?.and_then(|known| known.ban))
}

/// The visitor of a session, made when there is none. The cookie is set with the answer.
pub async fn visitor_or_new(app: &App, session: &Session, locale: Locale) -> Result<Visitor> {
    if let Some(id) = session_visitor(session).await?
        && let Some(known) = find(app, id).await?
    {
        return Ok(known);
    }
    let alias = Alias::random(&mut rand::rng());
    let made = store::make_visitor(&app.db, &alias, locale).await?;
    session.insert(VISITOR, made.id).await.map_err(Error::internal)?;
    Ok(made)
}

/// Records that a visitor was active: written within a second, at most once a minute a visitor.
pub fn touch(app: &App, visitor: i64) {
    app.accounts.active().insert(visitor);
}

async fn find(app: &App, id: i64) -> Result<Option<Visitor>> {
    app.accounts.visitors.load(id, |ids| store::visitors(&app.db, ids)).await
}

/// Writes who was active. What fails is written with the next.
async fn write_active(app: &App) {
    let active: Vec<i64> = std::mem::take(&mut *app.accounts.active()).into_iter().collect();
    if active.is_empty() {
        return;
    }
    if let Err(why) = db::within(db::JOB, store::touch(&app.db, &active, TOUCH)).await {
        tracing::debug!(error.cause = %why, "who was active is written with the next tick");
        app.accounts.active().extend(active);
    }
}

/// Locks visitors against being swept while a transaction gives them something to keep.
pub async fn keep(tx: &mut PgConnection, visitors: &[i64]) -> Result<()> {
    Ok(store::keep(tx, visitors).await?)
}

/// Starts what ends sockets after their sessions, what writes who was active, and the sweeper: sessions silent for 30 days, and visitors that never did anything for a day.
pub fn run(app: &App) {
    watch::run(app);
    let node = app.clone();
    app.tasks.spawn_essential("accounts.active", move || keep_writing_active(node.clone()));
    let node = app.clone();
    app.tasks.spawn_essential("accounts.sweep", move || keep_sweeping(node.clone()));
}

async fn keep_writing_active(node: App) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while node.tasks.stopping.run_until_cancelled(second.tick()).await.is_some() {
        write_active(&node).await;
    }
    write_active(&node).await;
}

async fn keep_sweeping(node: App) {
    let mut hourly = tokio::time::interval(Duration::from_secs(3_600));
    loop {
        tokio::select! {
            () = node.tasks.stopping.cancelled() => return,
            _ = hourly.tick() => {}
        }
        match db::within(SWEEP, store::sweep(&node.db)).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(visitors.swept = gone, "swept visitors that left nothing"),
            Err(why) => {
                tracing::warn!(error.cause = %why, "the sweep of visitors failed; it runs again in an hour")
            }
        }
    }
}

async fn session_visitor(session: &Session) -> Result<Option<i64>> {
    session.get::<i64>(VISITOR).await.map_err(|why| match why {
        // The store speaks of a database that it cannot reach.
        tower_sessions::session::Error::Store(_) => Error::Unavailable,
        other => Error::internal(other),
    })
}
