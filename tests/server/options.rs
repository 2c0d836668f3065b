//! The command line: what is refused, with which exit status, and what the message must not say.

use std::{fs, net::TcpListener};

use crate::support::{
    http::json_request,
    server::{EXTERNAL, Ended, Setup, X_EXTERNAL},
};

/// The message of a server that does not start.
fn refused(setup: &Setup, code: i32) -> String {
    let Ended {
        code: found,
        printed,
        log,
    } = setup.run();
    assert_eq!(found, Some(code), "{printed:?} {log}");
    assert_eq!(printed, [""; 0], "{log}");
    assert!(!log.contains("panicked"), "{log}");
    log
}

#[test]
fn an_external_key_that_cannot_be_meant_is_refused_wherever_it_comes_from() {
    let blank = "empty or blank";
    let placeholder = "placeholder";
    for (value, complaint) in [
        ("", blank),
        (" ", blank),
        (" \t ", blank),
        ("changeme", placeholder),
        ("ChangeMe", placeholder),
        ("secret", placeholder),
        ("password", placeholder),
        ("test", placeholder),
        ("your-api-key", placeholder),
    ] {
        for setup in [
            Setup::new().arguments(&["--api-key", value]),
            Setup::new().variable("API_KEY_EXTERNAL", value),
            Setup::new()
                .file("key.txt", value)
                .arguments(&["--api-key-file", "key.txt"]),
            Setup::new()
                .file("key.txt", &format!("{value}\n"))
                .arguments(&["--api-key-file", "key.txt"]),
            // A good one beside it does not make up for it.
            Setup::with_external_key().variable("API_KEY_EXTERNAL", value),
        ] {
            let message = refused(&setup, 2);
            assert!(
                message.contains("key") && message.contains(complaint),
                "{value:?}: {message}"
            );
            assert!(
                value.trim().is_empty() || !message.contains(value),
                "{value:?}: {message}"
            );
        }
    }
}

#[test]
fn an_external_key_that_no_caller_could_send_is_refused_without_being_repeated() {
    let long = "k".repeat(513);
    for value in [
        "two words-of-some-length",
        "comma,in-the-middle-of-it",
        "cl\u{e9}-cl\u{e9}-cl\u{e9}-cl\u{e9}",
        "first-line-of-a-key\nsecond-line",
        "sha256:not-a-digest-at-all",
        &long,
    ] {
        for setup in [
            Setup::new().arguments(&["--api-key", value]),
            Setup::new().variable("API_KEY_EXTERNAL", value),
            Setup::new()
                .file("key.txt", value)
                .arguments(&["--api-key-file", "key.txt"]),
        ] {
            let message = refused(&setup, 2);
            let start: String = value.trim_start_matches("sha256:").chars().take(9).collect();
            assert!(
                message.contains("key") && !message.contains(&start),
                "{value:?}: {message}"
            );
        }
    }
    let twice = Setup::with_external_key().variable("API_KEY_EXTERNAL", EXTERNAL);
    let message = refused(&twice, 2);
    assert!(
        message.contains("same") && !message.contains(EXTERNAL),
        "{message}"
    );
}

#[test]
fn a_short_external_key_is_taken_with_a_warning_that_does_not_repeat_it() {
    for (key, warned) in [
        ("fifteen-letters", true),
        ("x", true),
        ("sixteen-letters!", false),
    ] {
        for setup in [
            Setup::new().arguments(&["--api-key", key]),
            Setup::new().variable("API_KEY_EXTERNAL", key),
            Setup::new()
                .file("key.txt", key)
                .arguments(&["--api-key-file", "key.txt"]),
        ] {
            let server = setup.start();
            let good = server.get("/api/v1/whoami", &[&format!("X-Key: {key}")]);
            assert_eq!(good.status, 200, "{key}");
            let log = server.stop().log;
            let warning = log.lines().find(|line| line.contains("fewer than 16 characters"));
            assert_eq!(warning.is_some(), warned, "{log}");
            assert!(key.len() == 1 || !log.contains(key), "{log}");
        }
    }
}

#[test]
fn a_key_file_that_cannot_be_read_is_refused() {
    let large = "k".repeat(5000);
    let setup = Setup::new().file("large.txt", &large);
    fs::create_dir(setup.path("directory")).expect("a directory");
    fs::write(setup.path("binary.txt"), b"\xff\xfe\x00k").expect("written");
    let mut setup = setup;
    // A device without an end must not be read to it.
    for name in ["missing.txt", "directory", "large.txt", "binary.txt", "/dev/zero"] {
        setup = setup.without_arguments().arguments(&["--api-key-file", name]);
        let message = refused(&setup, 2);
        assert!(message.contains(name), "{message}");
        assert!(!message.contains("kkkk"), "{message}");
    }
}

#[test]
fn a_database_address_of_another_kind_is_refused_without_its_password() {
    for url in [
        "mysql://root:correct-horse@db.example/keys",
        "root:correct-horse@db.example",
        "redis://:correct-horse@db.example",
        "SQLITE://correct-horse.db",
        "",
    ] {
        let message = refused(&Setup::with_external_key().arguments(&["--database-url", url]), 2);
        assert!(message.contains("--database-url"), "{message}");
        assert!(!message.contains("correct-horse"), "{message}");
    }
}

#[test]
fn a_postgresql_that_cannot_be_reached_is_told_without_its_password() {
    for url in [
        "postgres://root:correct-horse@127.0.0.1:1/keys",
        "postgresql://root:correct-horse@127.0.0.1:port/keys",
        "postgres://root:correct-horse@127.0.0.1:1/keys?sslmode=never",
    ] {
        let message = refused(&Setup::with_external_key().arguments(&["--database-url", url]), 1);
        assert!(message.contains("error: "), "{message}");
        assert!(!message.contains("correct-horse"), "{message}");
    }
}

#[test]
fn an_unknown_option_is_refused() {
    for arguments in [
        &["--api-keys", "x"][..],
        &["--api-key"],
        &["--api-key-file"],
        &["positional"],
        &["--trust-proxy"],
        &["--failure-limit"],
    ] {
        let message = refused(&Setup::new().arguments(arguments), 2);
        assert!(message.contains("--help"), "{message}");
    }
    let help = Setup::new().arguments(&["--help"]).run();
    help.assert_success();
    let help = help.printed.join("\n");
    for option in [
        "--listen",
        "--database-url",
        "--api-key",
        "--api-key-file",
        "--max-keys-per-owner",
        "--rate-limit",
        "--failure-limit",
        "--trust-proxy",
        "API_KEY_EXTERNAL",
    ] {
        assert!(help.contains(option), "{help}");
    }
}

#[test]
fn a_proxy_or_a_limit_that_cannot_be_meant_is_refused_before_anything_is_made() {
    for (option, values) in [
        (
            "--trust-proxy",
            &[
                "",
                "localhost",
                "10.0.0.0/33",
                "10.0.0.1/8",
                "10.0.0.0/8,::1",
                "*",
            ][..],
        ),
        ("--failure-limit", &["", "10", "0/1m", "10/1w", "-1/1m"]),
    ] {
        for value in values {
            let argument = format!("{option}={value}");
            let setup = Setup::with_external_key().arguments(&[&argument]);
            let message = refused(&setup, 2);
            assert!(
                message.contains(option) && message.contains("must be"),
                "{message}"
            );
            assert!(!setup.path("demo.db").exists());
        }
    }
}

#[test]
fn a_sqlite_file_is_made_when_it_is_missing_and_used_again() {
    let setup = Setup::with_external_key();
    let absolute = format!("sqlite://{}", setup.path("absolute.db").display());
    let mut setup = setup;
    for (url, name) in [
        ("sqlite://relative.db", "relative.db"),
        (&absolute, "absolute.db"),
        ("sqlite:short.db", "short.db"),
    ] {
        setup = setup
            .without_arguments()
            .arguments(&["--api-key", EXTERNAL, "--database-url", url]);
        assert!(!setup.path(name).exists());
        let server = setup.start();
        assert!(setup.path(name).exists());
        let create = json_request("POST", "/api/v1/issues", &[X_EXTERNAL], r#"{"title":"kept"}"#);
        assert_eq!(server.exchange(&create).status, 201);
        server.stop().assert_success();
        let kept = setup.start().get("/api/v1/issues", &[X_EXTERNAL]);
        assert_eq!(kept.json()[0]["title"], "kept");
    }
    assert!(!setup.path("demo.db").exists());
}

#[test]
fn a_database_that_cannot_be_opened_is_a_failure_with_a_message() {
    let setup = Setup::with_external_key().file("text.db", &"this is no database\n".repeat(100));
    fs::create_dir(setup.path("directory.db")).expect("a directory");
    let mut setup = setup;
    for name in ["missing/keys.db", "text.db", "directory.db"] {
        let url = format!("sqlite://{name}");
        setup = setup
            .without_arguments()
            .arguments(&["--api-key", EXTERNAL, "--database-url", &url]);
        let message = refused(&setup, 1);
        assert!(
            message.contains("error: the key store is unavailable: "),
            "{message}"
        );
        assert!(!message.contains(EXTERNAL), "{message}");
    }
}

#[test]
fn a_port_that_is_taken_is_a_failure_and_no_key_is_lost_to_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let setup = Setup::new().listen(&address);
    let message = refused(&setup, 1);
    assert!(
        message.starts_with("error: ") && message.contains(&address) && message.contains("in use"),
        "{message}"
    );
    drop(taken);
    // The key is minted by the start that can show it.
    let server = setup.start();
    assert!(
        server.printed.iter().any(|line| line.contains("export KEY=")),
        "{:?}",
        server.printed
    );

    for nowhere in ["127.0.0.1", "nonsense", "256.0.0.1:80"] {
        let message = refused(&Setup::new().listen(nowhere), 1);
        assert!(message.starts_with("error: "), "{message}");
    }
}

#[test]
fn port_zero_is_a_free_port_each_time() {
    let setup = Setup::with_external_key();
    let (first, second) = (setup.start(), setup.start());
    assert_ne!(first.address.port(), 0);
    assert_ne!(first.address, second.address);
    for server in [&first, &second] {
        assert_eq!(server.get("/healthz", &[]).status, 200);
    }
}

#[test]
fn the_url_of_a_redis_server_that_is_none_is_refused_and_not_repeated() {
    for url in [
        "",
        "somewhere",
        "http://somebody:hunter2@localhost",
        "redis://",
        "redis://somebody:hunter2@localhost:99999",
        // Without TLS.
        "rediss://somebody:hunter2@localhost",
    ] {
        let message = refused(&Setup::with_external_key().arguments(&["--redis-url", url]), 2);
        assert!(message.contains("--redis-url"), "{url:?}: {message}");
        assert!(!message.contains("hunter2"), "{url:?}: {message}");
    }
    for arguments in [
        &["--limits-when-away", "refuse"][..],
        &["--redis-url", "redis://localhost", "--limits-when-away", "hope"],
    ] {
        let message = refused(&Setup::with_external_key().arguments(arguments), 2);
        assert!(
            message.contains("--limits-when-away") || message.contains("--redis-url"),
            "{message}"
        );
    }
}
