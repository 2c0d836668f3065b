//! Without axum: the same layers on any tower service, here behind hyper.
//!
//! ```sh
//! cargo run --example plain_tower --no-default-features       # prints two keys
//! curl -H "Authorization: Bearer $READER" http://127.0.0.1:3000/          # hello, reader
//! curl -i -H "Authorization: Bearer $GUEST" http://127.0.0.1:3000/        # 403: it has no scope
//! curl -i http://127.0.0.1:3000/                                          # 401
//! ```
//!
//! Argument: the address, `127.0.0.1:3000` if not given.

use std::{convert::Infallible, env, error::Error, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, time::sleep};
use tower::ServiceBuilder;
use tower_api_key::{
    ApiKeyAuth, access::Grants, manage::NewKey, middleware::RequireScope, principal::Principal,
    store::MemoryStore,
};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever started the program is to read it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());

    // Gone with the process; `SqliteStore` keeps them.
    let auth = ApiKeyAuth::builder(MemoryStore::new()?).build()?;
    let keys = auth.keys().ok_or("there is a store, so there are keys")?;
    let reader = NewKey::new("reader").grants(Grants::scopes(["greeting:read"])?);
    println!("export READER={}", keys.issue(reader).await?.key.expose());
    println!(
        "export GUEST={}",
        keys.issue(NewKey::new("guest")).await?.key.expose()
    );

    // From outside to inside: who is it, may they, then the application.
    let service = ServiceBuilder::new()
        .layer(auth)
        .layer(RequireScope::new("greeting:read")?)
        .service_fn(greet);
    let service = TowerToHyperService::new(service);

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: some connection will end.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let connection = http1::Builder::new()
            // Without it a caller who never finishes the headers stays for ever.
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(10))
            .serve_connection(TokioIo::new(stream), service.clone());
        // How a connection broke is of no interest here.
        tokio::spawn(async { drop(connection.await) });
    }
}

/// The layer has put the caller into the extensions of the request.
async fn greet(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    match request.extensions().get::<Principal>() {
        Some(caller) => Ok(Response::new(Full::from(format!("hello, {caller}\n")))),
        // Only a service without the layer comes here.
        None => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok(response)
        }
    }
}
