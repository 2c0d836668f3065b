//! Keys that are in a table of the application's own already, of whatever format HTTP can carry: one async function finds them.
//!
//! ```sh
//! cargo run --example custom_resolver
//! add() { sqlite3 tokens.db "INSERT INTO tokens (token_sha256, user, scopes) \
//!     VALUES ('$(printf %s "$1" | sha256sum | cut -d' ' -f1)', '$2', '$3')"; }
//! TOKEN=$(openssl rand -hex 20) ADMIN=$(openssl rand -hex 20)
//! add "$TOKEN" alice issues:read; add "$ADMIN" root 'tokens:revoke issues:read'
//! curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/me                     # alice
//! curl -H "Authorization: Bearer $ADMIN" -X DELETE http://127.0.0.1:3000/tokens/1     # from here on,
//! curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/me                  # 401
//! ```
//!
//! Arguments: the address, `127.0.0.1:3000` if not given, and the file with the table, `tokens.db`.

use std::{env, error::Error};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get},
};
use sqlx::{Row, SqlitePool, sqlite::SqliteConnectOptions};
use tokio::net::TcpListener;
use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    authn::Unavailable,
    clock::from_unix_ms,
    key::KeyDigest,
    middleware::RequireScope,
    principal::{Identity, Principal},
};

/// What the application has had all along. Dates are milliseconds since 1970; hexadecimal digits are of either case.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS tokens (
    id           INTEGER PRIMARY KEY,
    token_sha256 TEXT NOT NULL UNIQUE COLLATE NOCASE,
    user         TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER
)";

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever started the program is to read it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let file = arguments.next().unwrap_or_else(|| "tokens.db".to_owned());
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await?;
    sqlx::query(TABLE).execute(&pool).await?;

    let tokens = pool.clone();
    let auth = ApiKeyAuth::resolver(move |digest| find(tokens.clone(), digest)).build()?;
    let app = Router::new()
        .route("/me", get(async |caller: Principal| caller.to_string()))
        .route(
            "/tokens/{id}",
            delete(revoke).route_layer(RequireScope::new("tokens:revoke")?),
        )
        .with_state((auth.clone(), pool))
        .layer(auth);

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // For brevity: it waits for ever for the headers of a request. The example `server` shows a server with a time limit.
    axum::serve(listener, app).await?;
    Ok(())
}

/// Whose token it is. Every `?` is a 503: what cannot be read is neither a good token nor a bad one.
async fn find(pool: SqlitePool, digest: KeyDigest) -> Result<Option<Identity>, Unavailable> {
    let found = sqlx::query("SELECT * FROM tokens WHERE token_sha256 = ?1")
        .bind(digest.to_hex())
        .fetch_optional(&pool)
        .await?;
    let Some(token) = found else { return Ok(None) };
    let mut identity = Identity::new(token.try_get::<String, _>("user")?)
        .key_id(token.try_get::<i64, _>("id")?)
        .grants(Grants::scopes(
            token.try_get::<&str, _>("scopes")?.split_whitespace(),
        )?);
    if let Some(expiry) = token.try_get("expires_at")? {
        let expiry = from_unix_ms(expiry).ok_or_else(|| Unavailable::new("tokens.expires_at is no date"))?;
        identity = identity.expires_at(expiry);
    }
    if token.try_get::<Option<i64>, _>("revoked_at")?.is_some() {
        identity = identity.revoked();
    }
    Ok(Some(identity))
}

/// Goes through `change`, so that the token is not taken from the cache afterwards.
async fn revoke(
    State((auth, pool)): State<(ApiKeyAuth, SqlitePool)>,
    Path(id): Path<i64>,
) -> Result<StatusCode, StatusCode> {
    let digest: Option<String> = sqlx::query_scalar("SELECT token_sha256 FROM tokens WHERE id = ?1")
        .bind(id)
        .fetch_optional(&pool)
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let digest = digest.ok_or(StatusCode::NOT_FOUND)?;
    let digest: KeyDigest = digest.parse().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let update = sqlx::query("UPDATE tokens SET revoked_at = unixepoch() * 1000 WHERE id = ?1").bind(id);
    auth.change(digest, async move { update.execute(&pool).await })
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(StatusCode::NO_CONTENT)
}
