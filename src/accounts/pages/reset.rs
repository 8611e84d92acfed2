//! The pages of a forgotten password, and of the links in mails. Opening a link changes nothing; the
//! button on its page does.
use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::form::Form;
use super::note::Note;
use super::page::FormView;
use super::problems::{Problems, Wording};
use super::reader::Reader;
use super::sign_in::Nothing;
use crate::accounts::{account, secret};
use crate::app::App;
use crate::error::{Error, Result};
use crate::locale::PageStrings;

#[derive(Template)]
#[template(path = "account/reset.html")]
struct ResetPage {
    t: &'static PageStrings,
    form: FormView,
    locale: &'static str,
    has_mail: bool,
    is_sent: bool,
    email: String,
}

pub(super) async fn page(reader: Reader) -> Result<Response> {
    let form = reader.form().await?;
    respond(&reader, form, false, String::new())
}

fn respond(reader: &Reader, form: FormView, is_sent: bool, email: String) -> Result<Response> {
    let t = reader.t();
    let has_mail = account::can_mail(&reader.app);
    let page = ResetPage { t, form, locale: reader.locale().tag(), has_mail, is_sent, email };
    let title = if is_sent { t.reset_sent_heading } else { t.reset_heading };
    reader.frame_at("/reset").respond(page.form.status(), title, &page)
}

#[derive(Deserialize)]
pub(super) struct Forgotten {
    #[serde(default)]
    email: String,
}

/// Sends a link. The answer is the same whether the address is known or not.
pub(super) async fn ask(
    State(app): State<App>,
    reader: Reader,
    Form(Forgotten { email }): Form<Forgotten>,
) -> Result<Response> {
    let t = reader.t();
    if email.trim().is_empty() {
        let problems = Problems::one(t.refused_form, "email", t.missing_email);
        return respond(&reader, reader.refused(problems), false, email);
    }
    match account::ask_for_reset(&app, reader.caller.prefix, &email, reader.locale()) {
        // A reload would ask again: it is the same request, and limited.
        Ok(_) => respond(&reader, reader.form().await?, true, String::new()),
        Err(why) => {
            let wording = Wording { title: t.refused_form, proof: ("email", t.email_shape) };
            respond(&reader, reader.refused(wording.problems(t, why)?), false, email)
        }
    }
}

#[derive(Template)]
#[template(path = "account/reset_link.html")]
struct LinkPage {
    t: &'static PageStrings,
    form: FormView,
    action: String,
}

/// Shows the form of a link to a new password.
pub(super) async fn link(State(app): State<App>, reader: Reader, Path(token): Path<String>) -> Result<Response> {
    if !account::is_reset_link(&app, &SecretString::from(token.as_str())).await? {
        return used_up(&reader);
    }
    let form = reader.form().await?;
    respond_link(&reader, form, &token)
}

fn respond_link(reader: &Reader, form: FormView, token: &str) -> Result<Response> {
    let t = reader.t();
    let page = LinkPage { t, form, action: format!("/reset/{token}") };
    reader.frame().respond(page.form.status(), t.new_password_heading, &page)
}

/// Says that a link does not work any more, on the page that sends another one.
fn used_up(reader: &Reader) -> Result<Response> {
    let t = reader.t();
    let problems = Problems::one(t.refused_form, "", t.wrong_link);
    respond(reader, reader.refused(problems), false, String::new())
}

#[derive(Deserialize)]
pub(super) struct NewPassword {
    #[serde(deserialize_with = "secret::required")]
    password: SecretString,
}

pub(super) async fn choose_password(
    State(app): State<App>,
    reader: Reader,
    Path(token): Path<String>,
    Form(NewPassword { password }): Form<NewPassword>,
) -> Result<Response> {
    let t = reader.t();
    let secret_token = SecretString::from(token.as_str());
    let prefix = reader.caller.prefix;
    match account::reset_password(&app, prefix, &secret_token, &password, reader.locale()).await {
        Ok(()) => {
            Note::PasswordReset.leave(&reader.session).await?;
            Ok(Redirect::to("/signin").into_response())
        }
        Err(Error::WrongCredentials) => used_up(&reader),
        Err(why) => {
            let wording = Wording { title: t.refused_form, proof: ("password", t.wrong_link) };
            respond_link(&reader, reader.refused(wording.problems(t, why)?), &token)
        }
    }
}

#[derive(Template)]
#[template(path = "account/confirm_email.html")]
struct ConfirmPage {
    t: &'static PageStrings,
    form: FormView,
    action: String,
}

/// Shows the button of a link that confirms an address.
pub(super) async fn email_link(reader: Reader, Path(token): Path<String>) -> Result<Response> {
    let form = reader.form().await?;
    respond_email(&reader, form, &token)
}

fn respond_email(reader: &Reader, form: FormView, token: &str) -> Result<Response> {
    let t = reader.t();
    let page = ConfirmPage { t, form, action: format!("/verify-email/{token}") };
    reader.frame().respond(page.form.status(), t.confirm_email_heading, &page)
}

pub(super) async fn confirm_email(
    State(app): State<App>,
    reader: Reader,
    Path(token): Path<String>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response> {
    let t = reader.t();
    let secret_token = SecretString::from(token.as_str());
    match account::verify_email(&app, reader.caller.prefix, &secret_token, reader.locale()).await {
        Ok(()) => {
            Note::EmailConfirmed.leave(&reader.session).await?;
            Ok(Redirect::to("/account").into_response())
        }
        Err(Error::Taken { .. }) => {
            let problems = Problems::one(t.refused_form, "", t.email_taken);
            respond_email(&reader, reader.refused(problems), &token)
        }
        Err(why) => {
            let wording = Wording { title: t.refused_form, proof: ("", t.wrong_link) };
            respond_email(&reader, reader.refused(wording.problems(t, why)?), &token)
        }
    }
}
