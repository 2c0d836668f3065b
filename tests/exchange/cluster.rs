//! Three servers on one PostgreSQL database: a token is good once, for all of them together.

use std::{sync::Barrier, thread, time::SystemTime};

use serde_json::json;

use crate::{
    issuer::Issuer,
    postgres::Database,
    signer::{EC, RSA},
    support::server::{Server, Setup},
    workflow::{claims, deploy, request},
};

#[test]
fn of_twenty_who_bring_a_token_to_three_servers_one_gets_a_key() {
    let Some(database) = Database::create() else {
        return;
    };
    let issuer = Issuer::start();
    let servers: Vec<Server> = (0..3)
        .map(|_| {
            Setup::with_external_key()
                .file("trust.toml", &deploy(issuer.url()))
                .arguments(&["--oidc-config", "trust.toml", "--database-url", &database.url()])
                .start()
        })
        .collect();
    for round in 1..=5 {
        let claims = claims(issuer.url(), SystemTime::now());
        // The same token in two texts: by its id it is one.
        let requests = [request(&RSA.token(&claims)), request(&EC.token(&claims))];
        let barrier = Barrier::new(20);
        let answers: Vec<_> = thread::scope(|scope| {
            let bringing: Vec<_> = (0..20)
                .map(|i| {
                    let (server, request, barrier) = (&servers[i % 3], &requests[i % 2], &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        server.exchange(request)
                    })
                })
                .collect();
            bringing
                .into_iter()
                .map(|one| one.join().expect("no panic"))
                .collect()
        });
        let given: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(given.len(), 1, "round {round}: {answers:?}");
        for refused in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(
                (refused.status, &refused.json()["error"]),
                (400, &json!("invalid_grant")),
                "{refused:?}"
            );
        }
        assert_eq!(database.value("SELECT count(*) FROM api_keys"), round.to_string());
        assert_eq!(
            database.value("SELECT count(*) FROM api_key_tokens"),
            round.to_string()
        );
        let minted = "SELECT count(*) FROM api_key_events WHERE kind = 'minted'";
        assert_eq!(database.value(minted), round.to_string());
        // On every server it works at once.
        let key = given[0].json()["access_token"]
            .as_str()
            .expect("a key")
            .to_owned();
        for server in &servers {
            let who = server.get("/api/v1/whoami", &[&format!("Authorization: Bearer {key}")]);
            assert_eq!(who.status, 200, "{who:?}");
        }
    }
}
