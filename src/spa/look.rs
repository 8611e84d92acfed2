//! How a page is painted for somebody, known before its first byte: its language, and light or dark.
use axum::http::HeaderMap;

use crate::locale::{Locale, cookie};

/// Light or dark, or what the device says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Theme {
    Auto,
    Light,
    Dark,
}

impl Theme {
    /// Every theme, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    /// The value of `data-theme` and of the cookie.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The theme that the visitor chose (cookie `maju_theme`).
    pub fn of(headers: &HeaderMap) -> Self {
        let chosen = cookie(headers, "maju_theme");
        Self::ALL.into_iter().find(|theme| Some(theme.name()) == chosen).unwrap_or(Self::Auto)
    }
}

/// A language and a theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Look {
    pub locale: Locale,
    pub theme: Theme,
}

impl Look {
    /// The visitor's choice (cookies `maju_locale` and `maju_theme`), else what the browser prefers, else English.
    pub fn of(headers: &HeaderMap) -> Self {
        Self { locale: Locale::of(headers), theme: Theme::of(headers) }
    }

    /// The same page in the other language.
    pub fn other(self) -> Self {
        Self { locale: self.locale.other(), ..self }
    }

    /// One of two sentences, by the language of the page.
    pub fn say<'a>(&self, ko: &'a str, en: &'a str) -> &'a str {
        match self.locale {
            Locale::Ko => ko,
            Locale::En => en,
        }
    }

    /// What there is to choose from, in the words of this page.
    pub fn themes(&self) -> [(Theme, &'static str); Theme::ALL.len()] {
        Theme::ALL.map(|theme| {
            let (ko, en) = match theme {
                Theme::Auto => ("자동", "Auto"),
                Theme::Light => ("밝게", "Light"),
                Theme::Dark => ("어둡게", "Dark"),
            };
            (theme, self.say(ko, en))
        })
    }

    /// The address of the landing page in this language.
    pub fn home(&self) -> &'static str {
        match self.locale {
            Locale::Ko => "/ko",
            Locale::En => "/",
        }
    }
}
