//! What becomes of changes, and of what is cached, while the server cannot be reached.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    node::{FOR_EVER, Node, Table},
    proxy::Proxy,
    server::{PATIENCE, Server},
};

const KEY: &str = "of-the-applications-own-table";

#[tokio::test]
async fn who_hears_nothing_uses_nothing_cached_and_nothing_from_before_when_it_hears_again() {
    let Some(server) = Server::find().await else {
        return;
    };
    let table = Table::default();
    let proxy = Proxy::of_address(server.address());
    let one = Node::over(&table, server.feed(), FOR_EVER);
    let two = Node::over(&table, server.feed_at(proxy.url()), FOR_EVER);
    for lose in [false, true] {
        two.insert(&table, KEY).await;
        two.until_cached(KEY).await;
        match lose {
            true => proxy.lose(),
            false => proxy.cut(),
        }
        two.until_looked_up(KEY).await;
        for _ in 0..5 {
            let before = two.look_ups();
            assert_eq!(two.status(KEY).await, 200);
            assert_eq!(two.look_ups(), before + 1);
        }
        // It is told, and two does not hear it.
        one.remove(&table, KEY).await;
        assert_eq!(two.status(KEY).await, 401);
        proxy.clear_up();
        let hears_again = async {
            loop {
                let before = two.look_ups();
                assert_eq!(two.status(KEY).await, 401);
                if two.look_ups() == before {
                    return;
                }
            }
        };
        timeout(PATIENCE, hears_again).await.expect("it never does");
        assert_eq!(two.status(KEY).await, 401);
    }
}

/// Who makes the change hears nothing; the other does, and goes by what it has cached.
#[tokio::test]
async fn a_change_that_cannot_be_told_is_answered_when_nobody_uses_anything_from_before() {
    let Some(server) = Server::find().await else {
        return;
    };
    let table = Table::with(KEY);
    let proxy = Proxy::of_address(server.address());
    let cached_for = Duration::from_secs(3);
    let one = Node::over(&table, server.feed_at(proxy.url()), cached_for);
    let two = Node::over(&table, server.feed(), cached_for);
    proxy.cut();
    two.until_cached(KEY).await;
    one.remove(&table, KEY).await;
    assert_eq!(two.status(KEY).await, 401);
}

#[cfg(feature = "metrics")]
#[tokio::test]
async fn how_long_nothing_has_been_heard_is_told_while_it_goes_on() {
    let Some(server) = Server::find().await else {
        return;
    };
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let age = || -> f64 {
        let told = handle.render();
        let mut ages = told
            .lines()
            .filter_map(|line| line.strip_prefix("api_key_feed_age_seconds "));
        ages.next().map_or(0.0, |age| age.parse().expect("a number"))
    };
    let proxy = Proxy::of_address(server.address());
    let node = Node::over(&Table::with(KEY), server.feed_at(proxy.url()), FOR_EVER);
    node.until_cached(KEY).await;
    proxy.cut();
    node.until_looked_up(KEY).await;
    for _ in 0..3 {
        let before = age();
        crate::node::until(async || age() > before).await;
    }
}

#[tokio::test]
async fn a_change_that_cannot_be_told_is_answered_as_soon_as_it_can() {
    let Some(server) = Server::find().await else {
        return;
    };
    let table = Table::with(KEY);
    let proxy = Proxy::of_address(server.address());
    let one = Node::over(&table, server.feed_at(proxy.url()), FOR_EVER);
    let two = Node::over(&table, server.feed(), FOR_EVER);
    two.until_cached(KEY).await;
    proxy.lose();
    let changing = {
        let (one, table) = (one.clone(), table.clone());
        tokio::spawn(async move { one.remove(&table, KEY).await })
    };
    // Here it has happened.
    one.until_status(KEY, 401).await;
    proxy.clear_up();
    changing.await.expect("it is answered");
    two.until_status(KEY, 401).await;
}
