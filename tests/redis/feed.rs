//! What is published is heard, and that nothing is heard is noticed.

use tower_api_key::{
    event::{Change, Channel, RedisFeed},
    key::KeyDigest,
};

use crate::{
    hearing::{Hearing, Told, is_lost},
    proxy::Proxy,
    server::Server,
};

fn digests(count: usize) -> Vec<KeyDigest> {
    (0..count).map(|n| KeyDigest::of(&n.to_be_bytes())).collect()
}

async fn begun(feed: &RedisFeed) -> Hearing {
    Hearing::begun(Some(feed.feed())).await
}

#[tokio::test]
async fn a_feed_first_takes_everything_for_changed_and_then_is_proven_again_and_again() {
    let Some(server) = Server::find().await else {
        return;
    };
    let hearing = begun(&server.feed()).await;
    hearing.assert_in_order().await;
}

#[tokio::test]
async fn what_is_told_is_heard_by_all() {
    let Some(server) = Server::find().await else {
        return;
    };
    let (one, two) = (server.feed(), server.feed());
    let hearings = [begun(&one).await, begun(&two).await];
    let each = |count| digests(count).into_iter().map(Told::Changed).collect();
    let cases: Vec<(Change, Vec<Told>)> = vec![
        (Change::Keys(digests(1)), each(1)),
        (Change::Keys(digests(64)), each(64)),
        (Change::Keys(digests(65)), vec![Told::All]),
        (Change::Everything, vec![Told::All]),
    ];
    for (change, expected) in cases {
        let marks = hearings.each_ref().map(Hearing::mark);
        one.tell(&change).await.expect("told");
        for (hearing, mark) in hearings.iter().zip(marks) {
            assert_eq!(hearing.all_since(mark).await, expected, "{change:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_understood_changes_everything() {
    let Some(server) = Server::find().await else {
        return;
    };
    let hearing = begun(&server.feed()).await;
    let [one, two] = [1_u8, 2].map(|n| KeyDigest::of(&[n]));
    let known = format!("keys:{},{}", one.to_hex(), two.to_hex());
    let cases: [(&[u8], Vec<Told>); 10] = [
        (known.as_bytes(), vec![Told::Changed(one), Told::Changed(two)]),
        (b"all", vec![Told::All]),
        (b"", vec![Told::All]),
        (b"keys", vec![Told::All]),
        (b"keys:", vec![Told::All]),
        (b"keys:00", vec![Told::All]),
        (&[known.as_bytes(), b",x"].concat(), vec![Told::All]),
        (b"\xff\xfe", vec![Told::All]),
        (b"of a version: to come", vec![Told::All]),
        (b"beat:of somebody else", vec![]),
    ];
    for (word, expected) in cases {
        let mark = hearing.mark();
        server.publish(word).await;
        assert_eq!(hearing.all_since(mark).await, expected, "{word:?}");
    }
}

#[tokio::test]
async fn channels_are_apart() {
    let (Some(server), Some(other)) = (Server::find().await, Server::find().await) else {
        return;
    };
    let hearing = begun(&server.feed()).await;
    let mark = hearing.mark();
    other.feed().tell(&Change::Everything).await.expect("told");
    assert_eq!(hearing.all_since(mark).await, []);
}

#[tokio::test]
async fn a_connection_that_is_cut_comes_back_and_takes_everything_for_changed() {
    let Some(server) = Server::find().await else {
        return;
    };
    let proxy = Proxy::of_address(server.address());
    let hearing = begun(&server.feed_at(proxy.url())).await;
    for _ in 0..3 {
        let mark = hearing.mark();
        proxy.cut();
        let lost_at = hearing.lost(mark).await;
        proxy.clear_up();
        hearing.assert_back(lost_at).await;
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_any_more_is_noticed() {
    let Some(server) = Server::find().await else {
        return;
    };
    let proxy = Proxy::of_address(server.address());
    let hearing = begun(&server.feed_at(proxy.url())).await;
    let mark = hearing.mark();
    proxy.lose();
    let lost_at = hearing.lost(mark).await;
    proxy.clear_up();
    hearing.assert_back(lost_at).await;
}

/// Servers close connections that are not used.
#[tokio::test]
async fn what_is_told_through_a_connection_that_has_been_closed_is_told_through_another() {
    let Some(server) = Server::find().await else {
        return;
    };
    let proxy = Proxy::of_address(server.address());
    let feed = server.feed_at(proxy.url());
    let hearing = begun(&server.feed()).await;
    for _ in 0..3 {
        let mark = hearing.mark();
        feed.tell(&Change::Everything).await.expect("told");
        assert_eq!(hearing.all_since(mark).await, [Told::All]);
        proxy.end_all();
    }
}

#[tokio::test]
async fn a_feed_that_is_dropped_says_so() {
    let Some(server) = Server::find().await else {
        return;
    };
    let hearing = begun(&server.feed()).await;
    hearing.end();
    let told = hearing.until(0, is_lost).await;
    assert_eq!(told.last(), Some(&Told::Lost("the feed has ended".to_owned())));
}

#[tokio::test]
async fn where_there_is_no_server_nothing_is_proven_and_no_password_is_told() {
    // A port that nobody listens at, since it is taken.
    let taken = tokio::net::TcpSocket::new_v4().expect("a socket");
    taken
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a port");
    let address = taken.local_addr().expect("an address");
    let feed = RedisFeed::new(&format!("redis://:hunter2@{address}")).expect("a URL");
    assert!(!format!("{feed:?}").contains("hunter2"));
    let hearing = Hearing::begin(Some(feed.feed()));
    let lost = hearing.until(0, is_lost).await;
    let again = hearing.until(lost.len(), is_lost).await;
    for told in lost.iter().chain(&again) {
        assert!(
            matches!(told, Told::Lost(why) if !why.contains("hunter2")),
            "{told:?}"
        );
    }
    feed.tell(&Change::Everything).await.expect_err("nobody was told");
}

#[test]
fn a_url_of_something_else_is_refused() {
    // TLS is the application's to switch on.
    for url in ["", "localhost", "http://localhost", "rediss://localhost"] {
        let error = RedisFeed::new(url).expect_err(url);
        assert!(std::error::Error::source(&error).is_some());
    }
}
