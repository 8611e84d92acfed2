//! Tests of HTTP's edge: real connections against the accept loop, tables for the rules.
mod accept;
mod client_ip;
mod door;
mod limits;
mod origin;

use crate::cli::ServeArgs;
use crate::config::{Config, Site};

/// The settings of an empty command line.
fn config() -> Config {
    Config::read(&ServeArgs::default()).unwrap()
}

/// A site as people would reach it.
fn public_site() -> Site {
    Site::parse("https://chat.example.org").unwrap()
}
