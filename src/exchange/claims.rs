use std::fmt;

use serde_json::{Map, Value};

/// The claims of a token.
pub(super) type Claims = Map<String, Value>;

/// What a policy says of one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    /// The name of the claim; of a claim within another, the names on the way to it.
    pub(super) path: Vec<String>,
    pub(super) value: String,
}

impl Pin {
    /// Whether it is about this claim, and not about one within it.
    pub(super) fn is_of(&self, claim: &str) -> bool {
        matches!(&*self.path, [name] if name == claim)
    }

    /// Whether the token has the claim, and it is the same text. Numbers and truth values are the text that JSON has for them: an issuer that quotes its ids
    /// and a policy that does not, or the other way round, mean the same.
    pub(super) fn matches(&self, claims: &Claims) -> bool {
        let (first, rest) = match self.path.split_first() {
            Some(path) => path,
            None => return false,
        };
        let found = rest
            .iter()
            .try_fold(claims.get(first), |value, name| Some(value?.get(name)))
            .flatten();
        match found {
            Some(Value::String(text)) => *text == self.value,
            Some(Value::Bool(truth)) => truth.to_string() == self.value,
            Some(Value::Number(number)) if !number.is_f64() => number.to_string() == self.value,
            // A list would have to be one of several, and which was meant nobody said.
            _ => false,
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path.join("."))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_the_same_text_or_it_does_not_match() {
        let claims = json!({
            "id": "1001", "number": 1001, "big": 18_446_744_073_709_551_615_u64, "float": 1001.0, "list": ["1001"], "truth": true, "nothing": null,
            "kubernetes.io": {"namespace": "prod", "serviceaccount": {"uid": "u-1"}},
        });
        let Value::Object(claims) = claims else {
            panic!("an object")
        };
        let pin = |path: &[&str], value: &str| Pin {
            path: path.iter().map(ToString::to_string).collect(),
            value: value.to_owned(),
        };
        for (path, value) in [
            (&["id"][..], "1001"),
            (&["number"], "1001"),
            (&["big"], "18446744073709551615"),
            (&["truth"], "true"),
            (&["kubernetes.io", "namespace"], "prod"),
            (&["kubernetes.io", "serviceaccount", "uid"], "u-1"),
        ] {
            assert!(pin(path, value).matches(&claims), "{path:?} {value}");
        }
        for (path, value) in [
            (&["id"][..], "01001"),
            (&["id"], "1001 "),
            (&["id"], ""),
            (&["ID"], "1001"),
            (&["number"], "1001.0"),
            (&["float"], "1001.0"),
            (&["float"], "1001"),
            (&["list"], "1001"),
            (&["truth"], "True"),
            (&["nothing"], "null"),
            (&["nothing"], ""),
            (&["kubernetes.io"], "prod"),
            (&["kubernetes.io.namespace"], "prod"),
            (&["kubernetes.io", "serviceaccount"], "u-1"),
            (&["id", "id"], "1001"),
            (&[], "1001"),
        ] {
            assert!(!pin(path, value).matches(&claims), "{path:?} {value}");
        }
    }
}
