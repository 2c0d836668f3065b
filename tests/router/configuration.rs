//! What the builder takes and what it refuses.

use axum::{Router, http::Method, routing::get as route};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tower_api_key::{
    ApiKeyAuth, Builder,
    access::Grants,
    authn::StaticKey,
    credential::Sources,
    key::{KeyDigest, Pepper},
    manage::NewKey,
    principal::{Identity, Principal},
    store::{KeyStore, MemoryStore},
};

use crate::answer::{KEY, ask, get, is, request};

fn app(auth: &ApiKeyAuth) -> Router {
    let who = async |caller: Principal| caller.owner().to_owned();
    Router::new().route("/", route(who)).layer(auth.clone())
}

fn complaints(builder: Builder) -> Vec<String> {
    let error = builder.build().expect_err("a bad configuration");
    let complaints: Vec<String> = error.complaints().map(ToString::to_string).collect();
    assert_eq!(error.to_string(), complaints.join("\n"));
    complaints
}

fn pepper(byte: u8) -> Pepper {
    Pepper::new(&[byte; 32]).expect("long enough")
}

#[tokio::test]
async fn a_header_a_realm_and_a_prefix_are_the_applications_to_choose() {
    let auth = ApiKeyAuth::builder(MemoryStore::new().expect("a store"))
        .sources(Sources::none().header("X-Gofannon-Key"))
        .realm("the Gofannon API")
        .prefix("gak")
        .build()
        .expect("a configuration");
    let issued = auth
        .keys()
        .expect("a store")
        .issue(NewKey::new("alice"))
        .await
        .expect("a key");
    let key = issued.key.expose();
    assert!(
        key.starts_with("gak_") && issued.record.prefix == key[..8],
        "{}",
        issued.record.prefix
    );
    let app = app(&auth);
    let with = |name: &'static str, value: &str| {
        let mut request = request(Method::GET, "/", "");
        request
            .headers_mut()
            .insert(name, value.parse().expect("a value"));
        ask(app.clone(), request)
    };
    let answer = with("x-gofannon-key", key).await;
    assert_eq!(answer.summary(), is(200, "alice"));
    assert_eq!(answer.all("vary"), ["X-Gofannon-Key"]);

    let own = r#"ApiKey realm="the Gofannon API", in="header", name="X-Gofannon-Key""#;
    for (name, value) in [("x-key", key), ("authorization", &format!("Bearer {key}"))] {
        let answer = with(name, value).await;
        assert_eq!(answer.summary(), is(401, "missing-credentials"), "{name}");
        assert_eq!(answer.all("www-authenticate"), [own], "{name}");
    }
    let of_another_prefix = key.replace("gak_", "ak_");
    let answer = with("x-gofannon-key", &of_another_prefix).await;
    assert_eq!(answer.summary(), is(401, "invalid-key"));
    let error = r#"ApiKey realm="the Gofannon API", error="invalid_token""#;
    assert_eq!(answer.all("www-authenticate"), [error]);
}

#[tokio::test]
async fn a_pepper_is_in_every_digest_that_a_store_or_a_resolver_sees() {
    let store = MemoryStore::new().expect("a store");
    let peppered = |byte| {
        let builder = ApiKeyAuth::builder(store.clone()).pepper(pepper(byte));
        builder.build().expect("a configuration")
    };
    let auth = peppered(1);
    let issued = auth
        .keys()
        .expect("a store")
        .issue(NewKey::new("alice"))
        .await
        .expect("a key");
    let key = issued.key.expose();
    assert_eq!(get(&app(&auth), "/", key).await, is(200, "alice"));

    let plain = KeyDigest::of(key.as_bytes());
    let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&[1; 32]).expect("a key");
    let expected = mac.chain_update(plain.as_bytes()).finalize().into_bytes();
    assert_eq!(issued.record.digest.as_bytes()[..], expected[..]);
    assert!(store.find(&plain).await.expect("an answer").is_none());

    // A row that somebody inserted without knowing the pepper, or with another.
    let without = ApiKeyAuth::builder(store.clone())
        .build()
        .expect("a configuration");
    for other in [without, peppered(2)] {
        assert_eq!(get(&app(&other), "/", key).await, is(401, "invalid-key"));
        let theirs = other
            .keys()
            .expect("a store")
            .issue(NewKey::new("mallory"))
            .await
            .expect("a key");
        assert_eq!(
            get(&app(&auth), "/", theirs.key.expose()).await,
            is(401, "invalid-key")
        );
    }

    let resolver = move |digest: KeyDigest| async move {
        let known = digest.as_bytes()[..] == expected[..];
        Ok(known.then(|| Identity::new("alice")))
    };
    let resolved = ApiKeyAuth::resolver(resolver)
        .pepper(pepper(1))
        .build()
        .expect("a configuration");
    assert_eq!(get(&app(&resolved), "/", key).await, is(200, "alice"));
}

#[tokio::test]
async fn static_keys_are_not_peppered_and_come_before_the_store() {
    let auth = ApiKeyAuth::builder(MemoryStore::new().expect("a store"))
        .pepper(pepper(1))
        .static_keys([
            StaticKey::new(KEY).owner("first"),
            StaticKey::new(format!(
                "sha256:{}",
                KeyDigest::of(b"the-second-key-of-two").to_hex()
            ))
            .owner("second"),
        ])
        .build()
        .expect("a configuration");
    let app = app(&auth);
    assert_eq!(get(&app, "/", KEY).await, is(200, "first"));
    assert_eq!(get(&app, "/", "the-second-key-of-two").await, is(200, "second"));
    assert_eq!(
        get(&app, "/", "the-third-key-of-two").await,
        is(401, "invalid-key")
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_no_value_is_repeated() {
    let bad_values = ["changeme", " Pa55 with blanks ", "sha256:beef"];
    let builder = ApiKeyAuth::builder(MemoryStore::new().expect("a store"))
        .static_keys(bad_values.map(StaticKey::new))
        .static_key(StaticKey::from_env("TOWER_API_KEY_OF_NO_TEST").named("deploy"))
        .static_key(StaticKey::from_file("/nonexistent/key").named("backup"))
        .sources(Sources::default().header("Host").header("X Key").cookie(""))
        .realm("a \"realm\"")
        .prefix("Not a prefix");
    let shown = format!("{builder:?}");
    let complaints = complaints(builder);
    for expected in [
        "the realm must be",
        "\"Host\" has another use",
        "\"X Key\" cannot name",
        "\"\" cannot name",
        "well-known placeholder",
        "other than visible ASCII",
        "64 hexadecimal digits",
        "static key \"deploy\": the environment variable TOWER_API_KEY_OF_NO_TEST is not set",
        "static key \"backup\": /nonexistent/key cannot be read",
        "not a key prefix",
    ] {
        let said = complaints.iter().filter(|complaint| complaint.contains(expected));
        assert_eq!(said.count(), 1, "{expected}: {complaints:#?}");
    }
    assert_eq!(complaints.len(), 10, "{complaints:#?}");
    for value in bad_values {
        assert!(
            !shown.contains(value) && !complaints.join("\n").contains(value),
            "{value}"
        );
    }
}

#[test]
fn a_configuration_that_nobody_could_get_in_with_is_refused() {
    let nobody = "there is neither a store nor a resolver nor a static key: nobody could get in";
    assert_eq!(complaints(ApiKeyAuth::static_keys_only()), [nobody]);
    assert_eq!(
        complaints(ApiKeyAuth::static_keys_only().static_keys(None)),
        [nobody]
    );
    let nowhere = "no place is named in which a key may be presented";
    let key = || StaticKey::new(KEY);
    let builder = ApiKeyAuth::static_keys_only()
        .static_key(key())
        .sources(Sources::none());
    assert_eq!(complaints(builder), [nowhere]);
    let twice = ApiKeyAuth::static_keys_only().static_keys([key(), key().named("again")]);
    assert_eq!(
        complaints(twice),
        ["static key \"again\": another static key has the same value"]
    );
}

#[test]
fn a_bad_static_key_is_an_error_even_where_there_are_other_keys() {
    for bad in [
        StaticKey::new(""),
        StaticKey::new("   "),
        StaticKey::new("your-api-key"),
        StaticKey::new(format!("sha256:{}", KeyDigest::of(b"").to_hex())),
        StaticKey::from_env("TOWER_API_KEY_OF_NO_TEST"),
        StaticKey::from_file("/nonexistent/key"),
    ] {
        let bad = bad.grant(Grants::all());
        let with_store = ApiKeyAuth::builder(MemoryStore::new().expect("a store")).static_key(bad.clone());
        let with_another = ApiKeyAuth::static_keys_only()
            .static_key(StaticKey::new(KEY))
            .static_key(bad.clone());
        let with_resolver = ApiKeyAuth::resolver(|_: KeyDigest| async { Ok(None) }).static_key(bad);
        for builder in [with_store, with_another, with_resolver] {
            assert_eq!(complaints(builder).len(), 1);
        }
    }
}
