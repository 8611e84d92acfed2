//! The languages of the interface: which one a request asks for, and the strings of each. It knows
//! no noun.
//!
//! To add a language: a file beside `en.rs` and `ko.rs` with all of [`Strings`], and its variant in
//! [`Locale`], [`Locale::ALL`] and [`Locale::strings`]. Its addresses, links and alternates follow
//! from that; its sections are content (`migrations/0002_landing_content.sql` and
//! `0006_site_pages.sql`). No other code and no constraint of the database lists languages.
mod account_pages;
mod accounts;
mod admin;
mod en;
mod headers;
mod ko;

use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

pub use account_pages::PageStrings;
pub use accounts::AccountStrings;
#[cfg(test)]
pub use admin::ACTIONS;
pub use admin::{
    AdminStrings, AuditStrings, BannerStrings, DashboardStrings, HealthStrings, ImageStrings, NumberStrings,
    PeopleStrings, SectionStrings, SettingsStrings, ShellStrings, Told, section_fields,
};
pub use headers::{cookie, cookies, header_list, with_weights};

/// A language of pages and of the client. The default is Korean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, TS, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Locale {
    #[default]
    Ko,
    En,
}

/// The text that the server itself writes, in one language.
///
/// The browser client has its own strings (`web/src/i18n`), and editors write the sections of the
/// landing page in the database.
pub struct Strings {
    /// The BCP 47 tag of this language. It is also the path of its landing page, without the slash.
    pub tag: &'static str,
    pub brand: &'static str,
    /// The name of this language in itself.
    pub language_name: &'static str,
    /// The value of `og:locale` in link previews.
    pub open_graph_locale: &'static str,
    pub skip_to_content: &'static str,
    pub start_talk: &'static str,
    /// The link to the account, on pages that are the same for everybody: a guest is led to sign-in.
    pub sign_in: &'static str,
    /// Names the links of the header for screen readers.
    pub nav_label: &'static str,
    pub nav_steps: &'static str,
    pub nav_safety: &'static str,
    pub nav_questions: &'static str,
    /// Names the first section for screen readers.
    pub hero_label: &'static str,
    pub footer_motto: &'static str,
    pub footer_talk: &'static str,
    pub footer_explore: &'static str,
    pub adults_only: &'static str,
    pub theme_legend: &'static str,
    pub theme_auto: &'static str,
    pub theme_light: &'static str,
    pub theme_dark: &'static str,
    pub not_found_page_title: &'static str,
    pub not_found_heading: &'static str,
    pub not_found_text: &'static str,
    /// The link to the landing page.
    pub not_found_home: &'static str,
    /// The words after a number of seconds or minutes.
    pub seconds: &'static str,
    pub minutes: &'static str,
    /// Says from when the numbers are, given a time of day in UTC.
    pub stats_as_of: fn(&str) -> String,
    /// Names the announcements above a page for screen readers, and the button that hides one.
    pub banners_label: &'static str,
    pub banner_close: &'static str,
    /// The charts of the landing page: their names, columns, and the table below each.
    pub chart_talks_per_day: &'static str,
    pub chart_busiest_hours: &'static str,
    pub chart_languages: &'static str,
    pub chart_day: &'static str,
    pub chart_hour: &'static str,
    pub chart_language: &'static str,
    pub chart_amount: &'static str,
    pub chart_table: &'static str,
    /// Stands for a number that is too small to be shown.
    pub chart_few: &'static str,
    /// Heads the links to the pages about the site.
    pub about_legend: &'static str,
    pub about_rules: &'static str,
    pub about_privacy: &'static str,
    pub about_terms: &'static str,
    pub about_contact: &'static str,
    /// What the chat shows without JavaScript: what it is, why it needs scripts, how to go on.
    pub no_script_heading: &'static str,
    pub no_script_about: &'static str,
    pub no_script_reason: &'static str,
    pub no_script_again: &'static str,
    /// What an account's owner reads: why a password is refused, and mails.
    pub accounts: AccountStrings,
    /// The colours of aliases: key and name.
    pub colors: [(&'static str, &'static str); 8],
    /// The animals of aliases: key and name. None of them is an insult in any language.
    pub animals: [(&'static str, &'static str); 24],
}

impl Locale {
    /// Every language, in the order of their discriminants.
    pub const ALL: [Self; 2] = [Self::Ko, Self::En];

    /// Returns the BCP 47 tag.
    pub fn tag(self) -> &'static str {
        self.strings().tag
    }

    /// Returns the strings of this language.
    pub fn strings(self) -> &'static Strings {
        match self {
            Self::Ko => &ko::STRINGS,
            Self::En => &en::STRINGS,
        }
    }

    /// Returns the language of a tag by its primary part. `None` if it is not one of ours.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next()?.trim();
        Self::ALL.into_iter().find(|locale| locale.tag().eq_ignore_ascii_case(primary))
    }

    /// Returns the language that follows in the list: the other one as long as there are two.
    pub fn other(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    /// Returns all languages except this one.
    pub fn others(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |locale| *locale != self)
    }

    /// Returns the language of a request: the choice in the cookie `maju_locale`, else the one of
    /// ours that the browser prefers, else Korean.
    pub fn of(headers: &HeaderMap) -> Self {
        let accepted: Vec<&str> = header_list(headers, &header::ACCEPT_LANGUAGE).collect();
        Self::preferred(cookie(headers, "maju_locale"), Some(&accepted.join(",")))
    }

    /// Does the same as [`Locale::of`] from the two values.
    ///
    /// `Accept-Language` is read as RFC 9110 section 12.5.4 defines; the first of equals wins.
    pub fn preferred(cookie: Option<&str>, accept_language: Option<&str>) -> Self {
        let offered = with_weights(accept_language.unwrap_or_default())
            .filter_map(|(tag, weight)| Some((Self::of_tag(tag)?, weight)))
            .filter(|(_, weight)| *weight > 0.0);
        let best = offered.reduce(|best, next| if next.1 > best.1 { next } else { best });
        cookie.and_then(Self::of_tag).or(best.map(|(locale, _)| locale)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{Locale, cookie};

    #[test]
    fn the_browsers_language_decides_unless_chosen() {
        let table = [
            (None, Some("ko-KR,ko;q=0.9,en;q=0.8"), Locale::Ko),
            (None, Some("en-US,en;q=0.9,ko;q=0.8"), Locale::En),
            (None, Some("fr;q=0.9, ko;q=0.1"), Locale::Ko),
            (None, Some("KO"), Locale::Ko),
            (None, Some("en;q=0, fr"), Locale::Ko),
            (None, Some("en;q=x, enm"), Locale::Ko),
            (None, Some("en;q=0.5, ko;q=0.5"), Locale::En),
            (Some("en"), Some("ko"), Locale::En),
            (Some("xx"), Some("ko"), Locale::Ko),
            (Some("xx"), None, Locale::Ko),
            (None, None, Locale::Ko),
        ];
        for (cookie, header, expected) in table {
            assert_eq!(Locale::preferred(cookie, header), expected, "{cookie:?} {header:?}");
        }
    }

    #[test]
    fn a_requests_cookie_and_header_decide_its_language() {
        let mut headers = HeaderMap::new();
        assert_eq!(Locale::of(&headers), Locale::Ko);
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static("en"));
        assert_eq!(Locale::of(&headers), Locale::En);
        headers.append(header::COOKIE, HeaderValue::from_static("a=1"));
        headers.append(header::COOKIE, HeaderValue::from_static("xmaju_locale=en; maju_locale=ko"));
        assert_eq!(Locale::of(&headers), Locale::Ko);
        assert_eq!(cookie(&headers, "locale"), None);
    }

    #[test]
    fn bytes_that_are_no_text_spoil_nothing_beside_them() {
        let mut headers = HeaderMap::new();
        let raw = |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap();
        headers.insert(header::COOKIE, raw("other=한글; maju_locale=ko".as_bytes()));
        headers.append(header::COOKIE, raw(b"caf\xe9=\xff; theirs=1;maju_theme=dark"));
        assert_eq!((cookie(&headers, "maju_locale"), cookie(&headers, "maju_theme")), (Some("ko"), Some("dark")));
        assert_eq!((Locale::of(&headers), cookie(&headers, "theirs")), (Locale::Ko, Some("1")));
        headers.remove(header::COOKIE);
        headers.insert(header::ACCEPT_LANGUAGE, raw(b"\xe9, ko;q=0.9, en;q=0.1"));
        assert_eq!(Locale::of(&headers), Locale::Ko);
    }

    #[test]
    fn discriminants_follow_the_list() {
        for (at, locale) in Locale::ALL.into_iter().enumerate() {
            assert_eq!((locale as usize, Locale::of_tag(locale.tag())), (at, Some(locale)));
            assert_ne!(locale.other(), locale);
            assert_eq!(locale.others().count(), Locale::ALL.len() - 1);
            assert!(locale.others().all(|other| other != locale));
        }
    }
}
