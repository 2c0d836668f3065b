use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tempfile::TempDir;

/// So that a server that hangs fails a test in place of holding it up for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running example, which ends with this value.
pub(crate) struct Server {
    child: Child,
    address: String,
    /// What it printed before it was listening.
    pub(crate) printed: Vec<String>,
    /// Read to the end, lest the server stumble over a closed pipe.
    _stdout: BufReader<ChildStdout>,
}

/// An example, and a directory of its own to run it in, once or several times.
pub(crate) struct Example {
    name: &'static str,
    directory: TempDir,
}

impl Example {
    pub(crate) fn new(name: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { name, directory }
    }

    /// The command, in its directory and with nothing set that it might read.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(binary(self.name));
        command
            .current_dir(self.directory.path())
            .env_remove("MESA_API_KEY_EXTERNAL");
        command
    }

    /// Runs with these arguments until it says that it is listening.
    pub(crate) fn start(&self, arguments: &[&str]) -> Server {
        let mut command = self.command();
        command.args(arguments);
        Server::start(command)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// The database of the example, beside it.
    pub(crate) async fn database(&self, file: &str) -> SqlitePool {
        let path = self.path(file);
        assert!(path.is_file(), "the example keeps its database at {file}");
        let options = SqliteConnectOptions::new().filename(path);
        let pool = SqlitePoolOptions::new().max_connections(1);
        pool.connect_with(options).await.expect("a database")
    }
}

impl Server {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut printed = Vec::new();
            let mut line = String::new();
            while stdout.read_line(&mut line).is_ok_and(|read| read > 0) {
                if let Some(address) = line.trim_end().strip_prefix("listening on http://") {
                    let ready = (address.to_owned(), printed, stdout);
                    // Nobody is there to hear it when the test has given up.
                    let _ = sender.send(ready);
                    return;
                }
                printed.push(line.trim_end().to_owned());
                line.clear();
            }
        });
        match receiver.recv_timeout(PATIENCE) {
            Ok((address, printed, stdout)) => Self {
                child,
                address,
                printed,
                _stdout: stdout,
            },
            Err(error) => {
                let _ = child.kill();
                panic!("the example did not say that it is listening: {error}");
            }
        }
    }

    /// Where it is told something, if it was started with a pipe.
    pub(crate) fn stdin(&mut self) -> &mut impl Write {
        self.child.stdin.as_mut().expect("a pipe")
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// `GET` with this key as a bearer.
    pub(crate) fn get(&self, path: &str, key: &str) -> Answer {
        self.send("GET", path, &[("Authorization", &format!("Bearer {key}"))])
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send_body(method, path, headers, "")
    }

    pub(crate) fn send_body(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.address
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body);
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        Answer::parse(&String::from_utf8(answer).expect("text"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("an end of the headers");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let answer = Self {
            status: status.and_then(|status| status.parse().ok()).expect("a status"),
            headers: lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        };
        let length = answer.header("content-length").unwrap_or("0");
        assert_eq!(
            length,
            body.len().to_string(),
            "the body is whole, and its length is said"
        );
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// The status, and the `code` of the problem, as they must come together.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let code = self.json()["code"].as_str().map(str::to_owned);
        (self.status, code.expect("a code"))
    }
}

/// A refusal, to compare with [`Answer::problem`].
pub(crate) fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// The example, built anew when it is older than what it is made of: `cargo test --test examples` does not build examples.
fn binary(name: &str) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);

    let this = env::current_exe().expect("a path");
    let profile_directory = this.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    let binary = profile_directory
        .join("examples")
        .join(format!("{name}{}", env::consts::EXE_SUFFIX));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("examples").join(format!("{name}.rs"));
    let newest = [newest_below(&root.join("src")), newest_below(&source)]
        .into_iter()
        .max();
    if fs::metadata(&binary)
        .and_then(|metadata| metadata.modified())
        .ok()
        >= newest
    {
        return binary;
    }
    let profile = match profile_directory.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => "dev",
        Some(profile) => profile,
    };
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root)
        .args(["build", "--all-features", "--profile", profile, "--example", name])
        .arg("--target-dir")
        .args(profile_directory.parent())
        .status()
        .expect("cargo");
    assert!(built.success(), "the example {name} does not build");
    binary
}

fn newest_below(path: &Path) -> SystemTime {
    let modified = fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .expect("a date");
    let Ok(entries) = fs::read_dir(path) else {
        return modified;
    };
    let entries = entries.map(|entry| newest_below(&entry.expect("an entry").path()));
    entries.fold(modified, SystemTime::max)
}
