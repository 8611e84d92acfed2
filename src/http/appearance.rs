//! The appearance of a page, known before its first byte: its language, and a light or dark theme.
use axum::http::{HeaderMap, header};

use crate::locale::{Locale, Strings, cookie, header_list};

/// Returns `true` if the answer to a request can be a page: `Accept` names HTML, or it does not
/// name JSON.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let accepted: Vec<&str> =
        header_list(headers, &header::ACCEPT).map(|range| range.split(';').next().unwrap_or_default().trim()).collect();
    let names_html = accepted.iter().any(|range| range.eq_ignore_ascii_case("text/html"));
    names_html || !accepted.iter().any(|range| range.to_ascii_lowercase().ends_with("json"))
}

/// Light, dark, or the theme of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Theme {
    Auto,
    Light,
    Dark,
}

impl Theme {
    /// Every theme, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    /// Returns the value of `data-theme` and of the cookie.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Returns the theme that the visitor chose (cookie `maju_theme`), else [`Theme::Auto`].
    pub fn of(headers: &HeaderMap) -> Self {
        let chosen = cookie(headers, "maju_theme");
        Self::ALL.into_iter().find(|theme| Some(theme.name()) == chosen).unwrap_or(Self::Auto)
    }

    fn label(self, strings: &Strings) -> &'static str {
        match self {
            Self::Auto => strings.theme_auto,
            Self::Light => strings.theme_light,
            Self::Dark => strings.theme_dark,
        }
    }
}

/// A language and a theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Appearance {
    pub locale: Locale,
    pub theme: Theme,
}

impl Appearance {
    /// Returns the visitor's choice (cookies `maju_locale` and `maju_theme`), else the language
    /// that the browser prefers, else Korean.
    pub fn of(headers: &HeaderMap) -> Self {
        Self { locale: Locale::of(headers), theme: Theme::of(headers) }
    }

    /// Returns every combination of a language and a theme.
    pub fn all() -> impl Iterator<Item = Self> {
        Locale::ALL.into_iter().flat_map(|locale| Theme::ALL.map(|theme| Self { locale, theme }))
    }

    /// Returns the appearance of the same page in the language that follows in the list.
    pub fn other(self) -> Self {
        Self { locale: self.locale.other(), ..self }
    }

    /// Returns the themes to choose from, with their labels in this language.
    pub fn theme_choices(&self) -> [(Theme, &'static str); Theme::ALL.len()] {
        Theme::ALL.map(|theme| (theme, theme.label(self.locale.strings())))
    }

    /// Returns the path of the landing page in this language.
    pub fn home_path(&self) -> String {
        format!("/{}", self.locale.tag())
    }
}
