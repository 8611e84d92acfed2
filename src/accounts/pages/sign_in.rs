//! The pages of sign-in: one for each step, in the order that the account needs.
use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::changes::{Enrolled, codes_page};
use super::form::Form;
use super::note::Note;
use super::page::{FormView, StepMark};
use super::problems::{Problems, Wording};
use super::reader::Reader;
use crate::accounts::sign_in::{
    Attempt, Due, Progress, State as Progressed, Step, begin_sign_in, continue_sign_in, pending_sign_in,
};
use crate::accounts::{Account, TalkHooks, next_path, secret, session_error};
use crate::app::App;
use crate::error::{Error, Result};
use crate::locale::PageStrings;

/// The key of a sign-in that its pages have begun, in the session's data.
const STARTED_KEY: &str = "signing_in";

/// What the first page was told, for the pages after it. It proves nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Started {
    pub(super) handle: String,
    pub(super) next: Option<String>,
    /// The guest agreed to leave an open talk.
    pub(super) leave: bool,
    /// The verifier's page, once its check was requested.
    pub(super) verify_url: Option<String>,
}

impl Started {
    pub(super) async fn of(reader: &Reader) -> Result<Option<Self>> {
        reader.session.get(STARTED_KEY).await.map_err(session_error)
    }

    pub(super) async fn keep(&self, reader: &Reader) -> Result<()> {
        reader.session.insert(STARTED_KEY, self).await.map_err(session_error)
    }
}

pub(super) fn see(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// Returns the page of a step.
fn path_of(step: Option<Step>) -> &'static str {
    match step {
        None => "/signin/elsewhere",
        Some(Step::Password) => "/signin/password",
        Some(Step::Totp) => "/signin/totp",
        Some(Step::Recovery) => "/signin/recovery",
        Some(Step::Pin) => "/signin/pin",
        Some(Step::Verify) => "/signin/verify",
        Some(Step::EnrollTotp) => "/signin/enroll",
    }
}

/// Returns where a finished sign-in leads.
fn target(next: Option<String>, account: &Account) -> String {
    let fallback = if account.role.is_staff() { "/admin" } else { "/account" };
    next.and_then(|next| next_path(&next)).unwrap_or_else(|| fallback.to_owned())
}

/// Marks the steps before the account's own are known: the handle, the password, and a code that not
/// every account has. They are the same for a name that does not exist.
fn first_steps(t: &'static PageStrings, current: usize, form: FormView) -> FormView {
    let names = [(t.step_handle, false), (t.step_password, false), (t.step_code, true)];
    let marks = names.into_iter().enumerate().map(|(at, (name, is_optional))| StepMark {
        name,
        is_done: at + 1 < current,
        is_current: at + 1 == current,
        is_optional,
    });
    FormView { steps: marks.collect(), step_label: (t.step_of)(current, 3), ..form }
}

/// Marks the steps of an account whose password was proved.
pub(super) fn known_steps(t: &'static PageStrings, due: &Due, form: FormView) -> FormView {
    let name = |step: Step| match step {
        Step::Password => t.step_password,
        Step::Totp | Step::Recovery => t.step_code,
        Step::Pin => t.step_pin,
        Step::Verify => t.step_verify,
        Step::EnrollTotp => t.step_enroll,
    };
    let names: Vec<&'static str> = std::iter::once(t.step_handle).chain(due.steps.iter().copied().map(name)).collect();
    let current = if due.step.is_some() { due.position + 1 } else { names.len() + 1 };
    let all = names.len();
    let marks = names.into_iter().enumerate().map(|(at, name)| StepMark {
        name,
        is_done: at + 1 < current,
        is_current: at + 1 == current,
        is_optional: false,
    });
    FormView { steps: marks.collect(), step_label: (t.step_of)(current.min(all), all), ..form }
}

// The handle

#[derive(Template)]
#[template(path = "account/handle.html")]
struct HandlePage {
    t: &'static PageStrings,
    form: FormView,
    value: String,
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// Shows the first page. A reader who is signed in already is led on.
pub(super) async fn handle(reader: Reader, Query(query): Query<Next>) -> Result<Response> {
    if let Some(account) = &reader.visitor.account {
        return Ok(see(&target(next_path(&query.next).filter(|next| next != "/signin"), account)));
    }
    let started = Started::of(&reader).await?.unwrap_or_default();
    let next = next_path(&query.next).or(started.next).unwrap_or_default();
    let form = first_steps(reader.t(), 1, reader.form().await?);
    respond_handle(&reader, form, started.handle, next)
}

fn respond_handle(reader: &Reader, form: FormView, value: String, next: String) -> Result<Response> {
    let status = form.status();
    let t = reader.t();
    reader.frame().respond(status, t.sign_in, &HandlePage { t, form, value, next })
}

#[derive(Deserialize)]
pub(super) struct ChosenHandle {
    #[serde(default)]
    handle: String,
    #[serde(default)]
    next: String,
}

/// Takes the handle. Nothing is looked up yet.
pub(super) async fn choose_handle(
    State(app): State<App>,
    Extension(talks): Extension<TalkHooks>,
    reader: Reader,
    Form(chosen): Form<ChosenHandle>,
) -> Result<Response> {
    let t = reader.t();
    let handle: String = chosen.handle.trim().chars().take(64).collect();
    if handle.is_empty() {
        let problems = Problems::one(t.refused_sign_in, "handle", t.missing_handle);
        return respond_handle(&reader, first_steps(t, 1, reader.refused(problems)), handle, chosen.next);
    }
    let started = Started { handle, next: next_path(&chosen.next), ..Started::default() };
    started.keep(&reader).await?;
    let is_talking = reader.visitor.account.is_none() && (talks.is_open)(&app, &reader.visitor).await?;
    Ok(see(if is_talking { "/signin/talk" } else { "/signin/password" }))
}

// An open talk

#[derive(Template)]
#[template(path = "account/open_talk.html")]
struct OpenTalkPage {
    t: &'static PageStrings,
    form: FormView,
}

/// Asks whether to leave the guest's open talk.
pub(super) async fn open_talk(reader: Reader) -> Result<Response> {
    if Started::of(&reader).await?.is_none() {
        return Ok(see("/signin"));
    }
    let t = reader.t();
    let page = OpenTalkPage { t, form: reader.form().await? };
    reader.frame().respond(page.form.status(), t.talk_heading, &page)
}

/// Records that the guest agrees to leave the talk, and goes on with the sign-in.
pub(super) async fn leave_talk(
    State(app): State<App>,
    reader: Reader,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response> {
    let Some(started) = Started::of(&reader).await? else { return Ok(see("/signin")) };
    Started { leave: true, ..started }.keep(&reader).await?;
    Ok(match pending_sign_in(&app, &reader.session).await? {
        Some(due) => see(path_of(due.step)),
        None => see("/signin/password"),
    })
}

/// A form without fields.
#[derive(Deserialize)]
pub(super) struct Nothing {}

// The password

#[derive(Template)]
#[template(path = "account/password.html")]
struct PasswordPage {
    t: &'static PageStrings,
    form: FormView,
    handle: String,
}

/// Shows the page of the password.
pub(super) async fn password(reader: Reader) -> Result<Response> {
    let Some(started) = Started::of(&reader).await? else { return Ok(see("/signin")) };
    let form = reader.form().await?;
    respond_password(&reader, form, started.handle)
}

fn respond_password(reader: &Reader, form: FormView, handle: String) -> Result<Response> {
    let t = reader.t();
    let form = first_steps(t, 2, form);
    reader.frame().respond(form.status(), t.password_heading, &PasswordPage { t, form, handle })
}

#[derive(Deserialize)]
pub(super) struct ProvenPassword {
    #[serde(deserialize_with = "secret::required")]
    password: SecretString,
}

/// Begins the sign-in.
pub(super) async fn prove_password(
    State(app): State<App>,
    Extension(talks): Extension<TalkHooks>,
    reader: Reader,
    Form(ProvenPassword { password }): Form<ProvenPassword>,
) -> Result<Response> {
    let Some(started) = Started::of(&reader).await? else { return Ok(see("/signin")) };
    let t = reader.t();
    if password.expose_secret().is_empty() {
        let problems = Problems::one(t.refused_sign_in, "password", t.missing_password);
        return respond_password(&reader, reader.refused(problems), started.handle);
    }
    let attempt =
        Attempt { handle: started.handle.clone(), password, leave: started.leave, next: started.next.clone() };
    match begin_sign_in(&app, &reader.session, talks, &reader.caller, attempt).await {
        Ok(progress) => proceed(&app, &reader, progress).await,
        Err(Error::AlreadyInSession) => Ok(see("/signin/talk")),
        Err(why) => {
            let wording = Wording { title: t.refused_sign_in, proof: ("password", t.wrong_login) };
            respond_password(&reader, reader.refused(wording.problems(t, why)?), started.handle)
        }
    }
}

/// Leads to what a sign-in waits for, or to the end of it. New recovery codes are shown first.
pub(super) async fn proceed(app: &App, reader: &Reader, progress: Progress) -> Result<Response> {
    let handle = Started::of(reader).await?.map(|started| started.handle).unwrap_or_default();
    let path = match progress.state {
        Progressed::Due(due) => path_of(due.step).to_owned(),
        Progressed::Elsewhere => "/signin/elsewhere".to_owned(),
        Progressed::Done(account) => {
            reader.session.remove_value(STARTED_KEY).await.map_err(session_error)?;
            target(progress.next, &account)
        }
    };
    if progress.recovery_codes.is_empty() {
        return Ok(see(&path));
    }
    codes_page(app, reader, &handle, &progress.recovery_codes, path)
}

// The further steps

#[derive(Template)]
#[template(path = "account/code.html")]
struct CodePage {
    t: &'static PageStrings,
    form: FormView,
    heading: &'static str,
    label: &'static str,
    hint: &'static str,
    action: &'static str,
    is_digits: bool,
    is_pin: bool,
    /// Another way to prove the same: its page and name.
    other: Option<(&'static str, &'static str)>,
}

#[derive(Template)]
#[template(path = "account/enroll.html")]
struct EnrollPage {
    t: &'static PageStrings,
    form: FormView,
    enrolled: Enrolled,
    action: &'static str,
}

/// A step that has a page with one code.
#[derive(Clone, Copy)]
struct CodeStep(Step);

impl CodeStep {
    /// Returns the step of a page, by the last part of its path.
    fn of_path(name: &str) -> Option<Self> {
        Some(Self(match name {
            "totp" => Step::Totp,
            "recovery" => Step::Recovery,
            "pin" => Step::Pin,
            "enroll" => Step::EnrollTotp,
            _ => return None,
        }))
    }

    /// Returns `true` if the sign-in waits for this step.
    fn is_due(self, due: &Due) -> bool {
        due.step == Some(self.0) || due.step == Some(Step::Totp) && self.0 == Step::Recovery
    }

    fn page(self, t: &'static PageStrings, due: &Due, form: FormView) -> Result<Shown> {
        let form = known_steps(t, due, form);
        let code = |heading, label, hint, is_digits, is_pin, other| {
            let action = path_of(Some(self.0));
            Shown::Code(CodePage {
                t,
                form: FormView::default(),
                heading,
                label,
                hint,
                action,
                is_digits,
                is_pin,
                other,
            })
        };
        let shown = match self.0 {
            Step::Totp => {
                let other = Some(("/signin/recovery", t.use_recovery));
                code(t.totp_heading, t.code_label, t.code_hint, true, false, other)
            }
            Step::Recovery => {
                let other = Some(("/signin/totp", t.use_totp));
                code(t.recovery_heading, t.recovery_label, t.recovery_hint, false, false, other)
            }
            Step::Pin => code(t.pin_heading, t.pin_label, t.pin_hint, true, true, None),
            Step::EnrollTotp => {
                let enrolment = due.enrolment.as_ref().ok_or(Error::WrongStep)?;
                let enrolled = Enrolled::of(enrolment)?;
                Shown::Enroll(EnrollPage { t, form: FormView::default(), enrolled, action: "/signin/enroll" })
            }
            Step::Password | Step::Verify => return Err(Error::NotFound),
        };
        Ok(match shown {
            Shown::Code(page) => Shown::Code(CodePage { form, ..page }),
            Shown::Enroll(page) => Shown::Enroll(EnrollPage { form, ..page }),
        })
    }

    fn wrong(self, t: &'static PageStrings) -> &'static str {
        match self.0 {
            Step::Recovery => t.wrong_recovery,
            Step::Pin => t.wrong_pin,
            _ => t.wrong_code,
        }
    }
}

enum Shown {
    Code(CodePage),
    Enroll(EnrollPage),
}

impl Shown {
    fn respond(&self, reader: &Reader) -> Result<Response> {
        match self {
            Self::Code(page) => reader.frame().respond(page.form.status(), page.heading, page),
            Self::Enroll(page) => reader.frame().respond(page.form.status(), page.t.enroll_heading, page),
        }
    }
}

/// Returns what the sign-in waits for. Without one, or if it waits for something else, a response
/// that leads there.
pub(super) async fn due(app: &App, reader: &Reader, is_right: impl Fn(&Due) -> bool) -> Result<Result<Due, Response>> {
    match pending_sign_in(app, &reader.session).await? {
        Some(due) if is_right(&due) => Ok(Ok(due)),
        Some(due) => Ok(Err(see(path_of(due.step)))),
        None => expired(reader).await.map(Err),
    }
}

/// Leads back to the first step.
pub(super) async fn expired(reader: &Reader) -> Result<Response> {
    if reader.visitor.account.is_none() && Started::of(reader).await?.is_some() {
        Note::StepExpired.leave(&reader.session).await?;
    }
    Ok(see("/signin"))
}

/// Shows the page of a step that asks for one code.
pub(super) async fn code(State(app): State<App>, reader: Reader, Path(name): Path<String>) -> Result<Response> {
    let step = CodeStep::of_path(&name).ok_or(Error::NotFound)?;
    match due(&app, &reader, |due| step.is_due(due)).await? {
        Ok(due) => step.page(reader.t(), &due, reader.form().await?)?.respond(&reader),
        Err(elsewhere) => Ok(elsewhere),
    }
}

#[derive(Deserialize)]
pub(super) struct Code {
    #[serde(deserialize_with = "secret::required")]
    code: SecretString,
}

/// Returns a code without the spaces that apps show in it.
pub(super) fn without_spaces(code: &SecretString) -> SecretString {
    code.expose_secret().chars().filter(|c| !c.is_whitespace()).collect::<String>().into()
}

/// Proves a step by its code.
pub(super) async fn prove_code(
    State(app): State<App>,
    Extension(talks): Extension<TalkHooks>,
    reader: Reader,
    Path(name): Path<String>,
    Form(Code { code }): Form<Code>,
) -> Result<Response> {
    let step = CodeStep::of_path(&name).ok_or(Error::NotFound)?;
    let due = match due(&app, &reader, |due| step.is_due(due)).await? {
        Ok(due) => due,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let t = reader.t();
    let code = without_spaces(&code);
    if code.expose_secret().is_empty() {
        let problems = Problems::one(t.refused_sign_in, "code", t.missing_code);
        return step.page(t, &due, reader.refused(problems))?.respond(&reader);
    }
    let leave = Started::of(&reader).await?.is_some_and(|started| started.leave);
    match continue_sign_in(&app, &reader.session, talks, &reader.caller, step.0, Some(&code), leave).await {
        Ok(progress) => proceed(&app, &reader, progress).await,
        Err(Error::AlreadyInSession) => Ok(see("/signin/talk")),
        Err(Error::WrongStep) => expired(&reader).await,
        Err(why) => {
            // The last wrong code ends the sign-in.
            if pending_sign_in(&app, &reader.session).await?.is_none() {
                return expired(&reader).await;
            }
            let wording = Wording { title: t.refused_sign_in, proof: ("code", step.wrong(t)) };
            step.page(t, &due, reader.refused(wording.problems(t, why)?))?.respond(&reader)
        }
    }
}
