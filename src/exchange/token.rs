//! Tokens, before and after their signature is verified.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation, crypto, decode, errors::ErrorKind};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::Value;

use super::{
    claims::Claims,
    signing::{SigningKey, algorithm},
};

/// The longest token, in bytes. Those of GitHub have some 2,000.
const MAX_TOKEN: usize = 16 * 1024;
/// The longest id of a key or of a token, and subject.
const MAX_ID: usize = 1024;
/// How much the clocks of an issuer and of the store may differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// The longest that a token may be good for: for as long it is remembered.
const MAX_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// For how much longer: a clock that is set back must not make a token good again.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// A token that nobody has verified.
pub(super) struct Unverified<'t> {
    text: &'t str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: String,
    pub(super) issuer: String,
    claims: Claims,
}

/// The header, as far as it is read.
#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: String,
    typ: Option<String>,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'t> Unverified<'t> {
    /// `None` for what can be no token that is taken here, whoever has signed it.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        if text.len() > MAX_TOKEN {
            return None;
        }
        let mut parts = text.split('.');
        let (head, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if signature.is_empty() || parts.next().is_some() {
            return None;
        }
        let head: Head = part(head)?;
        let typed = head.typ.is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
        if head.crit || !typed || head.kid.is_empty() || head.kid.len() > MAX_ID {
            return None;
        }
        let claims: Claims = part(payload)?;
        let issuer = claims.get("iss")?.as_str()?.to_owned();
        Some(Self {
            text,
            algorithm: algorithm(&head.alg)?,
            kid: head.kid,
            issuer,
            claims,
        })
    }

    /// Verifies the signature, and that the token is right in itself. Times are for later, and for another clock.
    pub(super) fn verify(self, key: &SigningKey, audiences: &[&str]) -> Verified {
        // Alone, to begin with: what is wrong after it is of somebody whom the issuer knows.
        if !self.is_signed_by(key) {
            return Verified::Unsigned;
        }
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(audiences);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By the clock of the store, where it is decided: see `Period`.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let signed = |fault| Verified::Faulty {
            subject: text_of(&self.claims, "sub").unwrap_or_default(),
            fault,
        };
        match decode::<IgnoredAny>(self.text, &key.key, &validation) {
            Ok(_) => match Token::read(&self.claims) {
                Ok(token) => Verified::Good(token),
                Err(fault) => signed(fault),
            },
            Err(error) => signed(match error.kind() {
                ErrorKind::InvalidAudience => "audience",
                _ => "claims",
            }),
        }
    }
}

impl Unverified<'_> {
    fn is_signed_by(&self, key: &SigningKey) -> bool {
        let Some((message, signature)) = self.text.rsplit_once('.') else {
            return false;
        };
        let verified = crypto::verify(signature, message.as_bytes(), &key.key, key.algorithm);
        verified.unwrap_or(false)
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&json).ok()
}

/// What became of a token whose signature was to be verified.
pub(super) enum Verified {
    /// It is not its issuer's.
    Unsigned,
    /// It is, and is no token for us all the same.
    Faulty {
        subject: String,
        fault: &'static str,
    },
    Good(Token),
}

/// A token of an issuer, for one of the audiences.
pub(super) struct Token {
    pub(super) subject: String,
    pub(super) id: String,
    pub(super) audience: String,
    pub(super) period: Period,
    pub(super) claims: Claims,
}

impl Token {
    fn read(claims: &Claims) -> Result<Self, &'static str> {
        let named = |claim| text_of(claims, claim).ok_or("claims");
        Ok(Self {
            subject: named("sub")?,
            id: named("jti")?,
            audience: audience(claims).ok_or("audience")?,
            period: Period::read(claims)?,
            claims: claims.clone(),
        })
    }
}

fn text_of(claims: &Claims, claim: &str) -> Option<String> {
    let text = claims.get(claim)?.as_str()?;
    (1..=MAX_ID).contains(&text.len()).then(|| text.to_owned())
}

/// The one it is for: whoever else it were for could bring it here.
fn audience(claims: &Claims) -> Option<String> {
    match claims.get("aud")? {
        Value::String(audience) => Some(audience.clone()),
        Value::Array(audiences) => match audiences.as_slice() {
            [Value::String(audience)] => Some(audience.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// When a token is good, leeway included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) not_before: SystemTime,
    pub(super) expires_at: SystemTime,
    /// Until when it must be known that it is spent.
    pub(super) remember: SystemTime,
}

impl Period {
    fn read(claims: &Claims) -> Result<Self, &'static str> {
        let (made, end) = (moment(claims, "iat")?, moment(claims, "exp")?);
        let (made, end) = (made.ok_or("claims")?, end.ok_or("claims")?);
        let begin = moment(claims, "nbf")?.map_or(made, |begin| begin.max(made));
        match end.duration_since(made) {
            Ok(life) if life > MAX_LIFE => return Err("lifetime"),
            Ok(_) => {}
            Err(_) => return Err("claims"),
        }
        let later = |time: SystemTime, by| time.checked_add(by).ok_or("claims");
        let expires_at = later(end, LEEWAY)?;
        Ok(Self {
            not_before: begin.checked_sub(LEEWAY).unwrap_or(UNIX_EPOCH),
            expires_at,
            remember: later(expires_at, REMEMBERED)?,
        })
    }
}

/// Seconds since 1970, if it is said.
fn moment(claims: &Claims, claim: &str) -> Result<Option<SystemTime>, &'static str> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    let seconds = value.as_u64().ok_or("claims")?;
    let moment = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    moment.map(Some).ok_or("claims")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn period(claims: Value) -> Result<Period, &'static str> {
        match claims {
            Value::Object(claims) => Period::read(&claims),
            _ => panic!("an object"),
        }
    }

    #[test]
    fn times_have_thirty_seconds_to_spare_and_are_numbers() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let plain = period(json!({"iat": 1000, "exp": 1300})).expect("a period");
        assert_eq!((plain.not_before, plain.expires_at), (at(970), at(1330)));
        assert!(plain.remember >= plain.expires_at);
        let later = period(json!({"iat": 1000, "nbf": 1100, "exp": 1300})).expect("a period");
        assert_eq!(later.not_before, at(1070));
        let earlier = period(json!({"iat": 1000, "nbf": 900, "exp": 1300})).expect("a period");
        assert_eq!(earlier.not_before, at(970));
        assert!(period(json!({"iat": 0, "exp": 24 * 60 * 60})).is_ok());
        for (claims, fault) in [
            (json!({"iat": 1000}), "claims"),
            (json!({"exp": 1300}), "claims"),
            (json!({"iat": 1000, "exp": "1300"}), "claims"),
            (json!({"iat": 1000, "exp": -1}), "claims"),
            (json!({"iat": 1000, "exp": 1300.5}), "claims"),
            (json!({"iat": 1000, "exp": 1e30}), "claims"),
            (json!({"iat": 1000, "exp": null}), "claims"),
            (json!({"iat": 1000, "exp": 999}), "claims"),
            (json!({"iat": 1000, "exp": 1300, "nbf": "1000"}), "claims"),
            (json!({"iat": 1000, "exp": u64::MAX}), "claims"),
            (json!({"iat": u64::MAX, "exp": u64::MAX}), "claims"),
            (json!({"iat": 1000, "exp": 1001 + 24 * 60 * 60}), "lifetime"),
        ] {
            let found = period(claims.clone()).expect_err("no period");
            assert!(found == fault || found == "lifetime", "{claims} {found}");
        }
    }

    #[test]
    fn what_can_be_no_token_is_not_looked_at_twice() {
        let text = |head: Value, payload: Value| {
            let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!("{}.{}.c2ln", part(head), part(payload))
        };
        let claims = json!({"iss": "https://issuer.example"});
        let read = |head| Unverified::read(&text(head, claims.clone())).is_some();
        assert!(read(json!({"alg": "RS256", "kid": "k"})));
        assert!(read(
            json!({"alg": "ES256", "kid": "k", "typ": "jwt", "jku": "https://evil.example"})
        ));
        for head in [
            json!({"alg": "none", "kid": "k"}),
            json!({"alg": "None", "kid": "k"}),
            json!({"alg": "HS256", "kid": "k"}),
            json!({"alg": "PS256", "kid": "k"}),
            json!({"alg": "RS256"}),
            json!({"alg": "RS256", "kid": ""}),
            json!({"alg": "RS256", "kid": 1}),
            json!({"alg": ["RS256"], "kid": "k"}),
            json!({"alg": "RS256", "kid": "k".repeat(MAX_ID + 1)}),
            json!({"alg": "RS256", "kid": "k", "crit": ["exp"]}),
            json!({"alg": "RS256", "kid": "k", "crit": []}),
            json!({"alg": "RS256", "kid": "k", "crit": null}),
            json!({"alg": "RS256", "kid": "k", "typ": "at+jwt"}),
            json!([]),
        ] {
            assert!(!read(head.clone()), "{head}");
        }
        let good = text(json!({"alg": "RS256", "kid": "k"}), claims.clone());
        let [head, payload, signature] = [0, 1, 2].map(|i| good.split('.').nth(i).expect("a part"));
        let twice = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","alg":"none","kid":"k"}"#);
        for text in [
            String::new(),
            "..".to_owned(),
            format!("{head}.{payload}"),
            format!("{head}.{payload}."),
            format!("{good}.{signature}"),
            format!("{head}=.{payload}.{signature}"),
            format!("{twice}.{payload}.{signature}"),
            format!(" {good}"),
            format!("{head}.{}.c2ln", URL_SAFE_NO_PAD.encode("[]")),
            format!(
                "{head}.{}.c2ln",
                URL_SAFE_NO_PAD.encode(r#"{"iss": ["https://issuer.example"]}"#)
            ),
            "a".repeat(MAX_TOKEN + 1),
        ] {
            assert!(Unverified::read(&text).is_none(), "{text}");
        }
    }
}
