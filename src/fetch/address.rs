use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{FetchError, Target};

/// How far a request may go.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reach {
    /// To private networks and this machine.
    pub(super) private: bool,
    /// To this machine without TLS.
    pub(super) http_loopback: bool,
}

impl Reach {
    pub(super) fn admits_scheme(self, target: &Target) -> Result<(), FetchError> {
        match target.secure || self.http_loopback {
            true => Ok(()),
            false => Err(FetchError::Url("it must begin with https://")),
        }
    }

    pub(super) fn admits(self, address: IpAddr, secure: bool) -> bool {
        match (Place::of(address), secure) {
            (Place::Public, true) => true,
            (Place::Loopback, true) => self.private || self.http_loopback,
            (Place::Private, true) => self.private,
            (Place::Loopback, false) => self.http_loopback,
            (Place::Public | Place::Private, false) | (Place::Nowhere, _) => false,
        }
    }
}

/// Who can reach an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Anybody.
    Public,
    /// Whoever is in the same network.
    Private,
    /// This machine.
    Loopback,
    /// Nobody, or nobody who should be asked: link-local, multicast, and what is set aside for documents, measurements, tunnels or later.
    Nowhere,
}

impl Place {
    /// By the registries of special-purpose addresses (RFC 6890), as of 2026.
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::Loopback,
            // RFC 1918, and RFC 6598: what providers and clouds share among their customers.
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Self::Private,
            [0, ..]
            | [169, 254, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            | [224..=255, ..] => Self::Nowhere,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // Unique local (RFC 4193).
            [0xfc00..=0xfdff, ..] => Self::Private,
            // What a translator makes of it is what is reached (RFC 6052): it must be public, too.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                match Self::of_v4(Ipv4Addr::new(a, b, c, d)) {
                    Self::Public => Self::Public,
                    _ => Self::Nowhere,
                }
            }
            // Protocol assignments with Teredo, documentation, 6to4, documentation again.
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => {
                Self::Nowhere
            }
            // All that is given out as global unicast.
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str) -> Place {
        Place::of(address.parse().expect("an address"))
    }

    #[test]
    fn only_what_anybody_can_reach_is_public() {
        for address in [
            "1.1.1.1",
            "140.82.112.3",
            "192.0.1.1",
            "198.17.0.1",
            "2606:4700::1111",
            "2001:4860::1",
            "64:ff9b::8.8.8.8",
        ] {
            assert_eq!(place(address), Place::Public, "{address}");
        }
        for address in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(place(address), Place::Private, "{address}");
        }
        for address in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(place(address), Place::Loopback, "{address}");
        }
        for address in [
            "0.0.0.0",
            "169.254.169.254",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "64:ff9b::10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::1",
            "::127.0.0.1",
            "100::1",
            "3fff::1",
            "::ffff:169.254.169.254",
        ] {
            assert_eq!(place(address), Place::Nowhere, "{address}");
        }
    }

    #[test]
    fn what_is_allowed_reaches_no_further_than_it_says() {
        let [public, private, loopback, metadata] = ["1.1.1.1", "10.0.0.1", "127.0.0.1", "169.254.169.254"]
            .map(|text| text.parse().expect("an address"));
        for (reach, secure, reached) in [
            (Reach::default(), true, [true, false, false]),
            (Reach::default(), false, [false; 3]),
            (
                Reach {
                    private: true,
                    http_loopback: false,
                },
                true,
                [true, true, true],
            ),
            (
                Reach {
                    private: true,
                    http_loopback: false,
                },
                false,
                [false; 3],
            ),
            (
                Reach {
                    private: false,
                    http_loopback: true,
                },
                true,
                [true, false, true],
            ),
            (
                Reach {
                    private: false,
                    http_loopback: true,
                },
                false,
                [false, false, true],
            ),
        ] {
            let found = [public, private, loopback].map(|address| reach.admits(address, secure));
            assert_eq!(found, reached, "{reach:?} {secure}");
            assert!(!reach.admits(metadata, secure), "{reach:?}");
        }
    }
}
