//! What can be said on the command line.

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    completions::Completions,
    events::Events,
    exit::Failure,
    global::Global,
    hash::Hash,
    import::Import,
    list::List,
    mint::Mint,
    output::Output,
    pattern::Pattern,
    prune::Prune,
    revoke::Revoke,
    rotate::Rotate,
    show::Show,
    switch::{Disable, Enable},
    verify_log::VerifyLog,
};

/// Mints, lists, rotates, revokes and imports API keys, in the database that servers check them in.
///
/// A key in the clear is written to standard output, once, when it is minted; notes for people go to standard error. Servers that
/// are running are told of a change by the database, within half a second, and use nothing that they have cached while they cannot be told.
#[derive(Parser)]
#[command(name = "apikey", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it failed, for a reason that is none of these
  2  the command line cannot be meant
  3  there is no such key, file or database
  4  more than one key has an id that begins like this
  5  the key is not in a state in which this can be done
  6  the database cannot be reached, or cannot do it now
  7  the log is broken
  8  what was to be imported or hashed cannot be read";

#[derive(Subcommand)]
pub(crate) enum Command {
    Mint(Mint),
    List(List),
    Show(Show),
    Rotate(Rotate),
    Revoke(Revoke),
    Disable(Disable),
    Enable(Enable),
    Events(Events),
    VerifyLog(VerifyLog),
    Prune(Prune),
    Import(Import),
    Hash(Hash),
    Pattern(Pattern),
    Completions(Completions),
}

impl Command {
    pub(crate) fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            match self {
                Self::Mint(command) => command.run(global, output).await,
                Self::List(command) => command.run(global, output).await,
                Self::Show(command) => command.run(global, output).await,
                Self::Rotate(command) => command.run(global, output).await,
                Self::Revoke(command) => command.run(global, output).await,
                Self::Disable(command) => command.run(global, output).await,
                Self::Enable(command) => command.run(global, output).await,
                Self::Events(command) => command.run(global, output).await,
                Self::VerifyLog(command) => command.run(global, output).await,
                Self::Prune(command) => command.run(global, output).await,
                Self::Import(command) => command.run(global, output).await,
                Self::Hash(command) => command.run(output),
                Self::Pattern(command) => command.run(output),
                Self::Completions(command) => command.run(&mut Cli::command(), output),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_url_of_the_environment_is_not_shown() {
        let mut command = Cli::command();
        command.build();
        for argument in command
            .get_arguments()
            .filter(|argument| argument.get_env().is_some())
        {
            assert!(argument.is_hide_env_values_set(), "{}", argument.get_id());
        }
    }
}
