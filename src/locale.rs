//! The languages of the interface, and how a browser says what it would rather have. Knows no noun.
use axum::http::{HeaderMap, HeaderName, header};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A language that pages and people's own screens speak. The default is English.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, TS, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Locale {
    Ko,
    #[default]
    En,
}

impl Locale {
    /// Every language, in the order of their discriminants.
    pub const ALL: [Self; 2] = [Self::Ko, Self::En];

    /// The BCP 47 tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Ko => "ko",
            Self::En => "en",
        }
    }

    /// The language of a tag, by its primary part; none for a language that we do not speak.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next()?.trim();
        Self::ALL.into_iter().find(|locale| locale.tag().eq_ignore_ascii_case(primary))
    }

    /// The other one of the two.
    pub fn other(self) -> Self {
        match self {
            Self::Ko => Self::En,
            Self::En => Self::Ko,
        }
    }

    /// What a request asks for: the choice in the cookie `maju_locale`, else the one of ours that the browser would
    /// rather read, else English.
    pub fn of(headers: &HeaderMap) -> Self {
        let wanted: Vec<&str> = listed(headers, &header::ACCEPT_LANGUAGE).collect();
        Self::preferred(cookie(headers, "maju_locale"), Some(&wanted.join(",")))
    }

    /// [`Locale::of`], from the two texts. `Accept-Language` is read as RFC 9110 section 12.5.4 says; the first of
    /// equals wins.
    pub fn preferred(cookie: Option<&str>, accept_language: Option<&str>) -> Self {
        let spoken = weighted(accept_language.unwrap_or_default())
            .filter_map(|(tag, weight)| Some((Self::of_tag(tag)?, weight)))
            .filter(|(_, weight)| *weight > 0.0);
        let best = spoken.reduce(|best, next| if next.1 > best.1 { next } else { best });
        cookie.and_then(Self::of_tag).or(best.map(|(locale, _)| locale)).unwrap_or_default()
    }
}

/// The value of a cookie, as it was sent. Each is read by itself: those that others set on the same host may hold any bytes.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut pairs = cookies(headers).filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='));
    pairs.find_map(|(key, value)| (key.trim() == name).then(|| value.trim()))
}

/// The cookies of a request, each as `name=value` in the bytes that were sent.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).map(<[u8]>::trim_ascii)
}

/// The elements of a header that is a comma-separated list, all its lines together. One that is no text is left out, and takes
/// no other with it.
pub fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    let elements = headers.get_all(name).into_iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    elements.filter_map(|element| std::str::from_utf8(element).ok()).map(str::trim)
}

/// The parts of a list like `br;q=0.8, gzip` with their weights: 1 where none is given, 0 where it cannot be read.
pub fn weighted(list: &str) -> impl Iterator<Item = (&str, f32)> {
    list.split(',').map(|part| {
        let mut fields = part.split(';').map(str::trim);
        let name = fields.next().unwrap_or_default();
        let weight = fields.find_map(|field| field.strip_prefix("q=")).map_or(1.0, |text| text.parse().unwrap_or(0.0));
        (name, weight)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{Locale, cookie, weighted};

    #[test]
    fn the_browsers_language_decides_unless_chosen() {
        let table = [
            (None, Some("ko-KR,ko;q=0.9,en;q=0.8"), Locale::Ko),
            (None, Some("en-US,en;q=0.9,ko;q=0.8"), Locale::En),
            (None, Some("fr;q=0.9, ko;q=0.1"), Locale::Ko),
            (None, Some("KO"), Locale::Ko),
            (None, Some("ko;q=0"), Locale::En),
            (None, Some("ko;q=x, kok"), Locale::En),
            (None, Some("en;q=0.5, ko;q=0.5"), Locale::En),
            (Some("en"), Some("ko"), Locale::En),
            (Some("xx"), Some("ko"), Locale::Ko),
            (Some("xx"), None, Locale::En),
        ];
        for (cookie, header, expected) in table {
            assert_eq!(Locale::preferred(cookie, header), expected, "{cookie:?} {header:?}");
        }
    }

    #[test]
    fn a_request_is_read_by_its_cookie_and_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(Locale::of(&headers), Locale::En);
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static("ko"));
        assert_eq!(Locale::of(&headers), Locale::Ko);
        headers.append(header::COOKIE, HeaderValue::from_static("a=1"));
        headers.append(header::COOKIE, HeaderValue::from_static("xmaju_locale=ko; maju_locale=en"));
        assert_eq!(Locale::of(&headers), Locale::En);
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
            assert_eq!(locale.other().other(), locale);
        }
    }

    #[test]
    fn weights_are_one_unless_given() {
        let read: Vec<_> = weighted("br;q=0.8, gzip, *;q=0, deflate; q=x").collect();
        assert_eq!(read, [("br", 0.8), ("gzip", 1.0), ("*", 0.0), ("deflate", 0.0)]);
    }
}
