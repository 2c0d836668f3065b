use std::net::IpAddr;

use http::Extensions;

/// The address of the client, put into the request extensions by whoever knows it: the server's accept loop, or a layer that reads
/// the forwarding headers of a proxy it trusts.
///
/// Keys can be bound to addresses. Without this, and with the feature `axum`, the peer that `axum::extract::ConnectInfo<SocketAddr>` names is the
/// client. Where neither is there the address is not known, and a key that is bound to addresses is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// Where a request comes from, as far as that is known.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<IpAddr> {
        match extensions.get() {
            Some(Self(address)) => Some(*address),
            None => peer(extensions),
        }
    }
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
