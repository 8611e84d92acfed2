//! Where a node listens: the address of the site, and the one for metrics.
use std::net::{IpAddr, SocketAddr};

use super::Reader;

/// Checks an address with a port.
///
/// # Errors
/// Returns what is wrong with it.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("'{text}' is not an address and a port, like 127.0.0.1:8080 or [::]:8080"))
}

impl Reader<'_> {
    /// Returns the address for metrics, and notes one that others than the operator may reach.
    pub(super) fn metrics_listen(&mut self) -> Option<SocketAddr> {
        let address = self.value("metrics-listen", &self.args.metrics_listen, listen)?;
        if !is_private(address.ip()) {
            let origin = self.args.origin("metrics-listen");
            self.notes.push(format!("{origin}: {address} is not a private address: keep others away by a firewall"));
        }
        Some(address)
    }
}

/// Returns `true` if an address is of this machine or of a private network.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::ServeArgs;
    use crate::config::Config;

    #[test]
    fn metrics_on_a_public_address_are_noted() {
        let notes = |address: &str| {
            let args = ServeArgs { metrics_listen: Some(address.to_owned()), ..ServeArgs::default() };
            Config::read(&args).unwrap().notes
        };
        for private in ["127.0.0.1:9464", "[::1]:9464", "10.1.2.3:9464", "192.168.0.2:9464", "[fd00::1]:9464"] {
            assert!(notes(private).is_empty(), "{private}");
        }
        for public in ["0.0.0.0:9464", "[::]:9464", "203.0.113.7:9464"] {
            assert!(notes(public)[0].contains("is not a private address"), "{public}");
        }
    }
}
