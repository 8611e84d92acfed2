//! The pages that change one thing of an account: a form each, and what it does.
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::form::Form;
use super::note::Note;
use super::page::FormView;
use super::problems::{Problems, Wording};
use super::reader::{Owner, Reader};
use super::sign_in::{Nothing, without_spaces};
use crate::accounts::account::{self, Profile};
use crate::accounts::model::{Change, NameChange};
use crate::accounts::totp::Enrolment;
use crate::accounts::{change_visitor, secret};
use crate::app::App;
use crate::error::{Error, Result};
use crate::locale::PageStrings;

/// Leaves a note and returns to the account.
async fn done(reader: &Reader, note: Note) -> Result<Response> {
    note.leave(&reader.session).await?;
    Ok(Redirect::to("/account").into_response())
}

fn wording(t: &'static PageStrings) -> Wording {
    Wording { title: t.refused_form, proof: ("current", t.wrong_password) }
}

impl Owner {
    /// Returns the summary of a refused form.
    fn problems(&self, why: Error) -> Result<Problems> {
        let t = self.reader.t();
        wording(t).problems(t, why)
    }

    async fn profile(&self) -> Result<Profile> {
        account::profile(&self.reader.app, &self.reader.visitor).await
    }
}

// The name

#[derive(Template)]
#[template(path = "account/account_name.html")]
struct NamePage {
    t: &'static PageStrings,
    form: FormView,
    name: String,
}

pub(super) async fn name(owner: Owner) -> Result<Response> {
    let name = owner.reader.visitor.name.clone().unwrap_or_default();
    respond_name(&owner.reader, owner.reader.form().await?, name)
}

fn respond_name(reader: &Reader, form: FormView, name: String) -> Result<Response> {
    let t = reader.t();
    reader.frame().respond(form.status(), t.room_name, &NamePage { t, form, name })
}

#[derive(Deserialize)]
pub(super) struct NewName {
    #[serde(default)]
    name: String,
}

/// Sets the name for rooms. An empty one goes back to the alias.
pub(super) async fn change_name(
    State(app): State<App>,
    owner: Owner,
    Form(NewName { name }): Form<NewName>,
) -> Result<Response> {
    let change = if name.trim().is_empty() { NameChange::UseAlias } else { NameChange::Set(name.clone()) };
    let change = Change { name: change, ..Change::default() };
    match change_visitor(&app, &owner.reader.visitor, change).await {
        Ok(_) => done(&owner.reader, Note::NameSaved).await,
        Err(why) => respond_name(&owner.reader, owner.reader.refused(owner.problems(why)?), name),
    }
}

// The mail address

#[derive(Template)]
#[template(path = "account/account_email.html")]
struct EmailPage {
    t: &'static PageStrings,
    form: FormView,
    about: &'static str,
    email: String,
}

pub(super) async fn email(owner: Owner) -> Result<Response> {
    let profile = owner.profile().await?;
    let email = profile.pending_email.or(profile.email).unwrap_or_default();
    respond_email(&owner.reader, owner.reader.form().await?, email)
}

fn respond_email(reader: &Reader, form: FormView, email: String) -> Result<Response> {
    let t = reader.t();
    let about = if account::can_mail(&reader.app) { t.email_hint } else { t.no_mail };
    reader.frame().respond(form.status(), t.login_email, &EmailPage { t, form, about, email })
}

#[derive(Deserialize)]
pub(super) struct NewEmail {
    #[serde(default)]
    email: String,
    #[serde(deserialize_with = "secret::required")]
    current: SecretString,
}

pub(super) async fn change_email(
    State(app): State<App>,
    owner: Owner,
    Form(NewEmail { email, current }): Form<NewEmail>,
) -> Result<Response> {
    let reader = &owner.reader;
    let wanted = Some(email.trim()).filter(|email| !email.is_empty());
    let prefix = reader.caller.prefix;
    match account::change_email(&app, &reader.visitor, prefix, &current, wanted, reader.locale()).await {
        Ok(()) => {
            let note = match wanted {
                None => Note::EmailRemoved,
                Some(_) if account::can_mail(&app) => Note::EmailSent,
                Some(_) => Note::EmailSaved,
            };
            done(reader, note).await
        }
        Err(why) => respond_email(reader, reader.refused(owner.problems(why)?), email),
    }
}

// The password

#[derive(Template)]
#[template(path = "account/account_password.html")]
struct PasswordPage {
    t: &'static PageStrings,
    form: FormView,
    handle: String,
    asks_current: bool,
}

pub(super) async fn password(owner: Owner) -> Result<Response> {
    let form = owner.reader.form().await?;
    respond_password(&owner, form)
}

fn respond_password(owner: &Owner, form: FormView) -> Result<Response> {
    let t = owner.reader.t();
    let page = PasswordPage { t, form, handle: owner.account.handle.clone(), asks_current: true };
    owner.reader.frame().respond(page.form.status(), t.new_password_heading, &page)
}

#[derive(Deserialize)]
pub(super) struct NewPassword {
    #[serde(deserialize_with = "secret::required")]
    current: SecretString,
    #[serde(deserialize_with = "secret::required")]
    password: SecretString,
}

pub(super) async fn change_password(
    State(app): State<App>,
    owner: Owner,
    Form(NewPassword { current, password }): Form<NewPassword>,
) -> Result<Response> {
    let reader = &owner.reader;
    let (who, prefix) = (&reader.visitor, reader.caller.prefix);
    let changed =
        account::change_password(&app, who, &reader.session, prefix, &current, &password, reader.locale()).await;
    match changed {
        Ok(()) => done(reader, Note::PasswordChanged).await,
        Err(why) => respond_password(&owner, reader.refused(owner.problems(why)?)),
    }
}

// The PIN

#[derive(Template)]
#[template(path = "account/account_pin.html")]
struct PinPage {
    t: &'static PageStrings,
    form: FormView,
}

pub(super) async fn pin(owner: Owner) -> Result<Response> {
    let form = owner.reader.form().await?;
    respond_pin(&owner.reader, form)
}

fn respond_pin(reader: &Reader, form: FormView) -> Result<Response> {
    let t = reader.t();
    reader.frame().respond(form.status(), t.pin_set_heading, &PinPage { t, form })
}

#[derive(Deserialize)]
pub(super) struct NewPin {
    #[serde(deserialize_with = "secret::required")]
    current: SecretString,
    #[serde(deserialize_with = "secret::required")]
    pin: SecretString,
}

pub(super) async fn set_pin(
    State(app): State<App>,
    owner: Owner,
    Form(NewPin { current, pin }): Form<NewPin>,
) -> Result<Response> {
    let reader = &owner.reader;
    let pin = without_spaces(&pin);
    match account::set_pin(&app, &reader.visitor, reader.caller.prefix, &current, Some(&pin)).await {
        Ok(()) => done(reader, Note::PinOn).await,
        Err(why) => respond_pin(reader, reader.refused(owner.problems(why)?)),
    }
}

#[derive(Template)]
#[template(path = "account/account_pin_remove.html")]
struct PinRemovalPage {
    t: &'static PageStrings,
    form: FormView,
}

pub(super) async fn pin_removal(owner: Owner) -> Result<Response> {
    let form = owner.reader.form().await?;
    respond_pin_removal(&owner.reader, form)
}

fn respond_pin_removal(reader: &Reader, form: FormView) -> Result<Response> {
    let t = reader.t();
    reader.frame().respond(form.status(), t.pin_remove_heading, &PinRemovalPage { t, form })
}

/// The password in use, which proves that the owner is there.
#[derive(Deserialize)]
pub(super) struct Confirmed {
    #[serde(deserialize_with = "secret::required")]
    current: SecretString,
}

pub(super) async fn remove_pin(
    State(app): State<App>,
    owner: Owner,
    Form(Confirmed { current }): Form<Confirmed>,
) -> Result<Response> {
    let reader = &owner.reader;
    match account::set_pin(&app, &reader.visitor, reader.caller.prefix, &current, None).await {
        Ok(()) => done(reader, Note::PinOff).await,
        Err(why) => respond_pin_removal(reader, reader.refused(owner.problems(why)?)),
    }
}

// The second factor

/// A second factor that is being added, as a page shows it.
pub(super) struct Enrolled {
    pub(super) qr: String,
    pub(super) url: String,
    pub(super) secret: String,
    /// The secret in groups of four.
    pub(super) spaced: String,
}

impl Enrolled {
    /// Prepares a second factor for a page.
    ///
    /// # Errors
    /// `internal` if the QR code cannot be drawn.
    pub(super) fn of(enrolment: &Enrolment) -> Result<Self> {
        let secret = enrolment.secret.expose_secret().to_owned();
        let groups = secret.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned());
        Ok(Self {
            qr: enrolment.qr_svg()?,
            url: enrolment.url.expose_secret().to_owned(),
            spaced: groups.collect::<Vec<_>>().join(" "),
            secret,
        })
    }
}

#[derive(Template)]
#[template(path = "account/account_enroll.html")]
struct EnrollPage {
    t: &'static PageStrings,
    form: FormView,
    enrolled: Enrolled,
    action: &'static str,
}

/// Draws the secret of a new second factor.
pub(super) async fn begin_totp(
    State(app): State<App>,
    owner: Owner,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response> {
    match account::begin_totp(&app, &owner.reader.visitor).await {
        Ok(_) => Ok(Redirect::to("/account/totp").into_response()),
        // It is on already, by a page in another tab.
        Err(Error::Conflict(_)) => Ok(Redirect::to("/account").into_response()),
        Err(why) => Err(why),
    }
}

pub(super) async fn totp(owner: Owner) -> Result<Response> {
    let form = owner.reader.form().await?;
    respond_totp(&owner, form).await
}

async fn respond_totp(owner: &Owner, form: FormView) -> Result<Response> {
    let reader = &owner.reader;
    let Some(enrolment) = account::pending_totp(&reader.app, &reader.visitor).await? else {
        return Ok(Redirect::to("/account").into_response());
    };
    let t = reader.t();
    let page = EnrollPage { t, form, enrolled: Enrolled::of(&enrolment)?, action: "/account/totp/confirm" };
    reader.frame_at("/account/totp").respond(page.form.status(), t.enroll_heading_own, &page)
}

#[derive(Deserialize)]
pub(super) struct FirstCode {
    #[serde(deserialize_with = "secret::required")]
    code: SecretString,
}

/// Puts the second factor into use and shows the recovery codes.
pub(super) async fn confirm_totp(
    State(app): State<App>,
    owner: Owner,
    Form(FirstCode { code }): Form<FirstCode>,
) -> Result<Response> {
    let reader = &owner.reader;
    let t = reader.t();
    let code = without_spaces(&code);
    if code.expose_secret().is_empty() {
        let problems = Problems::one(t.refused_form, "code", t.missing_code);
        return respond_totp(&owner, reader.refused(problems)).await;
    }
    match account::confirm_totp(&app, &reader.visitor, reader.caller.prefix, &code).await {
        Ok(codes) => {
            Note::AppOn.leave(&reader.session).await?;
            codes_page(&app, reader, &owner.account.handle, &codes, "/account".to_owned())
        }
        Err(Error::Conflict(_)) => Ok(Redirect::to("/account").into_response()),
        Err(why) => {
            let wording = Wording { title: t.refused_form, proof: ("code", t.wrong_code) };
            respond_totp(&owner, reader.refused(wording.problems(t, why)?)).await
        }
    }
}

#[derive(Template)]
#[template(path = "account/account_totp_remove.html")]
struct TotpRemovalPage {
    t: &'static PageStrings,
    form: FormView,
}

pub(super) async fn totp_removal(owner: Owner) -> Result<Response> {
    let profile = owner.profile().await?;
    if !profile.totp || profile.totp_required {
        return Ok(Redirect::to("/account").into_response());
    }
    let form = owner.reader.form().await?;
    respond_totp_removal(&owner.reader, form)
}

fn respond_totp_removal(reader: &Reader, form: FormView) -> Result<Response> {
    let t = reader.t();
    reader.frame().respond(form.status(), t.app_disable, &TotpRemovalPage { t, form })
}

pub(super) async fn remove_totp(
    State(app): State<App>,
    owner: Owner,
    Form(Confirmed { current }): Form<Confirmed>,
) -> Result<Response> {
    let reader = &owner.reader;
    match account::remove_totp(&app, &reader.visitor, reader.caller.prefix, &current).await {
        Ok(()) => done(reader, Note::AppOff).await,
        // The role needs it, or it is off already.
        Err(Error::Forbidden(_) | Error::NotFound) => Ok(Redirect::to("/account").into_response()),
        Err(why) => respond_totp_removal(reader, reader.refused(owner.problems(why)?)),
    }
}

// Recovery codes

#[derive(Template)]
#[template(path = "account/account_codes.html")]
struct RenewalPage {
    t: &'static PageStrings,
    form: FormView,
}

pub(super) async fn recovery_codes(owner: Owner) -> Result<Response> {
    if !owner.profile().await?.totp {
        return Ok(Redirect::to("/account").into_response());
    }
    let form = owner.reader.form().await?;
    respond_renewal(&owner.reader, form)
}

fn respond_renewal(reader: &Reader, form: FormView) -> Result<Response> {
    let t = reader.t();
    reader.frame().respond(form.status(), t.recovery_codes, &RenewalPage { t, form })
}

pub(super) async fn renew_recovery_codes(
    State(app): State<App>,
    owner: Owner,
    Form(Confirmed { current }): Form<Confirmed>,
) -> Result<Response> {
    let reader = &owner.reader;
    match account::new_recovery_codes(&app, &reader.visitor, reader.caller.prefix, &current).await {
        Ok(codes) => codes_page(&app, reader, &owner.account.handle, &codes, "/account".to_owned()),
        Err(Error::Conflict(_)) => Ok(Redirect::to("/account").into_response()),
        Err(why) => respond_renewal(reader, reader.refused(owner.problems(why)?)),
    }
}

#[derive(Template)]
#[template(path = "account/codes.html")]
struct CodesPage<'a> {
    t: &'static PageStrings,
    form: FormView,
    codes: Vec<&'a str>,
    /// All codes in one text, for the script that copies them.
    all: String,
    /// The file with the codes, as a `data:` address.
    file: String,
    /// The page after this one.
    next: String,
}

/// Shows recovery codes. It answers the form itself, without a redirect: the codes are stored
/// nowhere, so no later request could show them.
///
/// # Errors
/// `internal` if the page cannot be rendered.
pub(super) fn codes_page(
    app: &App,
    reader: &Reader,
    handle: &str,
    codes: &[SecretString],
    next: String,
) -> Result<Response> {
    let t = reader.t();
    let codes: Vec<&str> = codes.iter().map(SecretString::expose_secret).collect();
    let all = codes.join("\n");
    let text = format!("{}{all}\n\n{}\n", (t.codes_file)(handle), app.config.site.url);
    let file = format!("data:text/plain;charset=utf-8;base64,{}", STANDARD.encode(text));
    let page = CodesPage { t, form: FormView::default(), codes, all, file, next };
    reader.frame_at("/account").respond(page.form.status(), t.codes_heading, &page)
}
