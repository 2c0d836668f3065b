//! Starting and stopping the demo server.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver},
    },
    thread::{self, JoinHandle},
    time::{Instant, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    PATIENCE,
    http::{Connection, Response, json_request, request},
    keys::Database,
};

/// The external key of servers that have one.
pub const EXTERNAL: &str = "external-key-of-the-tests-0123";

/// The field that presents it.
pub const X_EXTERNAL: &str = "X-Key: external-key-of-the-tests-0123";

/// How to start a server, in a directory of its own. One can be started after another in the same one.
#[derive(Debug)]
pub struct Setup {
    /// Shared with the servers, which go on without their database when it is gone.
    directory: Arc<TempDir>,
    listen: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Setup {
    /// A server without an external key.
    pub fn new() -> Self {
        Self {
            directory: Arc::new(tempfile::tempdir().expect("a directory")),
            listen: "127.0.0.1:0".to_owned(),
            arguments: Vec::new(),
            variables: Vec::new(),
        }
    }

    pub fn with_external_key() -> Self {
        Self::new().arguments(&["--api-key", EXTERNAL])
    }

    pub fn listen(mut self, address: &str) -> Self {
        self.listen = address.to_owned();
        self
    }

    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    pub fn without_arguments(mut self) -> Self {
        self.arguments.clear();
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file into the directory, which is the server's working directory, too.
    pub fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.path(name), text).expect("written");
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The database that a server uses when it is not told which.
    pub fn database(&self) -> Database {
        Database::open(&self.path("demo.db"))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command
            .current_dir(self.directory.path())
            .env_remove("API_KEY_EXTERNAL")
            .env_remove("RUST_LOG")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .args(["--listen", &self.listen])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts it, and waits until it accepts.
    pub fn start(&self) -> Server {
        let (mut server, listening) = Server::spawn(self.command());
        match listening.recv_timeout(PATIENCE) {
            Ok((address, printed)) => {
                server.address = address.parse().expect("an address");
                server.printed = printed;
                server.directory = Some(self.directory.clone());
                server
            }
            Err(error) => panic!("it does not listen, {error}: {:?}", server.kill()),
        }
    }

    /// Runs it to its end, for servers that do not start.
    pub fn run(&self) -> Ended {
        Server::spawn(self.command()).0.ended()
    }
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// What it printed before it listened.
    pub printed: Vec<String>,
    stdout: Option<JoinHandle<Vec<String>>>,
    stderr: Option<JoinHandle<String>>,
    directory: Option<Arc<TempDir>>,
}

/// What is left of a server that has ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    /// All of what it printed.
    pub printed: Vec<String>,
    pub log: String,
}

impl Ended {
    pub fn assert_success(&self) {
        assert_eq!(self.code, Some(0), "{self:?}");
    }
}

impl Server {
    /// Also gives the address, and what was printed before it, once it is known.
    fn spawn(mut command: Command) -> (Self, Receiver<(String, Vec<String>)>) {
        let mut child = command.spawn().expect("started");
        let (sender, listening) = mpsc::channel();
        let lines = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        let stdout = thread::spawn(move || {
            let mut printed = Vec::new();
            // To the end, lest the server stumble over a closed pipe.
            for line in lines.map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("listening on http://") {
                    // Nobody is there to hear it when the test has given up.
                    let _ = sender.send((address.to_owned(), printed.clone()));
                }
                printed.push(line);
            }
            printed
        });
        let mut log = child.stderr.take().expect("its stderr");
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            // What came before it was killed is what counts.
            let _ = log.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let server = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            printed: Vec::new(),
            stdout: Some(stdout),
            stderr: Some(stderr),
            directory: None,
        };
        (server, listening)
    }

    /// One request on a connection of its own.
    pub fn exchange(&self, request: &[u8]) -> Response {
        let mut connection = Connection::open(self.address);
        connection.send(request);
        connection.receive(request.starts_with(b"HEAD "))
    }

    pub fn get(&self, target: &str, fields: &[&str]) -> Response {
        self.send("GET", target, fields)
    }

    /// A request without a body.
    pub fn send(&self, method: &str, target: &str, fields: &[&str]) -> Response {
        self.exchange(&request(method, target, fields))
    }

    /// A request with a body of JSON, by the holder of the external key.
    pub fn send_json(&self, method: &str, target: &str, body: &str) -> Response {
        self.exchange(&json_request(method, target, &[X_EXTERNAL], body))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("signalled");
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end: {:?}", self.kill());
            thread::sleep(PATIENCE / 1000);
        };
        let (printed, log) = self.kill();
        Ended {
            code: status.code(),
            printed,
            log,
        }
    }

    /// Tells it to stop, and waits.
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Ends it, unless it has ended, and gives what it printed and logged, once.
    fn kill(&mut self) -> (Vec<String>, String) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let printed = self.stdout.take().and_then(|stdout| stdout.join().ok());
        let log = self.stderr.take().and_then(|stderr| stderr.join().ok());
        (printed.unwrap_or_default(), log.unwrap_or_default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let (_, log) = self.kill();
        if thread::panicking() && !log.is_empty() {
            // Only failing tests show it.
            #[expect(clippy::print_stderr, reason = "the harness captures it")]
            {
                eprintln!("log of the server:\n{log}");
            }
        }
    }
}

/// The example, built anew when it is older than what it is made of: `cargo test --test server` does not build examples.
fn binary() -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);

    let test = env::current_exe().expect("this test");
    let directory = test.parent().and_then(Path::parent);
    let directory = directory.expect("target/PROFILE/deps/TEST");
    let binary = directory.join("examples").join("server");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made_of = ["src", "templates", "examples/server"].map(|part| newest_in(&root.join(part)));
    let newest = made_of.into_iter().max().expect("there are three");
    let built = fs::metadata(&binary).and_then(|metadata| metadata.modified());
    if built.is_ok_and(|built| built >= newest) {
        return binary;
    }
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => "dev",
        Some(profile) => profile,
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(root)
        .args(["build", "--all-features", "--example", "server"])
        .args(["--profile", profile, "--target-dir"])
        .args(directory.parent())
        .status()
        .expect("cargo");
    assert!(built.success(), "the example does not build");
    binary
}

/// Of files only: editors touch directories without changing what is built.
fn newest_in(directory: &Path) -> SystemTime {
    let entries = fs::read_dir(directory).expect("a directory");
    let dates = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => newest_in(&path),
            false => fs::metadata(&path)
                .and_then(|file| file.modified())
                .expect("a date"),
        }
    });
    dates.max().unwrap_or(SystemTime::UNIX_EPOCH)
}
