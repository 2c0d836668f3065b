//! A thousand streams on one key, a hundred of which belong to clients that do not read.

use std::{net::SocketAddr, time::Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{TcpSocket, TcpStream},
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use crate::{
    client::{Key, say},
    support::{PATIENCE, http::request, server::Setup},
};

const READING: usize = 900;
const NOT_READING: usize = 100;

/// What the kernel takes of it for clients that do not read is less than half of this.
const FLOOD: usize = 100;
const MESSAGE: usize = 32 * 1024;

/// One end of a thousand connections, and more.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum;
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: most,
            maximum: most,
        },
    );
}

async fn open(address: SocketAddr, topic: &str, key: &Key, reads: bool) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    if !reads {
        socket.set_recv_buffer_size(4096).expect("a small window");
    }
    let mut stream = socket.connect(address).await.expect("connected");
    let target = format!("/api/v1/topics/{topic}/events");
    stream
        .write_all(&request("GET", &target, &[&key.field()]))
        .await
        .expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    assert!(head.starts_with(b"HTTP/1.1 200"));
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "it prints figures")]
async fn a_thousand_streams_on_one_key_all_end_also_where_nobody_reads() {
    allow_open_files();
    let setup = Setup::with_external_key();
    let server = setup.start();
    let key = Key::mint(&server, &["topics:read"], None);
    let mut reading = Vec::new();
    for _ in 0..READING {
        reading.push(open(server.address, "quiet", &key, true).await);
    }
    let mut stuck = Vec::new();
    for _ in 0..NOT_READING {
        stuck.push(open(server.address, "flood", &key, false).await);
    }
    let (server, key) = spawn_blocking(move || {
        let text = "x".repeat(MESSAGE);
        (0..FLOOD).for_each(|_| say(&server, "flood", &text));
        (server, key)
    })
    .await
    .expect("flooded");

    let mut reads = JoinSet::new();
    for mut stream in reading {
        reads.spawn(async move {
            let mut rest = Vec::new();
            while !rest.ends_with(b"\r\n0\r\n\r\n") {
                let read = stream.read_buf(&mut rest).await.expect("an end");
                assert_ne!(read, 0, "broken off: {}", String::from_utf8_lossy(&rest));
            }
            let rest = String::from_utf8(rest).expect("text");
            assert!(rest.contains("event: auth-revoked"), "{rest}");
            Instant::now()
        });
    }
    let mut waits = JoinSet::new();
    for stream in stuck {
        waits.spawn(async move {
            // It does not read, and is told all the same: the connection is reset.
            while !stream.ready(Interest::ERROR).await.expect("its state").is_error() {}
            Instant::now()
        });
    }
    let (_server, revoked) = spawn_blocking(move || {
        key.revoke(&server);
        (server, Instant::now())
    })
    .await
    .expect("revoked");
    for (who, ends, count) in [
        ("who read", &mut reads, READING),
        ("who did not read", &mut waits, NOT_READING),
    ] {
        let mut last = revoked;
        for _ in 0..count {
            let end = timeout(PATIENCE, ends.join_next())
                .await
                .expect("some do not end");
            last = last.max(end.expect("as many as began").expect("no panic"));
        }
        println!(
            "{count} {who}: the last ended {:?} after the revoke was answered",
            last - revoked
        );
    }
}
