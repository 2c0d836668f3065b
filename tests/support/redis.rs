//! A Redis server of a test's own: it can be killed, frozen, and filled.

#![expect(
    unreachable_pub,
    reason = "shared by test targets, each of which is a crate of its own"
)]

use std::{
    env,
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use redis::{Client, Connection, RedisError};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// Killed when dropped. It keeps nothing on disk.
#[derive(Debug)]
pub struct OwnRedis {
    directory: TempDir,
    port: u16,
    process: Child,
}

impl OwnRedis {
    /// `None` where there is no `redis-server`, and then it says so: the test must not go on.
    pub fn start() -> Option<Self> {
        let found = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if found.is_err() {
            skip("there is no redis-server to start");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        // Somebody else may take the port before the server does.
        for _ in 0..10 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let port = listener.local_addr().expect("its address").port();
            drop(listener);
            let mut process = spawn(&directory, port);
            if answers(port, &mut process) {
                return Some(Self {
                    directory,
                    port,
                    process,
                });
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("no Redis server starts");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on connections are refused, and what it kept is gone.
    pub fn kill(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("it has ended");
    }

    /// At the same address, with nothing in it.
    pub fn start_again(&mut self) {
        self.process = spawn(&self.directory, self.port);
        assert!(answers(self.port, &mut self.process), "it does not start again");
    }

    /// It takes connections, and says nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// To the last byte: whatever would take more room is refused.
    pub fn fill(&self) {
        let mut connection = self.connection();
        config(&mut connection, "maxmemory-policy", "noeviction");
        config(&mut connection, "maxmemory", "1mb");
        for size in [100_000, 1000, 10] {
            let value = vec![b'x'; size];
            for number in 0.. {
                let mut set = redis::cmd("SET");
                set.arg(format!("filling-{size}-{number}")).arg(&value);
                if let Err(error) = set.exec(&mut connection) {
                    assert_eq!(error.code(), Some("OOM"), "{error}");
                    break;
                }
            }
        }
        // What this connection took is free again when it is closed.
        config(&mut connection, "maxmemory", "900kb");
    }

    /// What was kept before it was filled is there still.
    pub fn make_room(&self) {
        config(&mut self.connection(), "maxmemory", "0");
    }

    pub fn connection(&self) -> Connection {
        connect(self.port).expect("a connection")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("signalled");
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(directory: &TempDir, port: u16) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"])
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started")
}

/// Waits until it does, or has ended.
fn answers(port: u16, process: &mut Child) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let pinged = connect(port).and_then(|mut connection| redis::cmd("PING").exec(&mut connection));
        // Somebody else may answer there.
        let has_ended = process.try_wait().expect("its status").is_some();
        if pinged.is_ok() || has_ended {
            return !has_ended;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

fn connect(port: u16) -> Result<Connection, RedisError> {
    let client = Client::open(format!("redis://127.0.0.1:{port}")).expect("a URL");
    client.get_connection_with_timeout(PATIENCE)
}

fn config(connection: &mut Connection, name: &str, value: &str) {
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg(name).arg(value);
    set.exec(connection).expect("set");
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests has to see it")]
fn skip(why: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("SKIPPED: {why}");
}
