use std::{error::Error, fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// More blocks than anybody lists by hand.
const MAX_BLOCKS: usize = 100;

/// The addresses from which a key may be used: at least one block, each as an address or in CIDR notation.
///
/// An IPv4 address in its IPv6 form (`::ffff:192.0.2.1`) is the IPv4 address.
#[derive(Clone, PartialEq, Eq)]
pub struct AddressList(Box<[IpNet]>);

impl AddressList {
    /// The blocks listed, such as `192.0.2.7`, `198.51.100.0/24` or `2001:db8::/32`.
    ///
    /// # Errors
    ///
    /// When one of them is no address or block, when bits are set behind the length of its prefix, or when there are none or more than 100.
    pub fn new<I>(blocks: I) -> Result<Self, ParseAddressError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let parsed: Result<Vec<IpNet>, _> = blocks.into_iter().map(|block| parse(block.as_ref())).collect();
        let mut listed = parsed?;
        listed.sort_unstable();
        listed.dedup();
        match listed.len() {
            1..=MAX_BLOCKS => Ok(Self(listed.into())),
            _ => Err(ParseAddressError(())),
        }
    }

    /// Reads the form that [`AddressList::to_stored`] wrote.
    ///
    /// # Errors
    ///
    /// As [`AddressList::new`].
    pub fn from_stored(text: &str) -> Result<Self, ParseAddressError> {
        Self::new(text.split_ascii_whitespace())
    }

    /// The form a store keeps: the blocks with a space between them.
    #[must_use]
    pub fn to_stored(&self) -> String {
        let blocks: Vec<String> = self.iter().collect();
        blocks.join(" ")
    }

    /// Whether a caller from this address may use the key.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|block| block.contains(&address))
    }

    /// Whether every address that the others allow is allowed here, too. Each block must lie in one of these.
    #[must_use]
    pub fn covers(&self, others: &Self) -> bool {
        let within = |block: &IpNet| self.0.iter().any(|wider| wider.contains(block));
        others.0.iter().all(within)
    }

    /// The blocks; a single address has no prefix length.
    pub fn iter(&self) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .map(|block| match block.prefix_len() == block.max_prefix_len() {
                true => block.addr().to_string(),
                false => block.to_string(),
            })
    }
}

impl fmt::Debug for AddressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

/// A text is not a list of addresses and blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseAddressError(());

impl fmt::Display for ParseAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "must be 1 to {MAX_BLOCKS} addresses or CIDR blocks without bits behind the prefix"
        )
    }
}

impl Error for ParseAddressError {}

/// One block, as [`AddressList::new`] takes it.
pub(crate) fn parse(text: &str) -> Result<IpNet, ParseAddressError> {
    let refused = |_| ParseAddressError(());
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(address.to_canonical().into());
    }
    let block = IpNet::from_str(text).map_err(refused)?;
    // A block of mapped addresses is a block of IPv4 addresses in disguise, and would never match one.
    let mapped = matches!(block.addr(), IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    match block.addr() == block.network() && !mapped {
        true => Ok(block),
        false => Err(ParseAddressError(())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(blocks: &[&str]) -> AddressList {
        AddressList::new(blocks).expect("addresses")
    }

    fn at(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_and_is_not_a_list() {
        for bad in [
            &[][..],
            &[""],
            &["localhost"],
            &["192.0.2.0/33"],
            &["192.0.2.1/24"],
            &["192.0.2"],
            &["0300.0.2.1"],
            &["::ffff:192.0.2.0/120"],
            &["192.0.2.1:80"],
            &["192.0.2.1", "x"],
            &["192.0.2.1 "],
        ] {
            assert!(AddressList::new(bad).is_err(), "{bad:?}");
        }
        assert!(AddressList::new((0..101).map(|i| format!("10.0.0.{i}"))).is_err());
    }

    #[test]
    fn an_address_is_allowed_in_whatever_form_it_comes() {
        let listed = list(&["192.0.2.7", "198.51.100.0/24", "2001:db8::/32"]);
        for yes in ["192.0.2.7", "::ffff:192.0.2.7", "198.51.100.255", "2001:db8:1::1"] {
            assert!(listed.allows(at(yes)), "{yes}");
        }
        for no in ["192.0.2.8", "198.51.101.0", "2001:db9::1", "::c000:207"] {
            assert!(!listed.allows(at(no)), "{no}");
        }
        assert!(list(&["::ffff:192.0.2.7"]).allows(at("192.0.2.7")));
    }

    #[test]
    fn narrower_lists_are_covered_and_wider_ones_are_not() {
        let wide = list(&["198.51.100.0/24", "2001:db8::/32"]);
        assert!(wide.covers(&list(&["198.51.100.7", "198.51.100.128/25"])));
        assert!(wide.covers(&wide));
        assert!(!wide.covers(&list(&["198.51.100.0/23"])));
        assert!(!wide.covers(&list(&["198.51.100.7", "192.0.2.1"])));
        assert!(!wide.covers(&list(&["0.0.0.0/0"])));
    }

    #[test]
    fn the_stored_form_comes_back() {
        let listed = list(&["192.0.2.7", "10.0.0.0/8", "2001:db8::1"]);
        assert_eq!(AddressList::from_stored(&listed.to_stored()), Ok(listed));
    }
}
