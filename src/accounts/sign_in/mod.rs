//! Sign-in: a list of steps that the account's role and owner require. Only all of them make a
//! session.
//!
//! The state is a row that the session names by a key. Each step that is done replaces the key in
//! one statement that exactly one request can win, and the session gets a new id.
mod model;
mod routes;
pub(in crate::accounts) mod store;
#[cfg(test)]
pub(in crate::accounts) mod tests;
pub(in crate::accounts) mod throttle;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tower_sessions::Session;
use uuid::Uuid;

use super::totp::{self, Enrolment};
use super::{
    Account, SIGNED_IN_KEY, TalkHooks, VISITOR_KEY, Visitor, account, complete_sign_in, find_visitor, handle,
    passwords, session_error, session_visitor, signed_in, verifier,
};
use crate::app::App;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::http::Prefix;

use super::limits::MAX_WRONG_CODES;
pub use model::{Step, next_path};
pub(super) use routes::router;
use store::Begun;
use throttle::Reserved;

/// The key of a sign-in in a session's data.
pub(super) const SIGN_IN_KEY: &str = "sign_in";

/// Who signs in, apart from the session.
#[derive(Clone)]
pub struct Caller {
    pub prefix: Prefix,
    /// The browser and the system in a few words, for the list of sessions.
    pub device: String,
    /// Whether to stop before a session on another device ends ([`State::Elsewhere`]). Pages do.
    pub asks_elsewhere: bool,
}

/// The first step of a sign-in.
pub struct Attempt {
    /// As it was typed.
    pub handle: String,
    pub password: SecretString,
    /// Leave an open talk of the guest at the end.
    pub leave: bool,
    /// The page to return to. Ignored unless [`next_path`] accepts it.
    pub next: Option<String>,
}

/// How far a sign-in is.
pub struct Progress {
    pub state: State,
    /// New recovery codes, to be shown once. Empty unless this step has added a second factor.
    pub recovery_codes: Vec<SecretString>,
    /// The page to return to: a path of this site.
    pub next: Option<String>,
}

/// What a sign-in waits for.
pub enum State {
    Due(Due),
    /// All steps are done. [`finish_sign_in`] ends the session on another device, which
    /// [`session_elsewhere`] names.
    Elsewhere,
    Done(Account),
}

/// The next step of a sign-in.
pub struct Due {
    /// `None` if all steps are done and [`finish_sign_in`] is to be called.
    pub step: Option<Step>,
    /// The number of the step, from 1.
    pub position: usize,
    /// All steps of this account, in order.
    pub steps: Vec<Step>,
    /// The second factor to add, for [`Step::EnrollTotp`].
    pub enrolment: Option<Enrolment>,
    /// The verifier's page, if its check was just requested.
    pub verify_url: Option<String>,
    /// The page to return to.
    pub next: Option<String>,
}

impl Due {
    fn new(app: &App, begun: &Begun) -> Self {
        let required = begun.account.factors.steps(app.config.sign_in.verifier_uses());
        let step = model::due(&required, &begun.done);
        let position = step.and_then(|step| required.iter().position(|other| *other == step));
        let secret = begun.enroll_secret.as_deref().filter(|_| step == Some(Step::EnrollTotp));
        Self {
            step,
            position: position.map_or(required.len(), |at| at + 1),
            steps: required,
            enrolment: secret.map(|secret| Enrolment::new(secret, &begun.account.handle)),
            verify_url: None,
            next: begun.next.clone(),
        }
    }
}

/// Proves the password of an account, and finishes the sign-in if nothing else is needed.
///
/// A name that does not exist is answered like a wrong password, after the same work. A session that
/// has ended, or none, begins as a fresh guest.
///
/// # Errors
/// `wrong_credentials`, `already_in_session` in an open talk, `rate_limited` with the wait,
/// `unavailable`.
pub async fn begin_sign_in(
    app: &App,
    session: &Session,
    talks: TalkHooks,
    caller: &Caller,
    attempt: Attempt,
) -> Result<Progress> {
    require_no_talk(app, session, talks, attempt.leave).await?;
    let handle = handle::typed(&attempt.handle);
    let reserved = throttle::reserve(app, &handle, caller.prefix).await?;
    // A name that no account can have is looked up, too: as an empty one.
    let lookup = handle::check_shape(&handle).map_or("", |()| &handle);
    let found = store::candidate(&app.db, lookup).await?;
    let stored = found.as_ref().and_then(|account| account.password.as_deref());
    let verified = evaluated(app, &reserved, passwords::verify(app, &attempt.password, stored).await).await?;
    let Some(account) = found.filter(|_| verified.matches) else { return Err(Error::WrongCredentials) };
    reserved.refund(app).await?;
    if verified.outdated
        && let Some(old) = &account.password
        // If too many hashes wait, the next sign-in replaces it.
        && let Ok(new) = passwords::hash(app, &attempt.password).await
    {
        store::replace_hash(&app.db, account.id, old, &new).await?;
    }
    let required = account.factors.steps(app.config.sign_in.verifier_uses());
    let secret = (model::due(&required, &[Step::Password]) == Some(Step::EnrollTotp)).then(totp::new_secret);
    let next = attempt.next.as_deref().and_then(next_path);
    let new = store::New {
        account: account.id,
        epoch: account.epoch,
        enroll_secret: secret.as_ref().map(|secret| &secret[..]),
        leave: attempt.leave,
        next: next.as_deref(),
    };
    if let Some(earlier) = key_of(session).await? {
        store::delete(&app.db, earlier).await?;
    }
    let key = store::insert(&mut *app.db.acquire().await?, &new).await?;
    settle(app, session, talks, caller, key, &reserved).await
}

/// Proves the next step of the session's sign-in, and finishes the sign-in if it was the last one.
///
/// For [`Step::Verify`] without a code, the check is requested and its page returned. With a code,
/// the code is what the verifier returned.
///
/// # Errors
/// `wrong_step` if this step is not due or the sign-in has ended, `wrong_credentials`,
/// `already_in_session`, `bad_frame` without a code, `rate_limited` with the wait, `unavailable`.
pub async fn continue_sign_in(
    app: &App,
    session: &Session,
    talks: TalkHooks,
    caller: &Caller,
    step: Step,
    code: Option<&SecretString>,
    leave: bool,
) -> Result<Progress> {
    let begun = load(app, session).await?.ok_or(Error::WrongStep)?;
    let mut due = Due::new(app, &begun);
    let is_due = due.step == Some(step) || (due.step == Some(Step::Totp) && step == Step::Recovery);
    if !is_due && !faults::on(Fault::AnyStepAccepted) {
        return Err(Error::WrongStep);
    }
    require_no_talk(app, session, talks, leave || begun.leave).await?;
    let Some(code) = code else {
        if step != Step::Verify {
            return Err(Error::bad_field("code", "Send the code."));
        }
        due.verify_url = Some(verifier::request_for_sign_in(app, begun.key).await?);
        let next = due.next.clone();
        return Ok(Progress { state: State::Due(due), recovery_codes: Vec::new(), next });
    };
    let reserved = throttle::reserve(app, &begun.account.handle, caller.prefix).await?;
    let proved = evaluated(app, &reserved, prove(app, &begun, step, code, leave).await).await?;
    let Some(Proved { key, recovery_codes }) = proved else {
        if store::count_wrong_code(&app.db, begun.key).await?.is_some_and(|wrong| wrong >= MAX_WRONG_CODES) {
            store::delete(&app.db, begun.key).await?;
        }
        return Err(Error::WrongCredentials);
    };
    reserved.refund(app).await?;
    let progress = settle(app, session, talks, caller, key, &reserved).await?;
    Ok(Progress { recovery_codes, ..progress })
}

/// Finishes a sign-in whose steps are all done: the session on another device ends.
///
/// # Errors
/// `wrong_step` if a step is missing or the sign-in has ended, `already_in_session`, `unavailable`.
pub async fn finish_sign_in(
    app: &App,
    session: &Session,
    talks: TalkHooks,
    caller: &Caller,
    leave: bool,
) -> Result<Progress> {
    let begun = load(app, session).await?.ok_or(Error::WrongStep)?;
    if Due::new(app, &begun).step.is_some() {
        return Err(Error::WrongStep);
    }
    require_no_talk(app, session, talks, leave || begun.leave).await?;
    if leave && !begun.leave {
        store::agree_to_leave(&app.db, begun.key).await?;
    }
    let reserved = Reserved::of(app, &begun.account.handle, caller.prefix);
    let caller = Caller { asks_elsewhere: false, ..caller.clone() };
    settle(app, session, talks, &caller, begun.key, &reserved).await
}

/// Returns the next step of the session's sign-in. `None` if none has begun, or it has ended.
///
/// # Errors
/// `unavailable`.
pub async fn pending_sign_in(app: &App, session: &Session) -> Result<Option<Due>> {
    Ok(load(app, session).await?.map(|begun| Due::new(app, &begun)))
}

/// Returns the device of the session that [`finish_sign_in`] would end, and when it was used last.
/// `None` if there is none, or a step is missing.
///
/// # Errors
/// `unavailable`.
pub async fn session_elsewhere(app: &App, session: &Session) -> Result<Option<(Option<String>, OffsetDateTime)>> {
    match load(app, session).await? {
        Some(begun) if Due::new(app, &begun).step.is_none() => {
            Ok(store::live_elsewhere(&app.db, begun.account.id).await?)
        }
        _ => Ok(None),
    }
}

/// Takes a sign-in out of the table, in the transaction that makes its session, if all its steps are
/// done. Its account stays locked until the transaction ends.
///
/// # Errors
/// `wrong_step` if a step is missing, the sign-in has ended, or the account was revoked since it
/// began; `unavailable`.
pub(super) async fn take_complete(app: &App, tx: &mut PgConnection, key: Uuid) -> Result<store::Taken> {
    let taken = store::take(tx, key).await?.ok_or(Error::WrongStep)?;
    let required = taken.factors.steps(app.config.sign_in.verifier_uses());
    if model::due(&required, &taken.done).is_some() && !faults::on(Fault::StepsNotComplete) {
        return Err(Error::WrongStep);
    }
    Ok(taken)
}

/// Signs a session in to the account that it has just made. If the site's policy asks for more than a
/// password, the next step is due.
///
/// # Errors
/// `unavailable`.
pub(super) async fn begin_after_sign_up(
    app: &App,
    session: &Session,
    caller: &Caller,
    new: &store::New<'_>,
) -> Result<Progress> {
    let key = store::insert(&mut *app.db.acquire().await?, new).await?;
    let begun = store::begun(&app.db, key).await?.ok_or(Error::WrongStep)?;
    let due = Due::new(app, &begun);
    let state = if due.step.is_some() {
        // The guest's session has ended, because its visitor has an account.
        session.remove_value(VISITOR_KEY).await.map_err(session_error)?;
        remember(session, key).await?;
        State::Due(due)
    } else {
        let prefix_hash = app.accounts.prefix_hash(caller.prefix);
        State::Done(complete_sign_in(app, session, key, &caller.device, &prefix_hash).await?)
    };
    Ok(Progress { state, recovery_codes: Vec::new(), next: None })
}

/// A step that was proved.
struct Proved {
    /// The key of the sign-in from now on.
    key: Uuid,
    recovery_codes: Vec<SecretString>,
}

/// Evaluates a code and records its step. `None` if the code is wrong.
///
/// What makes a code work once is stored in the same transaction as the step.
async fn prove(app: &App, begun: &Begun, step: Step, code: &SecretString, leave: bool) -> Result<Option<Proved>> {
    let account = &begun.account;
    // Slow, so before the transaction.
    let pin_matches = step == Step::Pin && passwords::verify(app, code, account.pin.as_deref()).await?.matches;
    let secret = match step {
        Step::EnrollTotp => begun.enroll_secret.as_deref(),
        _ => account.totp_secret.as_deref(),
    };
    let totp_step = secret.and_then(|secret| totp::step_of(secret, code, app.clock.now()));
    let mut tx = app.db.begin().await?;
    let mut recovery_codes = Vec::new();
    let is_right = match (step, totp_step) {
        (Step::Totp, Some(used)) => store::use_totp_step(&mut tx, account.id, used).await?,
        (Step::EnrollTotp, Some(used)) => {
            recovery_codes = totp::new_recovery_codes();
            let secret = secret.unwrap_or_default();
            account::enroll_in(&mut tx, account.id, secret, used, &recovery_codes).await?
        }
        (Step::Recovery, _) => {
            store::use_recovery_code(&mut tx, account.id, &totp::recovery_hash(account.id, code)).await?
        }
        (Step::Pin, _) => pin_matches,
        (Step::Verify, _) => verifier::take_completed(app, &mut tx, begun.key, code).await?,
        (Step::Password | Step::Totp | Step::EnrollTotp, _) => false,
    };
    if !is_right {
        return Ok(None);
    }
    let done: Vec<Step> = begun.done.iter().copied().chain([step]).collect();
    let required = account.factors.steps(app.config.sign_in.verifier_uses());
    let secret = (model::due(&required, &done) == Some(Step::EnrollTotp)).then(totp::new_secret);
    let secret = secret.as_ref().map(|secret| &secret[..]);
    let Some(key) = store::advance(&mut tx, begun.key, step, secret, leave).await? else {
        return Err(Error::WrongStep);
    };
    tx.commit().await?;
    Ok(Some(Proved { key, recovery_codes }))
}

/// Takes the counted failure back if a proof could not be evaluated.
async fn evaluated<T>(app: &App, reserved: &Reserved, outcome: Result<T>) -> Result<T> {
    if outcome.is_err() {
        // The error of the proof says more than that of the refund.
        let _ = reserved.refund(app).await;
    }
    outcome
}

/// Goes on with a sign-in under its new key: returns what is due, or finishes it.
async fn settle(
    app: &App,
    session: &Session,
    talks: TalkHooks,
    caller: &Caller,
    key: Uuid,
    reserved: &Reserved,
) -> Result<Progress> {
    let begun = store::begun(&app.db, key).await?.ok_or(Error::WrongStep)?;
    let (due, next) = (Due::new(app, &begun), begun.next.clone());
    let proceed = |state| Progress { state, recovery_codes: Vec::new(), next };
    if due.step.is_some() {
        remember(session, key).await?;
        return Ok(proceed(State::Due(due)));
    }
    let own = signed_in(session).await?.map(|signed_in| signed_in.account);
    if caller.asks_elsewhere
        && own != Some(begun.account.id.0)
        && store::live_elsewhere(&app.db, begun.account.id).await?.is_some()
    {
        remember(session, key).await?;
        return Ok(proceed(State::Elsewhere));
    }
    if begun.leave
        && let Some(guest) = guest_of(app, session).await?
    {
        (talks.leave)(app, &guest).await?;
    }
    let prefix_hash = app.accounts.prefix_hash(caller.prefix);
    session.remove_value(SIGN_IN_KEY).await.map_err(session_error)?;
    let account = complete_sign_in(app, session, key, &caller.device, &prefix_hash).await?;
    reserved.clear(app).await?;
    Ok(proceed(State::Done(account)))
}

/// Names a sign-in in the session, under a new session id.
async fn remember(session: &Session, key: Uuid) -> Result<()> {
    if signed_in(session).await?.is_some() {
        // It was signed in to an account. Without it, the visitor of that account is not named.
        for key in [VISITOR_KEY, SIGNED_IN_KEY] {
            session.remove_value(key).await.map_err(session_error)?;
        }
    }
    session.insert(SIGN_IN_KEY, key).await.map_err(session_error)?;
    if !faults::on(Fault::SessionIdKept) {
        session.cycle_id().await.map_err(session_error)?;
    }
    session.save().await.map_err(session_error)
}

async fn key_of(session: &Session) -> Result<Option<Uuid>> {
    session.get(SIGN_IN_KEY).await.map_err(session_error)
}

async fn load(app: &App, session: &Session) -> Result<Option<Begun>> {
    match key_of(session).await? {
        Some(key) => Ok(store::begun(&app.db, key).await?),
        None => Ok(None),
    }
}

/// Returns the visitor of a session. `None` if there is none yet.
pub(super) async fn guest_of(app: &App, session: &Session) -> Result<Option<Visitor>> {
    match session_visitor(session).await? {
        Some(visitor) => find_visitor(app, visitor).await,
        None => Ok(None),
    }
}

/// Checks that the guest is in no open talk, unless it agrees to leave it.
async fn require_no_talk(app: &App, session: &Session, talks: TalkHooks, leave: bool) -> Result<()> {
    if leave {
        return Ok(());
    }
    match guest_of(app, session).await? {
        Some(guest) if (talks.is_open)(app, &guest).await? => Err(Error::AlreadyInSession),
        _ => Ok(()),
    }
}

/// Compares a proof that is repeated by somebody who is signed in: the password of their account.
/// Failures count like those of a sign-in.
///
/// # Errors
/// `wrong_credentials`, `rate_limited` with the wait, `unavailable`.
pub(super) async fn prove_password(app: &App, handle: &str, prefix: Prefix, password: &SecretString) -> Result<()> {
    let reserved = throttle::reserve(app, handle, prefix).await?;
    let found = store::candidate(&app.db, handle).await?;
    let stored = found.as_ref().and_then(|account| account.password.as_deref());
    let verified = evaluated(app, &reserved, passwords::verify(app, password, stored).await).await?;
    if !verified.matches || password.expose_secret().is_empty() {
        return Err(Error::WrongCredentials);
    }
    reserved.refund(app).await
}
