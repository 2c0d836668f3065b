//! The document that is served, against the routes that answer.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    support::{
        http::{Response, json_request, request, with_body},
        server::EXTERNAL,
    },
    world::{Place, World},
};

/// Of the one user there is.
const LOGIN: &str = "user=alice&password=correct-horse-battery";

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn document(world: &World) -> Value {
    let answer = world.server.get("/openapi.json", &[]);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/json")),
        "{answer:?}"
    );
    answer.json()
}

/// The path with something in it that is there.
fn filled(world: &World, path: &str) -> String {
    let id = match path {
        path if path.starts_with("/api/v1/issues") => "1".to_owned(),
        _ => world.minted(EXTERNAL, &json!({"name": "documented"})).0,
    };
    path.replace("{id}", &id)
        .replace("{agent}", "alpha")
        .replace("{topic}", "news")
}

/// A request that is good, as far as the document goes.
fn call(world: &World, method: &str, path: &str, field: Option<&str>) -> Response {
    let mut fields: Vec<&str> = field.into_iter().collect();
    if path.ends_with("/ws") {
        fields.extend([
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ]);
    }
    let body = match (method, path) {
        ("post", "/login") => {
            let form = ["Content-Type: application/x-www-form-urlencoded"];
            let form = with_body("POST", path, &[&fields[..], &form].concat(), Some(LOGIN));
            return world.server.exchange(&form);
        }
        ("post", "/api/v1/introspect" | "/api/v1/revoke") => {
            let form = ["Content-Type: application/x-www-form-urlencoded"];
            let form = with_body(
                "POST",
                path,
                &[&fields[..], &form].concat(),
                Some("token=unknown"),
            );
            return world.server.exchange(&form);
        }
        ("post", "/api/v1/keys") => Some(json!({"name": "documented"})),
        ("post", "/api/v1/issues") => Some(json!({"title": "documented"})),
        ("post", path) if path.ends_with("/messages") => Some(json!({"text": "documented"})),
        ("patch", path) if path.starts_with("/api/v1/issues") => Some(json!({"status": "open"})),
        ("patch", _) => Some(json!({"name": "documented"})),
        _ => None,
    };
    let method = method.to_uppercase();
    world.server.exchange(&match body {
        Some(body) => json_request(&method, path, &fields, &body.to_string()),
        None => request(&method, path, &fields),
    })
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("an item") {
            operations.push((path.clone(), method.clone(), operation.clone()));
        }
    }
    operations
}

fn started() -> World {
    let world = Place::sqlite().start_with(&["--user", "alice:correct-horse-battery"]);
    let made = world.send("POST", "/api/v1/issues", EXTERNAL, &json!({"title": "first"}));
    assert_eq!(made.status, 201, "{made:?}");
    world
}

#[test]
fn what_is_documented_answers_and_what_answers_is_documented() {
    let world = started();
    let document = document(&world);
    assert_eq!(document["openapi"], "3.1.0");
    let external = format!("X-Key: {EXTERNAL}");
    let operations = operations(&document);
    assert_eq!(operations.len(), 29, "{operations:?}");
    for (path, method, operation) in &operations {
        let answer = call(&world, method, &filled(&world, path), Some(&external));
        assert!(
            !matches!(answer.status, 404 | 405 | 500..),
            "{method} {path} {answer:?}"
        );
        let documented = &operation["responses"][answer.status.to_string()];
        assert!(documented.is_object(), "{method} {path} {answer:?}");
    }
    let paths: BTreeSet<&String> = operations.iter().map(|(path, ..)| path).collect();
    for path in paths {
        for method in METHODS {
            if operations
                .iter()
                .any(|(other, documented, _)| other == path && documented == method)
            {
                continue;
            }
            let answer = call(&world, method, &filled(&world, path), Some(&external));
            answer.assert_problem(405, "method-not-allowed");
        }
    }
}

#[test]
fn what_is_documented_to_need_a_scope_is_refused_without_it() {
    let world = started();
    let scopeless = world.key_of("alice", &[]);
    for (path, method, operation) in operations(&document(&world)) {
        let security = operation["security"].as_array().expect("security");
        let anonymous = security.contains(&json!({}));
        let target = filled(&world, &path);
        let answer = call(&world, &method, &target, None);
        assert_eq!(answer.status == 401, !anonymous, "{method} {path} {answer:?}");

        let bearer = security.iter().find_map(|scheme| scheme.get("bearer"));
        let scopes = bearer.cloned().unwrap_or_else(|| json!([]));
        for scheme in security {
            let (name, asked) = match scheme.as_object().expect("a scheme").iter().next() {
                Some(scheme) => scheme,
                None => continue,
            };
            assert!(
                document(&world)["components"]["securitySchemes"][name].is_object(),
                "{name}"
            );
            assert_eq!(*asked, scopes, "{method} {path}");
        }
        let field = scopeless.bearer();
        let answer = match path.ends_with("/current") {
            // It ends what it is tried with.
            true => call(
                &world,
                &method,
                &target,
                Some(&world.key_of("alice", &[]).bearer()),
            ),
            false => call(&world, &method, &target, Some(&field)),
        };
        match scopes.as_array().map(Vec::len) {
            Some(0) => assert!(answer.status < 300, "{method} {path} {answer:?}"),
            _ => {
                answer.assert_problem(403, "insufficient-scope");
                assert_eq!(answer.json()["required"], scopes, "{method} {path}");
            }
        }
        // With what it asks for it answers.
        let enough: Vec<&str> = scopes
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        if !enough.is_empty() {
            let key = world.key_of("external", &enough);
            let answer = call(&world, &method, &target, Some(&key.x_key()));
            let short_of_it = answer.status == 403 && answer.body.contains("insufficient-scope");
            assert!(!short_of_it, "{method} {path} {answer:?}");
        }
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn references<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let world = started();
    let document = document(&world);
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a place in the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn answers_have_the_members_that_the_document_says() {
    let world = started();
    let document = document(&world);
    let members = |schema: &str| -> BTreeSet<String> {
        let schema = &document["components"]["schemas"][schema]["properties"];
        schema.as_object().expect("properties").keys().cloned().collect()
    };
    let found = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let list = world.get("/api/v1/keys", EXTERNAL).json();
    assert_eq!(found(&list), members("KeyList"));
    let (id, _) = world.minted(EXTERNAL, &json!({"name": "documented"}));
    assert_eq!(found(&world.shown(&id, EXTERNAL)), members("Key"));
    let events = world.get("/api/v1/keys/events", EXTERNAL).json();
    assert_eq!(found(&events), members("EventList"));
    assert_eq!(found(&events["data"][0]), members("Event"));
    assert_eq!(found(&events["data"][0]["actor"]), members("Actor"));
    let problem = world.mint(EXTERNAL, &json!({})).json();
    assert_eq!(found(&problem), members("Problem"));
    assert_eq!(found(&problem["errors"][0]), members("FieldError"));
    // Bodies: what is documented is taken, name by name.
    for member in members("NewKeyRequest") {
        let refused = world
            .mint(EXTERNAL, &json!({member.as_str(): 1, "name": 1}))
            .json();
        let fields: Vec<&Value> = refused["errors"]
            .as_array()
            .expect("errors")
            .iter()
            .map(|error| &error["field"])
            .collect();
        assert!(
            fields.contains(&&json!(member)) && !fields.contains(&&json!("body")),
            "{member} {refused}"
        );
    }
}
