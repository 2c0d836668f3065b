//! What a terminal is shown, and what happens when nobody reads.

use std::{
    io::Read,
    process::{Command, Stdio},
};

use crate::{
    import::hex,
    place::{Place, on_each},
};

/// Clears the screen, turns the direction, ends the line; put there by somebody who can write SQL.
const HOSTILE: &str = "x\u{1b}[2J\u{9b}31m\u{202e}\r\n\u{7}y";

#[test]
fn names_cannot_drive_the_terminal() {
    on_each(|place| {
        let (_, id) = place.mint(&["--owner", "alice"]);
        place.sql(&format!(
            "UPDATE api_keys SET name = '{HOSTILE}', owner = 'o{HOSTILE}', prefix = 'p{HOSTILE}'; \
             UPDATE api_key_events SET owner = 'o{HOSTILE}', actor_owner = 'a{HOSTILE}', reason = '{HOSTILE}'"
        ));
        place.mint(&["--owner", "bob"]);
        for arguments in [
            &["list"][..],
            &["show", &id],
            &["events"],
            &["events", &id],
            &["revoke", &id[..4]],
        ] {
            for json in [&[][..], &["--json"]] {
                let ran = place.run(&[arguments, json].concat());
                let text = format!("{}{}", ran.stdout, ran.stderr);
                let driving = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
                assert!(!text.contains(driving), "{arguments:?}: {text:?}");
                assert!(text.contains("[2J"), "it is not hidden, either: {text:?}");
                if json.is_empty() {
                    assert!(
                        text.contains("\\u{1b}[2J\\u{9b}31m\\u{202e}\\u{d}\\u{a}\\u{7}"),
                        "{text:?}"
                    );
                }
            }
        }
        let shown = place.json(&["show", &id]);
        assert_eq!(shown["name"], HOSTILE, "programs get what is there");
    });
}

#[test]
fn a_reader_who_goes_away_is_no_failure() {
    on_each(|place| {
        let lines: String = (0..3000)
            .map(|i| format!("{},alice\n", hex(&format!("legacy-{i}"))))
            .collect();
        let ran = place.feed(
            &["import", "-", "--format", "csv"],
            &format!("digest,owner\n{lines}"),
        );
        assert_eq!(ran.code, 0, "{ran:?}");
        for arguments in [
            &["list", "--limit", "3000"][..],
            &["list", "--limit", "3000", "--json"],
            &["events"],
        ] {
            let mut child = place.command(arguments).spawn().expect("started");
            drop(child.stdout.take());
            let ended = child.wait_with_output().expect("ended");
            assert_eq!(ended.status.code(), Some(0), "{arguments:?}");
            assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{arguments:?}");
        }
        // But a key that nobody read is lost.
        let mut child = place.command(&["mint", "--owner", "a"]).spawn().expect("started");
        drop(child.stdout.take());
        let ended = child.wait_with_output().expect("ended");
        assert_eq!(ended.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&ended.stderr).contains("revoke it"));
    });
}

#[test]
fn progress_is_shown_on_a_terminal_only() {
    // `script` of util-linux gives a command a terminal.
    let Ok(probe) = Command::new("script").arg("--version").output() else {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("SKIPPED: there is no `script`");
        }
        return;
    };
    assert!(probe.status.success());
    let place = Place::sqlite();
    let lines: String = (0..3000)
        .map(|i| format!("{},alice\n", hex(&format!("legacy-{i}"))))
        .collect();
    let file = place.file("keys.csv", &format!("digest,owner\n{lines}"));
    let piped = place.run(&["import", &file]);
    assert_eq!(
        piped.stderr,
        "3000 keys were now imported; 0 were there already\n"
    );

    let command = format!("'{}' import '{file}'", env!("CARGO_BIN_EXE_apikey"));
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("APIKEY_DATABASE_URL", &place.url)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut seen = Vec::new();
    child
        .stdout
        .take()
        .expect("its stdout")
        .read_to_end(&mut seen)
        .expect("read");
    let seen = String::from_utf8_lossy(&seen);
    assert!(child.wait().expect("ended").success());
    assert!(seen.contains("% "), "{seen:?}");
    assert!(
        seen.contains("0 keys were now imported; 3000 were there already"),
        "{seen:?}"
    );
}
