use clap::Args;
use serde_json::json;
use tower_api_key::key::scanning_pattern;

use crate::{exit::Failure, output::Output};

/// Write the regular expression that finds keys in other texts: what programs of secret scanning are to look for.
#[derive(Args)]
pub(crate) struct Pattern {
    /// What the keys of the servers begin with.
    #[arg(long, value_name = "PREFIX", default_value = "ak")]
    prefix: String,
}

impl Pattern {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let pattern = scanning_pattern(&self.prefix).map_err(|error| Failure::usage(error.to_string()))?;
        match output.json {
            true => output.object(&json!({ "pattern": pattern })),
            false => output.raw(format!("{pattern}\n").as_bytes()),
        }
    }
}
