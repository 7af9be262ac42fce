//! Addresses: which network one is in, and whose a request is that came by a proxy.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, header};

use crate::error::{Error, Result};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// How many addresses of a chain of proxies are looked at.
const MOST_PROXIES: usize = 16;

/// A network, as `10.0.0.0/8` (RFC 4632 §3.1, RFC 4291 §2.3), or one address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let shown: String = text.chars().take(64).collect();
            Error::new("INVALID_DECLARATION")
                .status(500)
                .message(format!("`{shown}` is no network; `10.0.0.0/8` and `::1` are"))
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most { Err(wrong()) } else { Ok(Self { address, bits }) }
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let shift = |width: u32| width - self.bits;
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let other = other.to_bits() ^ own.to_bits();
                other.checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let other = other.to_bits() ^ own.to_bits();
                other.checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Whether the address is in one of the networks.
pub(super) fn is_in(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// What is counted as one client: an address, or of IPv6 the network of 64 bits that one client is given (RFC 6177).
pub(super) fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// From which address a request comes: that of the other end of its connection, or, where that is one of a proxy that is
/// trusted, what the proxy says.
fn address(peer: SocketAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let peer = peer.ip().to_canonical();
    if !is_in(trusted, peer) {
        return peer;
    }
    let first = |chain: Vec<Option<IpAddr>>| {
        let mut known = None;
        for address in chain.into_iter().rev().take(MOST_PROXIES) {
            // Whatever is further to the left was said by somebody whom nobody vouches for.
            let Some(address) = address else { break };
            known = Some(address);
            if !is_in(trusted, address) {
                break;
            }
        }
        known
    };
    let by_list = values(headers, &X_FORWARDED_FOR).map(|text| text.split(',').map(listed).collect()).and_then(first);
    let forwarded = values(headers, &header::FORWARDED);
    let by_standard = forwarded.map(|text| text.split(',').map(forwarded_for).collect()).and_then(first);
    match (by_list, by_standard) {
        // A proxy writes one of them, and lets the other through as the client sent it.
        (Some(list), Some(standard)) if list != standard => peer,
        (known, other) => known.or(other).unwrap_or(peer),
    }
}

/// All values of a header as one list, whose order is theirs (RFC 9110 §5.3).
fn values(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// An address with or without a port.
fn listed(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|it| it.ip()));
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(bare).map(|address| address.to_canonical())
}

/// The address in `for=` of an element (RFC 7239 §4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| listed(value.trim().trim_matches('"')))?
    })
}

/// From which address a request comes, where that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer(pub(super) Option<IpAddr>);

impl Peer {
    /// Of a request on a connection with this other end.
    pub(super) fn of(end: SocketAddr, headers: &HeaderMap, trusted: &[Network]) -> Self {
        Self(Some(address(end, headers, trusted)))
    }

    /// The same of one that says itself where its connection leads to.
    pub(super) fn said_by(extensions: &Extensions, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let end = extensions.get::<ConnectInfo<SocketAddr>>();
        end.map_or_else(Self::default, |ConnectInfo(end)| Self::of(*end, headers, trusted))
    }

    /// As the request carries it since it was found out.
    pub(super) fn carried(extensions: &Extensions) -> Self {
        extensions.get::<Self>().copied().unwrap_or_default()
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::carried(&parts.extensions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, trusted: &[&str], headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted: Vec<Network> = trusted.iter().map(|text| Network::parse(text).unwrap()).collect();
        address(SocketAddr::new(peer.parse().unwrap(), 1), &map, &trusted).to_string()
    }

    #[test]
    fn networks() {
        let holds = |network: &str, address: &str| Network::parse(network).unwrap().contains(address.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.200.3.4") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("10.0.0.1", "10.0.0.1") && !holds("10.0.0.1", "10.0.0.2"));
        assert!(holds("0.0.0.0/0", "1.2.3.4") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("2001:db8::/32", "2001:db8:9::1") && !holds("2001:db8::/32", "2001:db9::1"));
        for wrong in ["", "x", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1"] {
            assert_eq!(Network::parse(wrong).unwrap_err().code().as_str(), "INVALID_DECLARATION", "{wrong}");
        }
        assert_eq!(client("2001:db8::1:2".parse().unwrap()), "2001:db8::".parse::<IpAddr>().unwrap());
        assert_eq!(client("::ffff:1.2.3.4".parse().unwrap()), "1.2.3.4".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn only_proxies_that_are_trusted_say_whose_a_request_is() {
        let list = [("x-forwarded-for", "6.6.6.6, 9.9.9.9")];
        assert_eq!(from("1.1.1.1", &["10.0.0.0/8"], &list), "1.1.1.1");
        assert_eq!(from("10.1.1.1", &["10.0.0.0/8"], &list), "9.9.9.9");
        assert_eq!(from("10.1.1.1", &["10.0.0.0/8"], &[]), "10.1.1.1");
        let chain = [("x-forwarded-for", "6.6.6.6, 9.9.9.9"), ("x-forwarded-for", "10.2.2.2")];
        assert_eq!(from("10.1.1.1", &["10.0.0.0/8"], &chain), "9.9.9.9");
        let noise = [("x-forwarded-for", "6.6.6.6, nonsense, 10.2.2.2")];
        assert_eq!(from("10.1.1.1", &["10.0.0.0/8"], &noise), "10.2.2.2");
        let standard = [("forwarded", "for=6.6.6.6, For=\"[2001:db8::9]:80\";proto=https")];
        assert_eq!(from("10.1.1.1", &["10.0.0.0/8"], &standard), "2001:db8::9");
        let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "9.9.9.9:1234")];
        assert_eq!(from("10.1.1.1", &["10.0.0.0/8"], &both), "10.1.1.1");
        let hidden = [("forwarded", "for=_secret")];
        assert_eq!(from("::ffff:10.1.1.1", &["10.0.0.0/8"], &hidden), "10.1.1.1");
    }
}
