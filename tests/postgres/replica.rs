//! A server that follows another can only be behind it.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sqlx::{Connection, PgConnection, postgres::PgPoolOptions};
use tempfile::TempDir;
use tower_api_key::key::KeyDigest;
use tower_api_key::store::{KeyStore, PostgresStore, StoreErrorKind};

use crate::{
    database::{Database, skip},
    opened::{chain, issue, open_at, uncached},
};

/// A private server that waits for another to follow; it answers what only reads.
struct Replica {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Replica {
    /// One that has nobody to follow yet, and can be written to until it has.
    fn primary() -> Option<Self> {
        let Some(programs) = programs() else {
            skip("there is no initdb to make a replica with");
            return None;
        };
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let replica = Self {
            programs,
            folder: tempfile::tempdir().expect("a folder"),
            port: free.local_addr().expect("an address").port(),
        };
        drop(free);
        let folder = replica
            .folder
            .path()
            .to_str()
            .expect("a path in UTF-8")
            .to_owned();
        if is_root() {
            run(Command::new("chown").args(["postgres", &folder]));
        }
        run(&mut replica.program("initdb", &["--auth=trust", "--username=postgres", "--no-sync"]));
        replica.run();
        Some(replica)
    }

    fn start() -> Option<Self> {
        let replica = Self::primary()?;
        replica.follow();
        Some(replica)
    }

    fn run(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories=",
            self.port
        );
        let log = self.folder.path().join("log");
        let log = log.to_str().expect("a path in UTF-8");
        run(&mut self.program(
            "pg_ctl",
            &["start", "--wait", "--log", log, "--options", &options],
        ));
    }

    /// From now on it follows another.
    fn follow(&self) {
        run(&mut self.program("pg_ctl", &["stop", "--wait", "--mode=fast"]));
        fs::write(self.data().join("standby.signal"), "").expect("written");
        self.run();
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Waits until it answers.
    async fn answers(&self) {
        let url = self.url();
        let reads = async || PgConnection::connect(&url).await?.ping().await;
        for _ in 0..100 {
            if reads().await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        reads().await.expect("a replica answers");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// PostgreSQL does not run as root.
    fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let path = self.programs.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(path);
            command
        } else {
            Command::new(path)
        };
        command.arg("--pgdata").arg(self.data()).args(arguments);
        command
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        run(&mut self.program("pg_ctl", &["stop", "--mode=immediate"]));
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The folder of the server's programs, the newest there is.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let search = std::env::var_os("PATH")?;
    folders
        .chain(std::env::split_paths(&search))
        .filter(|folder| folder.join("initdb").is_file())
        .max_by_key(|folder: &PathBuf| folder.starts_with(Path::new("/usr/lib/postgresql")))
}

fn run(command: &mut Command) {
    // Not its output: a server that goes on would keep it open.
    let status = command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    assert!(status.expect("a program").success(), "{command:?}");
}

#[tokio::test]
async fn a_replica_is_refused() {
    let Some(replica) = Replica::start() else { return };
    replica.answers().await;
    let error = PostgresStore::connect(&replica.url())
        .await
        .expect_err("a replica");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(chain(&error).contains("replica"), "{}", chain(&error));

    // Nor is one good enough for look-ups.
    let Some(database) = Database::create() else {
        return;
    };
    let pool = |url: &str| PgPoolOptions::new().connect_lazy(url).expect("a URL");
    let (reader, writer) = (pool(&replica.url()), pool(&database.url()));
    let error = PostgresStore::with_pools(reader, writer.clone())
        .await
        .expect_err("a replica");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(chain(&error).contains("replica"), "{}", chain(&error));
    writer.close().await;
}

/// After a failover: what it says of a key may have been so a while ago.
#[tokio::test]
async fn a_primary_that_has_become_a_replica_vouches_for_no_key() {
    let Some(server) = Replica::primary() else { return };
    let store = open_at(&server.url()).await;
    let issued = issue(&uncached(&store)).await;
    let digest = issued.record.digest;
    assert!(store.find(&digest).await.expect("an answer").is_some());
    server.follow();
    server.answers().await;
    let error = store.find(&digest).await.expect_err("a replica");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(chain(&error).contains("replica"), "{}", chain(&error));
    // Nor does it say of one that it does not know: that may be on its way.
    let new = KeyDigest::of(b"minted a moment ago");
    let error = store.find(&new).await.expect_err("a replica");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    store.find_many(&[new]).await.expect_err("a replica");
    let error = store.find_many(&[digest]).await.expect_err("a replica");
    assert!(chain(&error).contains("replica"), "{}", chain(&error));
    store.close().await;
}
