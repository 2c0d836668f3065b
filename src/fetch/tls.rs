use std::{
    error::Error,
    fmt,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Whose certificates are believed. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Roots(Arc<OnceLock<Arc<ClientConfig>>>);

impl Roots {
    /// Those of the operating system, read when they are first needed: a few hundred files, perhaps.
    pub(crate) fn of_the_system() -> Self {
        static SYSTEM: OnceLock<Roots> = OnceLock::new();
        SYSTEM.get_or_init(|| Self(Arc::default())).clone()
    }

    /// Those of a text in PEM.
    ///
    /// # Errors
    ///
    /// When there is none in it, or one that cannot be read.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(RootsError::because)?;
            store.add(certificate).map_err(RootsError::because)?;
        }
        if store.is_empty() {
            return Err(RootsError(None));
        }
        Ok(Self(Arc::new(OnceLock::from(config(store)?))))
    }

    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, RootsError> {
        if let Some(config) = self.0.get() {
            return Ok(config.clone());
        }
        let mut store = RootCertStore::empty();
        // What cannot be read is as if it were not there: nobody is believed by it.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() {
            // Not kept: they may yet be installed.
            return Err(RootsError(None));
        }
        let config = config(store)?;
        Ok(self.0.get_or_init(|| config).clone())
    }
}

/// With a provider of its own, so that which one the process has chosen, if any, does not matter.
fn config(store: RootCertStore) -> Result<Arc<ClientConfig>, RootsError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(RootsError::because)?
        .with_root_certificates(store)
        .with_no_client_auth();
    // Who goes on with a session shows no certificate, and so the one of long ago would do for ever.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Roots")
    }
}

/// There is nobody to believe.
#[derive(Debug)]
pub(crate) struct RootsError(Option<Box<dyn Error + Send + Sync>>);

impl RootsError {
    fn because(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Some(cause.into()))
    }
}

impl fmt::Display for RootsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "a certificate cannot be read",
            None => "there is no certificate to verify others by",
        })
    }
}

impl Error for RootsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_deref().map(|cause| cause as _)
    }
}
