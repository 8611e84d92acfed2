//! Who reads a page of the back-office, and the frame of its pages.
use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use tower_sessions::Session;

use super::note::Note;
use crate::accounts::people::By;
use crate::accounts::{self, Role, Staff};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::assets::{self, Entry};
use crate::http::{Appearance, ClientIp, Theme};
use crate::locale::{AdminStrings, ShellStrings, Strings};

/// The entry of the build whose script and styles the pages link.
const ENTRY: &str = "src/admin/main.ts";

/// A member of staff at a page of the back-office.
///
/// Rejects as [`Staff`] does: a guest is led to sign-in and back, a member gets 404.
pub(super) struct Desk {
    pub(super) app: App,
    pub(super) staff: Staff,
    pub(super) appearance: Appearance,
    pub(super) session: Session,
    /// The keyed hash of the reader's address prefix, for the audit log.
    pub(super) prefix_hash: Vec<u8>,
    /// The path and query of the page: a choice of language returns here.
    path: String,
    /// The token of the page's forms.
    token: String,
}

impl FromRequestParts<App> for Desk {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let staff = Staff::from_request_parts(parts, app).await?;
        let session = parts.extensions.get::<Session>().cloned().ok_or(Error::Unavailable)?;
        let prefix = ClientIp::from_request_parts(parts, app).await?.prefix();
        // Every page is read by a person, unlike the polls of a page in the background.
        accounts::record_use(app, &session);
        Ok(Self {
            app: app.clone(),
            staff,
            appearance: Appearance::of(&parts.headers),
            prefix_hash: app.accounts.prefix_hash(prefix),
            path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            token: accounts::form_token(app, &session)?,
            session,
        })
    }
}

impl Desk {
    /// Returns the desk if the reader's role may do what `role` may. An admin may do all.
    ///
    /// # Errors
    /// `not_found`, as for an address that does not exist.
    pub(super) fn require(self, role: Role) -> Result<Self> {
        let staff = self.staff.require(role)?;
        Ok(Self { staff, ..self })
    }

    /// Returns the strings of the back-office in the reader's language.
    pub(super) fn t(&self) -> &'static AdminStrings {
        self.appearance.locale.admin()
    }

    /// Returns who acts, for verbs that record it in the audit log.
    pub(super) fn by(&self) -> By {
        By {
            visitor: self.staff.visitor.clone(),
            account: self.staff.account.clone(),
            prefix_hash: self.prefix_hash.clone(),
        }
    }

    /// Returns the token of the page's forms.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Returns a page. `crumbs` are the pages above it, path and name; `title` is its own name.
    ///
    /// # Errors
    /// `internal` if it cannot be rendered, `unavailable`.
    pub(super) async fn respond(
        &self,
        status: StatusCode,
        area: Area,
        crumbs: &[(String, String)],
        title: &str,
        body: &impl Template,
    ) -> Result<Response> {
        let locale = self.appearance.locale;
        let shell = Shell {
            appearance: self.appearance,
            strings: locale.strings(),
            t: &self.t().shell,
            entry: assets::entry(ENTRY),
            menu: menu(self.staff.account.role, area, &self.t().shell),
            handle: &self.staff.account.handle,
            role: role_name(&self.t().shell, self.staff.account.role),
            path: &self.path,
            token: &self.token,
            note: Note::take(&self.session).await?,
            crumbs,
            title,
            body: body.render().map_err(Error::internal)?,
        };
        let mut response = (status, Html(shell.render().map_err(Error::internal)?)).into_response();
        response.headers_mut().insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(locale.tag()));
        Ok(response)
    }
}

/// Returns the name of a role.
pub(super) fn role_name(t: &ShellStrings, role: Role) -> &'static str {
    match role {
        Role::Member => t.role_member,
        Role::Moderator => t.role_moderator,
        Role::Editor => t.role_editor,
        Role::Admin => t.role_admin,
    }
}

/// A part of the back-office: an entry of the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    Dashboard,
    Pages,
    Numbers,
    Banners,
    Images,
    People,
    Sessions,
    Health,
    Audit,
    Settings,
}

/// An entry of the menu.
struct MenuEntry {
    path: &'static str,
    name: &'static str,
    /// The name of its drawing (templates/admin/icons.html).
    icon: &'static str,
    is_current: bool,
}

/// Returns what a role sees in the menu.
fn menu(role: Role, current: Area, t: &ShellStrings) -> Vec<MenuEntry> {
    let (moderator, editor, admin) = (Some(Role::Moderator), Some(Role::Editor), Some(Role::Admin));
    let all = [
        (Area::Dashboard, "/admin", t.dashboard, "gauge", None),
        (Area::Pages, "/admin/pages/landing", t.pages, "layout", editor),
        (Area::Numbers, "/admin/numbers", t.numbers, "chart", editor),
        (Area::Banners, "/admin/banners", t.banners, "banner", editor),
        (Area::Images, "/admin/images", t.images, "image", editor),
        (Area::People, "/admin/people", t.people, "users", moderator),
        (Area::Sessions, "/admin/sessions", t.sessions, "device", moderator),
        (Area::Health, "/admin/health", t.health, "pulse", None),
        (Area::Audit, "/admin/audit", t.audit, "log", admin),
        (Area::Settings, "/admin/settings", t.settings, "cog", admin),
    ];
    let is_seen = |needed: Option<Role>| needed.is_none_or(|needed| role == needed || role == Role::Admin);
    let seen = all.into_iter().filter(|(.., needed)| is_seen(*needed));
    seen.map(|(area, path, name, icon, _)| MenuEntry { path, name, icon, is_current: area == current }).collect()
}

#[derive(Template)]
#[template(path = "admin/shell.html")]
struct Shell<'a> {
    appearance: Appearance,
    strings: &'static Strings,
    t: &'static ShellStrings,
    entry: Option<&'static Entry>,
    menu: Vec<MenuEntry>,
    handle: &'a str,
    role: &'static str,
    path: &'a str,
    token: &'a str,
    note: Option<Note>,
    crumbs: &'a [(String, String)],
    title: &'a str,
    /// Rendered HTML.
    body: String,
}
