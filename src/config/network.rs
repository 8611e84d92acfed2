//! Networks of IP addresses, as settings name them.
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
}

impl Network {
    /// Parses `10.0.0.0/8`, `fd00::/8` or a single address.
    ///
    /// # Errors
    /// Returns a sentence that names the problem.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => {
                (address, Some(bits.parse::<u32>().map_err(|_| format!("'{text}' is not a network"))?))
            }
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| format!("'{text}' is not a network"))?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(format!("'{text}' has more than {width} bits"));
        }
        let kept = bits + (128 - width);
        let mask = if kept == 0 { 0 } else { u128::MAX << (128 - kept) };
        Ok(Self { base: as_v6(address) & mask, mask })
    }

    /// Returns `true` if an address is in the network. An IPv4 address mapped into IPv6 counts as
    /// the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        as_v6(address) & self.mask == self.base
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (base, bits) = (Ipv6Addr::from_bits(self.base), self.mask.count_ones());
        match base.to_ipv4_mapped() {
            Some(v4) if bits >= 96 => write!(f, "{v4}/{}", bits - 96),
            _ => write!(f, "{base}/{bits}"),
        }
    }
}

fn as_v6(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn a_network_contains_its_addresses() {
        let network = Network::parse("10.1.0.0/16").unwrap();
        assert!(
            network.contains("10.1.200.3".parse().unwrap()) && network.contains("::ffff:10.1.0.1".parse().unwrap())
        );
        assert!(!network.contains("10.2.0.1".parse().unwrap()));
        assert!(Network::parse("fd00::/8").unwrap().contains("fd12::1".parse().unwrap()));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("9.9.9.9".parse().unwrap()));
        for bad in ["10.0.0.0/33", "x", "::/129"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }
}
