//! An authority of somebody's own, and what servers show by it.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    version::{TLS12, TLS13},
};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Several may have one name: it is the key that counts.
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, new_key()).expect("a certificate"))
    }

    /// Somebody to whom this one gave a certificate of a server, and who gives others by that.
    pub(crate) fn pretender(&self) -> Self {
        Self(CertifiedIssuer::signed_by(of_host("127.0.0.1"), new_key(), &self.0).expect("a certificate"))
    }

    /// For a file of certificates to trust.
    pub(crate) fn pem(&self) -> String {
        let certificate = BASE64.encode(self.0.der());
        format!("-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n")
    }

    /// What a server shows that is asked for by this name or address.
    pub(crate) fn server(&self, host: &str) -> Arc<ServerConfig> {
        self.server_but(host, |_| {})
    }

    /// With something about the certificate changed.
    pub(crate) fn server_but(
        &self,
        host: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Arc<ServerConfig> {
        self.server_of(host, change, &[&TLS13, &TLS12])
    }

    /// One that is somewhat old, as many are.
    pub(crate) fn server_of_tls_1_2(&self, host: &str) -> Arc<ServerConfig> {
        self.server_of(host, |_| {}, &[&TLS12])
    }

    fn server_of(
        &self,
        host: &str,
        change: impl FnOnce(&mut CertificateParams),
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let (mut params, key) = (of_host(host), new_key());
        change(&mut params);
        let leaf = params.signed_by(&key, &self.0).expect("a certificate");
        // With that of whoever gave it: what a client finds in between must not make it believe.
        showing(vec![leaf.der().clone(), self.0.der().clone()], &key, versions)
    }
}

/// A server that vouches for itself.
pub(crate) fn self_signed(host: &str) -> Arc<ServerConfig> {
    let key = new_key();
    let certificate = of_host(host).self_signed(&key).expect("a certificate");
    showing(vec![certificate.der().clone()], &key, &[&TLS13, &TLS12])
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn of_host(host: &str) -> CertificateParams {
    CertificateParams::new([host.to_owned()]).expect("a name or an address")
}

fn showing(
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPair,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.expect("a certificate and its key"))
}
