use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tower_api_key::manage::{ImportOutcome, ImportedKey, Keys, ManageError, ManageErrorKind};

use crate::{
    database::{Database, Missing},
    exit::{Failure, Reason},
    global::Global,
    output::Output,
};

mod csv;
mod digest;
mod jsonl;
mod line;

use line::{BadLine, Line};

/// How many keys one transaction takes: whatever ends the command leaves a whole number of these.
const BATCH: usize = 500;

/// Take over keys of another system, of which the SHA-256 is known.
///
/// CSV with a line of column names, or one JSON object a line, with: digest, owner, name, scopes, resources, expires_at, created_at,
/// prefix. What is there already is left as it is, so the same file may be imported again after an interruption. A line that cannot be
/// meant stops the import: the keys of the lines before it, in whole transactions of 500, are there.
#[derive(Args)]
pub(crate) struct Import {
    /// The file, or - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// How it is written. Told from the extension (.csv, .jsonl, .ndjson) if not given.
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Read and check everything, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Jsonl,
}

impl Import {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let format = self.format()?;
        let (reader, length) = self.open()?;
        let missing = if self.dry_run {
            Missing::Fail
        } else {
            Missing::Create
        };
        let database = Database::open(global, missing).await?;
        let keys = database.keys()?;

        let progress = progress(length, output);
        let reader = progress.wrap_read(reader);
        let lines: Box<dyn Iterator<Item = Result<Line, BadLine>>> = match format {
            Format::Csv => Box::new(csv::lines(reader)?),
            Format::Jsonl => Box::new(jsonl::lines(reader)),
        };
        let mut tally = Tally::default();
        let result = take_in(&keys, lines, self.dry_run, &mut tally).await;
        progress.finish_and_clear();
        // Also after a failure: what is in is in.
        let (verb, did) = if self.dry_run {
            ("would be", "")
        } else {
            ("were", "now ")
        };
        let Tally { imported, skipped } = tally;
        output.note(&format!(
            "{imported} keys {verb} {did}imported; {skipped} were there already"
        ));
        database.close().await;
        result?;
        if output.json {
            output.object(&json!({ "imported": imported, "skipped": skipped, "dry_run": self.dry_run }))?;
        }
        Ok(())
    }

    fn format(&self) -> Result<Format, Failure> {
        let extension = self.file.extension().and_then(|extension| extension.to_str());
        match (self.format, extension) {
            (Some(format), _) => Ok(format),
            (None, Some("csv")) => Ok(Format::Csv),
            (None, Some("jsonl" | "ndjson")) => Ok(Format::Jsonl),
            (None, _) => Err(Failure::usage(
                "how is it written? Give --format csv or --format jsonl",
            )),
        }
    }

    /// With its length, where that is known.
    fn open(&self) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
        if self.file.as_os_str() == "-" {
            return Ok((Box::new(io::stdin()), None));
        }
        let file = File::open(&self.file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::new(Reason::NotFound, "there is no such file to import"),
            _ => Failure::new(Reason::Failed, format!("the file to import: {error}")),
        })?;
        let length = file
            .metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map(|file| file.len());
        Ok((Box::new(file), length))
    }
}

#[derive(Default)]
struct Tally {
    imported: usize,
    skipped: usize,
}

async fn take_in(
    keys: &Keys,
    mut lines: impl Iterator<Item = Result<Line, BadLine>>,
    dry_run: bool,
    tally: &mut Tally,
) -> Result<(), Failure> {
    loop {
        let mut numbers = Vec::with_capacity(BATCH);
        let mut batch = Vec::with_capacity(BATCH);
        for line in lines.by_ref().take(BATCH) {
            let line = line?;
            numbers.push(line.number);
            batch.push(line.into_key()?);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let size = batch.len();
        // The library checks names, and tells of none which line it is on.
        let spare = batch.clone();
        let skipped = if dry_run {
            keys.known_among(batch).await
        } else {
            let outcomes = keys.import(batch).await;
            outcomes.map(|outcomes| {
                outcomes
                    .iter()
                    .filter(|outcome| **outcome == ImportOutcome::Known)
                    .count()
            })
        };
        let skipped = match skipped {
            Ok(skipped) => skipped,
            Err(error) => return Err(blame(keys, &numbers, spare, error).await),
        };
        tally.imported += size - skipped;
        tally.skipped += skipped;
    }
}

/// Finds the line of a batch that the library refused.
async fn blame(keys: &Keys, numbers: &[u64], batch: Vec<ImportedKey>, error: ManageError) -> Failure {
    if matches!(error.kind(), ManageErrorKind::Invalid(_)) {
        for (number, key) in numbers.iter().zip(batch) {
            if let Err(error) = keys.known_among(vec![key]).await
                && let ManageErrorKind::Invalid(invalid) = error.kind()
            {
                return BadLine::new(*number, invalid.field, invalid.message).into();
            }
        }
    }
    error.into()
}

/// On a terminal only, and not where a program listens.
fn progress(length: Option<u64>, output: &Output) -> ProgressBar {
    if output.json || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    match length {
        Some(length) => {
            let style = ProgressStyle::with_template("{bar:40} {percent}% {eta} left");
            let bar = ProgressBar::new(length);
            match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        }
        None => ProgressBar::new_spinner(),
    }
}
