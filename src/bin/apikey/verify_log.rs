use clap::Args;
use serde_json::json;

use crate::{
    database::{Database, Missing},
    exit::{Failure, Reason},
    global::Global,
    output::Output,
};

/// Read the whole log, and say where it ends, or where it is broken.
///
/// Keep the hash of the end elsewhere: somebody who can rewrite the whole log can make it look whole.
#[derive(Args)]
pub(crate) struct VerifyLog {}

impl VerifyLog {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let database = Database::open(global, Missing::Fail).await?;
        let verified = database.keys()?.verify_log().await?;
        let answer = match verified {
            Ok(end) => {
                let object = json!({ "whole": true, "seq": end.seq, "hash": end.to_hex() });
                match output.json {
                    true => output.object(&object),
                    false => output.raw(format!("{} {}\n", end.seq, end.to_hex()).as_bytes()),
                }?;
                output.note(&format!("the log is whole, with {} events", end.seq));
                Ok(())
            }
            Err(broken) => {
                let object = json!({ "whole": false, "seq": broken.seq(), "missing": broken.is_missing() });
                if output.json {
                    output.object(&object)?;
                }
                let message = format!("the log is broken: {broken}");
                Err(Failure::new(Reason::LogBroken, message))
            }
        };
        database.close().await;
        answer
    }
}
