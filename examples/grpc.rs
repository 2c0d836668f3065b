//! gRPC with `tonic`: the same layer before its services, and a client that is told in gRPC's own words. The service is that of health checks, of which `Watch` is a stream that
//! ends with its key.
//!
//! ```sh
//! cargo run --example grpc                                    # prints two keys
//! cargo run --example grpc -- http://127.0.0.1:50051 $READER  # Serving, again and again
//! cargo run --example grpc -- http://127.0.0.1:50051 $GUEST   # PermissionDenied: it has no scope
//! cargo run --example grpc -- http://127.0.0.1:50051          # Unauthenticated
//! ```
//!
//! A line on the server's standard input revokes READER: the client that watches ends, with `Unauthenticated`.
//!
//! Argument: the address, `127.0.0.1:50051` if not given; or the URL of a server to watch, and a key.

use std::{env, error::Error, process::ExitCode, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    net::TcpListener,
    time::sleep,
};
use tonic::{
    Request, Status,
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};
use tower::ServiceBuilder;
use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    manage::NewKey,
    middleware::{AnyBody, GrpcStatus, RequireScope},
    store::MemoryStore,
};

#[tokio::main]
#[expect(clippy::print_stderr, reason = "whoever started the program is to read it")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let argument = env::args().nth(1);
    match argument {
        Some(url) if url.contains("://") => match watch(url, env::args().nth(2)).await? {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(status) => {
                eprintln!("{:?}: {}", status.code(), status.message());
                Ok(ExitCode::FAILURE)
            }
        },
        address => {
            serve(&address.unwrap_or_else(|| "127.0.0.1:50051".to_owned())).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[expect(clippy::print_stdout, reason = "whoever started the program is to read it")]
async fn serve(address: &str) -> Result<(), Box<dyn Error>> {
    // Gone with the process; `SqliteStore` keeps them.
    let auth = ApiKeyAuth::builder(MemoryStore::new()?).build()?;
    let keys = auth.keys().ok_or("there is a store, so there are keys")?.clone();
    let reader = NewKey::new("reader").grants(Grants::scopes(["health:read"])?);
    let reader = keys.issue(reader).await?;
    let guest = keys.issue(NewKey::new("guest")).await?;
    println!("export READER={}", reader.key.expose());
    println!("export GUEST={}", guest.key.expose());

    let (reporter, health) = health_reporter();
    // From outside to inside: say it as gRPC does, who is it, may they, and a body that a refusal can be put into.
    let layers = ServiceBuilder::new()
        .layer(GrpcStatus)
        .layer(auth)
        .layer(RequireScope::new("health:read")?)
        .layer(AnyBody);

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // Something to watch.
    tokio::spawn(async move {
        for status in [ServingStatus::NotServing, ServingStatus::Serving].iter().cycle() {
            sleep(Duration::from_secs(1)).await;
            reporter.set_service_status("", *status).await;
        }
    });
    tokio::spawn(async move {
        let line = BufReader::new(stdin()).lines().next_line().await;
        if let Ok(Some(_)) = line
            && let Err(error) = keys.revoke(reader.record.id).await
        {
            println!("READER could not be revoked: {error}");
        }
    });
    Server::builder()
        .layer(layers)
        .add_service(health)
        .serve_with_incoming(TcpIncoming::from(listener))
        .await?;
    Ok(())
}

/// Prints how the server is, until it says no more.
#[expect(clippy::print_stdout, reason = "whoever started the program is to read it")]
async fn watch(url: String, key: Option<String>) -> Result<Result<(), Status>, Box<dyn Error>> {
    let mut client = HealthClient::new(Endpoint::from_shared(url)?.connect().await?);
    let mut request = Request::new(HealthCheckRequest::default());
    if let Some(key) = key {
        let credential = format!("Bearer {key}").parse()?;
        request.metadata_mut().insert("authorization", credential);
    }
    let mut statuses = match client.watch(request).await {
        Ok(answer) => answer.into_inner(),
        Err(refused) => return Ok(Err(refused)),
    };
    loop {
        match statuses.message().await {
            Ok(Some(now)) => println!("{}", now.status().as_str_name()),
            Ok(None) => return Ok(Ok(())),
            Err(ended) => return Ok(Err(ended)),
        }
    }
}
