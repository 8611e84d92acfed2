//! The first administrator: a single-use link in the log of a site that has none.
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::limits::FIRST_ADMIN_LINK_LIFETIME;
use super::model::Role;
use super::{Alias, handle, passwords, staff, tokens};
use crate::app::App;
use crate::audit::{self, Act, Actor};
use crate::db;
use crate::error::{Error, Result};
use crate::locale::Locale;

/// Returns the address of the page on which the first administrator is made. `None` if the site has
/// an administrator. Each call makes another link; the first one that is used ends all others.
///
/// # Errors
/// `unavailable`.
pub async fn offer_first_admin(app: &App) -> Result<Option<String>> {
    let token = tokens::new();
    let hash = tokens::hash(&token);
    let made = staff::insert_first_admin_link(&app.db, &hash, FIRST_ADMIN_LINK_LIFETIME);
    if !db::with_timeout(db::JOB_TIMEOUT, made).await? {
        return Ok(None);
    }
    Ok(Some(format!("{}/admin/setup?token={}", app.config.site.url, token.expose_secret())))
}

/// Returns `true` if a link to the first administrator's page works now.
///
/// # Errors
/// `unavailable`.
pub async fn is_first_admin_link(app: &App, token: &SecretString) -> Result<bool> {
    Ok(staff::is_first_admin_link(&app.db, &tokens::hash(token)).await?)
}

/// Makes the first administrator, with the link's token. The account has a visitor of its own; it
/// signs in as every other one, and has to set up a second factor then.
///
/// Of any number of links, on any number of nodes, one works once.
///
/// # Errors
/// `not_found` if the link does not work (any more) or the site has an administrator; `bad_frame`
/// with the field `handle` or `password`, `too_long`, `conflict` if the handle is taken,
/// `unavailable`. The link still works after all but the first.
pub async fn first_admin(
    app: &App,
    token: &SecretString,
    handle: &str,
    password: &SecretString,
    locale: Locale,
    prefix_hash: &[u8],
) -> Result<()> {
    handle::check_shape(handle)?;
    let token = tokens::hash(token);
    // Before the slow hash, which nobody without a link shall cause.
    if !staff::is_first_admin_link(&app.db, &token).await? {
        return Err(Error::NotFound);
    }
    let password = passwords::accept(app, password, handle, "password", locale).await?;
    let mut tx = app.db.begin().await?;
    if !staff::use_first_admin_link(&mut tx, &token).await? {
        return Err(Error::NotFound);
    }
    let alias = Alias::random(&mut rand::rng());
    let made = staff::insert(&mut tx, handle, Role::Admin, Some(&password), &alias, locale).await;
    let made = made.map_err(|why| match db::constraint(&why) {
        Some("account_handle_key") => Error::Taken { field: "handle", why: "An account with this handle exists." },
        _ => why.into(),
    })?;
    let act = Act {
        actor: Actor::Account { id: made.public_id, handle },
        action: "account.added",
        subject: handle,
        detail: json!({"role": "admin", "by": "first_admin_link"}),
        prefix_hash: Some(prefix_hash),
    };
    audit::record(&mut tx, act).await?;
    tx.commit().await?;
    tracing::info!("the first administrator was made");
    Ok(())
}
