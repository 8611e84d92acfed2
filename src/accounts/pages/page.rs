//! The frame of the pages, and what the forms in them have in common.
use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};

use super::problems::Problems;
use crate::error::{Error, Result};
use crate::http::assets::{self, Entry};
use crate::http::{Appearance, Theme};
use crate::locale::{PageStrings, Strings};

/// The entry of the build whose script and styles the pages link.
const ENTRY: &str = "src/account/main.ts";

/// What surrounds a page.
pub(super) struct Frame {
    pub(super) appearance: Appearance,
    /// The page's own path and query: a choice of language returns here.
    pub(super) path: String,
    /// The token of the form to sign out. `None` for a guest.
    pub(super) signed_in: Option<String>,
}

#[derive(Template)]
#[template(path = "account/shell.html")]
struct Shell<'a> {
    appearance: Appearance,
    strings: &'static Strings,
    t: &'static PageStrings,
    entry: Option<&'static Entry>,
    title: &'a str,
    path: &'a str,
    signed_in: Option<&'a str>,
    /// Rendered HTML.
    body: String,
}

impl Shell<'_> {
    /// Returns the paths and names of the pages about the site.
    fn about(&self) -> [(String, &'static str); 4] {
        let named = [
            ("rules", self.strings.about_rules),
            ("privacy", self.strings.about_privacy),
            ("terms", self.strings.about_terms),
            ("contact", self.strings.about_contact),
        ];
        named.map(|(page, name)| (format!("/{}/{page}", self.strings.tag), name))
    }
}

impl Frame {
    /// Returns a page as a response.
    ///
    /// # Errors
    /// `internal` if it cannot be rendered.
    pub(super) fn respond(&self, status: StatusCode, title: &str, body: &impl Template) -> Result<Response> {
        let locale = self.appearance.locale;
        let shell = Shell {
            appearance: self.appearance,
            strings: locale.strings(),
            t: locale.account_pages(),
            entry: assets::entry(ENTRY),
            title,
            path: &self.path,
            signed_in: self.signed_in.as_deref(),
            body: body.render().map_err(Error::internal)?,
        };
        let mut response = (status, Html(shell.render().map_err(Error::internal)?)).into_response();
        response.headers_mut().insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(locale.tag()));
        Ok(response)
    }
}

/// What the forms of the pages have in common.
#[derive(Default)]
pub(super) struct FormView {
    pub(super) token: String,
    /// The result of the action before.
    pub(super) note: Option<&'static str>,
    /// Why the form was refused.
    pub(super) problems: Option<Problems>,
    /// The steps of a sign-in. Empty elsewhere.
    pub(super) steps: Vec<StepMark>,
    /// Says which step this is.
    pub(super) step_label: String,
}

/// A step of a sign-in, as the page lists it.
pub(super) struct StepMark {
    pub(super) name: &'static str,
    pub(super) is_done: bool,
    pub(super) is_current: bool,
    /// Not every account has it.
    pub(super) is_optional: bool,
}

impl FormView {
    /// Returns what is wrong with a field. `None` if nothing is.
    pub(super) fn error(&self, field: &str) -> Option<&str> {
        self.problems.as_ref()?.of(field)
    }

    /// Returns `true` if something is wrong with a field.
    pub(super) fn has(&self, field: &str) -> bool {
        self.error(field).is_some()
    }

    /// Returns the status of a page with this form.
    pub(super) fn status(&self) -> StatusCode {
        match &self.problems {
            None => StatusCode::OK,
            Some(problems) if problems.wait.is_some() => StatusCode::TOO_MANY_REQUESTS,
            Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

/// Encodes a path for the query parameter `next`.
pub(super) fn encode_next(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~');
    let encode = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    path.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::encode_next;

    #[test]
    fn a_path_survives_as_a_parameter() {
        assert_eq!(encode_next("/account"), "/account");
        assert_eq!(encode_next("/admin/x?a=1&b=한"), "/admin/x%3Fa%3D1%26b%3D%ED%95%9C");
    }
}
