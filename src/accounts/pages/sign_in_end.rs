//! The last pages of sign-in: the outside verifier, and the question about a session on another
//! device.
use std::str::FromStr as _;

use askama::Template;
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::form::Form;
use super::page::FormView;
use super::problems::Wording;
use super::reader::Reader;
use super::sign_in::{Nothing, Started, due, expired, known_steps, proceed, see};
use super::times;
use crate::accounts::TalkHooks;
use crate::accounts::sign_in::{
    Due, Progress, State as Progressed, Step, continue_sign_in, finish_sign_in, pending_sign_in, session_elsewhere,
};
use crate::app::App;
use crate::error::{Error, Result};
use crate::locale::PageStrings;

#[derive(Template)]
#[template(path = "account/verify.html")]
struct VerifyPage {
    t: &'static PageStrings,
    form: FormView,
    about: String,
    /// The verifier's page, once its check was requested.
    url: Option<String>,
    /// What the verifier has added to the return address. Empty before.
    answer: String,
}

/// Shows the step of the outside verifier: before its check, during it, and on the way back. Opening
/// the page changes nothing; its button does.
pub(super) async fn verify(State(app): State<App>, reader: Reader, RawQuery(answer): RawQuery) -> Result<Response> {
    match due(&app, &reader, |due| due.step == Some(Step::Verify)).await? {
        Ok(due) => {
            let form = reader.form().await?;
            respond_verify(&app, &reader, &due, form, answer.unwrap_or_default()).await
        }
        Err(elsewhere) => Ok(elsewhere),
    }
}

async fn respond_verify(app: &App, reader: &Reader, due: &Due, form: FormView, answer: String) -> Result<Response> {
    let t = reader.t();
    let host = app.config.sign_in.verifier.as_ref().and_then(|verifier| verifier.url.host_str()).unwrap_or_default();
    let url = Started::of(reader).await?.and_then(|started| started.verify_url);
    let url = url.filter(|url| Url::from_str(url).is_ok_and(|url| matches!(url.scheme(), "https" | "http")));
    let form = known_steps(t, due, form);
    let page = VerifyPage { t, form, about: (t.verify_text)(host), url, answer };
    reader.frame_at("/signin/verify").respond(page.form.status(), t.verify_heading, &page)
}

#[derive(Deserialize)]
pub(super) struct Answer {
    /// Empty to request the check.
    #[serde(default)]
    answer: String,
}

/// Requests the check, or takes its answer.
pub(super) async fn go_to_verifier(
    State(app): State<App>,
    Extension(talks): Extension<TalkHooks>,
    reader: Reader,
    Form(Answer { answer }): Form<Answer>,
) -> Result<Response> {
    let due = match due(&app, &reader, |due| due.step == Some(Step::Verify)).await? {
        Ok(due) => due,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let t = reader.t();
    let started = Started::of(&reader).await?.unwrap_or_default();
    let answer = (!answer.is_empty()).then(|| SecretString::from(answer));
    let session = &reader.session;
    match continue_sign_in(&app, session, talks, &reader.caller, Step::Verify, answer.as_ref(), started.leave).await {
        Ok(Progress { state: Progressed::Due(Due { step: Some(Step::Verify), verify_url, .. }), .. }) => {
            Started { verify_url, ..started }.keep(&reader).await?;
            Ok(see("/signin/verify"))
        }
        Ok(progress) => proceed(&app, &reader, progress).await,
        Err(Error::AlreadyInSession) => Ok(see("/signin/talk")),
        Err(Error::WrongStep) => expired(&reader).await,
        Err(why) => {
            if pending_sign_in(&app, session).await?.is_none() {
                return expired(&reader).await;
            }
            // The check can be requested anew.
            Started { verify_url: None, ..started }.keep(&reader).await?;
            let wording = Wording { title: t.refused_sign_in, proof: ("", t.verify_failed) };
            let form = reader.refused(wording.problems(t, why)?);
            respond_verify(&app, &reader, &due, form, String::new()).await
        }
    }
}

#[derive(Template)]
#[template(path = "account/elsewhere.html")]
struct ElsewherePage {
    t: &'static PageStrings,
    form: FormView,
    device: String,
    at: String,
    ago: String,
}

/// Asks whether to end the session on another device.
pub(super) async fn elsewhere(State(app): State<App>, reader: Reader) -> Result<Response> {
    let due = match due(&app, &reader, |due| due.step.is_none()).await? {
        Ok(due) => due,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let t = reader.t();
    let form = known_steps(t, &due, reader.form().await?);
    let (device, at) = match session_elsewhere(&app, &reader.session).await? {
        Some((device, at)) => (device, at),
        // It has ended meanwhile.
        None => (None, app.clock.now()),
    };
    let page = ElsewherePage {
        t,
        form,
        device: device.unwrap_or_else(|| t.session_unknown_device.to_owned()),
        at: times::machine_readable(at),
        ago: times::ago(t, app.clock.now(), at),
    };
    reader.frame().respond(page.form.status(), t.elsewhere_heading, &page)
}

/// Ends the session on the other device and finishes the sign-in.
pub(super) async fn use_here(
    State(app): State<App>,
    Extension(talks): Extension<TalkHooks>,
    reader: Reader,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response> {
    let leave = Started::of(&reader).await?.is_some_and(|started| started.leave);
    match finish_sign_in(&app, &reader.session, talks, &reader.caller, leave).await {
        Ok(progress) => proceed(&app, &reader, progress).await,
        Err(Error::AlreadyInSession) => Ok(see("/signin/talk")),
        Err(Error::WrongStep) => expired(&reader).await,
        Err(why) => Err(why),
    }
}
