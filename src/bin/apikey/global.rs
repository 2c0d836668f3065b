//! What can be said to every command.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
pub(crate) struct Global {
    /// Where the keys are: sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE.
    ///
    /// Other users of the machine can see it on the command line: prefer the variable where it holds a password.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "APIKEY_DATABASE_URL",
        hide_env_values = true
    )]
    pub(crate) database_url: Option<String>,

    /// A file with the pepper that the servers mix into digests, if they do.
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "APIKEY_PEPPER_FILE",
        hide_env_values = true
    )]
    pub(crate) pepper_file: Option<PathBuf>,

    /// Answer with one JSON object, also to a failure, which then goes to standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}
