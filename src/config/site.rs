//! The site's public address.
use axum::http::Uri;

use crate::connection_url;

/// The site's public address, and the origins of its own pages.
#[derive(Clone, Debug)]
pub struct Site {
    /// Scheme, host and port, without a slash at the end.
    pub url: String,
    pub secure: bool,
    pub loopback: bool,
    /// Whether the port is the default of the scheme, so no other site can have the same host name.
    pub default_port: bool,
    origins: Vec<String>,
}

impl Site {
    /// Parses a public URL.
    ///
    /// # Errors
    /// Returns a sentence that names the problem and quotes no password.
    pub fn parse(given: &str) -> Result<Self, String> {
        let url = if given.contains(['@', '?']) { connection_url::redacted(given) } else { given.to_owned() };
        let uri: Uri = given.trim_end_matches('/').parse().map_err(|_| format!("'{url}' is not a URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(format!("'{url}' needs a scheme and a host, like https://chat.example.org"));
        };
        if authority.as_str().contains('@') || uri.path().len() > 1 || uri.query().is_some() {
            return Err(format!("'{url}' must have a scheme, a host and a port only"));
        }
        let host = authority.host().to_ascii_lowercase();
        let loopback = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        let secure = match scheme {
            "https" => true,
            "http" if loopback => false,
            "http" => {
                return Err(format!("'{url}' must begin with https://, because plain http is for localhost only"));
            }
            other => return Err(format!("'{other}' is neither http nor https")),
        };
        let default_port = if secure { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(default_port);
        let suffix = if port == default_port { String::new() } else { format!(":{port}") };
        let origins = if loopback {
            // A browser can use any of the three names for one site.
            ["localhost", "127.0.0.1", "[::1]"].iter().map(|name| format!("{scheme}://{name}{suffix}")).collect()
        } else {
            vec![format!("{scheme}://{host}{suffix}")]
        };
        let default_port = port == default_port;
        Ok(Self { url: format!("{scheme}://{host}{suffix}"), secure, loopback, default_port, origins })
    }

    /// Returns `true` if a browser's `Origin` is exactly one of this site's.
    pub fn is_own_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::Site;

    #[test]
    fn plain_http_is_for_loopback_only() {
        assert!(Site::parse("http://chat.example.org").unwrap_err().contains("https"));
        let site = Site::parse("https://Chat.Example.org:443/").unwrap();
        assert!(site.is_own_origin("https://chat.example.org") && site.secure);
        for bad in ["chat.example.org", "ftp://x", "https://u@x", "https://x/path", ""] {
            assert!(Site::parse(bad).is_err(), "{bad}");
        }
    }
}
