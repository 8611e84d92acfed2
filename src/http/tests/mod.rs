//! Tests of the HTTP layer: real connections against the accept loop, tables for the rules.
mod accept;
mod client_ip;
mod middleware;
mod origin;
mod rate_limit;

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
