//! Request headers that hold cookies, lists and weights, read element by element.
//!
//! axum-extra's `CookieJar` and the `headers` crate read a header line as a whole: one byte that is
//! not text hides every element of the line. Cookies that other sites set on the same host can hold
//! any bytes, so each element is read by itself here. In debug builds, `headers` also panics on an
//! entity tag with a space in `If-None-Match`.
use axum::http::{HeaderMap, HeaderName, header};

/// Returns the value of a cookie as it was sent. `None` if there is no such cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut pairs = cookies(headers).filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='));
    pairs.find_map(|(key, value)| (key.trim() == name).then(|| value.trim()))
}

/// Returns the cookies of a request, each as `name=value` in the bytes that were sent.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).map(<[u8]>::trim_ascii)
}

/// Returns the elements of a header that is a comma-separated list, from all its lines. Elements
/// that are not UTF-8 are left out.
pub fn header_list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    let elements = headers.get_all(name).into_iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    elements.filter_map(|element| std::str::from_utf8(element).ok()).map(str::trim)
}

/// Returns the elements of a list like `br;q=0.8, gzip` with their weights: 1 if there is none, 0
/// if it cannot be parsed.
pub fn with_weights(list: &str) -> impl Iterator<Item = (&str, f32)> {
    list.split(',').map(|element| {
        let mut fields = element.split(';').map(str::trim);
        let name = fields.next().unwrap_or_default();
        let weight = fields.find_map(|field| field.strip_prefix("q=")).map_or(1.0, |text| text.parse().unwrap_or(0.0));
        (name, weight)
    })
}

#[cfg(test)]
mod tests {
    use super::with_weights;

    #[test]
    fn weights_are_one_unless_given() {
        let read: Vec<_> = with_weights("br;q=0.8, gzip, *;q=0, deflate; q=x").collect();
        assert_eq!(read, [("br", 0.8), ("gzip", 1.0), ("*", 0.0), ("deflate", 0.0)]);
    }
}
