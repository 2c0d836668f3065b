//! P-12: open streams end when their key is revoked, on other servers too, and also when the client does not read.

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    alone,
    cluster::{Cluster, Plan},
    figures::{Figures, Times, scale},
    support::{http::json_request, server::X_EXTERNAL},
    wire::{Wire, get},
};

const P99: Duration = Duration::from_millis(100);
const ALL: Duration = Duration::from_millis(500);
/// For clients that do not read: 250 ms later the connection is ended hard.
const DEAF: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);
const READERS: &str = "/api/v1/topics/heard/events";
const DEAF_READERS: &str = "/api/v1/topics/unheard/events";
/// More than the kernel keeps for a client that does not read.
const FLOOD: usize = 8 * 1024 * 1024;
const MESSAGE: usize = 8 * 1024;

/// A stream that has begun: the head of the answer has been read.
async fn open(address: SocketAddr, target: &str, key: &str, deaf: bool) -> Result<TcpStream, String> {
    let socket = TcpSocket::new_v4().expect("a socket");
    if deaf {
        socket.set_recv_buffer_size(4096).expect("a small window");
    }
    let mut stream = socket.connect(address).await.expect("connected");
    stream.write_all(&get(target, key)).await.expect("sent");
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = stream.read_buf(&mut head).await.expect("a head");
        assert!(read > 0, "{}", String::from_utf8_lossy(&head));
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    match text.starts_with("http/1.1 200") && text.contains("text/event-stream") {
        true => Ok(stream),
        false => Err(text),
    }
}

/// The end of a body that comes in chunks. The connection may be kept for another request.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// What came until the end, and when that was.
async fn until_the_end(mut stream: TcpStream) -> (Instant, String) {
    let mut rest = Vec::new();
    loop {
        match stream.read_buf(&mut rest).await {
            Ok(0) => break,
            Ok(_) if rest.ends_with(LAST_CHUNK) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    (Instant::now(), String::from_utf8_lossy(&rest).into_owned())
}

/// How many sockets a process has.
fn sockets(pid: Pid) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).expect("its files");
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

async fn open_all(
    cluster: &Cluster,
    target: &'static str,
    key: &str,
    count: usize,
    deaf: bool,
) -> Vec<TcpStream> {
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let (address, key) = (cluster.address(2), key.to_owned());
        opening.spawn(async move { open(address, target, &key, deaf).await });
    }
    let opened = opening.join_all().await;
    let opened: Result<Vec<_>, _> = opened.into_iter().collect();
    opened.expect("they are all streams")
}

/// Says so much on the topic of those who do not read that no more gets through to them.
async fn flood(cluster: &Cluster) {
    let text = "x".repeat(MESSAGE);
    let body = format!(r#"{{"text":"{text}"}}"#);
    let message = json_request("POST", "/api/v1/topics/unheard/messages", &[X_EXTERNAL], &body);
    let mut wire = Wire::to(cluster.address(2));
    for _ in 0..FLOOD / MESSAGE {
        assert_eq!(wire.status(&message).await.expect("an answer"), 201);
    }
}

#[test]
fn streams_end_when_their_key_is_revoked_elsewhere_also_unread() {
    alone(async {
        let Some(cluster) = Plan::nodes(2).on_postgres().await else {
            return;
        };
        let (count, deaf) = scale((270, 30), (900, 100));
        let mut manager = cluster.manager(1);
        let key = manager
            .mint_with(r#"{"name":"stream","scopes":["topics:read"]}"#)
            .await;
        let pid = cluster.node(2).server().pid();
        let before = sockets(pid);
        let readers = open_all(&cluster, READERS, &key.key, count, false).await;
        let unread = open_all(&cluster, DEAF_READERS, &key.key, deaf, true).await;
        flood(&cluster).await;
        let open = sockets(pid);
        assert!(open >= before + count + deaf, "{open} sockets, {before} before");

        let polite = Arc::new(AtomicUsize::new(0));
        let mut ending = JoinSet::new();
        for stream in readers {
            let polite = polite.clone();
            ending.spawn(async move {
                let (end, said) = until_the_end(stream).await;
                polite.fetch_add(usize::from(said.contains("auth-revoked")), Ordering::Relaxed);
                end
            });
        }
        let revoked = manager.revoke(&key).await.end;
        // Those who do not read are seen to have ended by what the server has open: its pools and the harness have some, too.
        let left = open - count - deaf + 3;
        let all_gone = loop {
            if sockets(pid) <= left {
                break revoked.elapsed();
            }
            assert!(
                revoked.elapsed() < PATIENCE,
                "streams go on: {} of {open} sockets",
                sockets(pid)
            );
            sleep(Duration::from_millis(2)).await;
        };
        let ends = timeout(PATIENCE, ending.join_all()).await.expect("they end");
        let ends = Times::of(
            ends.into_iter()
                .map(|end| end.saturating_duration_since(revoked))
                .collect(),
        );
        drop(unread);
        Figures::of("P-12", cluster.place())
            .say("streams", count + deaf)
            .say("unread", deaf)
            .at_least("told-why", polite.load(Ordering::Relaxed), count)
            .time("p50", ends.at(500))
            .within("p99", ends.at(990), P99)
            .within("last-reader", ends.max(), ALL)
            .within("last-unread", all_gone, DEAF)
            .print();
    });
}

#[test]
fn streams_end_when_their_server_is_told_to_stop() {
    alone(async {
        let Some(mut cluster) = Plan::nodes(2).on_postgres().await else {
            return;
        };
        let count = scale(50, 500);
        let key = cluster
            .manager(1)
            .mint_with(r#"{"name":"stream","scopes":["topics:read"]}"#)
            .await;
        let streams = open_all(&cluster, READERS, &key.key, count, false).await;
        let mut ending = JoinSet::new();
        for stream in streams {
            ending.spawn(until_the_end(stream));
        }
        let server = cluster.node_mut(2).server.take().expect("it runs");
        let told = Instant::now();
        server.signal(Signal::TERM);
        let ended = tokio::task::block_in_place(|| server.ended());
        let took = told.elapsed();
        ended.assert_success();
        let said = timeout(PATIENCE, ending.join_all()).await.expect("they end");
        let hinted = said.iter().filter(|(_, said)| said.contains("retry:")).count();
        Figures::of("P-27 streams", cluster.place())
            .say("streams", count)
            .at_least("told-when-to-retry", hinted, count)
            .within_or("end", took, Duration::from_secs(5), Duration::from_secs(10))
            .print();
    });
}
