use clap::Args;
use tower_api_key::{
    access::{AddressList, Credits, Grants, RateLimits, Resources, Scopes},
    manage::NewKey,
};

use crate::{
    database::{Database, Missing},
    exit::Failure,
    global::Global,
    output::Output,
    time::{Moment, moment, shown},
    which::object,
};

/// Mint a key. It is written to standard output, this once.
#[derive(Args)]
pub(crate) struct Mint {
    /// Whom the key acts for, in the application's own terms.
    #[arg(long)]
    owner: String,

    /// A name for people: at most 100 characters.
    #[arg(long, default_value = "")]
    name: String,

    /// What it may do, such as issues:read or issues:*; '*' alone is everything. May be repeated; without one it may do nothing.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,

    /// What it is bound to, such as agent:alpha. May be repeated; without one it is bound to nothing in particular.
    #[arg(long = "resource", value_name = "RESOURCE")]
    resources: Vec<String>,

    /// When it ends: a date such as 2027-01-31T00:00:00Z, or a period such as 90d. Without one it does not.
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    expires: Option<Moment>,

    /// From where it may be used: an address or a block such as 192.0.2.0/24. May be repeated; without one, from anywhere.
    #[arg(long = "allowed-ip", value_name = "ADDRESS")]
    allowed_ips: Vec<String>,

    /// How often it may be used, such as 100/1m, or 100/1m;burst=20, or per-minute=100/1m,per-day=5000/1d.
    #[arg(long, value_name = "N/PERIOD")]
    rate_limit: Option<RateLimits>,

    /// How many uses there are of it: 1000 once and for all, or 1000/30d for 1000 again every 30 days. Without it, as many as there are.
    #[arg(long, value_name = "N[/PERIOD]")]
    credits: Option<Credits>,

    /// What the key begins with: the prefix that the servers are set to.
    #[arg(long, default_value = "ak", env = "APIKEY_PREFIX", hide_env_values = true)]
    prefix: String,
}

impl Mint {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let Self {
            owner,
            name,
            scopes,
            resources,
            expires,
            allowed_ips,
            rate_limit,
            credits,
            prefix,
        } = self;
        if owner.trim().is_empty() {
            return Err(Failure::usage("--owner must not be empty"));
        }
        let grants = Grants::new(scopes_of(&scopes)?, resources_of(&resources)?);
        let mut new = NewKey::new(owner).name(name).grants(grants);
        if let Some(moment) = expires {
            let moment = moment.future();
            new = new.expires_at(moment.ok_or_else(|| Failure::usage("--expires must be in the future"))?);
        }
        if !allowed_ips.is_empty() {
            let addresses = AddressList::new(&allowed_ips);
            new =
                new.allowed_ips(addresses.map_err(|error| Failure::usage(format!("--allowed-ip: {error}")))?);
        }
        if let Some(rate) = rate_limit {
            new = new.rate_limit(rate);
        }
        if let Some(credits) = credits {
            new = new.credits(credits);
        }

        let database = Database::open(global, Missing::Create).await?;
        let keys = database.keys_with_prefix(Some(&prefix))?;
        let issued = keys.issue(new).await?;
        let record = &issued.record;
        // The key is written whatever becomes of this: it cannot be had again.
        let balances = keys.credits([record]).await.unwrap_or_default();
        output.secret(&issued.key, object(record, record.created_at, &balances))?;
        let end = record.expires_at.map_or("does not expire".to_owned(), |moment| {
            format!("expires {}", shown(moment))
        });
        output.note(&format!(
            "minted {} for {}; it {end}. The key is not shown again.",
            record.id, record.owner
        ));
        database.close().await;
        Ok(())
    }
}

/// `*` stands for everything only where it stands alone.
pub(crate) fn scopes_of(listed: &[String]) -> Result<Scopes, Failure> {
    match listed {
        [all] if all == "*" => Ok(Scopes::all()),
        listed => Scopes::new(listed).map_err(|error| Failure::usage(format!("--scope: {error}"))),
    }
}

fn resources_of(listed: &[String]) -> Result<Resources, Failure> {
    match listed {
        [] => Ok(Resources::unbound()),
        listed => Resources::only(listed).map_err(|error| Failure::usage(format!("--resource: {error}"))),
    }
}
