//! A store in trouble is no wrong key, and no trouble for the external one.

use std::{fs, thread, time::Duration};

use serde_json::json;

use crate::{
    support::{
        http::{Response, json_request},
        server::{Server, Setup, X_EXTERNAL},
    },
    table::{INVALID, MISSING, REVOKED, UNAVAILABLE},
};

const SCOPES: [&str; 2] = ["issues:read", "issues:write"];

fn assert_well(server: &Server) {
    let well = server.get("/healthz", &[]);
    assert_eq!((well.status, well.json()), (200, json!({ "status": "ok" })));
    assert_eq!(well.header("cache-control"), Some("no-store"));
}

fn assert_unwell(server: &Server) {
    let unwell = server.get("/healthz", &[]);
    assert_eq!(
        (unwell.status, unwell.json()),
        (503, json!({ "status": "unavailable" }))
    );
    assert_eq!(unwell.header("cache-control"), Some("no-store"));
    assert!(unwell.header("retry-after").is_some(), "{unwell:?}");
}

fn whoami(server: &Server, field: &str) -> Response {
    server.get("/api/v1/whoami", &[field])
}

#[test]
fn while_the_table_is_gone_stored_keys_are_unavailable_and_everything_else_goes_on() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let stored = database.mint_scopes(&SCOPES);
    let forgotten = database.mint_and_forget();
    assert_well(&server);

    database.sql("ALTER TABLE api_keys RENAME TO gone".into());
    assert_unwell(&server);
    for key in [&stored, &forgotten] {
        for field in [
            key.bearer(),
            key.x_key(),
            format!("Authorization: ApiKey {}", key.key),
        ] {
            UNAVAILABLE.assert(&whoami(&server, &field));
            UNAVAILABLE.assert(&server.get("/api/v1/issues", &[&field]));
            UNAVAILABLE.assert(&server.get("/api/v1/greeting", &[&field]));
            let head = server.send("HEAD", "/api/v1/whoami", &[&field]);
            UNAVAILABLE.assert_head(&head);
        }
    }
    // These need no store.
    assert_eq!(whoami(&server, X_EXTERNAL).json()["kind"], "external");
    assert_eq!(
        server
            .send_json("POST", "/api/v1/issues", r#"{"title":"out"}"#)
            .status,
        201
    );
    assert_eq!(
        server.get("/api/v1/issues", &[X_EXTERNAL]).json()[0]["title"],
        "out"
    );
    assert_eq!(server.get("/api/v1/greeting", &[]).status, 200);
    MISSING.assert(&server.get("/api/v1/whoami", &[]));
    // Mistyped, as its check says. A text of another shape could be a key that was imported, and nobody can say.
    let mut mistyped = stored.bearer();
    let last = mistyped.pop();
    mistyped.push(if last == Some('x') { 'y' } else { 'x' });
    INVALID.assert(&whoami(&server, &mistyped));
    UNAVAILABLE.assert(&whoami(&server, "X-Key: gak_0123456789"));

    database.sql("ALTER TABLE gone RENAME TO api_keys".into());
    assert_well(&server);
    assert_eq!(whoami(&server, &stored.bearer()).status, 200);
    INVALID.assert(&whoami(&server, &forgotten.bearer()));
}

#[test]
fn a_row_that_cannot_be_read_is_an_outage_and_no_wrong_key() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    for spoiled in [
        "scopes = 'a\"b'",
        "resources = '*'",
        "created_at = -1",
        "expires_at = -1",
        "id = 'x' || id",
    ] {
        let stored = database.mint_scopes(&SCOPES);
        database.set(&stored, spoiled);
        UNAVAILABLE.assert(&whoami(&server, &stored.bearer()));
    }
    assert_well(&server);
}

#[test]
fn a_database_that_is_overwritten_is_an_outage_and_no_wrong_key() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let stored = setup.database().mint_scopes(&SCOPES);
    for name in ["demo.db", "demo.db-wal"] {
        let length = fs::metadata(setup.path(name)).expect("a file").len();
        let noise = vec![0xa5; usize::try_from(length).expect("a length")];
        fs::write(setup.path(name), noise).expect("overwritten");
    }
    UNAVAILABLE.assert(&whoami(&server, &stored.bearer()));
    assert_unwell(&server);
    assert_eq!(whoami(&server, X_EXTERNAL).status, 200);
    server.stop().assert_success();
}

#[test]
fn a_lookup_that_does_not_come_back_is_unavailable_and_holds_up_neither_the_others_nor_the_end() {
    const ENDLESS: &str = "ALTER TABLE api_keys RENAME TO kept; CREATE VIEW api_keys AS SELECT * FROM kept WHERE 0 < \
                           (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)";
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let stored = database.mint_scopes(&SCOPES);

    database.sql(ENDLESS.into());
    // Several at once are one look-up.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| UNAVAILABLE.assert(&whoami(&server, &stored.bearer())));
        }
        assert_eq!(whoami(&server, X_EXTERNAL).status, 200);
    });
    assert_unwell(&server);

    database.sql("DROP VIEW api_keys; ALTER TABLE kept RENAME TO api_keys".into());
    assert_eq!(whoami(&server, &stored.bearer()).status, 200);
    assert_well(&server);
    server.stop().assert_success();
}

#[test]
fn while_the_database_is_locked_keys_are_read_and_issues_are_not_written() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let stored = database.mint_scopes(&SCOPES);
    let request = json_request(
        "POST",
        "/api/v1/issues",
        &[&stored.bearer()],
        r#"{"title":"late"}"#,
    );

    let lock = database.lock();
    let refused = server.exchange(&request);
    refused.assert_problem(503, "unavailable");
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(server.get("/api/v1/issues", &[&stored.bearer()]).body, "[]");
    assert_well(&server);

    drop(lock);
    assert_eq!(server.exchange(&request).status, 201);
}

#[test]
fn a_revoke_by_another_process_counts_once_the_cache_has_forgotten() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let stored = database.mint_scopes(&SCOPES);
    assert_eq!(whoami(&server, &stored.bearer()).status, 200);

    database.revoke(&stored);
    let refused = loop {
        let answer = whoami(&server, &stored.bearer());
        if answer.status != 200 {
            break answer;
        }
        thread::sleep(Duration::from_millis(50));
    };
    REVOKED.assert(&refused);
}
