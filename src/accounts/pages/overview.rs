//! The account page, and the actions that its buttons begin.
use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;
use time::OffsetDateTime;
use tower_sessions::Session;
use uuid::Uuid;

use super::form::Form;
use super::note::Note;
use super::page::FormView;
use super::problems::{Problems, Wording};
use super::reader::{Owner, Reader};
use super::sign_in::Nothing;
use super::staff::role_name;
use super::{BlockedPerson, PageHooks, times};
use crate::accounts::account::{self, Profile};
use crate::accounts::drawing::Face;
use crate::accounts::limits::RECOVERY_CODES;
use crate::accounts::live_sessions::{Listed, end_own_sessions, list_own_sessions};
use crate::accounts::{Alias, EndReason, secret, session_error, signed_in};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::Path;
use crate::locale::{Locale, PageStrings};

#[derive(Template)]
#[template(path = "account/account.html")]
struct Overview {
    t: &'static PageStrings,
    form: FormView,
    alias: String,
    face: Face,
    handle: String,
    name: Option<String>,
    email: Option<ShownEmail>,
    has_mail: bool,
    /// `None` for a member.
    staff_role: Option<&'static str>,
    password_set: String,
    totp: bool,
    totp_required: bool,
    recovery: String,
    has_pin: bool,
    sessions: Vec<ShownSession>,
    blocked: Vec<ShownPerson>,
    /// The time until the account is deleted. `None` unless its owner asked for it.
    deletion: Option<String>,
    /// Whether the account has a password to ask for before the deletion.
    asks_password: bool,
}

struct ShownEmail {
    masked: String,
    is_confirmed: bool,
}

/// What a device looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeviceKind {
    Phone,
    Tablet,
    Computer,
}

struct ShownSession {
    kind: DeviceKind,
    device: String,
    about: String,
    is_current: bool,
    is_over: bool,
}

struct ShownPerson {
    id: Uuid,
    face: Face,
    name: String,
    about: String,
}

fn face(alias: &Alias) -> Face {
    Face { color: alias.color.clone(), animal: alias.animal.clone() }
}

/// Returns an address of which only its owner knows the whole: `ha••••@mail.example`.
fn masked(email: &str) -> String {
    let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    let shown: String = local.chars().take(if local.chars().count() > 3 { 2 } else { 1 }).collect();
    format!("{shown}••••@{domain}")
}

/// Returns the kind of a device, by the words that describe it.
fn kind_of(device: &str) -> DeviceKind {
    if device.contains("iPad") {
        DeviceKind::Tablet
    } else if device.contains("iPhone") || device.contains("Android") {
        DeviceKind::Phone
    } else {
        DeviceKind::Computer
    }
}

fn ended_because(t: &'static PageStrings, reason: Option<EndReason>) -> &'static str {
    match reason {
        Some(EndReason::SignedOut) => t.ended_signed_out,
        Some(EndReason::SignedInElsewhere) => t.ended_elsewhere,
        Some(EndReason::EndedByOwner) => t.ended_by_owner,
        Some(EndReason::EndedByStaff) => t.ended_by_staff,
        Some(EndReason::PasswordChanged) => t.ended_password,
        Some(EndReason::RoleChanged) => t.ended_role,
        Some(EndReason::Deactivated | EndReason::Deleted) => t.ended_closed,
        Some(EndReason::Expired) | None => t.ended_expired,
    }
}

impl ShownSession {
    fn of(t: &'static PageStrings, now: OffsetDateTime, listed: Listed, current: Option<Uuid>) -> Self {
        let is_current = Some(listed.id) == current;
        let about = match listed.ended_at {
            Some(at) => (t.session_ended)(&times::ago(t, now, at), ended_because(t, listed.reason)),
            None if is_current => t.session_current.to_owned(),
            None => (t.session_used)(&times::ago(t, now, listed.times.last_used_at())),
        };
        Self {
            kind: kind_of(listed.device.as_deref().unwrap_or_default()),
            device: listed.device.unwrap_or_else(|| t.session_unknown_device.to_owned()),
            about,
            is_current,
            is_over: listed.ended_at.is_some(),
        }
    }
}

impl ShownPerson {
    fn of(t: &'static PageStrings, locale: Locale, now: OffsetDateTime, person: BlockedPerson) -> Self {
        let alias = person.alias.map(|alias| (face(&alias), alias.in_words(locale)));
        let (face, alias) = alias.unzip();
        Self {
            id: person.id,
            // The plain tile, in the first colour.
            face: face.unwrap_or(Face { color: "pine".to_owned(), animal: String::new() }),
            name: person.name.or(alias).unwrap_or_else(|| t.blocked_unknown.to_owned()),
            about: (t.blocked_at)(&times::ago(t, now, person.at)),
        }
    }
}

/// Shows the account.
pub(super) async fn page(Extension(hooks): Extension<PageHooks>, owner: Owner) -> Result<Response> {
    let form = owner.reader.form().await?;
    respond(hooks, &owner, form).await
}

async fn respond(hooks: PageHooks, owner: &Owner, form: FormView) -> Result<Response> {
    let Owner { reader, account } = owner;
    let (app, who, t) = (&reader.app, &reader.visitor, reader.t());
    let now = app.clock.now();
    let profile = account::profile(app, who).await?;
    let current = signed_in(&reader.session).await?.map(|signed_in| signed_in.public_id);
    let sessions = list_own_sessions(app, who).await?.into_iter();
    let blocked = (hooks.blocked)(app, who).await?.into_iter();
    let Profile { email, email_verified, pending_email, .. } = profile;
    let email = match (pending_email, email) {
        (Some(pending), _) => Some(ShownEmail { masked: masked(&pending), is_confirmed: false }),
        (None, Some(email)) => Some(ShownEmail { masked: masked(&email), is_confirmed: email_verified }),
        (None, None) => None,
    };
    let page = Overview {
        t,
        form,
        alias: who.alias.in_words(reader.locale()),
        face: face(&who.alias),
        handle: account.handle.clone(),
        name: who.name.clone(),
        email,
        has_mail: account::can_mail(app),
        staff_role: account.role.is_staff().then(|| role_name(t, account.role)),
        password_set: match profile.password_set_at.filter(|_| profile.password) {
            Some(at) => (t.password_set)(&times::ago(t, now, at)),
            None => t.password_unset.to_owned(),
        },
        totp: profile.totp,
        totp_required: profile.totp_required,
        recovery: (t.recovery_left)(profile.recovery_codes, RECOVERY_CODES),
        has_pin: profile.pin,
        sessions: sessions.map(|listed| ShownSession::of(t, now, listed, current)).collect(),
        blocked: blocked.map(|person| ShownPerson::of(t, reader.locale(), now, person)).collect(),
        deletion: profile.delete_after.map(|at| times::left(t, now, at)),
        asks_password: profile.password,
    };
    reader.frame_at("/account").respond(page.form.status(), t.account, &page)
}

async fn done(reader: &Reader, note: Note) -> Result<Response> {
    note.leave(&reader.session).await?;
    Ok(Redirect::to("/account").into_response())
}

/// Leads a browser whose session was just ended to the page of sign-in, as a guest.
async fn as_guest(session: &Session, note: Note) -> Result<Response> {
    session.flush().await.map_err(session_error)?;
    note.leave(session).await?;
    Ok(Redirect::to("/signin").into_response())
}

/// Signs out.
pub(super) async fn sign_out(
    State(app): State<App>,
    reader: Reader,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response> {
    if reader.visitor.account.is_some() {
        end_own_sessions(&app, &reader.visitor, EndReason::SignedOut).await?;
    }
    as_guest(&reader.session, Note::SignedOut).await
}

/// Ends the sessions of the account on every device, this one too.
pub(super) async fn end_sessions(
    State(app): State<App>,
    Owner { reader, .. }: Owner,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response> {
    end_own_sessions(&app, &reader.visitor, EndReason::EndedByOwner).await?;
    as_guest(&reader.session, Note::SignedOut).await
}

/// Takes a block back.
pub(super) async fn unblock(
    State(app): State<App>,
    Extension(hooks): Extension<PageHooks>,
    Owner { reader, .. }: Owner,
    Path(block): Path<Uuid>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response> {
    match (hooks.unblock)(&app, &reader.visitor, block).await {
        // By a page in another tab.
        Ok(()) | Err(Error::NotFound) => done(&reader, Note::Unblocked).await,
        Err(why) => Err(why),
    }
}

#[derive(Deserialize)]
pub(super) struct Deletion {
    #[serde(default)]
    word: String,
    #[serde(deserialize_with = "secret::required")]
    current: SecretString,
}

/// Begins the deletion of the account, if the word was written.
pub(super) async fn delete(
    State(app): State<App>,
    Extension(hooks): Extension<PageHooks>,
    owner: Owner,
    Form(Deletion { word, current }): Form<Deletion>,
) -> Result<Response> {
    let reader = &owner.reader;
    let t = reader.t();
    if !word.trim().eq_ignore_ascii_case(t.delete_word) {
        let problems = Problems::one(t.refused_form, "word", t.delete_word_wrong);
        return respond(hooks, &owner, reader.refused(problems)).await;
    }
    match account::delete_account(&app, &reader.visitor, reader.caller.prefix, &current).await {
        Ok(_) => as_guest(&reader.session, Note::DeleteBegun).await,
        Err(Error::Forbidden(_)) => {
            let problems = Problems::one(t.refused_form, "word", t.last_admin);
            respond(hooks, &owner, reader.refused(problems)).await
        }
        Err(why) => {
            let wording = Wording { title: t.refused_form, proof: ("current", t.wrong_password) };
            respond(hooks, &owner, reader.refused(wording.problems(t, why)?)).await
        }
    }
}

/// Takes the deletion back.
pub(super) async fn undo_deletion(
    State(app): State<App>,
    Owner { reader, .. }: Owner,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response> {
    match account::undo_deletion(&app, &reader.visitor).await {
        Ok(()) | Err(Error::NotFound) => done(&reader, Note::DeleteUndone).await,
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::{DeviceKind, kind_of, masked};

    #[test]
    fn an_address_is_masked() {
        for (email, expected) in [
            ("hana@mail.example", "ha••••@mail.example"),
            ("ab@c.kr", "a••••@c.kr"),
            ("한글주소@한국.kr", "한글••••@한국.kr"),
        ] {
            assert_eq!(masked(email), expected);
        }
    }

    #[test]
    fn a_device_has_a_kind() {
        for (device, kind) in [
            ("Safari, iPhone", DeviceKind::Phone),
            ("Chrome, Android", DeviceKind::Phone),
            ("Safari, iPad", DeviceKind::Tablet),
            ("Firefox, Windows", DeviceKind::Computer),
            ("", DeviceKind::Computer),
        ] {
            assert_eq!(kind_of(device), kind, "{device}");
        }
    }
}
