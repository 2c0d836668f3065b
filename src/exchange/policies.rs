use std::{collections::BTreeSet, error::Error, fmt, fs};

use super::{
    file::{File, IssuerTable},
    issuer::Endpoints,
    policy::TrustPolicy,
};
use crate::fetch::{FetchError, Guarded, Roots, Target};

/// For which tokens of which issuers there are keys, and which: the first policy that matches counts.
///
/// The module has the [rules](super), and `docs/oidc.example.toml` a file with every field in it.
#[derive(Debug, Clone)]
pub struct TrustPolicies {
    pub(super) policies: Vec<TrustPolicy>,
    pub(super) issuers: Vec<Endpoints>,
}

impl TrustPolicies {
    /// Reads them from the text of a TOML file. Certificates that it names (`ca_file`) are read from where they are.
    ///
    /// # Errors
    ///
    /// [`PolicyError`], with everything that is wrong: a field that there is not, a policy that pins too little or gives too much, an issuer that may not be
    /// asked for its keys, a certificate that cannot be read.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        let file: File = toml::from_str(text).map_err(|error| PolicyError(vec![error.to_string()]))?;
        let mut complaints = Vec::new();
        let mut policies: Vec<TrustPolicy> = Vec::new();
        let mut names = BTreeSet::new();
        let mut used = BTreeSet::new();
        if file.policy.is_empty() {
            complaints.push("there is no [[policy]]: no token would be taken".to_owned());
        }
        for table in file.policy {
            let name = table.name.clone();
            if !names.insert(name.clone()) {
                complaints.push(format!("policy {name:?}: there are two of this name"));
            }
            used.insert(table.issuer().to_owned());
            match table.read() {
                Ok(policy) => policies.push(policy),
                Err(wrong) => {
                    complaints.extend(wrong.into_iter().map(|wrong| format!("policy {name:?}: {wrong}")));
                }
            }
        }
        let mut tables = file.issuer;
        let mut issuers = Vec::new();
        for url in used {
            let mut own: Vec<IssuerTable> = tables.extract_if(.., |table| table.url == url).collect();
            if own.len() > 1 {
                complaints.push(format!("issuer {url:?}: there are two of this url"));
            }
            match endpoints(&url, own.pop(), file.danger_allow_http_loopback) {
                Ok(endpoints) => issuers.push(endpoints),
                Err(wrong) => complaints.push(format!("issuer {url:?}: {wrong}")),
            }
        }
        let unused = tables.iter().map(|table| &table.url);
        complaints.extend(unused.map(|url| format!("issuer {url:?}: no policy is for it")));
        match complaints.is_empty() {
            true => Ok(Self { policies, issuers }),
            false => Err(PolicyError(complaints)),
        }
    }

    /// What the policies are called, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|policy| policy.name.as_str())
    }
}

/// Where the keys of an issuer are, and how they may be got.
fn endpoints(url: &str, table: Option<IssuerTable>, http_loopback: bool) -> Result<Endpoints, String> {
    let mut guarded = Guarded::new().danger_allow_http_loopback(http_loopback);
    let place = |url: &str, guarded: &Guarded| {
        let target = Target::parse(url)?;
        guarded.admits(&target)?;
        Ok::<_, FetchError>(target)
    };
    let mut jwks = None;
    if let Some(table) = table {
        guarded = guarded.allow_private(table.allow_private);
        if let Some(path) = &table.ca_file {
            let told = |error: &dyn Error| format!("ca_file {}: {}", path.display(), told(error));
            let pem = fs::read(path).map_err(|error| told(&error))?;
            guarded = guarded.trusting(Roots::from_pem(&pem).map_err(|error| told(&error))?);
        }
        let target = table.jwks_uri.map(|url| place(&url, &guarded)).transpose();
        jwks = target.map_err(|error| format!("jwks_uri: {}", told(&error)))?;
    }
    let target = place(url, &guarded).map_err(|error| told(&error))?;
    if target.has_query() {
        return Err("an issuer has no query".to_owned());
    }
    Ok(Endpoints {
        url: url.to_owned(),
        discovery: target.join("/.well-known/openid-configuration"),
        jwks,
        guarded,
    })
}

fn told(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Everything that is wrong with trust policies, a line each.
#[derive(Debug)]
pub struct PolicyError(Vec<String>);

impl PolicyError {
    /// What is wrong, one by one.
    pub fn complaints(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.join("\n").trim_end())
    }
}

impl Error for PolicyError {}
