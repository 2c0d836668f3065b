//! The smallest server that is of use: keys in a SQLite file, a route that knows who is calling, and routes that ask for a scope.
//!
//! ```sh
//! cargo run --example first_key --features sqlite         # prints the first key, once
//! export KEY=ak_...
//! curl -H "Authorization: Bearer $KEY" http://127.0.0.1:3000/me               # alice
//! curl -H "X-Key: $KEY" http://127.0.0.1:3000/issues                          # 200: the key may read
//! curl -i -X POST -H "X-Key: $KEY" http://127.0.0.1:3000/issues               # 403: it may not write
//! curl -i http://127.0.0.1:3000/me                                            # 401
//! ```
//!
//! Arguments: the address, `127.0.0.1:3000` if not given, and the file of keys, `keys.db`.

use std::{env, error::Error};

use axum::{Router, routing::get};
use tokio::net::TcpListener;
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Requirement},
    extract::{Requires, Scoped},
    manage::NewKey,
    middleware::RequireScope,
    principal::Principal,
    store::SqliteStore,
};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever started the program is to read it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let file = arguments.next().unwrap_or_else(|| "keys.db".to_owned());
    let listener = TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);

    let auth = ApiKeyAuth::builder(SqliteStore::open(file).await?).build()?;
    let keys = auth.keys().ok_or("there is a store, so there are keys")?;
    if keys.is_empty().await? {
        let first = keys
            .issue(NewKey::new("alice").grants(Grants::scopes(["issues:read"])?))
            .await?;
        println!("The first key. It is not kept, so it cannot be shown again. Try it:");
        println!("curl -H 'Authorization: Bearer {}' {url}/me", first.key.expose());
    }

    let app = Router::new()
        .route("/me", get(async |caller: Principal| caller.to_string()))
        // A scope can be asked for by a layer on the route...
        .route(
            "/issues",
            get(list_issues)
                .route_layer(RequireScope::new("issues:read")?)
                .post(create_issue),
        )
        .layer(auth);

    println!("listening on {url}");
    // For brevity: it waits for ever for the headers of a request. The example `server` shows a server with a time limit.
    axum::serve(listener, app).await?;
    Ok(())
}

async fn list_issues() -> &'static str {
    "no issues yet"
}

/// ...or in the signature of the handler, which then cannot be called without it.
async fn create_issue(caller: Scoped<WriteIssues>) -> String {
    format!("created by {}", *caller)
}

struct WriteIssues;

impl Requires for WriteIssues {
    const REQUIREMENT: Requirement = Requirement::all_of(&["issues:write"]);
}
