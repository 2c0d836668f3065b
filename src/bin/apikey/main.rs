//! `apikey`: the keys of a store, from a shell. `docs/cli.md` is its manual.

mod cli;
mod completions;
mod database;
mod events;
mod exit;
mod global;
mod hash;
mod import;
mod list;
mod mint;
mod output;
mod pattern;
mod prune;
mod revoke;
mod rotate;
mod show;
mod switch;
mod table;
mod text;
mod time;
mod verify_log;
mod which;

use std::process::ExitCode;

use clap::Parser;

use crate::{cli::Cli, output::Output};

fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let output = Output::new(global.json);
    match command.run(&global, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.fail(&failure),
    }
}
