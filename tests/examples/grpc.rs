use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Output, Stdio},
};

use crate::process::{Example, Server};

fn exported(server: &Server, name: &str) -> String {
    let mut lines = server.printed.iter();
    let key = lines.find_map(|line| line.strip_prefix(&format!("export {name}=")));
    key.expect("a key").to_owned()
}

fn watching(example: &Example, server: &Server, key: Option<&str>) -> Command {
    let mut command = example.command();
    command.arg(format!("http://{}", server.address())).args(key);
    command
}

fn assert_refused(watched: &Output, why: &str) {
    assert_eq!(watched.status.code(), Some(1), "{watched:?}");
    assert_eq!(String::from_utf8_lossy(&watched.stderr).trim_end(), why);
}

#[test]
fn a_client_of_grpc_is_told_in_its_own_words_also_when_its_key_ends() {
    let example = Example::new("grpc");
    let mut command = example.command();
    command.arg("127.0.0.1:0").stdin(Stdio::piped());
    let mut server = Server::start(command);
    let (reader, guest) = (exported(&server, "READER"), exported(&server, "GUEST"));

    let run = |key| watching(&example, &server, key).output().expect("run");
    assert_refused(&run(None), "Unauthenticated: This request needs an API key.");
    assert_refused(&run(Some("wrong")), "Unauthenticated: The API key is not valid.");
    assert_refused(
        &run(Some(&guest)),
        "PermissionDenied: The API key lacks a scope that this request needs.",
    );

    let mut command = watching(&example, &server, Some(&reader));
    let mut watch = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut printed = BufReader::new(watch.stdout.take().expect("its stdout")).lines();
    let first = printed.next().expect("a line").expect("text");
    assert!(["SERVING", "NOT_SERVING"].contains(&first.as_str()), "{first}");
    server.stdin().write_all(b"revoke\n").expect("told");
    // To its end.
    assert!(printed.all(|line| line.is_ok()));
    let ended = watch.wait_with_output().expect("ended");
    assert_refused(&ended, "Unauthenticated: ended: key-revoked");
}
