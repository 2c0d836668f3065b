//! Keys that are bound to addresses.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{Router, extract::ConnectInfo, routing::get as route};
use http::{Method, request::Parts};
use tower_api_key::{
    ApiKeyAuth,
    access::AddressList,
    key::KeyDigest,
    manage::NewKey,
    middleware::ClientAddress,
    principal::{Identity, Principal},
    store::MemoryStore,
};

use crate::answer::{Answer, ask, is, request};

fn list() -> AddressList {
    AddressList::new(["192.0.2.7", "198.51.100.0/24", "2001:db8::/32"]).expect("addresses")
}

/// Where a request says that it comes from.
#[derive(Debug, Clone, Copy)]
enum From {
    Nowhere,
    Application(&'static str),
    Axum(&'static str),
    /// The application knows better than the socket.
    Both(&'static str, &'static str),
}

async fn get(app: &Router, field: (&'static str, &str), from: From) -> Answer {
    let mut request = request(Method::GET, "/", "");
    request
        .headers_mut()
        .insert(field.0, field.1.parse().expect("a value"));
    let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
    let (client, peer) = match from {
        From::Nowhere => (None, None),
        From::Application(client) => (Some(client), None),
        From::Axum(peer) => (None, Some(peer)),
        From::Both(client, peer) => (Some(client), Some(peer)),
    };
    let extensions = request.extensions_mut();
    if let Some(client) = client {
        extensions.insert(ClientAddress(address(client)));
    }
    if let Some(peer) = peer {
        extensions.insert(ConnectInfo(SocketAddr::new(address(peer), 50_000)));
    }
    ask(app.clone(), request).await
}

const CASES: &[(From, bool)] = &[
    (From::Application("192.0.2.7"), true),
    (From::Application("192.0.2.8"), false),
    (From::Application("::ffff:192.0.2.7"), true),
    (From::Application("::ffff:192.0.2.8"), false),
    (From::Application("198.51.100.255"), true),
    (From::Application("198.51.101.0"), false),
    (From::Application("2001:db8::1"), true),
    (From::Application("2001:db9::1"), false),
    (From::Axum("192.0.2.7"), true),
    (From::Axum("::ffff:192.0.2.7"), true),
    (From::Axum("192.0.2.8"), false),
    (From::Both("192.0.2.7", "192.0.2.8"), true),
    (From::Both("192.0.2.8", "192.0.2.7"), false),
    (From::Nowhere, false),
];

#[tokio::test]
async fn a_key_with_a_list_works_from_there_only_however_it_was_found() {
    let store = ApiKeyAuth::builder(MemoryStore::new().expect("a store"))
        .fallback(|request: &Parts| {
            let known = request.headers.contains_key("cookie");
            std::future::ready(Ok(known.then(|| Identity::new("alice").allowed_ips(list()))))
        })
        .build()
        .expect("a configuration");
    let keys = store.keys().expect("there is a store");
    let issued = keys
        .issue(NewKey::new("alice").allowed_ips(list()))
        .await
        .expect("a key");
    let resolver = ApiKeyAuth::resolver(|_: KeyDigest| {
        std::future::ready(Ok(Some(Identity::new("alice").allowed_ips(list()))))
    });
    let resolver = resolver.build().expect("a configuration");
    let entered = Arc::new(());
    let guarded = |auth: ApiKeyAuth| {
        let entered = entered.clone();
        let handler = async move |caller: Principal| {
            drop(entered);
            caller.owner().to_owned()
        };
        Router::new().route("/", route(handler)).layer(auth)
    };
    for (what, auth, field) in [
        ("stored", store.clone(), ("x-key", issued.key.expose())),
        (
            "optional",
            store.clone().optional(),
            ("x-key", issued.key.expose()),
        ),
        ("resolved", resolver, ("x-key", "any")),
        ("session", store.clone(), ("cookie", "user=alice")),
    ] {
        let app = guarded(auth);
        for &(from, allowed) in CASES {
            // Looked up, and from the cache.
            for _ in 0..2 {
                let answer = get(&app, field, from).await;
                if allowed {
                    assert_eq!(answer.summary(), is(200, "alice"), "{what} {from:?}");
                } else {
                    assert_eq!(
                        answer.summary(),
                        is(403, "address-not-allowed"),
                        "{what} {from:?}"
                    );
                    assert_eq!(answer.all("cache-control"), ["no-store"]);
                    assert!(answer.all("www-authenticate").is_empty());
                    assert!(!answer.body.contains("192.0.2"), "{}", answer.body);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_on_the_first_look_up_is_no_less_one() {
    for (from, expected) in [
        (From::Nowhere, is(403, "address-not-allowed")),
        (From::Application("192.0.2.8"), is(403, "address-not-allowed")),
        (From::Application("192.0.2.7"), is(200, "in")),
    ] {
        let auth = ApiKeyAuth::builder(MemoryStore::new().expect("a store"))
            .build()
            .expect("a configuration");
        let keys = auth.keys().expect("there is a store");
        let issued = keys
            .issue(NewKey::new("alice").allowed_ips(list()))
            .await
            .expect("a key");
        let app = Router::new().route("/", route(async || "in")).layer(auth);
        assert_eq!(
            get(&app, ("x-key", issued.key.expose()), from).await.summary(),
            expected,
            "{from:?}"
        );
    }
}

#[tokio::test]
async fn a_key_without_a_list_works_from_anywhere() {
    let auth = ApiKeyAuth::builder(MemoryStore::new().expect("a store"))
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let issued = keys.issue(NewKey::new("alice")).await.expect("a key");
    let app = Router::new().route("/", route(async || "in")).layer(auth);
    for &(from, _) in CASES {
        assert_eq!(
            get(&app, ("x-key", issued.key.expose()), from).await.summary(),
            is(200, "in"),
            "{from:?}"
        );
    }
}
