//! Tests of the language and theme of a page.
use axum::http::header;

use super::headers;
use crate::http::{Appearance, Theme, wants_page};
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

#[test]
fn people_get_a_page_and_programs_that_ask_for_json_do_not() {
    for (accept, expected) in [
        (None, true),
        (Some("*/*"), true),
        (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), true),
        (Some("application/json"), false),
        (Some("application/problem+json;q=0.9, */*"), false),
        (Some("application/json, TEXT/HTML;q=0.5"), true),
    ] {
        let request = accept.map(|accept| headers(&[(header::ACCEPT, accept)])).unwrap_or_default();
        assert_eq!(wants_page(&request), expected, "{accept:?}");
    }
}
