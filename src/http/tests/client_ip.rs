//! Tests of client addresses: what proxies report, and what clients forge.
use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::Network;
use crate::http::client_ip::resolve;
use crate::http::{ClientIp, Prefix};

const XFF: &str = "x-forwarded-for";
const FWD: &str = "forwarded";

/// Peer, header lines, and the client's address. 10/8, ::1 and fd00::/8 are trusted.
#[rustfmt::skip]
const TABLE: [(&str, &[(&str, &str)], &str); 38] = [
    // No proxy, or none that is trusted: headers are ignored.
    ("203.0.113.9", &[], "203.0.113.9"),
    ("203.0.113.9", &[(XFF, "1.1.1.1")], "203.0.113.9"),
    ("203.0.113.9", &[(FWD, "for=1.1.1.1")], "203.0.113.9"),
    ("203.0.113.9", &[("x-real-ip", "1.1.1.1")], "203.0.113.9"),
    ("2001:db8::9", &[(XFF, "1.1.1.1")], "2001:db8::9"),
    ("::ffff:203.0.113.9", &[(XFF, "1.1.1.1")], "203.0.113.9"),
    // One trusted proxy.
    ("10.0.0.1", &[], "10.0.0.1"),
    ("10.0.0.1", &[("x-real-ip", "1.1.1.1")], "10.0.0.1"),
    ("10.0.0.1", &[(XFF, "198.51.100.7")], "198.51.100.7"),
    ("::ffff:10.0.0.1", &[(XFF, "198.51.100.7")], "198.51.100.7"),
    ("::1", &[(XFF, "198.51.100.7")], "198.51.100.7"),
    ("10.0.0.1", &[(XFF, "1.1.1.1, 198.51.100.7")], "198.51.100.7"),
    ("10.0.0.1", &[(XFF, "10.9.9.9, 198.51.100.7")], "198.51.100.7"),
    ("10.0.0.1", &[(XFF, "  198.51.100.7\t")], "198.51.100.7"),
    ("10.0.0.1", &[(XFF, "1.1.1.1,,198.51.100.7, ,")], "198.51.100.7"),
    ("10.0.0.1", &[(XFF, "198.51.100.7:4711")], "198.51.100.7"),
    ("10.0.0.1", &[(XFF, "2001:db8::7")], "2001:db8::7"),
    ("10.0.0.1", &[(XFF, "[2001:db8::7]")], "2001:db8::7"),
    ("10.0.0.1", &[(XFF, "[2001:db8::7]:4711")], "2001:db8::7"),
    ("10.0.0.1", &[(XFF, "::ffff:198.51.100.7")], "198.51.100.7"),
    // Several proxies, several lines.
    ("10.0.0.1", &[(XFF, "1.1.1.1, 198.51.100.7, 10.0.0.2")], "198.51.100.7"),
    ("10.0.0.1", &[(XFF, "1.1.1.1"), (XFF, "198.51.100.7")], "198.51.100.7"),
    ("10.0.0.1", &[(XFF, "198.51.100.7"), (XFF, "fd00::2, 10.0.0.2")], "198.51.100.7"),
    ("10.0.0.1", &[(XFF, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
    // A hop that cannot be parsed ends the walk.
    ("10.0.0.1", &[(XFF, "unknown")], "10.0.0.1"),
    ("10.0.0.1", &[(XFF, "")], "10.0.0.1"),
    ("10.0.0.1", &[(XFF, "1.1.1.1, x, 10.0.0.2")], "10.0.0.2"),
    ("10.0.0.1", &[(XFF, "1.1.1.1, 300.1.1.1")], "10.0.0.1"),
    ("10.0.0.1", &[(XFF, "198.51.100.7:99999")], "10.0.0.1"),
    ("10.0.0.1", &[(XFF, "fe80::1%eth0")], "10.0.0.1"),
    ("10.0.0.1", &[(XFF, "1.1.1.1, caf\u{e9}")], "10.0.0.1"),
    ("10.0.0.1", &[(XFF, "caf\u{e9}, 198.51.100.7")], "198.51.100.7"),
    ("10.0.0.1", &[(FWD, "for=caf\u{e9}, for=198.51.100.7")], "198.51.100.7"),
    // Forwarded.
    ("10.0.0.1", &[(FWD, "for=1.1.1.1;proto=http, For=\"[2001:db8::7]:47\";by=10.0.0.1")], "2001:db8::7"),
    ("10.0.0.1", &[(FWD, "by=10.0.0.1; for=\"198.51.100.7:80\"")], "198.51.100.7"),
    ("10.0.0.1", &[(FWD, "for=1.1.1.1, proto=https")], "10.0.0.1"),
    ("10.0.0.1", &[(FWD, "for=\"1.1.1.1, for=198.51.100.7")], "198.51.100.7"),
    // Both: the one that most proxies write wins.
    ("10.0.0.1", &[(FWD, "for=1.1.1.1"), (XFF, "198.51.100.7")], "198.51.100.7"),
];

#[test]
fn the_right_most_untrusted_hop_is_the_client() {
    let trusted = ["10.0.0.0/8", "::1", "fd00::/8"].map(|network| Network::parse(network).unwrap());
    for (peer, lines, expected) in TABLE {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let found = resolve(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
    }
}

#[test]
fn a_prefix_is_a_24_or_a_64_and_debug_hides_it() {
    let of = |text: &str| ClientIp(text.parse().unwrap()).prefix();
    assert_eq!(of("198.51.100.7"), of("198.51.100.200"));
    assert_eq!(of("198.51.100.7"), of("::ffff:198.51.100.9"));
    assert_ne!(of("198.51.100.7"), of("198.51.101.7"));
    assert_eq!(of("2001:db8:1:2:3::"), of("2001:db8:1:2:ffff::1"));
    assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
    assert_ne!(of("0.0.0.0"), of("::"));
    assert_eq!(format!("{:?}", Prefix::of("198.51.100.7".parse().unwrap())), "Prefix(…)");
}
