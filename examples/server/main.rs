//! The demo server: a small issue tracker whose API is guarded by API keys.
//!
//! ```sh
//! cargo run --example server --all-features -- --help
//! ```
//!
//! Start reading in `app.rs`, which is what an application writes; the other files are what any server needs.

mod app;
mod database;
mod first_start;
mod issues;
mod json;
mod linger;
mod logging;
mod metrics;
mod openapi;
mod options;
mod page;
mod problem;
mod serve;
mod sessions;
mod topics;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use tokio::{net::TcpListener, sync::watch, time::timeout};

use self::{
    database::{Database, TIMEOUT},
    issues::Issues,
    options::Options,
    topics::Topics,
};

/// For each of the two. Beside the time that `serve` gives to requests in flight, this keeps the whole of a shutdown under five seconds.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(800);

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    logging::init();
    match run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run(options: &Options) -> Result<(), Failure> {
    let location = options.location().map_err(Failure::Config)?;
    let shared_limits = options.shared_limits().map_err(Failure::Config)?;
    // Before anything that counts is built.
    if let Some(address) = &options.metrics_listen {
        let counted = metrics::install().map_err(Failure::start)?;
        metrics::serve(address, counted).await.map_err(Failure::start)?;
    }
    let users = options.users().map_err(Failure::Config)?;
    let trust = options.trust().map_err(Failure::Config)?;
    let alerts = options.alerts().map_err(Failure::Config)?;
    let database = Database::open(location).await.map_err(Failure::Start)?;
    let external = options.static_keys();
    let has_external = !external.is_empty();
    let mut builder = database
        .auth()
        .static_keys(external)
        .lookup_timeout(TIMEOUT)
        .policy(options.policy())
        .preset(options.preset())
        .stale_scopes(first_start::reading())
        .trusted_proxies(&options.trusted_proxies)
        .on_notice(logging::noticed);
    if let Some(rate) = options.rate_limit.clone() {
        builder = builder.rate_limit(rate);
    }
    if let Some(rate) = options.failure_limit {
        builder = builder.failure_limit(rate);
    }
    if let Some(limits) = shared_limits {
        builder = builder.shared_limits(limits);
    }
    if !users.is_empty() {
        builder = builder.fallback(sessions::recognise);
    }
    let auth = builder.build().map_err(|error| Failure::Config(error.into()))?;
    let keys = auth
        .keys()
        .ok_or("there is no store")
        .map_err(Failure::start)?
        .clone();
    let exchange = trust.map(|policies| auth.token_router(policies)).transpose();
    let exchange = exchange.map_err(|error| Failure::Config(error.into()))?;
    let issues = Issues::open(database.pool()).await.map_err(Failure::start)?;
    // Before anything runs that has something to say, so that a mistake is all that is said.
    let listener = TcpListener::bind(&options.listen).await;
    let listener = listener.map_err(|error| Failure::Start(format!("{}: {error}", options.listen).into()))?;
    let base = format!("http://{}", listener.local_addr().map_err(Failure::start)?);
    let stopping = watch::Sender::new(());
    let topics = Topics::new(stopping.clone());
    let app = logging::logged(app::app(
        auth.clone(),
        exchange,
        alerts,
        keys.clone(),
        issues,
        topics,
        users,
    ));

    let stop = serve::stop_signal().map_err(Failure::start)?;
    if !has_external {
        match keys.is_empty().await.map_err(Failure::start)? {
            true => first_start::mint(&keys, &base).await.map_err(Failure::Start)?,
            false => first_start::remind(),
        }
    }
    announce(&base).map_err(Failure::start)?;

    serve::serve(listener, app, stopping, stop).await;
    // When keys were last used is not lost.
    if timeout(CLOSE_TIMEOUT, auth.close()).await.is_err() {
        tracing::warn!("some last uses of keys may not be written down");
    }
    if timeout(CLOSE_TIMEOUT, database.close()).await.is_err() {
        tracing::warn!("the database was still busy");
    }
    Ok(())
}

fn announce(base: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {base}")?;
    stdout.flush()
}

type Cause = Box<dyn Error + Send + Sync>;

/// Why the server did not start.
enum Failure {
    /// What it was told cannot be meant.
    Config(Cause),
    /// Something it needs is not there.
    Start(Cause),
}

impl Failure {
    fn start(cause: impl Into<Cause>) -> Self {
        Self::Start(cause.into())
    }

    fn report(self) -> ExitCode {
        let (cause, status) = match self {
            Self::Config(cause) => (cause, 2),
            Self::Start(cause) => (cause, 1),
        };
        let mut text = format!("error: {cause}");
        let mut source = cause.source();
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        // Nobody is left to tell when stderr is closed.
        let _ = writeln!(io::stderr(), "{text}");
        ExitCode::from(status)
    }
}
