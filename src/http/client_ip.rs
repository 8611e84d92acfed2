//! The address of a client: the socket's peer, or the address that a trusted proxy reports.
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use crate::app::App;
use crate::config::Network;
use crate::error::{Error, Result};

/// The address that a request came from. Never log or store it: limits, bans and audit rows use
/// [`ClientIp::prefix`].
///
/// A proxy in `--trusted-proxies` is trusted to name the hop before it, and so on from right to
/// left. What the client itself wrote further left is ignored. `X-Forwarded-For` wins; `Forwarded`
/// (RFC 7239) is read where there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientIp(pub IpAddr);

impl ClientIp {
    /// Returns the network of the address: the range that one subscriber usually has.
    pub fn prefix(&self) -> Prefix {
        Prefix::of(self.0)
    }
}

impl FromRequestParts<App> for ClientIp {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let peer = ConnectInfo::<SocketAddr>::from_request_parts(parts, app).await;
        let ConnectInfo(peer) = peer.map_err(|_| Error::internal("a request has no peer address"))?;
        Ok(Self(resolve(peer.ip(), &parts.headers, &app.config.trusted_proxies)))
    }
}

/// An IPv4 /24 or an IPv6 /64. It still reveals a location, so `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix([u8; 8]);

impl Prefix {
    /// Returns the prefix of an address. An IPv4 address mapped into IPv6 counts as IPv4.
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // No IPv6 source begins with ff (multicast), so the two kinds never collide.
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self([0xff, 0xff, 0xff, 0xff, 0xff, a, b, c])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl Prefix {
    /// Returns the bytes for a keyed hash.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prefix(…)")
    }
}

/// Returns the right-most hop that is not a trusted proxy. A hop that cannot be parsed ends the
/// walk at the last one that could.
pub(super) fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let mut hop = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    for reported in hops(headers).into_iter().rev() {
        if !is_trusted(hop) {
            break;
        }
        let Some(address) = reported else { break };
        hop = address;
    }
    hop
}

/// Returns the hops that the headers report, left to right. A hop that is not an address is `None`.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    // Parsed one by one: a hop that is not text is not an address, and hides none of the others.
    let elements = |name| headers.get_all(name).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let listed = |name| elements(name).map(|hop| std::str::from_utf8(hop).unwrap_or("?"));
    if headers.contains_key("x-forwarded-for") {
        // Empty elements of a list are ignored (RFC 9110, 5.6.1).
        return listed("x-forwarded-for").map(str::trim).filter(|hop| !hop.is_empty()).map(address).collect();
    }
    // Quotes do not protect a comma: an unbalanced quote on the left cannot swallow what a proxy
    // added.
    listed(header::FORWARDED.as_str()).map(str::trim).filter(|hop| !hop.is_empty()).map(forwarded_for).collect()
}

/// Returns the `for` parameter of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut named = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = named.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let value = value.trim();
    address(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value))
}

/// Parses an address as proxies write it: bare or in brackets, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let found = match bracketed {
        Some(inside) => IpAddr::V6(inside.parse().ok()?),
        None => text.parse().or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip())).ok()?,
    };
    Some(found.to_canonical())
}
