use std::collections::HashMap;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use serde::Deserialize;

const IDENTIFIER: HeaderName = HeaderName::from_static("github-public-key-identifier");
const SIGNATURE: HeaderName = HeaderName::from_static("github-public-key-signature");

/// A SHA-256 in hexadecimal, with room for something else.
const MAX_IDENTIFIER: usize = 128;
/// In base64. Two numbers of 32 bytes in DER take 72 bytes at most.
const MAX_SIGNATURE: usize = 128;
/// There are two or three.
const MAX_KEYS: usize = 64;

/// What a request says of its signature.
pub(super) struct Signature {
    pub(super) identifier: String,
    der: Vec<u8>,
}

impl Signature {
    /// `None` where there is none, or more than one, or it cannot be read.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let identifier = only(headers, &IDENTIFIER, MAX_IDENTIFIER)?;
        let der = BASE64_STANDARD
            .decode(only(headers, &SIGNATURE, MAX_SIGNATURE)?)
            .ok()?;
        Some(Self {
            identifier: identifier.to_owned(),
            der,
        })
    }
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName, most: usize) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let text = HeaderValue::to_str(value).ok()?;
    (1..=most).contains(&text.len()).then_some(text)
}

/// By which GitHub signs: SubjectPublicKeyInfo in DER, by their identifiers.
#[derive(Debug)]
pub(super) struct PublicKeys(HashMap<String, Vec<u8>>);

#[derive(Deserialize)]
struct Document {
    public_keys: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    key_identifier: String,
    key: String,
}

impl PublicKeys {
    /// `None` for what is no list of keys. One that cannot be read is as if it were not there.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(json).ok()?;
        let entries = document.public_keys.into_iter().take(MAX_KEYS);
        let read = entries.filter_map(|Entry { key_identifier, key }| {
            let key = SubjectPublicKeyInfoDer::from_pem_slice(key.as_bytes()).ok()?;
            Some((key_identifier, key.to_vec()))
        });
        Some(Self(read.collect()))
    }

    /// Whether there is one of this name. One that is not current may have signed what was long on the way.
    pub(super) fn has(&self, identifier: &str) -> bool {
        self.0.contains_key(identifier)
    }

    /// Whether the body was signed by the key that the signature names: ECDSA with the curve P-256 and SHA-256, whatever the key says it is.
    pub(super) fn verify(&self, signature: &Signature, body: &[u8]) -> bool {
        self.0.get(&signature.identifier).is_some_and(|key| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
                .verify(body, &signature.der)
                .is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer, PublicKeyX509Der},
        rand::SystemRandom,
        signature::{
            ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
            EcdsaSigningAlgorithm, KeyPair,
        },
    };

    use super::*;

    fn pair(algorithm: &'static EcdsaSigningAlgorithm) -> (EcdsaKeyPair, String) {
        let pair = EcdsaKeyPair::generate(algorithm).expect("a key");
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
        let body = BASE64_STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        (pair, pem)
    }

    fn signed(pair: &EcdsaKeyPair, identifier: &str, body: &[u8]) -> Signature {
        let der = pair.sign(&SystemRandom::new(), body).expect("signed");
        Signature {
            identifier: identifier.to_owned(),
            der: der.as_ref().to_vec(),
        }
    }

    #[test]
    fn only_what_was_signed_by_the_key_it_names_is_believed() {
        let (ours, pem) = pair(&ECDSA_P256_SHA256_ASN1_SIGNING);
        let (other, other_pem) = pair(&ECDSA_P256_SHA256_ASN1_SIGNING);
        let (long, long_pem) = pair(&ECDSA_P384_SHA384_ASN1_SIGNING);
        let document = serde_json::json!({"public_keys": [
            {"key_identifier": "a", "key": pem, "is_current": false},
            {"key_identifier": "b", "key": other_pem, "is_current": true},
            {"key_identifier": "long", "key": long_pem, "is_current": true},
            {"key_identifier": "broken", "key": "-----BEGIN PUBLIC KEY-----\nAAAA\n", "is_current": true},
        ]});
        let keys = PublicKeys::parse(document.to_string().as_bytes()).expect("keys");
        let body = b"[{\"token\":\"x\"}]";
        assert!(keys.verify(&signed(&ours, "a", body), body));
        assert!(keys.verify(&signed(&other, "b", body), body));
        for (signature, body) in [
            (signed(&ours, "b", body), &body[..]),
            (signed(&ours, "c", body), &body[..]),
            (signed(&ours, "a", body), &body[1..]),
            (signed(&ours, "a", b""), &body[..]),
            (signed(&long, "long", body), &body[..]),
            (signed(&ours, "broken", body), &body[..]),
        ] {
            assert!(!keys.verify(&signature, body), "{}", signature.identifier);
        }
        assert!(keys.has("a") && !keys.has("broken") && !keys.has("c"));
        for nonsense in [&b""[..], b"[]", b"{}", b"{\"public_keys\":1}"] {
            assert!(PublicKeys::parse(nonsense).is_none());
        }
    }

    #[test]
    fn a_signature_is_there_once_and_can_be_read() {
        let of = |fields: &[(&HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            Signature::of(&headers).is_some()
        };
        assert!(of(&[(&IDENTIFIER, "a"), (&SIGNATURE, "AAAA")]));
        assert!(!of(&[]) && !of(&[(&IDENTIFIER, "a")]) && !of(&[(&SIGNATURE, "AAAA")]));
        assert!(!of(&[
            (&IDENTIFIER, "a"),
            (&IDENTIFIER, "a"),
            (&SIGNATURE, "AAAA")
        ]));
        assert!(!of(&[
            (&IDENTIFIER, "a"),
            (&SIGNATURE, "AAAA"),
            (&SIGNATURE, "AAAA")
        ]));
        assert!(
            !of(&[(&IDENTIFIER, ""), (&SIGNATURE, "AAAA")]) && !of(&[(&IDENTIFIER, "a"), (&SIGNATURE, "-")])
        );
    }
}
