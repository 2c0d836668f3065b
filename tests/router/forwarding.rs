//! Who the client is behind a proxy: what handlers, the fallback and layers further inside see.

use std::net::{IpAddr, SocketAddr};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    routing::get as route,
};
use http::{Extensions, Method, request::Parts};
use tower_api_key::{
    ApiKeyAuth, Builder, access::AddressList, authn::StaticKey, manage::NewKey, middleware::ClientAddress,
    principal::Identity, store::MemoryStore,
};

use crate::answer::{KEY, ask, is, request};

const PROXY: &str = "10.0.0.1";

fn builder() -> Builder {
    let store = MemoryStore::new().expect("a store");
    ApiKeyAuth::builder(store)
        .static_key(StaticKey::new(KEY))
        .trusted_proxies(["10.0.0.0/8"])
}

fn seen(extensions: &Extensions) -> String {
    let address = ClientAddress::of(extensions);
    address.map_or_else(|| "not known".to_owned(), |address| address.to_string())
}

/// Says what address the handler sees.
fn told(auth: ApiKeyAuth) -> Router {
    let handler = async |request: Request| seen(request.extensions());
    Router::new().route("/", route(handler)).layer(auth)
}

/// A request that a peer hands on, as axum or as the application itself knows it.
fn from(peer: &str, by_axum: bool, key: &str, fields: &[(&'static str, &str)]) -> Request {
    let mut request = request(Method::GET, "/", key);
    for (name, value) in fields {
        let value = value.parse().expect("a value");
        request.headers_mut().append(*name, value);
    }
    let peer: IpAddr = peer.parse().expect("an address");
    let extensions = request.extensions_mut();
    match by_axum {
        true => drop(extensions.insert(ConnectInfo(SocketAddr::new(peer, 50_000)))),
        false => drop(extensions.insert(ClientAddress(peer))),
    }
    request
}

/// The name of a field, and its value.
type Field = (&'static str, &'static str);

/// Who hands a request on, with which fields, and who is the client then.
const CASES: &[(&str, &[Field], &str)] = &[
    (PROXY, &[("x-forwarded-for", "203.0.113.7")], "203.0.113.7"),
    (
        "::ffff:10.0.0.1",
        &[("x-forwarded-for", "203.0.113.7")],
        "203.0.113.7",
    ),
    (
        PROXY,
        &[
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-for", "203.0.113.7, 10.0.0.2"),
        ],
        "203.0.113.7",
    ),
    (PROXY, &[("forwarded", "for=\"[2001:db8::1]\"")], "2001:db8::1"),
    (PROXY, &[("x-forwarded-for", "unknown")], "not known"),
    (
        PROXY,
        &[
            ("x-forwarded-for", "203.0.113.7"),
            ("forwarded", "for=203.0.113.8"),
        ],
        "not known",
    ),
    (PROXY, &[], PROXY),
    (
        "203.0.113.1",
        &[("x-forwarded-for", "203.0.113.7")],
        "203.0.113.1",
    ),
];

#[tokio::test]
async fn whatever_is_inside_of_the_layer_sees_the_client() {
    let auth = builder().build().expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let issued = keys.issue(NewKey::new("alice")).await.expect("a key");
    let once = told(auth.clone().optional());
    let twice = told(auth.clone().optional()).layer(auth.optional());
    for (peer, fields, expected) in CASES {
        for by_axum in [true, false] {
            // Not looked up, looked up, from the cache, and nobody.
            for key in [KEY, issued.key.expose(), issued.key.expose(), ""] {
                for app in [&once, &twice] {
                    let answer = ask(app.clone(), from(peer, by_axum, key, fields)).await;
                    assert_eq!(answer.summary(), is(200, expected), "{peer} {fields:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_fallback_sees_the_client_too_and_a_session_can_be_bound_to_it() {
    let auth = builder().fallback(|request: &Parts| {
        let list = AddressList::new(["203.0.113.7"]).expect("addresses");
        let identity = Identity::new(seen(&request.extensions)).allowed_ips(list);
        std::future::ready(Ok(Some(identity)))
    });
    let handler = async |caller: tower_api_key::principal::Principal| caller.owner().to_owned();
    let auth = auth.build().expect("a configuration");
    let app = Router::new().route("/", route(handler)).layer(auth);
    for (peer, fields, expected) in CASES {
        for by_axum in [true, false] {
            let answer = ask(app.clone(), from(peer, by_axum, "", fields)).await;
            let expected = match *expected {
                "203.0.113.7" => is(200, "203.0.113.7"),
                _ => is(403, "address-not-allowed"),
            };
            assert_eq!(answer.summary(), expected, "{peer} {fields:?}");
        }
    }
}

#[tokio::test]
async fn a_layer_that_trusts_nobody_leaves_everything_as_it_is() {
    let auth = ApiKeyAuth::static_keys_only()
        .static_key(StaticKey::new(KEY))
        .trusted_proxies([""; 0]);
    let app = told(auth.build().expect("a configuration"));
    for (peer, fields, _) in CASES {
        let answer = ask(app.clone(), from(peer, true, KEY, fields)).await;
        assert_eq!(answer.summary(), is(200, peer), "{fields:?}");
    }
}

#[test]
fn each_block_that_is_none_is_a_complaint() {
    let refused = builder()
        .trusted_proxies(["10.0.0.1/8", "::1"])
        .trusted_proxies(vec!["proxy.example".to_owned()])
        .build()
        .expect_err("bad blocks");
    let complaints: Vec<String> = refused.complaints().map(ToString::to_string).collect();
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    assert!(complaints[0].contains("\"10.0.0.1/8\"") && complaints[1].contains("\"proxy.example\""));
}
