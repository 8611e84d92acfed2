//! The operator's name, and how people reach the operator: a mail address or a page.
use axum::http::Uri;

use super::limits::{MAX_CONTACT_BYTES, MAX_OPERATOR_CHARS};
use crate::text;

/// Checks the name of the operator.
///
/// # Errors
/// Returns a sentence that names the problem.
pub(super) fn operator(name: &str) -> Result<String, String> {
    let name = text::tidy(name);
    if name.chars().count() > MAX_OPERATOR_CHARS {
        return Err(format!("it has more than {MAX_OPERATOR_CHARS} characters"));
    }
    text::check_line(&name).map_err(|flaw| flaw.to_string())?;
    Ok(name.into_owned())
}

/// The operator's address, as the pages about the site show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    Mail(String),
    /// A URL with http or https.
    Page(String),
}

impl Contact {
    /// Parses a mail address (a `mailto:` before it is left out) or a URL.
    ///
    /// # Errors
    /// Returns a sentence that names the problem.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is neither a mail address nor a URL, like https://example.org/contact");
        if text.len() > MAX_CONTACT_BYTES {
            return Err(format!("it has more than {MAX_CONTACT_BYTES} bytes"));
        }
        if text.contains("://") {
            let uri: Uri = text.parse().map_err(|_| wrong())?;
            // No URL has these unescaped, and they would end an attribute or a tag.
            let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\');
            let is_page = text.chars().all(is_plain)
                && matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
            return if is_page { Ok(Self::Page(text.to_owned())) } else { Err(wrong()) };
        }
        let mail = text.strip_prefix("mailto:").unwrap_or(text);
        let (name, host) = mail.split_once('@').ok_or_else(wrong)?;
        // These stay as they are in a `mailto:` link.
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
        let is_label = |label: &str| {
            !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !label.starts_with('-')
        };
        let is_mail =
            !name.is_empty() && name.chars().all(is_name) && host.contains('.') && host.split('.').all(is_label);
        if is_mail { Ok(Self::Mail(mail.to_owned())) } else { Err(wrong()) }
    }

    /// Returns the address as people read it.
    pub fn text(&self) -> &str {
        match self {
            Self::Mail(text) | Self::Page(text) => text,
        }
    }

    /// Returns the address for a link.
    pub fn link(&self) -> String {
        match self {
            Self::Mail(address) => format!("mailto:{address}"),
            Self::Page(url) => url.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Contact, operator};

    #[test]
    fn an_operator_has_a_short_name_on_one_line() {
        assert_eq!(operator(" 마주 운영팀 ").unwrap(), "마주 운영팀");
        assert!(operator(&"가".repeat(80)).is_ok());
        for name in [&"가".repeat(81), "two\nlines", "\u{202e}Ujam", "\u{200b}"] {
            assert!(operator(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_contact_is_a_mail_address_or_a_url() {
        for (text, link) in [
            ("hello@example.org", "mailto:hello@example.org"),
            ("mailto:the.team+maju@mail.example.org", "mailto:the.team+maju@mail.example.org"),
            ("https://example.org/contact?from=maju", "https://example.org/contact?from=maju"),
            ("http://localhost:8080/contact", "http://localhost:8080/contact"),
        ] {
            let contact = Contact::parse(text).unwrap();
            assert_eq!((contact.link(), text.ends_with(contact.text())), (link.to_owned(), true), "{text}");
        }
        let long = format!("https://example.org/{}", "a".repeat(500));
        for text in [
            "example.org",
            "hello@",
            "@example.org",
            "hello@example",
            "hello@-example.org",
            "two@example.org, three@example.org",
            "hello@example..org",
            "a?subject=b@example.org",
            "javascript:alert(1)",
            "javascript://example.org/%0aalert(1)",
            "ftp://example.org",
            "https://user:secret@example.org",
            "https://exa mple.org",
            "https://example.org/\"onclick",
            &long,
        ] {
            assert!(Contact::parse(text).is_err(), "{text}");
        }
    }
}
