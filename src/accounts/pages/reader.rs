//! Who reads a page: a visitor, in a language, with a session that its forms belong to.
use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use tower_sessions::Session;
use tower_sessions::session::Id;

use super::form::token;
use super::note::Note;
use super::page::{FormView, Frame};
use super::problems::Problems;
use super::store;
use crate::accounts::sign_in::Caller;
use crate::accounts::{
    Account, Locale, Visitor, authenticate, create_visitor, device_name, record_activity, record_use, session_error,
};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::{Appearance, Bucket, ClientIp, Key};
use crate::locale::PageStrings;

/// The reader of a page. Reading a page makes the visitor if there is none, as `GET /me` does.
/// Banned visitors read the pages, too: what is theirs stays theirs.
pub(super) struct Reader {
    pub(super) app: App,
    pub(super) appearance: Appearance,
    pub(super) visitor: Visitor,
    pub(super) session: Session,
    pub(super) caller: Caller,
    /// The path and query of the page.
    path: String,
    /// The session's id, to which the tokens of the page's forms belong.
    id: Id,
}

impl FromRequestParts<App> for Reader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let session = parts.extensions.get::<Session>().cloned().ok_or(Error::Unavailable)?;
        let prefix = ClientIp::from_request_parts(parts, app).await?.prefix();
        let appearance = Appearance::of(&parts.headers);
        let cookie = session.id();
        let visitor = match authenticate(app, &session, prefix).await {
            // A form without a session has no token either, so it makes no visitor.
            Err(Error::SessionEnded) if is_read(&parts.method) => {
                app.limits.take(Bucket::Visitors, Key::Prefix(prefix))?;
                // What an action has left for a guest who is not there yet, such as after signing out.
                let left = Note::take(&session).await?;
                let visitor = create_visitor(app, &session, appearance.locale).await?;
                let ended = match cookie {
                    Some(cookie) if left.is_none() => why_ended(app, &cookie).await?,
                    _ => None,
                };
                if let Some(note) = left.or(ended) {
                    note.leave(&session).await?;
                }
                session.save().await.map_err(session_error)?;
                visitor
            }
            other => other?,
        };
        record_activity(app, visitor.id);
        // Every page is read by a person, unlike the polls of a page in the background.
        if visitor.account.is_some() {
            record_use(app, &session);
        }
        let id = session.id().ok_or(Error::Unavailable)?;
        let caller = Caller { prefix, device: device_name(&parts.headers), asks_elsewhere: true };
        let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        Ok(Self { app: app.clone(), appearance, visitor, session, caller, path, id })
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Returns what to say about a signed-in session that has ended. `None` if it was a guest's.
async fn why_ended(app: &App, session: &Id) -> Result<Option<Note>> {
    let reason = store::end_of_session(&app.db, session).await?;
    Ok(reason.map(|reason| match reason.as_deref() {
        Some("signed_in_elsewhere") => Note::SignedInElsewhere,
        _ => Note::SessionEnded,
    }))
}

impl Reader {
    /// Returns the strings of the pages in the reader's language.
    pub(super) fn t(&self) -> &'static PageStrings {
        self.locale().account_pages()
    }

    /// Returns the reader's language.
    pub(super) fn locale(&self) -> Locale {
        self.appearance.locale
    }

    /// Returns the frame of the page.
    pub(super) fn frame(&self) -> Frame {
        let signed_in = self.visitor.account.is_some().then(|| self.token());
        Frame { appearance: self.appearance, path: self.path.clone(), signed_in }
    }

    /// Returns the frame of a page that answers a form, where another page has the form.
    pub(super) fn frame_at(&self, path: &str) -> Frame {
        Frame { path: path.to_owned(), ..self.frame() }
    }

    /// Returns the token of the page's forms.
    pub(super) fn token(&self) -> String {
        token(&self.app, &self.id)
    }

    /// Returns what a form needs, with the note that the action before has left.
    ///
    /// # Errors
    /// `unavailable`.
    pub(super) async fn form(&self) -> Result<FormView> {
        let note = Note::take(&self.session).await?.map(|note| note.text(self.t()));
        Ok(FormView { token: self.token(), note, ..FormView::default() })
    }

    /// Returns what a form needs that was refused.
    pub(super) fn refused(&self, problems: Problems) -> FormView {
        FormView { token: self.token(), problems: Some(problems), ..FormView::default() }
    }
}

/// The owner of an account, who is signed in. Rejects with `sign_in_needed`, which leads to the page
/// of sign-in and back.
pub(super) struct Owner {
    pub(super) reader: Reader,
    pub(super) account: Account,
}

impl FromRequestParts<App> for Owner {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let reader = Reader::from_request_parts(parts, app).await?;
        let account = reader.visitor.account.clone().ok_or(Error::SignInNeeded)?;
        Ok(Self { reader, account })
    }
}
