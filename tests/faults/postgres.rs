//! A PostgreSQL server of a program's own, which it may freeze, kill and restart.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tokio::time::sleep;

/// A server in a folder of its own; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    /// Dropped last.
    _folder: TempDir,
    port: u16,
    postmaster: Child,
}

const PATIENCE: Duration = Duration::from_secs(60);
const DATABASE: &str = "keys";
/// Whoever connects, for the harness to tell them apart.
const ROLES: &str =
    "CREATE ROLE n1 SUPERUSER LOGIN; CREATE ROLE n2 SUPERUSER LOGIN; CREATE ROLE n3 SUPERUSER LOGIN;";

impl Postgres {
    /// `None` where PostgreSQL is not installed, and then it says so: the program must not go on.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed, and `CI` is `true`.
    pub(crate) async fn start() -> Option<Self> {
        let Some(binaries) = binaries() else {
            crate::skip("PostgreSQL is not installed: there is no initdb");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let owner = if geteuid().is_root() {
            let owner = Owner::postgres();
            chown(folder.path(), Some(owner.user), Some(owner.group)).expect("a folder of its own");
            Some(owner)
        } else {
            None
        };
        let data = folder.path().join("data");
        let made = as_owner(owner, &binaries.join("initdb"))
            .arg("-D")
            .arg(&data)
            .args([
                "-A",
                "trust",
                "-U",
                "postgres",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C",
            ])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("initdb").success(), "initdb failed");
        let port = free_port();
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let postmaster = as_owner(owner, &binaries.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={port}")])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", folder.path().display()))
            .args(["-c", "shared_preload_libraries=pg_stat_statements"])
            .args(["-c", "max_connections=300", "-c", "autovacuum=off"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres");
        let postgres = Self {
            _folder: folder,
            port,
            postmaster,
        };
        postgres.until_it_answers().await;
        postgres
            .execute("postgres", &format!("CREATE DATABASE {DATABASE}"))
            .await;
        postgres.sql(ROLES).await;
        postgres.sql("CREATE EXTENSION pg_stat_statements").await;
        Some(postgres)
    }

    /// Where a role finds the database.
    pub(crate) fn url(&self, role: &str) -> String {
        self.url_of(role, DATABASE)
    }

    fn url_of(&self, role: &str, database: &str) -> String {
        format!(
            "postgres://{role}@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }

    async fn until_it_answers(&self) {
        let begun = Instant::now();
        while let Err(error) = PgConnection::connect(&self.url_of("postgres", "postgres")).await {
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not start: {error}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A connection of the harness.
    pub(crate) async fn connect(&self) -> PgConnection {
        let connected = PgConnection::connect(&self.url("postgres")).await;
        connected.expect("connected")
    }

    /// Any SQL, as any other program could run it.
    pub(crate) async fn sql(&self, statements: &str) {
        self.execute(DATABASE, statements).await;
    }

    async fn execute(&self, database: &str, statements: &str) {
        let url = self.url_of("postgres", database);
        let mut connection = PgConnection::connect(&url).await.expect("connected");
        let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
            .execute(&mut connection)
            .await;
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
        connection.close().await.expect("closed");
    }

    /// The number that a query gives; zero for NULL.
    pub(crate) async fn number(&self, query: &str) -> usize {
        let mut connection = self.connect().await;
        let query = AssertSqlSafe(format!("SELECT v::bigint FROM ({query}) AS t (v)"));
        let number: Option<i64> = sqlx::query_scalar(query)
            .fetch_one(&mut connection)
            .await
            .expect("a number");
        connection.close().await.expect("closed");
        usize::try_from(number.unwrap_or_default()).expect("not negative")
    }

    /// How often a role has run statements whose text is like this; `%` is any role.
    pub(crate) async fn calls(&self, role: &str, like: &str) -> usize {
        let query = format!(
            "SELECT sum(calls) FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid \
             WHERE r.rolname LIKE '{role}' AND r.rolname <> 'postgres' AND s.query ILIKE '{like}'"
        );
        self.number(&query).await
    }

    /// How often a role has looked keys up, one at a time or many at once.
    pub(crate) async fn look_ups(&self, role: &str) -> usize {
        self.calls(role, "%JOIN api_keys ON digest%").await
    }

    /// How often many at once.
    pub(crate) async fn looked_up_together(&self, role: &str) -> usize {
        self.calls(role, "%JOIN api_keys ON digest = ANY%").await
    }

    /// The process behind the connection on which a role listens for changes.
    pub(crate) async fn listener_of(&self, role: &str) -> Option<Pid> {
        let query = format!(
            "SELECT min(pid) FROM pg_stat_activity WHERE usename = '{role}' AND application_name LIKE '% feed'"
        );
        let pid = self.number(&query).await;
        Pid::from_raw(i32::try_from(pid).expect("a process id"))
    }

    /// Every process of the server stands still.
    pub(crate) fn freeze(&self) {
        // The postmaster first, which makes new ones.
        self.signal_all(Signal::STOP);
        self.signal_all(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        let postmaster = Pid::from_child(&self.postmaster);
        let _ = kill_process(postmaster, signal);
        for child in children_of(postmaster) {
            // It may have ended meanwhile.
            let _ = kill_process(child, signal);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.thaw();
        // At once, without writing anything down: the folder goes, too.
        let _ = kill_process(Pid::from_child(&self.postmaster), Signal::QUIT);
        let _ = self.postmaster.wait();
    }
}

/// Whom a server that refuses to be run by root is run by.
#[derive(Debug, Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    fn postgres() -> Self {
        let passwd = fs::read_to_string("/etc/passwd").expect("users");
        let line = passwd.lines().find(|line| line.starts_with("postgres:"));
        let fields: Vec<&str> = line.expect("a user called postgres").split(':').collect();
        Self {
            user: fields[2].parse().expect("a number"),
            group: fields[3].parse().expect("a number"),
        }
    }
}

fn as_owner(owner: Option<Owner>, program: &Path) -> Command {
    let Some(Owner { user, group }) = owner else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command
        .args([format!("--reuid={user}"), format!("--regid={group}")])
        .args(["--clear-groups", "--"])
        .arg(program);
    command
}

/// Where `initdb` and `postgres` are: in the path, or where Debian puts them.
fn binaries() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .collect();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    let whole = |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    folders.into_iter().find(whole)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    let processes = fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let child = |process: fs::DirEntry| {
        let pid: i32 = process.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let (_, rest) = stat.rsplit_once(") ")?;
        let of = rest.split(' ').nth(1)?;
        (of == parent).then(|| Pid::from_raw(pid)).flatten()
    };
    processes.filter_map(child).collect()
}
