//! Whom a proxy speaks for: `X-Forwarded-For`, and `Forwarded` (RFC 7239).

use std::{error::Error, fmt, net::IpAddr};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header::FORWARDED};
use ipnet::IpNet;

use super::address::{ClientAddress, NotKnown};
use crate::access::{ParseAddressError, parse_block};

mod element;

mod node;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The peers whose forwarding headers count: blocks in order, none within another.
pub(crate) struct Proxies(Box<[IpNet]>);

/// Where a walk from proxy to proxy has led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Known(IpAddr),
    /// Behind this one, and further on nothing can be told.
    Behind(IpAddr),
}

impl Client {
    /// Tells everybody who looks at the request from here on.
    pub(super) fn tell(self, extensions: &mut Extensions) {
        match self {
            Self::Known(address) => drop(extensions.insert(ClientAddress(address))),
            Self::Behind(behind) => {
                extensions.remove::<ClientAddress>();
                extensions.insert(NotKnown { behind });
            }
        }
    }
}

impl Proxies {
    /// `None` where there are none: then there is nothing to do.
    pub(crate) fn new(blocks: &[String]) -> Result<Option<Self>, Vec<ProxyError>> {
        let (mut nets, mut errors) = (Vec::new(), Vec::new());
        for block in blocks {
            match parse_block(block) {
                Ok(net) => nets.push(net),
                Err(error) => errors.push(ProxyError {
                    block: block.clone(),
                    error,
                }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut nets = IpNet::aggregate(&nets);
        nets.sort_unstable();
        Ok((!nets.is_empty()).then(|| Self(nets.into())))
    }

    /// Who the client of a request is, where a proxy that is trusted says so. `None` where that is whom the request came from anyway.
    pub(super) fn client(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<Client> {
        let peer = ClientAddress::of(extensions)?.to_canonical();
        if !self.trusts(peer) {
            return None;
        }
        let lists = headers.contains_key(X_FORWARDED_FOR).then(|| {
            // The lines of a field are one list.
            let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
            let hops = lines
                .map(HeaderValue::as_bytes)
                .flat_map(|line| line.rsplit(|&byte| byte == b','));
            self.walk(peer, hops.map(node::parse))
        });
        let forwarded = headers.contains_key(FORWARDED).then(|| {
            let lines = headers.get_all(FORWARDED).iter().rev();
            let hops = lines.map(HeaderValue::as_bytes).flat_map(element::from_the_right);
            self.walk(peer, hops.map(|element| element::node(element?)))
        });
        match (lists, forwarded) {
            // A proxy that writes one of them hands the other on as the client wrote it, and which that is nobody here knows.
            (Some(one), Some(other)) if one != other => Some(Client::Behind(peer)),
            (one, other) => one.or(other),
        }
    }

    /// From the peer on to the client, for as long as those on the way are trusted. What is no address ends it.
    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> Client {
        let mut last = peer;
        for hop in hops {
            match hop {
                None => return Client::Behind(last),
                Some(address) if !self.trusts(address) => return Client::Known(address),
                Some(address) => last = address,
            }
        }
        Client::Known(last)
    }

    /// Asked for each hop of a list that may be as long as a head can be.
    fn trusts(&self, address: IpAddr) -> bool {
        let after = self.0.partition_point(|net| net.network() <= address);
        let before = after.checked_sub(1).and_then(|at| self.0.get(at));
        before.is_some_and(|net| net.contains(&address))
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

/// A trusted proxy is no address or block.
#[derive(Debug)]
pub(crate) struct ProxyError {
    block: String,
    error: ParseAddressError,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the trusted proxy {:?} is no address or CIDR block, or has bits behind its prefix",
            self.block
        )
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests;
