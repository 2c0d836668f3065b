//! The first key: minted when the store is empty and there is no external key, since nobody could get in otherwise.

use std::io::{self, Write};

use tower_api_key::{
    access::{Grants, Resources, Scope, Scopes},
    manage::{Keys, NewKey},
};

use crate::Cause;

/// Every scope of the demo. By name: whoever holds them all can be shown what they hold.
pub(crate) static SCOPES: [Scope; 9] = [
    Scope::from_static("issues:read"),
    Scope::from_static("issues:write"),
    Scope::from_static("agents:run"),
    Scope::from_static("topics:read"),
    Scope::from_static("topics:send"),
    Scope::from_static("keys:read"),
    Scope::from_static("keys:write"),
    Scope::from_static("keys:admin"),
    Scope::from_static("keys:introspect"),
];

pub(crate) fn every_scope() -> Scopes {
    SCOPES.iter().cloned().map(Into::into).collect()
}

/// What keys may go on to do while the database is away, if they may do anything.
pub(crate) fn reading() -> Scopes {
    let reading = SCOPES.iter().filter(|scope| scope.as_str().ends_with(":read"));
    reading.cloned().map(Into::into).collect()
}

/// Mints the administrator's key and prints it, this once.
pub(crate) async fn mint(keys: &Keys, base: &str) -> Result<(), Cause> {
    let grants = Grants::new(every_scope(), Resources::unbound());
    let new = NewKey::new("admin")
        .name("first administrator key")
        .grants(grants);
    let issued = keys.issue(new).await?;
    introduce(issued.key.expose(), base)?;
    Ok(())
}

/// Where there are keys already none is made; but whoever has lost theirs can make another. In the log: what is printed is read by programs.
pub(crate) fn remind() {
    tracing::info!(
        "There are keys already; to make another: cargo run --features cli --bin apikey -- --database-url URL mint --owner admin \
         --scope 'keys:*' --scope 'issues:*'"
    );
}

fn introduce(key: &str, base: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(
        stdout,
        "There are no keys yet. This is the administrator's, and it will not be shown again:

  export KEY={key}

Things to try:

  curl -i -H \"Authorization: Bearer $KEY\" {base}/api/v1/whoami
  curl -i -H \"X-Key: $KEY\" -H 'Content-Type: application/json' -d '{{\"title\":\"It works\"}}' {base}/api/v1/issues
  curl -i -H \"X-Key: $KEY\" '{base}/api/v1/issues?status=open&limit=10'
  curl -i -H \"X-Key: $KEY\" -H 'Content-Type: application/json' -d '{{\"name\":\"ci\",\"scopes\":[\"issues:read\"]}}' {base}/api/v1/keys
  curl -i -H \"X-Key: $KEY\" {base}/api/v1/keys
  curl -i -H \"X-Key: $KEY\" {base}/api/v1/keys/events
  curl -i {base}/api/v1/greeting
  curl -i -H \"X-Key: $KEY\" -d token=\"$KEY\" {base}/api/v1/introspect
  curl -i {base}/openapi.json

A key is rotated by POST to {base}/api/v1/keys/ID/rotate, and revoked by DELETE of {base}/api/v1/keys/ID. Started with --user NAME:PASSWORD,
users log in by a form with user and password to {base}/login, and manage their keys in a browser at {base}/keys.
"
    )?;
    stdout.flush()
}
