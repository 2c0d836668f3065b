//! A headless Chromium, driven by what its WebDriver says (W3C WebDriver, and two commands of Chromium's own).

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::PATIENCE;

/// A browser with one window; closed when dropped.
pub(crate) struct Browser {
    driver: Driver,
    session: String,
    _profile: TempDir,
}

struct Driver {
    process: Child,
    address: SocketAddr,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether there is a browser. Says so where there is none; where `CI` is `true` that is a failure.
pub(crate) fn is_here() -> bool {
    let has = |program: &str| {
        let found = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        found.is_ok_and(|status| status.success())
    };
    let here = has("chromium") && has("chromedriver");
    if !here {
        skip("there is no chromium with its chromedriver; Debian has them as chromium and chromium-driver");
    }
    here
}

/// Says that a part of the tests does not run; where `CI` is `true` that is a failure.
pub(crate) fn skip(why: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
    // Past what captures the output of tests.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// How to start one.
#[derive(Default)]
pub(crate) struct Start {
    pub(crate) without_script: bool,
    pub(crate) dark: bool,
}

impl Browser {
    pub(crate) fn start() -> Self {
        Self::with(&Start::default())
    }

    pub(crate) fn with(start: &Start) -> Self {
        let driver = Driver::start();
        let profile = tempfile::tempdir().expect("a directory");
        let mut arguments = vec![
            "--headless=new".to_owned(),
            // Containers run tests as root, and have no room in /dev/shm.
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--force-color-profile=srgb".to_owned(),
            "--window-size=1280,900".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        if start.without_script {
            arguments.push("--blink-settings=scriptEnabled=false".to_owned());
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let created = driver.call("POST", "/session", Some(&wanted)).expect("a session");
        let session = created["sessionId"].as_str().expect("its id").to_owned();
        let browser = Self {
            driver,
            session,
            _profile: profile,
        };
        let scheme = if start.dark { "dark" } else { "light" };
        browser.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [
                { "name": "prefers-color-scheme", "value": scheme }, { "name": "prefers-reduced-motion", "value": "reduce" },
            ]}),
        );
        browser
    }

    /// One command; the answer's value.
    fn command(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Value> {
        let path = format!("/session/{}{path}", self.session);
        self.driver.call(method, &path, body)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.command("POST", path, Some(body));
        answer.unwrap_or_else(|error| panic!("{path} {body}: {error}"))
    }

    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            &json!({ "cmd": command, "params": parameters }),
        )
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    pub(crate) fn back(&self) {
        self.post("/back", &json!({}));
    }

    pub(crate) fn forward(&self) {
        self.post("/forward", &json!({}));
    }

    pub(crate) fn reload(&self) {
        self.post("/refresh", &json!({}));
    }

    pub(crate) fn url(&self) -> String {
        let url = self.command("GET", "/url", None).expect("an address");
        url.as_str().expect("a text").to_owned()
    }

    pub(crate) fn title(&self) -> String {
        let title = self.command("GET", "/title", None).expect("a title");
        title.as_str().expect("a text").to_owned()
    }

    /// The whole document as it is now.
    pub(crate) fn source(&self) -> String {
        let source = self.command("GET", "/source", None).expect("a document");
        source.as_str().expect("a text").to_owned()
    }

    /// The element that a CSS selector finds first.
    fn find(&self, selector: &str) -> Option<String> {
        let query = json!({ "using": "css selector", "value": selector });
        let found = self.command("POST", "/element", Some(&query)).ok()?;
        let id = found.as_object()?.values().next()?.as_str()?;
        Some(id.to_owned())
    }

    fn element(&self, selector: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(id) = self.find(selector) {
                return id;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "no {selector} at {}: {}",
                self.url(),
                self.text("body")
            );
            thread::sleep(Duration::from_millis(30));
        }
    }

    pub(crate) fn has(&self, selector: &str) -> bool {
        self.find(selector).is_some()
    }

    /// What is to be seen of an element.
    pub(crate) fn text(&self, selector: &str) -> String {
        let id = self.element(selector);
        let text = self.command("GET", &format!("/element/{id}/text"), None);
        text.expect("a text").as_str().expect("a text").to_owned()
    }

    pub(crate) fn property(&self, selector: &str, name: &str) -> Value {
        let id = self.element(selector);
        let value = self.command("GET", &format!("/element/{id}/property/{name}"), None);
        value.expect("a property")
    }

    pub(crate) fn value(&self, selector: &str) -> String {
        self.property(selector, "value")
            .as_str()
            .expect("a text")
            .to_owned()
    }

    pub(crate) fn click(&self, selector: &str) {
        let id = self.element(selector);
        self.post(&format!("/element/{id}/click"), &json!({}));
    }

    /// Clicks what leads to another page, and waits until that is there.
    pub(crate) fn follow(&self, selector: &str) {
        self.leave(|| self.click(selector));
    }

    /// Does what leads to another page, and waits until that is there.
    pub(crate) fn leave(&self, act: impl FnOnce()) {
        let before = self.element("html");
        act();
        let begun = Instant::now();
        while self
            .command("GET", &format!("/element/{before}/name"), None)
            .is_ok()
        {
            assert!(begun.elapsed() < PATIENCE, "it stays at {}", self.url());
            thread::sleep(Duration::from_millis(20));
        }
        self.element("body");
    }

    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let id = self.element(selector);
        self.post(&format!("/element/{id}/clear"), &json!({}));
        self.post(&format!("/element/{id}/value"), &json!({ "text": text }));
    }

    /// Runs a function's body in the page.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// As [`Self::run`], for one that calls its last argument when it is done.
    pub(crate) fn run_async(&self, script: &str) -> Value {
        self.post("/execute/async", &json!({ "script": script, "args": [] }))
    }

    pub(crate) fn press(&self, key: &str) {
        let press = |kind: &str| json!({ "type": kind, "value": key });
        let keys = json!({ "type": "key", "id": "keyboard", "actions": [press("keyDown"), press("keyUp")] });
        self.post("/actions", &json!({ "actions": [keys] }));
    }

    /// Answers what the browser asks of itself, such as whether to send a form again.
    pub(crate) fn accept_alert(&self) {
        let _ = self.command("POST", "/alert/accept", Some(&json!({})));
    }

    /// What the browser complained about since this was last asked: errors, and what the policy of a page forbade.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().cloned().unwrap_or_default();
        let texts = entries
            .iter()
            .map(|entry| format!("{} {}", entry["level"], entry["message"]));
        texts.collect()
    }

    pub(crate) fn resize(&self, width: u32, height: u32) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 }),
        );
    }

    /// What is in the window as a small picture, in base64, for a page about the page.
    pub(crate) fn thumbnail(&self, width: u32, height: u32) -> String {
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 0.625 });
        let picture = self.devtools(
            "Page.captureScreenshot",
            &json!({ "format": "webp", "quality": 85, "clip": clip }),
        );
        picture["data"].as_str().expect("a picture").to_owned()
    }

    /// The whole page as a picture, in base64.
    pub(crate) fn picture(&self) -> String {
        let picture = self.devtools(
            "Page.captureScreenshot",
            &json!({ "format": "png", "captureBeyondViewport": true }),
        );
        picture["data"].as_str().expect("a picture").to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.command("DELETE", "", None);
    }
}

impl Driver {
    fn start() -> Self {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(process.stdout.take().expect("its stdout")).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let port = line.split("successfully on port ").nth(1)?;
            port.trim_end_matches('.').parse().ok()
        });
        let port: u16 = port.expect("a port");
        // To the end, lest it stumble over a closed pipe.
        thread::spawn(move || lines.map_while(Result::ok).count());
        Self {
            process,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE * 2)).expect("a timeout");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(body.as_bytes()).expect("sent");
        let mut answer = BufReader::new(stream);
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            assert!(
                answer.read_line(&mut line).expect("a head") > 0,
                "the driver hung up"
            );
            let field = line.to_ascii_lowercase();
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).expect("a body");
        let mut answer: Value = serde_json::from_slice(&body).expect("JSON");
        let value = answer["value"].take();
        match value.get("error") {
            Some(_) => Err(value),
            None => Ok(value),
        }
    }
}
