//! Accounts: who a visitor is. A visitor is anonymous, created at the first visit and kept by a
//! cookie.
mod account;
mod drawing;
mod first_admin;
mod handle;
mod known_sessions;
pub mod limits;
mod live_sessions;
mod model;
mod names;
mod open_sockets;
mod pages;
mod passwords;
pub mod people;
mod pin;
mod presence;
mod routes;
mod rules;
mod secret;
mod sessions;
mod sign_in;
mod sign_up;
pub mod staff;
mod store;
mod talk_hooks;
#[cfg(test)]
mod tests;
mod tokens;
mod totp;
mod verifier;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use sqlx::{PgConnection, PgPool};
use tower_sessions::cookie::SameSite;
use tower_sessions::{Expiry, Session, SessionManagerLayer};

use crate::app::App;
use crate::config::Site;
use crate::db::{self, Loader};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::http::{Bucket, Key, Prefix};
use crate::ids::{SessionEpoch, VisitorId};

pub use pages::{BlockedPerson, Form, PageHooks, Staff, failures_as_pages, form_token, is_form_token, pages};
pub use sign_in::next_path;
pub use talk_hooks::TalkHooks;

pub use crate::locale::Locale;
use crate::locale::cookies;
pub use drawing::Face;
pub use first_admin::offer_first_admin;
use limits::{SESSION_IDLE_TIMEOUT, UNUSED_VISITOR_LIFETIME};
#[cfg(test)]
pub(crate) use live_sessions::tests::{account, sign_in};
pub use live_sessions::{
    EndReason, SessionTimes, SessionView, complete_sign_in, device_name, find_session_disconnect, record_use,
    record_use_of, renew_own_session, revoke_sessions,
};
#[cfg(test)]
pub use model::RULES_VERSION;
pub use model::{Account, AccountView, Ban, Role, Visitor, VisitorView};
pub use names::Alias;
#[cfg(test)]
pub use names::colors;
pub use open_sockets::{SessionKey, track_socket, untrack_socket};
pub use routes::{ClientLimits, Features, router};
pub use rules::{RulesInForce, put_rules_in_force, rules_edition, use_rules_edition};
pub use sessions::Sessions;

/// The visitor's key in a session's data.
const VISITOR_KEY: &str = "visitor";
/// The key under which the session store hands over what a signed-in session is bound to. It is
/// read from columns and never written.
const SIGNED_IN_KEY: &str = "signed_in";
/// How often the activity of all visitors of this node is written.
const ACTIVITY_FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// How often the activity of one visitor is written at most.
const ACTIVITY_WRITE_INTERVAL: Duration = Duration::from_secs(60);
/// How often expired sessions and unused visitors are deleted.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3_600);
/// How long a sweep can take.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(30);
/// Visitors that one sweep deletes at most.
const MAX_SWEEP_ROWS: i64 = 5_000;

/// The accounts state of a node.
pub struct State {
    cookie_name: String,
    address_key: [u8; 32],
    visitors: Loader<VisitorId, Visitor>,
    known_sessions: known_sessions::KnownSessions,
    /// Visitors whose activity is not written yet.
    active: Mutex<HashSet<VisitorId>>,
    open_sockets: open_sockets::OpenSockets,
    hashing: passwords::Hashing,
    /// Signs the tokens of forms.
    form_key: [u8; 32],
    uses: live_sessions::Uses,
    /// Sign-ins that were completed on this node since its start.
    sign_ins: AtomicU64,
    /// The edition of the rules in force.
    rules: RulesInForce,
}

impl State {
    /// Loads the key of the address hashes and derives the name of the site's cookie.
    ///
    /// # Errors
    /// `unavailable` if the database cannot be reached.
    pub async fn new(db: &PgPool, site: &Site) -> Result<Self> {
        let address_key = db::secret::shared(db, "address").await?;
        Ok(Self {
            cookie_name: model::cookie_name(site, db::service::id(db).await?),
            address_key,
            visitors: Loader::default(),
            known_sessions: known_sessions::KnownSessions::default(),
            active: Mutex::default(),
            open_sockets: open_sockets::OpenSockets::default(),
            hashing: passwords::Hashing::default(),
            form_key: pages::form_key(db).await?,
            uses: live_sessions::Uses::default(),
            sign_ins: AtomicU64::new(0),
            rules: RulesInForce::of(&rules_edition(&mut *db.acquire().await?).await?),
        })
    }

    /// Returns the number of sign-ins that were completed on this node since its start.
    pub fn sign_ins(&self) -> u64 {
        self.sign_ins.load(Ordering::Relaxed)
    }

    /// Returns a keyed hash (16 bytes) of an address prefix. Audit columns store it instead of an
    /// address.
    pub fn prefix_hash(&self, prefix: Prefix) -> Vec<u8> {
        self.keyed_hash("", &prefix.bytes())
    }

    /// Returns a keyed hash (16 bytes) of what must not be stored as it is. Values of another `kind`
    /// have other hashes.
    fn keyed_hash(&self, kind: &str, value: &[u8]) -> Vec<u8> {
        // HMAC takes a key of any length, so this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.address_key) else { return Vec::new() };
        mac.update(kind.as_bytes());
        mac.update(value);
        mac.finalize().into_bytes()[..16].to_vec()
    }
}

/// Returns the layer that reads and sets the session cookie. The cookie is `Secure` unless the site
/// is a loopback one.
pub fn session_layer(app: &App) -> SessionManagerLayer<Sessions> {
    SessionManagerLayer::new(Sessions::new(app.db.clone()))
        .with_name(app.accounts.cookie_name.clone())
        .with_secure(!app.config.site.loopback)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(SESSION_IDLE_TIMEOUT))
}

/// Removes all cookies from a request except the site's own.
///
/// The session layer drops a whole `Cookie` line if one byte in it is not ASCII, and other sites on
/// the same host can set any bytes.
pub async fn keep_own_cookies(Shared(app): Shared<App>, mut request: Request) -> Request {
    let names = [app.accounts.cookie_name.as_str(), "maju_locale", "maju_theme"];
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

/// Replaces the empty 500 that the session layer returns for a session it could not store by
/// `unavailable`. The session store has logged the cause if it is a fault of ours.
pub async fn map_session_failure(answer: Response) -> Response {
    let is_empty_500 =
        answer.status() == StatusCode::INTERNAL_SERVER_ERROR && !answer.headers().contains_key(header::CONTENT_TYPE);
    if is_empty_500 { Error::Unavailable.into_response() } else { answer }
}

/// Returns the visitor of a session and counts a request against the visitor's rate limit. The
/// visitor can be banned; [`Visitor::require_not_banned`] checks that.
///
/// If the session is known on this node, a visitor over the limit costs no query. A cookie that
/// names no session takes a token from its address prefix.
///
/// # Errors
/// `session_ended` if the session does not exist, has ended or its visitor was deleted,
/// `rate_limited`, `unavailable`.
pub async fn authenticate(app: &App, session: &Session, prefix: Prefix) -> Result<Visitor> {
    let cookie = session.id().ok_or(Error::SessionEnded)?;
    if let Some(known) = app.accounts.known_sessions.visitor(cookie) {
        app.limits.take(Bucket::Requests, Key::Visitor(known))?;
        return load_session_visitor(app, session).await;
    }
    let key = Key::Prefix(prefix);
    app.limits.take(Bucket::UnknownCookies, key)?;
    let found = load_session_visitor(app, session).await;
    if !matches!(found, Err(Error::SessionEnded)) {
        app.limits.refund(Bucket::UnknownCookies, key);
    }
    let visitor = found?;
    app.accounts.known_sessions.insert(cookie, visitor.id);
    app.limits.take(Bucket::Requests, Key::Visitor(visitor.id))?;
    Ok(visitor)
}

async fn load_session_visitor(app: &App, session: &Session) -> Result<Visitor> {
    let id = session_visitor(session).await?.ok_or(Error::SessionEnded)?;
    let visitor = find_visitor(app, id).await?.ok_or(Error::SessionEnded)?;
    let signed_in = signed_in(session).await?;
    let session_epoch = signed_in.as_ref().map(|session| SessionEpoch(session.epoch));
    // The account was read after the session, and may have been revoked between both.
    if visitor.session_epoch() != session_epoch {
        return Err(Error::SessionEnded);
    }
    Ok(Visitor { session: signed_in.map(|session| session.times()), ..visitor })
}

/// Returns what the session is bound to if it is a signed-in one.
async fn signed_in(session: &Session) -> Result<Option<store::SignedIn>> {
    session.get(SIGNED_IN_KEY).await.map_err(session_error)
}

/// Returns a visitor as it is stored now, for the same session.
///
/// # Errors
/// `session_ended` if the visitor was deleted or its session was revoked, `banned`, `unavailable`.
pub async fn reload(app: &App, who: &Visitor) -> Result<Visitor> {
    let visitor = find_visitor(app, who.id).await?.ok_or(Error::SessionEnded)?;
    if visitor.session_epoch() != who.session_epoch() {
        return Err(Error::SessionEnded);
    }
    Visitor { session: who.session, ..visitor }.require_not_banned()
}

/// Returns a visitor as it is stored now.
///
/// # Errors
/// `session_ended` if the visitor was deleted, `banned`, `unavailable`.
pub async fn by_id(app: &App, id: VisitorId) -> Result<Visitor> {
    find_visitor(app, id).await?.ok_or(Error::SessionEnded)?.require_not_banned()
}

/// Checks inside a transaction that `who` may write: the session has not ended, and there is no ban.
/// Neither can change before the transaction ends. Every write of a visitor over REST or the socket
/// calls it before it takes a lock, except entries, seeks, leaves and read markers, which compare
/// epochs in their batches, and joins, which check it in their own statement.
///
/// # Errors
/// `session_ended`, `banned`, `unavailable`.
pub async fn require_session(tx: &mut PgConnection, who: &Visitor) -> Result<()> {
    if faults::on(Fault::EpochNotComparedInWrites) {
        return Ok(());
    }
    match store::write_refusal(tx, who.id, who.session_epoch()).await? {
        store::WriteRefusal { ended: true, .. } => Err(Error::SessionEnded),
        store::WriteRefusal { banned: true, ends_in, .. } => Err(Error::Banned { after: ends_in }),
        store::WriteRefusal { .. } => Ok(()),
    }
}

/// Returns the ban in force against a visitor, `None` if there is none.
///
/// # Errors
/// `unavailable`.
pub async fn active_ban(app: &App, visitor: VisitorId) -> Result<Option<Ban>> {
    Ok(find_visitor(app, visitor).await?.and_then(|known| known.ban))
}

/// Creates a visitor for a session that names none, or one that has ended. Nothing of an ended
/// session is taken over, and its id changes. The answer to the request sets the cookie.
async fn create_visitor(app: &App, session: &Session, locale: Locale) -> Result<Visitor> {
    // A sign-in that has begun in a browser without a visitor goes on. An ended session names none.
    let sign_in = session.get_value(sign_in::SIGN_IN_KEY).await.map_err(session_error)?;
    session.clear().await;
    if let Some(sign_in) = sign_in {
        session.insert(sign_in::SIGN_IN_KEY, sign_in).await.map_err(session_error)?;
    }
    if session.id().is_some() {
        session.cycle_id().await.map_err(session_error)?;
    }
    let alias = Alias::random(&mut rand::rng());
    let created = store::insert_visitor(&app.db, &alias, locale).await?;
    let created = Visitor { rules: app.accounts.rules.clone(), ..created };
    session.insert(VISITOR_KEY, created.id.0).await.map_err(Error::internal)?;
    Ok(created)
}

/// Returns the number of visitors with an open socket on any node.
///
/// # Errors
/// Those of the database.
pub async fn count_online(db: &PgPool) -> Result<i64, sqlx::Error> {
    store::count_online(db).await
}

/// Records that a visitor was active. It is written within [`ACTIVITY_FLUSH_INTERVAL`], but for one
/// visitor at most once per [`ACTIVITY_WRITE_INTERVAL`].
pub fn record_activity(app: &App, visitor: VisitorId) {
    app.accounts.active.lock().insert(visitor);
}

/// Changes a visitor and returns it as it is stored then.
///
/// # Errors
/// Those of [`model::Change::checked`], `session_ended`, `banned`, `unavailable`.
async fn change_visitor(app: &App, who: &Visitor, change: model::Change) -> Result<Visitor> {
    let change = change.checked(&who.rules.current())?;
    let mut tx = app.db.begin().await?;
    require_session(&mut tx, who).await?;
    store::update_visitor(&mut tx, who.id, &change).await?;
    tx.commit().await?;
    reload(app, who).await
}

async fn find_visitor(app: &App, id: VisitorId) -> Result<Option<Visitor>> {
    let found = app.accounts.visitors.load(id, |ids| store::load_visitors(&app.db, ids)).await?;
    Ok(found.map(|visitor| Visitor { rules: app.accounts.rules.clone(), ..visitor }))
}

/// Locks visitors against being deleted by the sweep, until a transaction that adds rows of theirs
/// ends. Returns the epochs of those with an account, `None` for one that is deactivated.
///
/// # Errors
/// Those of the database.
pub async fn lock_against_sweep(
    tx: &mut PgConnection,
    visitors: &[VisitorId],
) -> Result<HashMap<VisitorId, Option<SessionEpoch>>, sqlx::Error> {
    store::lock_visitors(tx, visitors).await
}

/// Starts the tasks of accounts: closing sockets whose session has ended, writing presence, activity
/// and the use of sessions, and sweeping expired sessions and unused visitors.
pub fn run(app: &App) {
    open_sockets::run(app);
    live_sessions::run(app);
    presence::run(app);
    account::run(app);
    let node = app.clone();
    app.tasks.spawn_essential("accounts.active", move || keep_writing_activity(node.clone()));
    let node = app.clone();
    app.tasks.every("accounts.sweep", SWEEP_INTERVAL, move || sweep(node.clone()));
}

async fn keep_writing_activity(node: App) {
    let mut ticks = node.tasks.ticks(ACTIVITY_FLUSH_INTERVAL);
    while ticks.next().await {
        write_activity(&node).await;
    }
    write_activity(&node).await;
}

/// Writes the recorded activity. If that fails, the visitors stay recorded for the next write.
async fn write_activity(app: &App) {
    let active: Vec<VisitorId> = std::mem::take(&mut *app.accounts.active.lock()).into_iter().collect();
    if active.is_empty() {
        return;
    }
    let written =
        db::with_timeout(db::JOB_TIMEOUT, store::write_activity(&app.db, &active, ACTIVITY_WRITE_INTERVAL)).await;
    if let Err(why) = written {
        tracing::debug!(error.cause = %why, "visitor activity was not written, retrying with the next tick");
        app.accounts.active.lock().extend(active);
    }
}

async fn sweep(node: App) {
    match db::with_timeout(SWEEP_TIMEOUT, store::sweep(&node.db, UNUSED_VISITOR_LIFETIME, MAX_SWEEP_ROWS)).await {
        Ok(0) => {}
        Ok(deleted) => tracing::info!(visitors.swept = deleted, "deleted unused visitors"),
        Err(why) => {
            tracing::warn!(error.cause = %why, "unused visitors were not deleted, retrying with the next sweep")
        }
    }
}

async fn session_visitor(session: &Session) -> Result<Option<VisitorId>> {
    let stored = session.get::<i64>(VISITOR_KEY).await.map_err(session_error)?;
    Ok(stored.map(VisitorId))
}

/// Returns the error for a session that could not be read or stored.
pub fn session_error(why: tower_sessions::session::Error) -> Error {
    match why {
        // The session store could not reach the database.
        tower_sessions::session::Error::Store(_) => Error::Unavailable,
        other => Error::internal(other),
    }
}
