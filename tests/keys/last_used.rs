//! When a key was last used, as its owner sees it.

use crate::support::http::request;
use crate::{
    support::server::EXTERNAL,
    world::{KEYS, World, at, field},
};

on_both! {
    fn the_use_of_a_key_is_shown_after_the_server_was_told_to_stop(place) {
        let world = place.start();
        let (used, unused) = (world.alice(), world.alice());
        assert_eq!(world.shown(&used.id.to_string(), EXTERNAL)["last_used_at"], serde_json::Value::Null);
        assert_eq!(world.status_of(&used.key), 200);
        assert_eq!(world.status_of(&used.key), 200);
        let World { server, setup, .. } = world;
        server.stop().assert_success();

        let server = setup.start();
        let shown = |id: &dyn std::fmt::Display| {
            server.exchange(&request("GET", &at(id), &[&field(EXTERNAL)])).json()
        };
        let last = shown(&used.id)["last_used_at"].as_str().expect("a date").to_owned();
        let made = shown(&used.id)["created_at"].as_str().expect("a date").to_owned();
        assert!(made < last, "{made} {last}");
        assert_eq!(shown(&unused.id)["last_used_at"], serde_json::Value::Null);
        let listed = server.exchange(&request("GET", KEYS, &[&field(EXTERNAL)])).json();
        let listed = listed["data"].as_array().expect("a list");
        let listed = listed.iter().find(|key| key["id"] == *used.id.to_string());
        assert_eq!(listed.expect("the key")["last_used_at"], *last);
    }
}
