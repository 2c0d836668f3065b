//! Standard output and standard error: the one place that writes.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde_json::{Value, json};
use tower_api_key::key::Secret;

use crate::{
    exit::{Failure, Reason},
    text::{escaped, escaped_json},
};

pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// The answer for programs.
    pub(crate) fn object(&self, object: &Value) -> Result<(), Failure> {
        self.raw(format!("{}\n", escaped_json(&object.to_string())).as_bytes())
    }

    /// Bytes as they are; the caller has escaped them.
    #[expect(clippy::unused_self, reason = "whoever writes was given the output")]
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }

    /// A key in the clear, in the answer where that is an object, else alone on a line. If it cannot be written it is lost, so that must
    /// not pass for success, whoever closed the pipe.
    pub(crate) fn secret(&self, key: &Secret, mut object: Value) -> Result<(), Failure> {
        let written = if self.json {
            object["key"] = Value::String(key.expose().to_owned());
            self.object(&object)
        } else {
            self.raw(format!("{}\n", key.expose()).as_bytes())
        };
        written.map_err(|failure| {
            let id = object["id"].as_str().unwrap_or_default();
            let message = format!(
                "the key {id} was minted but could not be written ({}): revoke it",
                failure.message
            );
            Failure::new(Reason::Failed, message)
        })
    }

    /// For people only.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            tell(&escaped(text));
        }
    }

    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        let code = ExitCode::from(failure.reason as u8);
        if failure.reason == Reason::Closed {
            return code;
        }
        if self.json {
            let mut object = json!({ "error": failure.reason.word(), "message": failure.message });
            if !failure.candidates.is_empty() {
                object["candidates"] = Value::from(failure.candidates.clone());
            }
            tell(&escaped_json(&object.to_string()));
            return code;
        }
        tell(&format!("error: {}", escaped(&failure.message)));
        for candidate in &failure.candidates {
            let field = |name: &str| escaped(candidate[name].as_str().unwrap_or_default());
            tell(&format!(
                "  {}  {}  {}",
                field("id"),
                field("owner"),
                field("name")
            ));
        }
        code
    }
}

fn tell(line: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "{line}");
}
