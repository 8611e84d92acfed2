//! Tests of the HTTP layer: real connections against the accept loop, tables for the rules.
mod accept;
mod appearance;
mod assets;
mod cached_body;
mod client_ip;
mod middleware;
mod origin;
mod rate_limit;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::cli::ServeArgs;
use crate::config::{Config, Site};

/// Returns the settings of an empty command line.
fn config() -> Config {
    Config::read(&ServeArgs::default()).unwrap()
}

/// Returns a public site.
fn public_site() -> Site {
    Site::parse("https://chat.example.org").unwrap()
}

/// Returns a header map with these headers.
fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}
