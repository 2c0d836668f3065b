//! Trust policies as a TOML file has them.

use std::{fmt, path::PathBuf, time::Duration};

use serde::Deserialize;
use toml::{Table, Value};

use super::{claims::Pin, pins, policy::TrustPolicy};
use crate::{
    access::{Grants, Scope},
    manage::check_name,
};

const DEFAULT_TTL: u64 = 900;
const MIN_TTL: u64 = 60;
const MAX_TTL: u64 = 3600;
/// Longer than any audience that is written by hand.
const MAX_AUDIENCE: usize = 512;
/// What a policy does not give: keys that make keys.
const WITHHELD: [Scope; 2] = [Scope::from_static("keys:write"), Scope::from_static("keys:admin")];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) danger_allow_http_loopback: bool,
    #[serde(default)]
    pub(super) policy: Vec<PolicyTable>,
    #[serde(default)]
    pub(super) issuer: Vec<IssuerTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyTable {
    pub(super) name: String,
    issuer: String,
    audience: String,
    scopes: Vec<String>,
    resources: Option<Vec<String>>,
    ttl_seconds: Option<u64>,
    owner: Option<String>,
    #[serde(default)]
    claims: Table,
}

/// How to reach an issuer, where that goes without saying no longer.
#[derive(Deserialize, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerTable {
    pub(super) url: String,
    pub(super) jwks_uri: Option<String>,
    #[serde(default)]
    pub(super) allow_private: bool,
    pub(super) ca_file: Option<PathBuf>,
}

impl PolicyTable {
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The policy, or everything that is wrong with it.
    pub(super) fn read(self) -> Result<TrustPolicy, Vec<String>> {
        let mut complaints = Vec::new();
        let owner = self.owner.unwrap_or_else(|| format!("oidc:{}", self.name));
        for (field, text) in [("name", &self.name), ("owner", &owner)] {
            if let Err(invalid) = check_name(text) {
                complaints.push(format!("{field} {}", invalid.message));
            }
        }
        let audience = &self.audience;
        if audience.trim().is_empty() || audience.len() > MAX_AUDIENCE || audience.contains('*') {
            complaints.push(format!(
                "audience must be 1 to {MAX_AUDIENCE} bytes, and matches to the letter"
            ));
        }
        let ttl = self.ttl_seconds.unwrap_or(DEFAULT_TTL);
        if !(MIN_TTL..=MAX_TTL).contains(&ttl) {
            complaints.push(format!("ttl_seconds must be from {MIN_TTL} to {MAX_TTL}"));
        }
        let grants = read_grants(&self.scopes, self.resources.as_deref())
            .map_err(|complaint| complaints.push(complaint));
        let mut pins = Vec::new();
        read_pins(&self.claims, &mut Vec::new(), &mut pins, &mut complaints);
        complaints.extend(pins::complaints(&self.issuer, &pins));
        match (grants, complaints.is_empty()) {
            (Ok(grants), true) => Ok(TrustPolicy {
                name: self.name,
                owner,
                issuer: self.issuer,
                audience: self.audience,
                pins,
                grants,
                lifetime: Duration::from_secs(ttl),
            }),
            _ => Err(complaints),
        }
    }
}

fn read_grants(scopes: &[String], resources: Option<&[String]>) -> Result<Grants, String> {
    let told = |error: &dyn fmt::Display, field| format!("{field}: {error}");
    let mut grants = Grants::scopes(scopes).map_err(|error| told(&error, "scopes"))?;
    if grants.granted_scopes().is_empty() {
        return Err("scopes must name at least one: without any the key may do nothing".to_owned());
    }
    for withheld in &WITHHELD {
        if grants.granted_scopes().contains(withheld) {
            return Err(format!(
                "scopes must not cover {withheld}: a key that is given for a token makes no other keys"
            ));
        }
    }
    match resources {
        None => {}
        Some([]) => {
            return Err("resources must name at least one, or be left out for not bound to any".to_owned());
        }
        Some(resources) => grants = grants.on(resources).map_err(|error| told(&error, "resources"))?,
    }
    Ok(grants)
}

/// One for each value, however deep.
fn read_pins(table: &Table, path: &mut Vec<String>, pins: &mut Vec<Pin>, complaints: &mut Vec<String>) {
    for (name, value) in table {
        path.push(name.clone());
        let value = match value {
            Value::String(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Boolean(truth) => Some(truth.to_string()),
            Value::Table(within) if !within.is_empty() => {
                read_pins(within, path, pins, complaints);
                None
            }
            _ => {
                complaints.push(format!(
                    "claims.{} must be a text, a whole number, true or false",
                    path.join(".")
                ));
                None
            }
        };
        pins.extend(value.map(|value| Pin {
            path: path.clone(),
            value,
        }));
        path.pop();
    }
}
