use std::{
    ffi::OsString,
    io::{self, BufRead, IsTerminal, Read},
};

use clap::Args;
use serde_json::json;
use tower_api_key::key::KeyDigest;
use zeroize::Zeroizing;

use crate::{
    exit::{Failure, Reason},
    output::Output,
};

/// The longest key that servers look at.
const MAX_LEN: usize = 512;

/// Read a key from standard input, and write the digest that configurations take in its place: sha256:HEX.
#[derive(Args)]
pub(crate) struct Hash {
    // Taken, so that clap does not repeat it as something unexpected, and refused.
    #[arg(hide = true, num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Hash {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        if !self.arguments.is_empty() {
            return Err(Failure::usage(
                "the key is read from standard input: on the command line it would stay in the history of the shell",
            ));
        }
        let stdin = io::stdin();
        if stdin.is_terminal() {
            output.note("the key, and Enter:");
        }
        // With room for what tells that it is too long; never grown, which would leave copies behind.
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LEN + 3));
        stdin
            .lock()
            .take(MAX_LEN as u64 + 3)
            .read_until(b'\n', &mut line)?;
        let key = line.strip_suffix(b"\n").unwrap_or(&line);
        let key = key.strip_suffix(b"\r").unwrap_or(key);
        if key.is_empty() || key.len() > MAX_LEN || !key.iter().all(u8::is_ascii_graphic) {
            return Err(Failure::new(
                Reason::BadInput,
                "a key is 1 to 512 visible ASCII characters, on one line",
            ));
        }
        let digest = format!("sha256:{}", KeyDigest::of(key).to_hex());
        match output.json {
            true => output.object(&json!({ "digest": digest })),
            false => output.raw(format!("{digest}\n").as_bytes()),
        }
    }
}
