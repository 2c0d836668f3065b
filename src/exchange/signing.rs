//! The keys of an issuer, and which algorithm each is for.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// More than any issuer has at a time.
const MAX_KEYS: usize = 100;

/// The algorithms that tokens are taken with. None that needs a secret is among them: a public key could be taken for one.
const ALLOWED: [(Algorithm, &str); 5] = [
    (Algorithm::RS256, "RS256"),
    (Algorithm::RS384, "RS384"),
    (Algorithm::RS512, "RS512"),
    (Algorithm::ES256, "ES256"),
    (Algorithm::ES384, "ES384"),
];

/// The algorithm of this name, if tokens are taken with it.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    let found = ALLOWED.iter().find(|(_, allowed)| *allowed == name);
    found.map(|(algorithm, _)| *algorithm)
}

/// A key, and the one algorithm it is for.
#[derive(Debug)]
pub(super) struct SigningKey {
    kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The keys of an issuer.
#[derive(Debug)]
pub(super) struct SigningKeys(Vec<SigningKey>);

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

impl SigningKeys {
    /// Reads a JWK set (RFC 7517), and leaves out what is not for verifying signatures with an algorithm that is taken.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let set: JwkSet = serde_json::from_slice(json)?;
        let keys = set.keys.into_iter().take(MAX_KEYS);
        Ok(Self(keys.filter_map(SigningKey::read).collect()))
    }

    /// Whether there is a key of this name.
    pub(super) fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid == kid)
    }

    /// The key of this name, if it is for this algorithm.
    pub(super) fn find(&self, kid: &str, algorithm: Algorithm) -> Option<&SigningKey> {
        self.0
            .iter()
            .find(|key| key.kid == kid && key.algorithm == algorithm)
    }
}

impl SigningKey {
    fn read(json: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(json).ok()?;
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let said = jwk.common.key_algorithm.map(Algorithm::try_from);
        let said = said.transpose().ok()?;
        let of_the_kind: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                &[Algorithm::ES256]
            }
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
                &[Algorithm::ES384]
            }
            _ => return None,
        };
        // A key that does not say is for the first of its kind.
        let algorithm = said.or(of_the_kind.first().copied())?;
        if !of_the_kind.contains(&algorithm) {
            return None;
        }
        Some(Self {
            key: DecodingKey::from_jwk(&jwk).ok()?,
            kid: jwk.common.key_id.filter(|kid| !kid.is_empty())?,
            algorithm,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_for_one_algorithm_and_for_signatures() {
        let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
        let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
        let ec = |more: Value| {
            let mut key = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k"});
            for (name, value) in more.as_object().expect("an object") {
                key[name] = value.clone();
            }
            SigningKey::read(key).map(|key| key.algorithm)
        };
        assert_eq!(ec(json!({})), Some(Algorithm::ES256));
        assert_eq!(ec(json!({"use": "sig", "alg": "ES256"})), Some(Algorithm::ES256));
        for other in [
            json!({"use": "enc"}),
            json!({"alg": "RS256"}),
            json!({"alg": "HS256"}),
            json!({"alg": "ES384"}),
            json!({"alg": "none"}),
            json!({"crv": "P-521"}),
            json!({"crv": "P-384", "alg": "ES256"}),
            json!({"kid": null}),
            json!({"kid": ""}),
        ] {
            assert_eq!(ec(other.clone()), None, "{other}");
        }
        let rsa = |alg: Value| {
            let key = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "k", "alg": alg});
            SigningKey::read(key).map(|key| key.algorithm)
        };
        assert_eq!(rsa(Value::Null), Some(Algorithm::RS256));
        assert_eq!(rsa(json!("RS512")), Some(Algorithm::RS512));
        for alg in ["HS256", "PS256", "ES256", "RSA-OAEP"] {
            assert_eq!(rsa(json!(alg)), None, "{alg}");
        }
        let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256"});
        assert!(SigningKey::read(secret).is_none());
    }

    #[test]
    fn what_is_not_understood_in_a_set_is_left_out() {
        let set = json!({"keys": [1, {"kty": "new"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "k"}]});
        let keys = SigningKeys::parse(set.to_string().as_bytes()).expect("a set");
        assert!(keys.has("k") && !keys.has(""));
        assert!(keys.find("k", Algorithm::RS256).is_some() && keys.find("k", Algorithm::HS256).is_none());
        for text in ["", "{}", "[]", r#"{"keys": 1}"#] {
            assert!(SigningKeys::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
