//! People for staff: search, one person, live sessions, and what staff do to an account. Each act
//! is recorded in the audit log, in its transaction.
mod model;
mod store;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::live_sessions::{EndReason, revoke_sessions};
use super::{Account, Role, Visitor, require_session, staff, tokens};
use crate::app::App;
use crate::audit::{self, Act, Actor};
use crate::error::{Error, Result};

pub use model::{ListedPerson, LiveSession, Person, PersonSession, Search, Sort};

/// A member of staff who acts, with the keyed hash of the address prefix for the audit log.
#[derive(Clone)]
pub struct By {
    pub visitor: Visitor,
    pub account: Account,
    pub prefix_hash: Vec<u8>,
}

impl By {
    fn act<'a>(&'a self, action: &'static str, subject: &'a str, detail: serde_json::Value) -> Act<'a> {
        let actor = Actor::Account { id: self.account.public_id, handle: &self.account.handle };
        Act { actor, action, subject, detail, prefix_hash: Some(&self.prefix_hash) }
    }
}

/// Returns a page of people, and the cursor of the next one.
///
/// Without words it lists accounts. With words it finds accounts by the beginning of the handle, and
/// everybody by id, chosen name, alias (of the last day) or the hash of an address prefix that the
/// audit log has.
///
/// # Errors
/// `bad_frame` for a cursor that is none, `unavailable`.
pub async fn search(app: &App, search: &Search<'_>, limit: i64) -> Result<(Vec<ListedPerson>, Option<String>)> {
    let after = search.cursor.map(model::Cursor::parse).transpose()?;
    let mut found = store::search(&app.db, search, after.as_ref(), limit + 1).await?;
    let next = model::split_page(&mut found, limit, |one| model::Cursor::of(one, search.sort).to_text());
    Ok((found, next))
}

/// Returns a person by the public id of the visitor or of the account.
///
/// # Errors
/// `not_found`, `unavailable`.
pub async fn find(app: &App, id: Uuid) -> Result<Person> {
    store::find(&app.db, id).await?.ok_or(Error::NotFound)
}

/// Returns the sessions of an account: the live one, and those that ended in the last day.
///
/// # Errors
/// `unavailable`.
pub async fn sessions_of(app: &App, person: &Person) -> Result<Vec<PersonSession>> {
    match &person.account {
        Some(account) => Ok(store::sessions_of(&app.db, account.id).await?),
        None => Ok(Vec::new()),
    }
}

/// Returns a page of the live sessions of all accounts, the newest sign-in first, and the cursor of
/// the next page.
///
/// # Errors
/// `bad_frame` for a cursor that is none, `unavailable`.
pub async fn live_sessions(app: &App, cursor: Option<&str>, limit: i64) -> Result<(Vec<LiveSession>, Option<String>)> {
    let after = cursor.map(model::Cursor::parse).transpose()?;
    let mut found = store::live_sessions(&app.db, after.as_ref(), limit + 1).await?;
    let next = model::split_page(&mut found, limit, |one| model::Cursor::at(one.signed_in_at, one.id).to_text());
    Ok((found, next))
}

/// Counts the live sessions of all accounts.
///
/// # Errors
/// Those of the database.
pub async fn count_live_sessions(db: &PgPool) -> Result<i64, sqlx::Error> {
    store::count_live_sessions(db).await
}

/// Returns the person whose live session this is.
///
/// # Errors
/// `not_found` if there is no such live session, `unavailable`.
pub async fn owner_of_session(app: &App, session: Uuid) -> Result<Person> {
    let account = store::owner_of_session(&app.db, session).await?.ok_or(Error::NotFound)?;
    find(app, account).await
}

/// Ends the sessions of an account at once, on every node. Its open pages say so.
///
/// # Errors
/// `not_found` for a guest, `forbidden` for an administrator's sessions by somebody else than an
/// administrator, `session_ended`, `unavailable`.
pub async fn end_sessions(app: &App, by: &By, person: &Person) -> Result<()> {
    let account = person.account.as_ref().ok_or(Error::NotFound)?;
    if account.role.is_staff() && by.account.role != Role::Admin {
        return Err(Error::Forbidden("Only an administrator can end the sessions of staff."));
    }
    // It owns what it uses, so that it can be sent to another thread.
    let (by, handle) = (by.clone(), account.handle.clone());
    let change = async move |tx: &mut PgConnection| {
        require_session(tx, &by.visitor).await?;
        Ok(audit::record(tx, by.act("account.sessions_ended", &handle, json!({}))).await?)
    };
    revoke_sessions(app, account.id, EndReason::EndedByStaff, change).await
}

/// Gives an account another role. Its sessions end.
///
/// # Errors
/// `not_found` for a guest, `conflict` if it is the last administrator or has the role already,
/// `forbidden` for somebody else than an administrator, `session_ended`, `unavailable`.
pub async fn set_role(app: &App, by: &By, person: &Person, role: Role) -> Result<()> {
    let account = person.account.as_ref().ok_or(Error::NotFound)?;
    require_admin(by)?;
    let (by, handle, id) = (by.clone(), account.handle.clone(), account.id);
    let change = async move |tx: &mut PgConnection| {
        require_session(tx, &by.visitor).await?;
        // All changes of roles hold the fence exclusively, so no other one can come between.
        let old = staff::role_of(tx, id).await?.ok_or(Error::NotFound)?;
        if old == role {
            return Err(Error::Conflict("The account has this role already."));
        }
        if old == Role::Admin && store::count_active_admins(tx).await? <= 1 {
            return Err(Error::Conflict("This is the last administrator. Make another one first."));
        }
        staff::change_role(tx, id, role).await?;
        let detail = json!({"from": old.as_str(), "to": role.as_str()});
        Ok(audit::record(tx, by.act("account.role_changed", &handle, detail)).await?)
    };
    revoke_sessions(app, account.id, EndReason::RoleChanged, change).await
}

/// Takes the password of an account away and returns the link with which its owner sets another one.
/// Earlier links stop working, and its sessions end. `second_factor` also removes the second factor,
/// the recovery codes and the PIN.
///
/// # Errors
/// `not_found` for a guest, `forbidden` for somebody else than an administrator, `session_ended`,
/// `unavailable`.
pub async fn reset(app: &App, by: &By, person: &Person, second_factor: bool) -> Result<SecretString> {
    let account = person.account.as_ref().ok_or(Error::NotFound)?;
    require_admin(by)?;
    let token = tokens::new();
    let (by, handle, id, hash) = (by.clone(), account.handle.clone(), account.id, tokens::hash(&token));
    let change = async move |tx: &mut PgConnection| {
        require_session(tx, &by.visitor).await?;
        staff::replace_by_link(tx, id, &hash, second_factor).await?;
        let detail = json!({"by_link": true, "second_factor_removed": second_factor});
        Ok(audit::record(tx, by.act("account.reset", &handle, detail)).await?)
    };
    revoke_sessions(app, account.id, EndReason::PasswordChanged, change).await?;
    Ok(format!("{}/reset/{}", app.config.site.url, token.expose_secret()).into())
}

fn require_admin(by: &By) -> Result<()> {
    if by.account.role == Role::Admin {
        return Ok(());
    }
    Err(Error::Forbidden("Only an administrator can do this."))
}
