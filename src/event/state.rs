use std::{fmt::Write, time::SystemTime};

use crate::{
    clock::to_unix_ms,
    key::{CreditAccount, KeyId, KeyRecord},
};

/// What of a key can change, as a JSON object whose members are always in the same order. Dates are milliseconds since 1970.
pub(super) fn describe(key: &KeyRecord) -> String {
    let scopes = key.grants.granted_scopes();
    let mut json = String::with_capacity(256);
    json.push_str("{\"name\":");
    text(&mut json, &key.name);
    json.push_str(",\"scopes\":");
    match scopes.is_all() {
        true => json.push_str("\"*\""),
        false => list(&mut json, scopes.iter().map(ToString::to_string)),
    }
    json.push_str(",\"resources\":");
    match key.grants.resources().listed() {
        None => json.push_str("null"),
        Some(listed) => list(&mut json, listed.iter().map(ToString::to_string)),
    }
    json.push_str(",\"allowed_ips\":");
    match &key.allowed_ips {
        None => json.push_str("null"),
        Some(listed) => list(&mut json, listed.iter()),
    }
    json.push_str(",\"rate_limit\":");
    match &key.rate_limit {
        None => json.push_str("null"),
        Some(rate) => text(&mut json, &rate.to_string()),
    }
    // Not how many are left: that changes with every use.
    let _ = match &key.credits {
        None => write!(json, ",\"credits\":null"),
        Some(CreditAccount { id, limit }) => {
            write!(
                json,
                ",\"credits\":{{\"account\":\"{id}\",\"limit\":\"{limit}\"}}"
            )
        }
    };
    date(&mut json, "expires_at", key.expires_at);
    date(&mut json, "disabled_at", key.disabled_at);
    date(&mut json, "revoked_at", key.revoked_at);
    id(&mut json, "rotated_from", key.rotated_from);
    id(&mut json, "rotated_to", key.rotated_to);
    json.push('}');
    json
}

// Writing to a string cannot fail.
fn date(json: &mut String, name: &str, date: Option<SystemTime>) {
    let _ = match date {
        None => write!(json, ",\"{name}\":null"),
        Some(date) => write!(json, ",\"{name}\":{}", to_unix_ms(date)),
    };
}

fn id(json: &mut String, name: &str, id: Option<KeyId>) {
    let _ = match id {
        None => write!(json, ",\"{name}\":null"),
        Some(id) => write!(json, ",\"{name}\":\"{id}\""),
    };
}

fn list(json: &mut String, items: impl Iterator<Item = String>) {
    json.push('[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            json.push(',');
        }
        text(json, &item);
    }
    json.push(']');
}

/// A JSON string (RFC 8259, section 7), in ASCII: what is no letter of it is escaped, so that a log can be read anywhere.
fn text(json: &mut String, text: &str) {
    json.push('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => {
                json.push('\\');
                json.push(char::from(byte));
            }
            Ok(byte @ b' '..=b'~') => json.push(char::from(byte)),
            _ => {
                let _ = write!(json, "\\u{unit:04x}");
            }
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{access::Grants, key::KeyDigest};

    #[test]
    fn the_state_is_json_whatever_the_name_is() {
        let created = SystemTime::UNIX_EPOCH;
        let mut key = KeyRecord::new(KeyId::generate(), KeyDigest::of(b"k"), "alice", created);
        key.name = "a \"b\" \\ \n \0 \u{202e} \u{1f511} <script>".to_owned();
        key.grants = Grants::scopes(["issues:*", "a"]).expect("scopes");
        key.expires_at = Some(created + std::time::Duration::from_millis(1500));
        let state: serde_json::Value = serde_json::from_str(&describe(&key)).expect("JSON");
        assert_eq!(state["name"], key.name);
        assert_eq!(state["scopes"], serde_json::json!(["a", "issues:*"]));
        assert_eq!(state["resources"], serde_json::Value::Null);
        assert_eq!(state["expires_at"], 1500);
        assert_eq!(state["credits"], serde_json::Value::Null);
        let limit = "1000/30d".parse().expect("credits");
        key.credits = Some(CreditAccount::new(key.id, limit));
        let state: serde_json::Value = serde_json::from_str(&describe(&key)).expect("JSON");
        let account = serde_json::json!({"account": key.id.to_string(), "limit": "1000/30d"});
        assert_eq!(state["credits"], account);
        assert!(describe(&key).is_ascii());
    }
}
