//! A database of a test's own, `apikey` over it, and SQL on it from another connection.

use std::{
    env,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
    str::FromStr,
};

use serde_json::Value;
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, SqliteConnection, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower_api_key::{
    ApiKeyAuth,
    store::{PostgresStore, SqliteStore},
};

/// Of a test's own, and gone after it.
pub(crate) struct Place {
    pub(crate) url: String,
    directory: TempDir,
    runtime: Runtime,
    /// The name of the PostgreSQL database, and the address of another.
    postgres: Option<(String, PgConnectOptions)>,
}

/// Runs a test on a database of each kind.
pub(crate) fn on_each(test: impl Fn(&Place)) {
    test(&Place::sqlite());
    if let Some(place) = Place::postgres() {
        test(&place);
    }
}

impl Place {
    /// In a file that is not there yet.
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}", directory.path().join("keys.db").display());
        Self {
            url,
            directory,
            runtime: runtime(),
            postgres: None,
        }
    }

    /// `None` where there is no server, which must not happen where CI is true.
    pub(crate) fn postgres() -> Option<Self> {
        let url = env::var("TEST_POSTGRES_URL");
        let url = url.unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".to_owned());
        let runtime = runtime();
        let admin = PgConnectOptions::from_str(&url).expect("TEST_POSTGRES_URL is an address");
        let random = uuid();
        let name = format!("apikey_cli_{random}");
        let made = runtime.block_on(async {
            let mut connection = PgConnection::connect_with(&admin).await?;
            let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
            sqlx::raw_sql(create).execute(&mut connection).await.map(drop)
        });
        if let Err(error) = made {
            assert_ne!(env::var("CI").as_deref(), Ok("true"), "PostgreSQL: {error}");
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("SKIPPED on PostgreSQL, which cannot be reached: {error}");
            }
            return None;
        }
        let (address, _) = url.rsplit_once('/').expect("an address with a database");
        Some(Self {
            url: format!("{address}/{name}"),
            directory: tempfile::tempdir().expect("a directory"),
            runtime,
            postgres: Some((name, admin)),
        })
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.postgres.is_some()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, and gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = without_database(arguments);
        command.env("APIKEY_DATABASE_URL", &self.url);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.feed(arguments, "")
    }

    /// With this on its standard input.
    pub(crate) fn feed(&self, arguments: &[&str], input: &str) -> Ran {
        finish(self.command(arguments), input)
    }

    /// Runs it with `--json`, and reads the answer.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["--json"]].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        serde_json::from_str(&ran.stdout).expect("JSON")
    }

    /// A key in the clear, and its id.
    pub(crate) fn mint(&self, arguments: &[&str]) -> (String, String) {
        let key = self.json(&[&["mint"], arguments].concat());
        let text = |name: &str| key[name].as_str().expect("a text").to_owned();
        (text("key"), text("id"))
    }

    /// Any SQL.
    pub(crate) fn sql(&self, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        let done = self.runtime.block_on(async {
            match self.is_postgres() {
                true => sqlx::raw_sql(statement)
                    .execute(&mut self.pg().await?)
                    .await
                    .map(drop),
                false => sqlx::raw_sql(statement)
                    .execute(&mut self.lite().await?)
                    .await
                    .map(drop),
            }
        });
        done.expect("executed");
    }

    /// A number that SQL gives; `None` where there is no table yet.
    pub(crate) fn count(&self, statement: &str) -> Option<i64> {
        let statement = AssertSqlSafe(statement.to_owned());
        let counted: Result<i64, sqlx::Error> = self.runtime.block_on(async {
            match self.is_postgres() {
                true => {
                    sqlx::query_scalar(statement)
                        .fetch_one(&mut self.pg().await?)
                        .await
                }
                false => {
                    sqlx::query_scalar(statement)
                        .fetch_one(&mut self.lite().await?)
                        .await
                }
            }
        });
        counted.ok()
    }

    async fn pg(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&PgConnectOptions::from_str(&self.url)?).await
    }

    async fn lite(&self) -> Result<SqliteConnection, sqlx::Error> {
        SqliteConnection::connect_with(&SqliteConnectOptions::from_str(&self.url)?).await
    }

    /// How a server of another process would answer this key, with nothing cached.
    pub(crate) fn status_of(&self, key: &str) -> u16 {
        use bytes::Bytes;
        use http::{Request, Response};
        use http_body_util::Full;
        use tower::{Layer, ServiceExt, service_fn};

        self.runtime.block_on(async {
            let builder = match self.is_postgres() {
                true => ApiKeyAuth::builder(PostgresStore::connect(&self.url).await.expect("a store")),
                false => ApiKeyAuth::builder(SqliteStore::open(&self.url).await.expect("a store")),
            };
            let auth = builder.build().expect("a configuration");
            let inner = service_fn(async |_: Request<()>| {
                Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
            });
            let request = Request::get("/")
                .header("X-Key", key)
                .body(())
                .expect("a request");
            let Ok(response) = auth.layer(inner).oneshot(request).await;
            response.status().as_u16()
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((name, admin)) = &self.postgres else {
            return;
        };
        let dropped = self.runtime.block_on(async {
            let mut connection = PgConnection::connect_with(admin).await?;
            let statement = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
            sqlx::raw_sql(statement).execute(&mut connection).await
        });
        assert!(dropped.is_ok() || std::thread::panicking(), "{dropped:?}");
    }
}

/// `apikey` that is told of no database.
pub(crate) fn without_database(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apikey"));
    command
        .env_remove("APIKEY_DATABASE_URL")
        .env_remove("APIKEY_PEPPER_FILE")
        .env_remove("APIKEY_PREFIX")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What is left of a command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The failure that it wrote with `--json`.
    pub(crate) fn failure(&self) -> Value {
        assert_eq!(self.stdout, "", "{self:?}");
        serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) fn finish(mut command: Command, input: &str) -> Ran {
    let mut child: Child = command.spawn().expect("started");
    // One that does not read it may have ended.
    let _ = child.stdin.take().expect("its stdin").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("ended");
    Ran {
        code: output.status.code().expect("an exit code, not a signal"),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn uuid() -> String {
    tower_api_key::key::KeyId::generate()
        .to_string()
        .replace('-', "_")
}
