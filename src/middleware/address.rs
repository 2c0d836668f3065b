use std::net::IpAddr;

use http::Extensions;

use crate::budget::Household;

/// The address of the client, put into the request extensions by whoever knows it: the server's accept loop, or a layer of the
/// application's own.
///
/// Keys can be bound to addresses. Without this, and with the feature `axum`, the peer that `axum::extract::ConnectInfo<SocketAddr>` names is the
/// client. Where neither is there the address is not known, and a key that is bound to addresses is refused.
///
/// Whom a proxy speaks for is found out by [`Builder::trusted_proxies`](crate::Builder::trusted_proxies): inside of the layer this is then the client, and
/// not the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// Where a request comes from, as far as that is known.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<IpAddr> {
        match (extensions.get(), extensions.get()) {
            (Some(Self(address)), _) => Some(*address),
            (None, Some(NotKnown { .. })) => None,
            (None, None) => peer(extensions),
        }
    }
}

/// The request came through a proxy that is trusted, and whom it speaks for cannot be told: nothing else says who the client is, either.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotKnown {
    /// The last on the way back to the client that can be told.
    pub(super) behind: IpAddr,
}

/// Whose budget a request uses up, whether or not its client is known.
pub(crate) fn household(extensions: &Extensions) -> Household {
    let behind = || extensions.get().map(|NotKnown { behind }| *behind);
    ClientAddress::of(extensions).or_else(behind).into()
}

#[cfg(feature = "axum")]
fn peer(extensions: &Extensions) -> Option<IpAddr> {
    use std::net::SocketAddr;

    use axum::extract::ConnectInfo;

    let peer: &ConnectInfo<SocketAddr> = extensions.get()?;
    Some(peer.0.ip())
}

#[cfg(not(feature = "axum"))]
fn peer(_extensions: &Extensions) -> Option<IpAddr> {
    None
}
