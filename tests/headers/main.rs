//! Whatever bytes the headers hold: no panic, and nobody is let in but with the one credential that is exactly a good key.

#![expect(clippy::print_stdout, reason = "it prints how many inputs there were")]

use std::{
    cell::Cell,
    convert::Infallible,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use proptest::{
    collection::vec,
    prelude::any,
    test_runner::{Config, TestCaseError, TestRunner},
};
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{
    ApiKeyAuth,
    authn::StaticKey,
    credential,
    key::{CheckKey, KeyDigest, KeyFormat},
    manage::NewKey,
    principal::Principal,
    store::{KeyStore, MemoryStore},
};

mod contract;

mod inputs;

use contract::{Fate, Good, Sources};
use inputs::{Material, Tape};

/// Over all tests of this file.
const INPUTS: u32 = 1_000_000;
const TESTS: u32 = 4;

const A_LONG_TIME: Duration = Duration::from_secs(3600);

/// With whatever base64 and people put into keys, where it could pass for syntax.
const STATIC_KEYS: [&str; 6] = [
    "a-plain-static-key",
    "/begins-like-base64-can",
    "=begins-with-an-equals-sign",
    "Bearer-is-how-it-begins",
    "key=named-like-a-cookie;key",
    "%41-looks-percent-encoded",
];

/// What is served, and what the contract is judged by.
struct Bench {
    auth: ApiKeyAuth,
    sources: Sources,
    good: Good,
    material: Material,
}

impl Bench {
    async fn new(sources: Sources, lifetime: Duration) -> Self {
        let store = MemoryStore::new().expect("a store");
        let mut builder = ApiKeyAuth::builder(store.clone())
            .cache_ttl(lifetime)
            .unknown_ttl(lifetime);
        if sources == Sources::Every {
            let every = credential::Sources::default()
                .cookie("key")
                .web_socket_protocol("key")
                .danger_query_parameter("key");
            builder = builder.sources(every);
        }
        let statics = STATIC_KEYS.map(|key| StaticKey::new(key).owner(key));
        let auth = builder.static_keys(statics).build().expect("a configuration");
        let keys = auth.keys().expect("there is a store");

        let mut good: Good = STATIC_KEYS.map(|key| (key.into(), key.into())).into();
        for i in 0..6 {
            let owner = format!("owner-{i}");
            let issued = keys.issue(NewKey::new(&owner)).await.expect("a key");
            good.insert(issued.key.expose().into(), owner);
        }
        let mut material = Material {
            good: good.keys().cloned().collect(),
            bad: Vec::new(),
        };
        let revoked = keys.issue(NewKey::new("revoked")).await.expect("a key");
        keys.revoke(revoked.record.id).await.expect("revoked");
        let expired = NewKey::new("expired").expires_at(SystemTime::UNIX_EPOCH);
        let expired = keys.issue(expired).await.expect("a key");
        let ours = store.check_key();
        let theirs = CheckKey::from_bytes(&[7; 32]);
        let others = [("ak", &ours), ("ak", &theirs), ("xk", &ours)].map(|(prefix, check_key)| {
            let format = KeyFormat::new(prefix, check_key).expect("a prefix");
            format.generate().expect("random numbers")
        });
        for key in others.iter().chain([&revoked.key, &expired.key]) {
            material.bad.push(key.expose().into());
        }
        for key in &material.good {
            material.bad.push(KeyDigest::of(key).to_hex().into());
            material
                .bad
                .push(format!("sha256:{}", KeyDigest::of(key).to_hex()).into());
        }
        Self {
            auth,
            sources,
            good,
            material,
        }
    }

    /// What becomes of a request, in the words of the contract's judge.
    async fn ask(&self, request: Request<Vec<u8>>) -> Fate {
        let inside = service_fn(async |request: Request<Vec<u8>>| {
            let caller = request.extensions().get::<Principal>();
            let answer = caller.map(|caller| caller.owner().to_owned());
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(answer.unwrap_or_default())))
        });
        let Ok(response) = self.auth.layer(inside).oneshot(request).await;
        match response.status().as_u16() {
            200 => {
                let owner = {
                    let body = response.into_body().collect().await.expect("a body");
                    String::from_utf8(body.to_bytes().into()).expect("a name")
                };
                Fate::Passes(Some(owner).filter(|owner| !owner.is_empty()))
            }
            status => Fate::Refused(status),
        }
    }
}

/// Asks a share of all inputs; says how many were let in, refused as ambiguous, and refused as not good.
fn run(
    bench: &Bench,
    runtime: &Runtime,
    make: impl Fn(&mut Tape<'_>, &Material) -> Request<Vec<u8>>,
) -> [u32; 3] {
    let config = Config {
        cases: INPUTS / TESTS,
        failure_persistence: None,
        ..Config::default()
    };
    let counts = Cell::new([0; 3]);
    let checked = TestRunner::new(config).run(&vec(any::<u8>(), 0..80), |tape| {
        let request = || make(&mut Tape::new(&tape), &bench.material);
        let expected = contract::fate(&request(), bench.sources, &bench.good);
        let found = runtime.block_on(bench.ask(request()));
        if found != expected {
            let why = format!("{found:?} and not {expected:?}: {:?}", request());
            return Err(TestCaseError::fail(why));
        }
        let mut count = counts.get();
        match found {
            Fate::Passes(_) => count[0] += 1,
            Fate::Refused(400) => count[1] += 1,
            Fate::Refused(_) => count[2] += 1,
        }
        counts.set(count);
        Ok(())
    });
    if let Err(failure) = checked {
        panic!("{failure}");
    }
    let [passed, ambiguous, refused] = counts.get();
    println!(
        "{} of {INPUTS} inputs: {passed} let in, {ambiguous} ambiguous, {refused} not good",
        INPUTS / TESTS
    );
    assert_eq!(passed + ambiguous + refused, INPUTS / TESTS);
    counts.get()
}

/// Near misses must be near: each fate is that of many.
fn run_near_misses(sources: Sources, lifetime: Duration) {
    let runtime = runtime();
    let bench = runtime.block_on(Bench::new(sources, lifetime));
    let counts = run(&bench, &runtime, |tape, material| tape.request(material));
    assert!(
        counts.iter().all(|count| *count > INPUTS / TESTS / 20),
        "{counts:?}"
    );
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

#[test]
fn near_misses_are_told_from_good_keys_in_the_default_places() {
    run_near_misses(Sources::Default, A_LONG_TIME);
}

#[test]
fn near_misses_are_told_from_good_keys_when_each_is_looked_up_anew() {
    run_near_misses(Sources::Default, Duration::ZERO);
}

#[test]
fn near_misses_are_told_from_good_keys_in_every_place_there_is() {
    run_near_misses(Sources::Every, A_LONG_TIME);
}

#[test]
fn noise_lets_nobody_in() {
    let runtime = runtime();
    let bench = runtime.block_on(Bench::new(Sources::Every, A_LONG_TIME));
    let counts = run(&bench, &runtime, |tape, _| tape.raw_request());
    assert_eq!(counts[0], 0, "nobody guesses a key");
}
