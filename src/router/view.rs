//! What is shown of a key, and of what happened to it.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    access::{AddressList, Grants, Scope, ScopePattern, Scopes},
    clock::to_unix_ms,
    event::{LoggedEvent, Receipt},
    key::KeyRecord,
    store::Balance,
};

/// A key. Its text is not in it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Key))]
pub(super) struct KeyView {
    id: String,
    /// A name for people.
    name: String,
    /// The first characters of the key.
    prefix: String,
    /// Whom the key acts for.
    owner: String,
    /// One of `active`, `expired`, `disabled`, `revoked`.
    status: &'static str,
    /// `null` where the key has every scope, and the application has not said which there are.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    scopes: Option<Vec<String>>,
    /// `null` for a key that is not bound to any.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    resources: Option<Vec<String>>,
    /// Addresses and CIDR blocks; `null` for anywhere.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    allowed_ips: Option<Vec<String>>,
    /// Such as `100/1m`; `null` for no limit of its own.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    rate_limit: Option<String>,
    /// What its uses are counted down from; `null` for as many as there are.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    credits: Option<CreditsView>,
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    created_at: String,
    /// The first moment at which the key is no longer good.
    #[cfg_attr(feature = "openapi", schema(required = true, format = DateTime))]
    expires_at: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required = true, format = DateTime))]
    disabled_at: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required = true, format = DateTime))]
    revoked_at: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required = true, format = DateTime))]
    last_used_at: Option<String>,
    /// The key that this one took over from.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    rotated_from: Option<String>,
    /// The key that took over from this one.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    rotated_to: Option<String>,
}

/// The uses of a key and of all that come of it, together.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Credits))]
pub(super) struct CreditsView {
    /// How many there are when all are there, and after how long they are there again, such as `1000` or `1000/30d`.
    limit: String,
    /// How many are left; `null` where a change was made and that could not be found out after it.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    left: Option<u32>,
}

/// Which processes have applied a revocation.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Receipt))]
pub(super) struct ReceiptView {
    /// How many said so.
    acked: u32,
    /// How many there were. Those that did not say so can use nothing cached any more.
    of: u32,
    /// How long it took, in milliseconds, until the last had said so or was given up.
    max_ms: u64,
}

impl From<Receipt> for ReceiptView {
    fn from(receipt: Receipt) -> Self {
        Self {
            acked: receipt.acked,
            of: receipt.of,
            max_ms: u64::try_from(receipt.took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// A new key. No other answer holds its text.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewKey))]
pub(super) struct IssuedView<'a> {
    /// The key, to be kept by whoever asked for it: it cannot be had again.
    pub(super) key: &'a str,
    #[serde(flatten)]
    pub(super) view: KeyView,
}

/// A page of keys, the newest first.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct KeyList {
    pub(super) data: Vec<KeyView>,
    /// Where the next page begins; `null` where there is none.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub(super) next_cursor: Option<String>,
}

/// Something that happened to a key, or was refused.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Event))]
pub(super) struct EventView {
    /// Its number in the log.
    seq: i64,
    /// One of `minted`, `imported`, `changed`, `disabled`, `enabled`, `rotated`, `revoked`, `pruned`, `refused`.
    kind: &'static str,
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    at: String,
    /// `null` where a request was refused that is about no key.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    key_id: Option<String>,
    /// The owner of the key.
    owner: String,
    actor: ActorView,
    /// From where.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    address: Option<String>,
    /// What the client, or a proxy, called the request in `x-request-id`.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    request_id: Option<String>,
    /// What was true of the key before.
    #[cfg_attr(feature = "openapi", schema(required = true, value_type = Option<Object>))]
    before: Option<Map<String, Value>>,
    /// What was true of it after.
    #[cfg_attr(feature = "openapi", schema(required = true, value_type = Option<Object>))]
    after: Option<Map<String, Value>>,
    /// What was refused, and why, such as `mint: exceeds-maker`; of a key that was given for a token, which token that was.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    reason: Option<String>,
}

/// Who did it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Actor))]
pub(super) struct ActorView {
    /// Such as `key`, `session`, `external`, `application`, `cli`, `token`.
    kind: String,
    owner: String,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    key_id: Option<String>,
}

/// A page of events, the newest first.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct EventList {
    pub(super) data: Vec<EventView>,
    /// Where the next page begins; `null` where there is none.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub(super) next_cursor: Option<String>,
}

impl KeyView {
    /// `known` are the scopes of the application, where it has told them; `balances` what is left in the accounts.
    pub(super) fn of(
        key: &KeyRecord,
        now: SystemTime,
        known: Option<&[Scope]>,
        balances: &[Balance],
    ) -> Self {
        let credits = key.credits.map(|account| {
            let balance = balances.iter().find(|balance| balance.account.id == account.id);
            CreditsView {
                limit: balance
                    .map_or(account, |balance| balance.account)
                    .limit
                    .to_string(),
                left: balance.map(|balance| balance.left),
            }
        });
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            prefix: key.prefix.clone(),
            owner: key.owner.clone(),
            status: key.status(now).as_str(),
            scopes: scopes(key.grants.granted_scopes(), known),
            resources: resources(&key.grants),
            allowed_ips: key
                .allowed_ips
                .as_ref()
                .map(|listed| AddressList::iter(listed).collect()),
            rate_limit: key.rate_limit.as_ref().map(ToString::to_string),
            credits,
            created_at: date(key.created_at),
            expires_at: key.expires_at.map(date),
            disabled_at: key.disabled_at.map(date),
            revoked_at: key.revoked_at.map(date),
            last_used_at: key.last_used_at.map(date),
            rotated_from: key.rotated_from.map(|id| id.to_string()),
            rotated_to: key.rotated_to.map(|id| id.to_string()),
        }
    }
}

impl EventView {
    pub(super) fn of(logged: LoggedEvent, known: Option<&[Scope]>) -> Self {
        let LoggedEvent { seq, event, .. } = logged;
        Self {
            seq,
            kind: event.kind.as_str(),
            at: date(event.at),
            key_id: event.key_id.map(|id| id.to_string()),
            owner: event.owner,
            actor: ActorView {
                kind: event.actor.kind,
                owner: event.actor.owner,
                key_id: event.actor.key_id,
            },
            address: event.actor.address.map(|address| address.to_string()),
            request_id: event.actor.request_id,
            before: event.before.and_then(|state| described(&state, known)),
            after: event.after.and_then(|state| described(&state, known)),
            reason: event.reason,
        }
    }
}

/// Patterns as the known scopes that they cover, so long as they cover one; everything as all there are, or as `None`.
fn scopes(granted: &Scopes, known: Option<&[Scope]>) -> Option<Vec<String>> {
    if granted.is_all() {
        return known.map(|known| known.iter().map(ToString::to_string).collect());
    }
    let known = known.unwrap_or_default();
    let mut shown = Vec::new();
    for pattern in granted.iter() {
        let covered = known.iter().filter(|scope| ScopePattern::covers(pattern, scope));
        let before = shown.len();
        shown.extend(covered.map(ToString::to_string));
        if shown.len() == before {
            shown.push(pattern.to_string());
        }
    }
    shown.sort_unstable();
    shown.dedup();
    Some(shown)
}

pub(super) fn resources(grants: &Grants) -> Option<Vec<String>> {
    let listed = grants.resources().listed()?;
    Some(listed.iter().map(ToString::to_string).collect())
}

/// Scopes with a space between, as programs read them (RFC 6749, section 3.3): no patterns, if the application has said which scopes there are.
pub(super) fn scope_tokens(granted: &Scopes, known: Option<&[Scope]>) -> Option<String> {
    let mut listed = scopes(granted, known)?;
    listed.retain(|scope| known.is_none() || !scope.ends_with('*'));
    Some(listed.join(" "))
}

/// RFC 3339 with milliseconds, in UTC.
fn date(moment: SystemTime) -> String {
    milliseconds(to_unix_ms(moment))
}

fn milliseconds(ms: i64) -> String {
    // Later than can be written is as good as never.
    let moment = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    format!("{moment:.3}")
}

/// The state of a key as the log has it, in the words of [`KeyView`].
fn described(state: &str, known: Option<&[Scope]>) -> Option<Map<String, Value>> {
    let mut state: Map<String, Value> = serde_json::from_str(state).ok()?;
    for (name, value) in &mut state {
        if let (true, Some(ms)) = (name.ends_with("_at"), value.as_i64()) {
            *value = milliseconds(ms).into();
        }
    }
    if let Some(listed) = state.get_mut("scopes") {
        let granted = match listed.as_array() {
            Some(listed) => Scopes::new(listed.iter().filter_map(Value::as_str)).ok(),
            None => listed.as_str().and_then(|all| Scopes::from_stored(all).ok()),
        };
        *listed = granted.and_then(|granted| scopes(&granted, known)).into();
    }
    Some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_that_stands_for_everything_is_shown() {
        let known = ["issues:read", "issues:write", "keys:read"].map(Scope::from_static);
        let shown = |granted: &Scopes, known| scopes(granted, known).map(|listed| listed.join(" "));
        let some = Scopes::new(["issues:*", "topics:*", "issues:read"]).expect("scopes");
        assert_eq!(shown(&Scopes::all(), None), None);
        assert_eq!(
            shown(&Scopes::all(), Some(&known)).as_deref(),
            Some("issues:read issues:write keys:read")
        );
        assert_eq!(
            shown(&some, None).as_deref(),
            Some("issues:* issues:read topics:*")
        );
        assert_eq!(
            shown(&some, Some(&known)).as_deref(),
            Some("issues:read issues:write topics:*")
        );
        assert_eq!(shown(&Scopes::none(), Some(&known)).as_deref(), Some(""));

        let state = r#"{"scopes":"*","expires_at":1500,"revoked_at":null}"#;
        let state = described(state, Some(&known)).expect("an object");
        assert_eq!(
            Value::from(state),
            serde_json::json!({
                "scopes": ["issues:read", "issues:write", "keys:read"],
                "expires_at": "1970-01-01T00:00:01.500Z",
                "revoked_at": null,
            })
        );
        assert_eq!(
            described(r#"{"scopes":"*"}"#, None).expect("an object")["scopes"],
            Value::Null
        );
    }

    #[test]
    fn a_date_has_milliseconds_and_is_in_utc() {
        assert_eq!(milliseconds(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(milliseconds(1_893_456_000_120), "2030-01-01T00:00:00.120Z");
        assert!(milliseconds(i64::MAX).starts_with("9999-12-30T"));
    }
}
