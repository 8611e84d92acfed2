//! The headers that every response carries, errors and assets included, and the check of the host.
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::config::Site;

/// One year. Subdomains are not included, because other hosts of the domain are not ours to decide
/// for.
static HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

static SAME_ORIGIN: HeaderValue = HeaderValue::from_static("SAMEORIGIN");

static NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The same for every response. The referrer policy is `same-origin` rather than `no-referrer`,
/// which would make browsers send `Origin: null` with the page's own writes (Fetch, "append a
/// request `Origin` header").
static FIXED: [(HeaderName, HeaderValue); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// For the page that shows the API's description: it sets styles from script, and opens no socket.
static DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; font-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
);

/// The headers of a site's responses.
pub(super) struct ResponseHeaders {
    policy: HeaderValue,
    /// For the back-office, which shows previews in frames.
    framing: HeaderValue,
    /// For previews, which only this site may show in frames.
    framed: HeaderValue,
    secure: bool,
    /// The host (and port) that the site serves. `None` on a loopback site, which serves any.
    host: Option<String>,
}

impl ResponseHeaders {
    /// Creates the headers of a site.
    pub(super) fn of(site: &Site) -> Self {
        let host = site.url.split_once("://").map_or(site.url.as_str(), |(_, host)| host);
        Self {
            policy: policy(site, host, "frame-ancestors 'none'"),
            framing: policy(site, host, "frame-src 'self'; frame-ancestors 'none'"),
            framed: policy(site, host, "frame-ancestors 'self'"),
            secure: site.secure,
            host: (!site.loopback).then(|| host.to_ascii_lowercase()),
        }
    }

    /// Returns `true` if a request names this site as its host. The probes can be requested by any
    /// name, because their responses hold no links.
    pub(super) fn is_own_host(&self, request: &Parts) -> bool {
        let Some(own) = &self.host else { return true };
        if matches!(request.uri.path(), "/livez" | "/readyz") {
            return true;
        }
        let mut hosts = request.headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let target = request.uri.authority().map_or(host, |authority| authority.as_str());
        [host, target].iter().all(|name| {
            let name = if own.contains(':') { name } else { name.strip_suffix(":443").unwrap_or(name) };
            name.eq_ignore_ascii_case(own)
        })
    }

    /// Adds the headers that are missing in a response. Headers that a handler has set stay.
    pub(super) fn add_to(&self, path: &str, response: &mut Response) {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let headers = response.headers_mut();
        let policy = if is_under(path, "/api/docs") {
            &DOCS_POLICY
        } else if is_under(path, "/admin") {
            &self.framing
        } else if is_under(path, "/preview") {
            add(headers, header::X_FRAME_OPTIONS, &SAME_ORIGIN);
            &self.framed
        } else {
            &self.policy
        };
        add(headers, header::CONTENT_SECURITY_POLICY, policy);
        for (name, value) in &FIXED {
            add(headers, name.clone(), value);
        }
        if self.secure {
            add(headers, header::STRICT_TRANSPORT_SECURITY, &HSTS);
        }
        if is_under(path, "/api") {
            add(headers, header::CACHE_CONTROL, &NO_STORE);
        }
    }
}

/// Returns `true` if a path is a folder or below it.
pub(super) fn is_under(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn add(headers: &mut HeaderMap, name: HeaderName, value: &HeaderValue) {
    headers.entry(name).or_insert_with(|| value.clone());
}

/// Returns the content security policy of the pages. `svelte-trusted-html` is the one policy
/// through which Svelte creates its templates; the browser refuses `{@html}` and any other way to
/// write markup.
fn policy(site: &Site, host: &str, frames: &str) -> HeaderValue {
    // Older Safari does not count a socket to the same host as 'self'. A policy cannot hold an IPv6
    // host.
    let port =
        host.rsplit_once(':').map(|(_, port)| port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let scheme = if site.secure { "wss" } else { "ws" };
    let sockets = if site.loopback {
        format!("{scheme}://localhost{port} {scheme}://127.0.0.1{port}")
    } else {
        format!("{scheme}://{host}")
    };
    let text = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' {sockets}; \
         font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; {frames}; \
         require-trusted-types-for 'script'; trusted-types svelte-trusted-html"
    );
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}
