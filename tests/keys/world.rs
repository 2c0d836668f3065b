//! A server over either database, and the library beside it on the same keys.

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    manage::{Keys, NewKey},
    store::{PostgresStore, SqliteStore},
};

use crate::{
    postgres::Database as Postgres,
    support::{
        http::{Response, json_request, request},
        keys::Minted,
        server::{EXTERNAL, Server, Setup},
    },
};

pub(crate) const KEYS: &str = "/api/v1/keys";

/// Everything that the holder of a key with these can do with keys.
pub(crate) const MANAGER: [&str; 4] = ["keys:read", "keys:write", "issues:read", "issues:write"];

/// Which database.
#[derive(Debug)]
pub(crate) struct Place {
    postgres: Option<Postgres>,
}

/// Each test twice, under `on_sqlite` and `on_postgres`.
macro_rules! on_both {
    ($(fn $name:ident($place:ident) $body:block)*) => {
        $(fn $name($place: &$crate::world::Place) $body)*

        mod on_sqlite {
            $(#[test]
            fn $name() {
                super::$name(&$crate::world::Place::sqlite());
            })*
        }

        mod on_postgres {
            $(#[test]
            fn $name() {
                if let Some(place) = $crate::world::Place::postgres() {
                    super::$name(&place);
                }
            })*
        }
    };
}

/// A server with an external key, and the keys in its database as another process sees them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) keys: Keys,
    pub(crate) setup: Setup,
    runtime: Runtime,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self { postgres: None }
    }

    pub(crate) fn postgres() -> Option<Self> {
        let postgres = Some(Postgres::create()?);
        Some(Self { postgres })
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.postgres.is_some()
    }

    pub(crate) fn start(&self) -> World {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, arguments: &[&str]) -> World {
        let mut setup = Setup::with_external_key().arguments(arguments);
        if let Some(postgres) = &self.postgres {
            setup = setup.arguments(&["--database-url", &postgres.url()]);
        }
        let server = setup.start();
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let auth = runtime.block_on(async {
            let auth = match &self.postgres {
                None => {
                    let path = setup.path("demo.db");
                    let store = SqliteStore::open(path.to_str().expect("a path")).await;
                    ApiKeyAuth::builder(store.expect("a store"))
                }
                Some(postgres) => {
                    let store = PostgresStore::connect(&postgres.url()).await;
                    ApiKeyAuth::builder(store.expect("a store"))
                }
            };
            auth.build().expect("a configuration")
        });
        World {
            server,
            keys: auth.keys().expect("there is a store").clone(),
            setup,
            runtime,
        }
    }

    /// SQL that both databases understand.
    pub(crate) fn sql(&self, world: &World, statement: &str) {
        match &self.postgres {
            None => world.setup.database().sql(statement.to_owned()),
            Some(postgres) => postgres.sql(statement),
        }
    }
}

impl World {
    /// Waits for what the library does.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A key as the application issues it.
    pub(crate) fn issue(&self, new: NewKey) -> Minted {
        let issued = self.wait(self.keys.issue(new)).expect("a key");
        Minted {
            id: issued.record.id,
            key: issued.key.expose().to_owned(),
        }
    }

    pub(crate) fn key_of(&self, owner: &str, scopes: &[&str]) -> Minted {
        let grants = Grants::scopes(scopes).expect("scopes");
        self.issue(NewKey::new(owner).name("for tests").grants(grants))
    }

    /// A key by which Alice manages hers.
    pub(crate) fn alice(&self) -> Minted {
        self.key_of("alice", &MANAGER)
    }

    pub(crate) fn admin(&self) -> Minted {
        self.key_of("root", &["keys:admin", "keys:read", "keys:write"])
    }

    /// A call without a body.
    pub(crate) fn call(&self, method: &str, target: &str, key: &str) -> Response {
        self.server.exchange(&request(method, target, &[&field(key)]))
    }

    pub(crate) fn get(&self, target: &str, key: &str) -> Response {
        self.call("GET", target, key)
    }

    /// A call with a body of JSON.
    pub(crate) fn send(&self, method: &str, target: &str, key: &str, body: &Value) -> Response {
        self.send_text(method, target, key, &body.to_string())
    }

    pub(crate) fn send_text(&self, method: &str, target: &str, key: &str, body: &str) -> Response {
        self.server
            .exchange(&json_request(method, target, &[&field(key)], body))
    }

    pub(crate) fn mint(&self, key: &str, body: &Value) -> Response {
        self.send("POST", KEYS, key, body)
    }

    /// A key minted over HTTP.
    pub(crate) fn minted(&self, key: &str, body: &Value) -> (String, String) {
        let answer = self.mint(key, body);
        assert_eq!(answer.status, 201, "{answer:?}");
        issued(&answer)
    }

    /// What `whoami` answers to the holder.
    pub(crate) fn status_of(&self, key: &str) -> u16 {
        self.get("/api/v1/whoami", key).status
    }

    pub(crate) fn assert_refused(&self, key: &str, code: &str) {
        self.get("/api/v1/whoami", key).assert_problem(401, code);
    }

    /// The member of a key, as its owner sees it.
    pub(crate) fn shown(&self, id: &str, key: &str) -> Value {
        let answer = self.get(&at(id), key);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// How many keys there are, of all owners and statuses.
    pub(crate) fn count(&self) -> usize {
        let all = self.get(&format!("{KEYS}?status=all&limit=100"), EXTERNAL);
        assert_eq!(all.status, 200, "{all:?}");
        all.json()["data"].as_array().expect("a list").len()
    }
}

/// The id and the key of a mint or a rotation.
pub(crate) fn issued(answer: &Response) -> (String, String) {
    let body = answer.json();
    let text = |member: &str| body[member].as_str().expect("a text").to_owned();
    (text("id"), text("key"))
}

pub(crate) fn at(id: impl std::fmt::Display) -> String {
    format!("{KEYS}/{id}")
}

pub(crate) fn field(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

/// Checks a 400, and gives the fields that it names, in order.
pub(crate) fn complaints(answer: &Response) -> Vec<String> {
    answer.assert_problem(400, "invalid-request");
    let problem = answer.json();
    let errors = problem["errors"].as_array().expect("errors").iter();
    errors
        .map(|error| {
            assert!(
                error["message"].as_str().is_some_and(|text| !text.is_empty()),
                "{answer:?}"
            );
            error["field"].as_str().expect("a field").to_owned()
        })
        .collect()
}

/// Checks a 403 that says what would be too much.
pub(crate) fn assert_exceeds(answer: &Response, what: &str) {
    answer.assert_problem(403, "exceeds-maker");
    assert_eq!(answer.json()["errors"][0]["field"], what, "{answer:?}");
    assert_eq!(answer.header("location"), None);
}
