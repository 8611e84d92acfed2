//! Who sees the back-office, and the page that makes the first administrator.
use askama::Template;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::form::Form;
use super::note::Note;
use super::page::FormView;
use super::problems::Wording;
use super::reader::Reader;
use super::sign_up::missing;
use crate::accounts::first_admin::{first_admin, is_first_admin_link};
use crate::accounts::{Account, Role, Visitor, handle, secret};
use crate::app::App;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::locale::PageStrings;

/// A member of staff with a full session, on a route of the back-office.
///
/// Rejects with `sign_in_needed` if nobody is signed in: a page leads to sign-in and back, and the
/// API answers 401. Rejects with `not_found` for members, as for an address that does not exist.
pub struct Staff {
    pub visitor: Visitor,
    pub account: Account,
}

impl Staff {
    fn of(visitor: Visitor) -> Result<Self> {
        let account = visitor.account.clone().ok_or(Error::SignInNeeded)?;
        if account.role.is_staff() || faults::on(Fault::MemberSeesBackOffice) {
            Ok(Self { visitor, account })
        } else {
            Err(Error::NotFound)
        }
    }

    /// Returns the member of staff if the role may do what `role` may. An admin may do all.
    ///
    /// # Errors
    /// `not_found`, as for an address that does not exist.
    pub fn require(self, role: Role) -> Result<Self> {
        if self.account.role == role || self.account.role == Role::Admin { Ok(self) } else { Err(Error::NotFound) }
    }
}

impl FromRequestParts<App> for Staff {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        match Visitor::from_request_parts(parts, app).await {
            Ok(visitor) => Self::of(visitor),
            Err(Error::SessionEnded) => Err(Error::SignInNeeded),
            Err(why) => Err(why),
        }
    }
}

/// Returns the name of a role.
pub(super) fn role_name(t: &'static PageStrings, role: Role) -> &'static str {
    match role {
        Role::Member => t.role_member,
        Role::Moderator => t.role_moderator,
        Role::Editor => t.role_editor,
        Role::Admin => t.role_admin,
    }
}

#[derive(Template)]
#[template(path = "account/setup.html")]
struct SetupPage {
    t: &'static PageStrings,
    form: FormView,
    link: String,
    handle: String,
}

#[derive(Deserialize)]
pub(super) struct SetupLink {
    #[serde(default)]
    token: String,
}

/// Shows the form of the link in the log. A link that does not work leads nowhere.
pub(super) async fn setup(
    State(app): State<App>,
    reader: Reader,
    Query(SetupLink { token }): Query<SetupLink>,
) -> Result<Response> {
    if !is_first_admin_link(&app, &SecretString::from(token.as_str())).await? {
        return Err(Error::NotFound);
    }
    let form = reader.form().await?;
    respond_setup(&reader, form, token, String::new())
}

fn respond_setup(reader: &Reader, form: FormView, link: String, handle: String) -> Result<Response> {
    let t = reader.t();
    let page = SetupPage { t, form, link, handle };
    reader.frame().respond(page.form.status(), t.setup_heading, &page)
}

#[derive(Deserialize)]
pub(super) struct FirstAdmin {
    #[serde(default)]
    link: String,
    #[serde(default)]
    handle: String,
    #[serde(deserialize_with = "secret::required")]
    password: SecretString,
}

pub(super) async fn create_first_admin(
    State(app): State<App>,
    reader: Reader,
    Form(FirstAdmin { link, handle, password }): Form<FirstAdmin>,
) -> Result<Response> {
    let t = reader.t();
    let handle = handle::typed(&handle);
    if let Some(problems) = missing(t, &handle, &password) {
        return respond_setup(&reader, reader.refused(problems), link, handle);
    }
    let prefix_hash = app.accounts.prefix_hash(reader.caller.prefix);
    let token = SecretString::from(link.as_str());
    match first_admin(&app, &token, &handle, &password, reader.locale(), &prefix_hash).await {
        Ok(()) => {
            Note::SetupDone.leave(&reader.session).await?;
            Ok(Redirect::to("/signin?next=/admin").into_response())
        }
        Err(Error::Conflict(_)) => {
            let problems = super::problems::Problems::one(t.refused_form, "handle", t.handle_taken);
            respond_setup(&reader, reader.refused(problems), link, handle)
        }
        Err(why) => {
            let wording = Wording { title: t.refused_form, proof: ("password", t.wrong_link) };
            respond_setup(&reader, reader.refused(wording.problems(t, why)?), link, handle)
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Account, Role, Staff, Visitor};
    use crate::ids::{AccountId, SessionEpoch};

    /// A visitor with a role, as it is read for a full session.
    fn visitor(role: Role, guest: &Visitor) -> Visitor {
        let (id, public_id) = (AccountId(1), Uuid::from_u128(1));
        let account = Account { id, public_id, handle: "jin".to_owned(), role, epoch: SessionEpoch(1) };
        Visitor { account: Some(account), ..guest.clone() }
    }

    #[tokio::test]
    async fn an_admin_may_do_all_and_others_only_what_their_role_may() {
        let guest = crate::testing::node().await.visitor("ko").await;
        let may = |own, needed| Staff::of(visitor(own, &guest)).and_then(|staff| staff.require(needed)).is_ok();
        for needed in [Role::Moderator, Role::Editor, Role::Admin] {
            assert!(may(Role::Admin, needed) && may(needed, needed) && !may(Role::Member, needed));
        }
        assert!(
            !may(Role::Editor, Role::Moderator)
                && !may(Role::Moderator, Role::Editor)
                && !may(Role::Editor, Role::Admin)
        );
        assert_eq!(Staff::of(guest).err().unwrap().code(), "sign_in_needed");
    }
}
