//! Several demo servers over one database.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tower_api_key::key::{CheckKey, KeyDigest, KeyFormat, KeyId};

use crate::{
    manager::{Key, Manager},
    postgres::Postgres,
    proxy::Proxy,
    support::server::{Server, Setup},
};

/// Where the keys are.
#[derive(Debug)]
enum Place {
    Postgres(Postgres),
    Sqlite(TempDir),
}

/// One server. Its number is the one in its role.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) setup: Setup,
    pub(crate) server: Option<Server>,
    /// Between it and the database.
    pub(crate) proxy: Option<Proxy>,
}

impl Node {
    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }
}

/// How to start servers.
#[derive(Debug)]
pub(crate) struct Plan {
    nodes: usize,
    proxied: Vec<usize>,
    arguments: Vec<(usize, String)>,
    variables: Vec<(usize, String, String)>,
    swallow: Option<usize>,
}

impl Plan {
    /// So many of them.
    pub(crate) fn nodes(nodes: usize) -> Self {
        Self {
            nodes,
            proxied: Vec::new(),
            arguments: Vec::new(),
            variables: Vec::new(),
            swallow: None,
        }
    }

    /// With a network of its own between this one and PostgreSQL.
    pub(crate) fn proxied(mut self, node: usize) -> Self {
        self.proxied.push(node);
        self
    }

    /// With a network of its own that never lets a notification through.
    pub(crate) fn swallowing(mut self, node: usize) -> Self {
        self.swallow = Some(node);
        self.proxied(node)
    }

    /// All of them are told this.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        let each = (1..=self.nodes).map(|node| (node, argument.to_owned()));
        self.arguments.extend(each);
        self
    }

    /// One of them finds this in its environment.
    pub(crate) fn variable(mut self, node: usize, name: &str, value: &str) -> Self {
        self.variables.push((node, name.to_owned(), value.to_owned()));
        self
    }

    /// `None` where there is no PostgreSQL.
    pub(crate) async fn on_postgres(self) -> Option<Cluster> {
        let postgres = Postgres::start().await?;
        Some(self.start(Place::Postgres(postgres)))
    }

    pub(crate) fn on_sqlite(self) -> Cluster {
        self.start(Place::Sqlite(tempfile::tempdir().expect("a folder")))
    }

    fn start(self, place: Place) -> Cluster {
        let nodes = (1..=self.nodes).map(|node| {
            let mut proxy = None;
            let url = match &place {
                Place::Sqlite(folder) => format!("sqlite://{}", file(folder).display()),
                Place::Postgres(postgres) => {
                    let url = postgres.url(&format!("n{node}"));
                    proxy = self.proxied.contains(&node).then(|| Proxy::before(&url));
                    proxy.as_ref().map_or(url, |proxy| proxy.url().to_owned())
                }
            };
            if let (Some(proxy), true) = (&proxy, self.swallow == Some(node)) {
                proxy.swallow_notifications(true);
            }
            let mut setup = Setup::with_external_key()
                .arguments(&["--database-url", &url])
                .variable("RUST_LOG", "warn");
            for (_, argument) in self.arguments.iter().filter(|(of, _)| *of == node) {
                setup = setup.arguments(&[argument]);
            }
            for (_, name, value) in self.variables.iter().filter(|(of, ..)| *of == node) {
                setup = setup.variable(name, value);
            }
            let server = Some(setup.start());
            Node { setup, server, proxy }
        });
        Cluster {
            nodes: nodes.collect(),
            place,
        }
    }
}

/// Servers that run. They end before their database does.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    place: Place,
}

impl Cluster {
    /// The one of this number, from 1 on.
    pub(crate) fn node(&self, number: usize) -> &Node {
        &self.nodes[number - 1]
    }

    pub(crate) fn node_mut(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number - 1]
    }

    pub(crate) fn address(&self, number: usize) -> SocketAddr {
        self.node(number).server().address
    }

    /// These, for a crew.
    pub(crate) fn these(&self, numbers: &[usize]) -> Vec<(usize, SocketAddr)> {
        let these = numbers.iter().map(|&number| (number, self.address(number)));
        these.collect()
    }

    pub(crate) fn manager(&self, number: usize) -> Manager {
        Manager::at(self.address(number))
    }

    pub(crate) fn proxy(&self, number: usize) -> &Proxy {
        self.node(number).proxy.as_ref().expect("it is behind a proxy")
    }

    pub(crate) fn postgres(&self) -> &Postgres {
        match &self.place {
            Place::Postgres(postgres) => postgres,
            Place::Sqlite(_) => panic!("this is not PostgreSQL"),
        }
    }

    /// For the report.
    pub(crate) fn place(&self) -> &'static str {
        match self.place {
            Place::Postgres(_) => "postgres",
            Place::Sqlite(_) => "sqlite",
        }
    }

    /// SQL that both databases understand.
    pub(crate) async fn sql(&self, statements: &str) {
        match &self.place {
            Place::Postgres(postgres) => postgres.sql(statements).await,
            Place::Sqlite(folder) => {
                let mut connection = open(folder).await;
                let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
                    .execute(&mut connection)
                    .await;
                done.unwrap_or_else(|error| panic!("{statements}: {error}"));
                connection.close().await.expect("closed");
            }
        }
    }

    /// The number that a query gives.
    pub(crate) async fn number(&self, query: &str) -> usize {
        match &self.place {
            Place::Postgres(postgres) => postgres.number(query).await,
            Place::Sqlite(folder) => {
                let mut connection = open(folder).await;
                let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
                let number: i64 = query.fetch_one(&mut connection).await.expect("a number");
                connection.close().await.expect("closed");
                usize::try_from(number).expect("not negative")
            }
        }
    }

    /// Puts keys into PostgreSQL that no server has ever heard of, all in one statement. They may read issues.
    pub(crate) async fn plant(&self, count: usize) -> Vec<Key> {
        let mut connection = self.postgres().connect().await;
        let check = sqlx::query("SELECT value FROM api_key_settings WHERE name = 'check_key'")
            .fetch_one(&mut connection)
            .await
            .expect("a check key");
        let check: Vec<u8> = check.get(0);
        let check = CheckKey::from_bytes(&check.try_into().expect("32 bytes"));
        let format = KeyFormat::new("ak", &check).expect("a prefix");
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = i64::try_from(now.unwrap_or(Duration::ZERO).as_millis()).expect("a date");
        let (mut keys, mut ids, mut digests) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let key = format.generate().expect("random bits").expose().to_owned();
            let id = KeyId::generate().to_string();
            digests.push(KeyDigest::of(key.as_bytes()).as_bytes().to_vec());
            ids.push(id.clone());
            keys.push(Key { id, key });
        }
        sqlx::query(
            "INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, created_at) \
             SELECT id, digest, 'ak_', 'planted', 'alice', 'issues:read', $3 FROM unnest($1, $2) AS t (id, digest)",
        )
        .bind(ids)
        .bind(digests)
        .bind(now)
        .execute(&mut connection)
        .await
        .expect("planted");
        connection.close().await.expect("closed");
        keys
    }
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("keys.db")
}

async fn open(folder: &TempDir) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(file(folder))
        .busy_timeout(Duration::from_secs(30));
    SqliteConnection::connect_with(&options).await.expect("opened")
}
