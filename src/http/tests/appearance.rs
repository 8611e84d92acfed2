//! Tests of the language and theme of a page.
use axum::http::header;

use super::headers;
use crate::http::{Appearance, Theme};
use crate::locale::Locale;

#[test]
fn appearance_is_what_the_visitor_chose() {
    let request = headers(&[(header::COOKIE, "maju_theme=dark; maju_locale=ko"), (header::ACCEPT_LANGUAGE, "en")]);
    assert_eq!(Appearance::of(&request), Appearance { locale: Locale::Ko, theme: Theme::Dark });
    let request = headers(&[(header::COOKIE, "maju_theme=plaid"), (header::ACCEPT_LANGUAGE, "ko")]);
    assert_eq!(Appearance::of(&request), Appearance { locale: Locale::Ko, theme: Theme::Auto });
    for (at, theme) in Theme::ALL.into_iter().enumerate() {
        assert_eq!(theme as usize, at);
    }
}
