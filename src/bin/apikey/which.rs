//! Which key is meant, and how a key is shown.

use std::time::SystemTime;

use serde_json::{Value, json};
use tower_api_key::{
    access::AddressList,
    key::{KeyId, KeyRecord},
    manage::Keys,
    store::{Balance, KeyQuery, StoredKey},
};

use crate::{
    exit::{Failure, Reason},
    time::shown,
};

/// How many of the keys that were perhaps meant are shown.
const CANDIDATES: usize = 10;

/// The key with this id, or with the only id that begins like this. What was given is never repeated: it may be a key.
pub(crate) async fn find(keys: &Keys, id: &str) -> Result<StoredKey, Failure> {
    let id = id.to_ascii_lowercase();
    if let Ok(id) = id.parse::<KeyId>() {
        return keys.get(id).await?.ok_or_else(Failure::no_such_key);
    }
    if id.is_empty() {
        // Else a variable that was not set would mean the only key there is.
        return Err(Failure::usage("the id is empty"));
    }
    if !id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Err(Failure::no_such_key());
    }
    let query = KeyQuery::newest(CANDIDATES as u32 + 1).id_prefix(id);
    let page = keys.list(&query).await?;
    match page.keys.as_slice() {
        [] => Err(Failure::no_such_key()),
        [one] => Ok(StoredKey::new(one.clone(), page.now)),
        several => {
            let more = if several.len() > CANDIDATES {
                ", the newest of which are"
            } else {
                ""
            };
            let message = format!("more than one key has an id that begins like this{more}:");
            let mut failure = Failure::new(Reason::Ambiguous, message);
            let shown = several.iter().take(CANDIDATES);
            failure.candidates = shown.map(|key| object(key, page.now, &[])).collect();
            Err(failure)
        }
    }
}

/// A key for programs. Neither the key in the clear nor its digest is in it. Without its balance, what is left of its uses is null.
pub(crate) fn object(key: &KeyRecord, now: SystemTime, balances: &[Balance]) -> Value {
    let scopes = key.grants.granted_scopes();
    let scopes: Vec<String> = match scopes.is_all() {
        true => vec!["*".to_owned()],
        false => scopes.iter().map(ToString::to_string).collect(),
    };
    let resources = key.grants.resources().listed();
    let resources: Option<Vec<String>> =
        resources.map(|listed| listed.iter().map(ToString::to_string).collect());
    let addresses = key.allowed_ips.as_ref().map(AddressList::iter);
    let credits = key.credits.map(|account| {
        let balance = balances.iter().find(|balance| balance.account.id == account.id);
        json!({ "limit": account.limit.to_string(), "left": balance.map(|balance| balance.left) })
    });
    let id = |id: Option<KeyId>| id.map(|id| id.to_string());
    json!({
        "id": key.id.to_string(),
        "prefix": key.prefix,
        "name": key.name,
        "owner": key.owner,
        "status": key.status(now).as_str(),
        "scopes": scopes,
        "resources": resources,
        "allowed_ips": addresses.map(Iterator::collect::<Vec<String>>),
        "rate_limit": key.rate_limit.as_ref().map(ToString::to_string),
        "credits": credits,
        "created_at": shown(key.created_at),
        "expires_at": key.expires_at.map(shown),
        "revoked_at": key.revoked_at.map(shown),
        "disabled_at": key.disabled_at.map(shown),
        "last_used_at": key.last_used_at.map(shown),
        "rotated_from": id(key.rotated_from),
        "rotated_to": id(key.rotated_to),
        "imported": key.imported,
        "version": key.version,
    })
}
