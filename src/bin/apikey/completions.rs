use clap::{Args, Command};
use clap_complete::Shell;

use crate::{exit::Failure, output::Output};

/// Write completions for a shell to standard output.
#[derive(Args)]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, command: &mut Command, output: &Output) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "apikey", &mut script);
        output.raw(&script)
    }
}
