//! Keys of an issuer, and tokens that are signed with them, or are not.

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::AsDer,
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaPublicKeyComponents,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

pub(crate) enum Signer {
    Rsa(&'static str, RsaKeyPair),
    Ec(&'static str, EcdsaKeyPair),
}

fn rsa(kid: &'static str) -> Signer {
    Signer::Rsa(kid, RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))
}

/// The keys that issuers here have. Made once a process: it takes a while.
pub(crate) static RSA: LazyLock<Signer> = LazyLock::new(|| rsa("rsa-1"));
pub(crate) static NEXT: LazyLock<Signer> = LazyLock::new(|| rsa("rsa-2"));
pub(crate) static EC: LazyLock<Signer> = LazyLock::new(|| {
    Signer::Ec(
        "ec-1",
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"),
    )
});
/// One that calls itself as another is called.
pub(crate) static FORGER: LazyLock<Signer> = LazyLock::new(|| rsa("rsa-1"));

impl Signer {
    pub(crate) fn kid(&self) -> &'static str {
        match self {
            Self::Rsa(kid, _) | Self::Ec(kid, _) => kid,
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(..) => "RS256",
            Self::Ec(..) => "ES256",
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(_, key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .expect("signed");
                signature
            }
            Self::Ec(_, key) => key.sign(&random, message).expect("signed").as_ref().to_vec(),
        }
    }

    /// As its issuer publishes it.
    pub(crate) fn jwk(&self) -> Value {
        match self {
            Self::Rsa(kid, key) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
                json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
                    "n": BASE64.encode(public.n), "e": BASE64.encode(public.e)})
            }
            Self::Ec(kid, key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
                    "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..65])})
            }
        }
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": self.algorithm(), "kid": self.kid(), "typ": "JWT"})
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header(), claims)
    }

    /// With a header of one's own.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        format!("{message}.{}", BASE64.encode(self.sign(message.as_bytes())))
    }

    /// Signed with what everybody knows, as if it were a secret: the classic confusion of algorithms.
    pub(crate) fn confused(&self, claims: &Value) -> Vec<String> {
        let Self::Rsa(kid, key) = self else {
            panic!("a key of RSA")
        };
        let der = key.public_key().as_der().expect("a key");
        let components = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
        let jwk = self.jwk().to_string();
        let message = message(&json!({"alg": "HS256", "kid": kid, "typ": "JWT"}), claims);
        let secrets = [der.as_ref(), &components.n, jwk.as_bytes()];
        secrets
            .iter()
            .map(|secret| {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                let signature = hmac::sign(&key, message.as_bytes());
                format!("{message}.{}", BASE64.encode(signature.as_ref()))
            })
            .collect()
    }
}

pub(crate) fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}
