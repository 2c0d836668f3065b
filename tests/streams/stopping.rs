//! A server that is told to stop says so to those who listen.

use crate::{
    client::{Key, Kind, Listener},
    support::server::Setup,
};

#[test]
fn streams_end_with_the_server_and_are_told_when_to_come_back() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let key = Key::mint(&server, &["topics:read"], None);
    let mut listeners = Kind::BOTH.map(|kind| Listener::open(&server, kind, "news", &key));
    let ended = server.stop();
    ended.assert_success();
    assert!(!ended.log.contains("in time"), "{}", ended.log);
    assert_eq!(listeners[0].ends(), "retry 1000");
    assert_eq!(listeners[1].ends(), "1001");
}
