//! The command line.

use std::{env, error::Error, fs::File, io::Read, path::PathBuf};

use clap::{Parser, ValueEnum};
use tower_api_key::{
    Preset,
    access::{AddressList, Grants, ParseAddressError, RateLimit, RateLimits},
    authn::StaticKey,
    exchange::TrustPolicies,
    key::Secret,
    limit::{RedisLimits, WhenAway},
    manage::Policy,
    router::GithubAlerts,
};

use crate::{Cause, database::Location, first_start::every_scope, sessions::Users};

const KEY_VARIABLE: &str = "API_KEY_EXTERNAL";

/// The longest file of trust policies, in bytes.
const MAX_TRUST: u64 = 256 * 1024;

/// A small issue tracker whose API is guarded by API keys.
///
/// An external key may also be given in the environment variable API_KEY_EXTERNAL. Every one that is given is good.
#[derive(Parser)]
#[command(name = "server")]
pub(crate) struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub(crate) listen: String,

    /// Where keys and issues are kept: `sqlite://PATH`, made when it is missing, `sqlite::memory:`, or `postgres://...`.
    #[arg(long, value_name = "URL", default_value = "sqlite://demo.db")]
    database_url: String,

    /// The external key. Other users of the machine can see it here: prefer a file or the environment.
    #[arg(long, value_name = "KEY", value_parser = secret, allow_hyphen_values = true)]
    api_key: Option<Secret>,

    /// A file that holds the external key and nothing else.
    #[arg(long, value_name = "PATH")]
    api_key_file: Option<PathBuf>,

    /// Somebody who may log in; may be repeated. Other users of the machine can see the password here: for trying things out only.
    #[arg(long = "user", value_name = "NAME:PASSWORD", value_parser = secret, allow_hyphen_values = true)]
    users: Vec<Secret>,

    /// How often each key may be used that has no limit of its own, such as 100/1m, or up to four limits with names, such as
    /// 'per-minute=100/1m;burst=20,per-day=5000/1d'; as often as it likes if not given.
    #[arg(long, value_name = "LIMITS")]
    pub(crate) rate_limit: Option<RateLimits>,

    /// The Redis server in which all servers that name it count how often keys are used, such as redis://127.0.0.1:6379; each for itself if not given.
    #[arg(long, value_name = "URL", value_parser = secret, allow_hyphen_values = true)]
    redis_url: Option<Secret>,

    /// While the Redis server is away: `count-here` has each server count for itself, `refuse` answers 503 to whoever is limited.
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value = "count-here",
        requires = "redis_url"
    )]
    limits_when_away: Away,

    /// How many keys that are not good may come from one address, such as 10/1m; more are refused until it has waited. As many as it likes if
    /// not given.
    #[arg(long, value_name = "N/PERIOD")]
    pub(crate) failure_limit: Option<RateLimit>,

    /// Where a proxy is: an address or a block such as 10.0.0.0/8, whose `X-Forwarded-For` and `Forwarded` say who the client is. May be repeated;
    /// nobody is believed if not given.
    #[arg(long = "trust-proxy", value_name = "CIDR", value_parser = block)]
    pub(crate) trusted_proxies: Vec<String>,

    /// A file of trust policies, by which tokens of workflows are exchanged for keys at /api/v1/token; nowhere if not given. See docs/oidc.example.toml.
    #[arg(long, value_name = "PATH")]
    oidc_config: Option<PathBuf>,

    /// The public keys of GitHub's alerts of leaked keys, which are then taken at /api/v1/leaks/github: https://api.github.com/meta/public_keys/secret_scanning, or
    /// for tests an http address of this machine; no alerts are taken if not given.
    #[arg(long, value_name = "URL")]
    github_alerts: Option<String>,

    /// Where to say what is counted, to Prometheus at `/metrics`; nowhere if not given. Whoever can connect can read it.
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics_listen: Option<String>,

    /// How many keys an owner may have at a time; as many as they like if not given.
    #[arg(long, value_name = "N")]
    max_keys_per_owner: Option<u64>,

    /// What is given up first when not everything can be had: `strict` answers a revocation once every server has applied it, `available`
    /// lets keys read on while the database is away.
    #[arg(long, value_enum, default_value = "balanced")]
    preset: Choice,
}

#[derive(Clone, Copy, ValueEnum)]
enum Choice {
    Strict,
    Balanced,
    Available,
}

#[derive(Clone, Copy, ValueEnum)]
enum Away {
    CountHere,
    Refuse,
}

impl Options {
    /// Checked here rather than by clap, which would repeat the URL, and so a password in it.
    pub(crate) fn location(&self) -> Result<Location<'_>, Cause> {
        let url = self.database_url.as_str();
        if url.starts_with("sqlite:") {
            Ok(Location::Sqlite(url))
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Ok(Location::Postgres(url))
        } else {
            Err("--database-url: neither sqlite://PATH nor sqlite::memory: nor postgres://...".into())
        }
    }

    pub(crate) fn preset(&self) -> Preset {
        match self.preset {
            Choice::Strict => Preset::Strict,
            Choice::Balanced => Preset::Balanced,
            Choice::Available => Preset::Available,
        }
    }

    /// Where servers count together. Checked here rather than by clap, which would repeat the URL, and so a password in it.
    pub(crate) fn shared_limits(&self) -> Result<Option<RedisLimits>, Cause> {
        let Some(url) = &self.redis_url else {
            return Ok(None);
        };
        let limits = RedisLimits::new(url.expose()).map_err(|error| format!("--redis-url {error}"))?;
        Ok(Some(limits.when_away(match self.limits_when_away {
            Away::CountHere => WhenAway::CountHere,
            Away::Refuse => WhenAway::Refuse,
        })))
    }

    /// What holds for the keys that callers make.
    pub(crate) fn policy(&self) -> Policy {
        match self.max_keys_per_owner {
            Some(most) => Policy::new().max_keys_per_owner(most),
            None => Policy::new(),
        }
    }

    /// For which tokens there are keys.
    pub(crate) fn trust(&self) -> Result<Option<TrustPolicies>, Cause> {
        let Some(path) = &self.oidc_config else {
            return Ok(None);
        };
        let told = |error: &dyn Error| format!("--oidc-config {}: {error}", path.display());
        let mut text = String::new();
        // A device without an end must not be read to it.
        let file = File::open(path).map(|file| file.take(MAX_TRUST + 1));
        let read = file.and_then(|mut file| file.read_to_string(&mut text));
        let length = read.map_err(|error| told(&error))? as u64;
        if length > MAX_TRUST {
            return Err(format!(
                "--oidc-config {}: it is more than {MAX_TRUST} bytes",
                path.display()
            )
            .into());
        }
        let policies = TrustPolicies::from_toml(&text).map_err(|error| told(&error))?;
        Ok(Some(policies))
    }

    /// Whose alerts of leaked keys are believed.
    pub(crate) fn alerts(&self) -> Result<Option<GithubAlerts>, Cause> {
        let Some(url) = &self.github_alerts else {
            return Ok(None);
        };
        let alerts = GithubAlerts::new().public_keys(url);
        let alerts = alerts.map_err(|error| format!("--github-alerts: {error}"))?;
        Ok(Some(match url.starts_with("http://") {
            // No other machine is reached like that.
            true => alerts.danger_allow_http_loopback(),
            false => alerts,
        }))
    }

    /// Who may log in. Checked here rather than by clap, which would repeat the password.
    pub(crate) fn users(&self) -> Result<Users, Cause> {
        Users::new(&self.users)
    }

    /// Whether they are fit to use, the builder says.
    pub(crate) fn static_keys(&self) -> Vec<StaticKey> {
        let flag = self.api_key.as_ref().map(|key| StaticKey::new(key.expose()));
        let file = self.api_key_file.as_ref().map(StaticKey::from_file);
        // A variable that is set but empty is a mistake to report, not a key that was not wanted.
        let variable = env::var_os(KEY_VARIABLE).map(|_| StaticKey::from_env(KEY_VARIABLE));
        let given = [flag, file, variable].into_iter().flatten();
        given
            .map(|key| key.grant(Grants::new(every_scope(), Default::default())))
            .collect()
    }
}

/// Before anything is opened, so that a mistake is all that comes of it.
fn block(text: &str) -> Result<String, ParseAddressError> {
    AddressList::new([text])?;
    Ok(text.to_owned())
}

/// Cannot fail, so that clap has no reason to repeat the key.
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}
