//! Bodies that are not what a call takes.

use serde_json::json;

use crate::{
    support::http::{Connection, json_request, with_body},
    world::{KEYS, at, complaints, field},
};

const GOOD: &str = r#"{"name":"made"}"#;

on_both! {
    fn a_body_of_another_type_is_refused(place) {
        let world = place.start();
        let alice = world.alice();
        let before = world.count();
        let targets = [("POST", KEYS.to_owned()), ("PATCH", at(alice.id)), ("POST", format!("{}/rotate", at(alice.id)))];
        for (method, target) in &targets {
            for other in [
                &[][..],
                &["Content-Type: text/plain"],
                &["Content-Type: application/x-www-form-urlencoded"],
                &["Content-Type: application/problem"],
                &["Content-Type: json"],
                &["Content-Type:"],
                &["Content-Type: application/json", "Content-Type: application/json"],
                &["Content-Type: application/json2"],
                &["Content-Type: text/json"],
            ] {
                let key = field(&alice.key);
                let fields = [&[key.as_str()], other].concat();
                let refused = world.server.exchange(&with_body(method, target, &fields, Some(GOOD)));
                refused.assert_problem(415, "unsupported-media-type");
            }
        }
        assert_eq!(world.count(), before);
        let key = field(&alice.key);
        let fields = [key.as_str(), "Content-Type: Application/JSON ; charset=utf-8"];
        assert_eq!(world.server.exchange(&with_body("POST", KEYS, &fields, Some(GOOD))).status, 201);
        // Nothing at all has no type.
        let rotated = world.call("POST", &format!("{}/rotate", at(alice.id)), &alice.key);
        assert_eq!(rotated.status, 201, "{rotated:?}");
    }

    fn a_body_that_is_too_large_is_refused(place) {
        let world = place.start();
        let alice = world.alice();
        let before = world.count();
        let large = json!({"name": "made", "padding": "x".repeat(64 * 1024)}).to_string();
        for (method, target) in [("POST", KEYS.to_owned()), ("PATCH", at(alice.id)), ("POST", format!("{}/rotate", at(alice.id)))] {
            world.send_text(method, &target, &alice.key, &large).assert_problem(413, "body-too-large");
            let key = field(&alice.key);
            let fields = [key.as_str(), "Content-Type: application/json", "Transfer-Encoding: chunked"];
            let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
            let request = [with_body(method, &target, &fields, None), chunked.into_bytes()].concat();
            world.server.exchange(&request).assert_problem(413, "body-too-large");
        }
        assert_eq!(world.count(), before);
        let fits = format!("{}{}", " ".repeat(64 * 1024 - GOOD.len()), GOOD);
        assert_eq!(world.send_text("POST", KEYS, &alice.key, &fits).status, 201);
    }

    fn a_body_that_is_not_one_object_is_refused(place) {
        let world = place.start();
        let alice = world.alice();
        let before = world.count();
        let deep = format!("{{\"name\":\"made\",\"scopes\":{}{}}}", "[".repeat(500), "]".repeat(500));
        for bad in [
            "{", "null", "[]", "\"made\"", "[\"made\"]", "1", r#"{"name":"made"} {}"#, r#"{"name":"made","name":"twice"}"#,
            r#"{"name":"made","scopes":[],"scopes":["issues:read"]}"#, r#"{"name":"made","n\u0061me":"twice"}"#, r#"{"name":"\ud800"}"#,
            r#"{name:"made"}"#, r#"{'name':'made'}"#, r#"{"name":"made",}"#, r#"{"name":NaN}"#, deep.as_str(),
        ] {
            let refused = world.send_text("POST", KEYS, &alice.key, bad);
            assert_eq!(complaints(&refused), ["body"], "{bad}");
            assert!(!refused.body.contains("made"), "{refused:?}");
            assert_eq!(complaints(&world.send_text("PATCH", &at(alice.id), &alice.key, bad)), ["body"], "{bad}");
        }
        assert_eq!(complaints(&world.send_text("POST", KEYS, &alice.key, "")), ["body"]);
        // Not text at all.
        let mut request = json_request("POST", KEYS, &[&field(&alice.key)], r#"{"name":"??"}"#);
        let end = request.len() - 4;
        request[end..end + 2].copy_from_slice(b"\xff\xfe");
        assert_eq!(complaints(&world.server.exchange(&request)), ["body"]);
        assert_eq!(world.count(), before);
        assert_eq!(world.send_text("PATCH", &at(alice.id), &alice.key, "{}").status, 200);
    }

    fn the_body_of_a_caller_who_may_not_is_not_read(place) {
        let world = place.start();
        let reader = world.key_of("alice", &["keys:read"]);
        for (method, target) in [("POST", KEYS.to_owned()), ("PATCH", at(reader.id)), ("POST", format!("{}/rotate", at(reader.id)))] {
            let mut connection = Connection::open(world.server.address);
            let fields = [&field(&reader.key), "Content-Type: application/json", "Content-Length: 100", "Expect: 100-continue"];
            connection.send(&with_body(method, &target, &fields, None));
            connection.receive(false).assert_problem(403, "insufficient-scope");
        }
    }
}
