//! The page on which a guest makes an account.
use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::form::Form;
use super::note::Note;
use super::page::FormView;
use super::problems::{Item, Problems, Wording};
use super::reader::Reader;
use crate::accounts::sign_up::{SignUp, sign_up};
use crate::accounts::{account, handle, next_path, secret};
use crate::app::App;
use crate::error::{Error, Result};
use crate::locale::PageStrings;

#[derive(Template)]
#[template(path = "account/sign_up.html")]
struct SignUpPage {
    t: &'static PageStrings,
    form: FormView,
    has_mail: bool,
    password_label: &'static str,
    handle: String,
    email: String,
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

pub(super) async fn page(reader: Reader, Query(query): Query<Next>) -> Result<Response> {
    if reader.visitor.account.is_some() {
        return Ok(Redirect::to("/account").into_response());
    }
    let form = reader.form().await?;
    let entered = Entered { next: next_path(&query.next).unwrap_or_default(), ..Entered::default() };
    respond(&reader, form, entered)
}

fn respond(reader: &Reader, form: FormView, entered: Entered) -> Result<Response> {
    let t = reader.t();
    let Entered { handle, email, next } = entered;
    let has_mail = account::can_mail(&reader.app);
    let page = SignUpPage { t, form, has_mail, password_label: t.password, handle, email, next };
    reader.frame().respond(page.form.status(), t.sign_up_heading, &page)
}

/// What is shown again in a form that was refused.
#[derive(Default, Deserialize)]
pub(super) struct Entered {
    #[serde(default)]
    handle: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct NewAccount {
    #[serde(flatten)]
    entered: Entered,
    #[serde(deserialize_with = "secret::required")]
    password: SecretString,
}

/// Names every field that is empty, so that a reader mends all at once.
pub(super) fn missing(t: &'static PageStrings, handle: &str, password: &SecretString) -> Option<Problems> {
    let empty = [
        ("handle", handle.is_empty(), t.missing_handle),
        ("password", password.expose_secret().is_empty(), t.missing_password),
    ];
    let items: Vec<Item> = empty
        .into_iter()
        .filter(|(_, is_empty, _)| *is_empty)
        .map(|(field, _, text)| Item { field, text: text.to_owned() })
        .collect();
    (!items.is_empty()).then_some(Problems { title: t.refused_form, items, wait: None })
}

pub(super) async fn create(
    State(app): State<App>,
    reader: Reader,
    Form(NewAccount { entered, password }): Form<NewAccount>,
) -> Result<Response> {
    let t = reader.t();
    let handle = handle::typed(&entered.handle);
    let entered = Entered { handle: handle.clone(), ..entered };
    if let Some(problems) = missing(t, &handle, &password) {
        return respond(&reader, reader.refused(problems), entered);
    }
    let new = SignUp { handle, password, email: Some(entered.email.clone()).filter(|_| account::can_mail(&app)) };
    match sign_up(&app, &reader.session, &reader.caller, new, reader.locale()).await {
        Ok(_) => {
            Note::SignedUp.leave(&reader.session).await?;
            let next = next_path(&entered.next).unwrap_or_else(|| "/account".to_owned());
            Ok(Redirect::to(&next).into_response())
        }
        // By a page in another tab.
        Err(Error::Conflict(_)) => Ok(Redirect::to("/account").into_response()),
        Err(why) => {
            let wording = Wording { title: t.refused_form, proof: ("password", t.wrong_password) };
            respond(&reader, reader.refused(wording.problems(t, why)?), entered)
        }
    }
}
