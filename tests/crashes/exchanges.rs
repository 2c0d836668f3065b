//! The demo server killed in the middle of exchanges: a token that a key was given for is used up, and one that none was given for is not.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant, SystemTime},
};

use serde_json::json;
use tower_api_key::store::TokenId;

use crate::{
    issuer::Issuer,
    kill_in_a_storm, kills,
    place::Place,
    signer::EC,
    support::{
        http::{Connection, Response, request as get},
        server::{Server, Setup},
    },
    workflow::{claims, deploy, request},
};

/// One text of a token, and what was said to it.
struct Brought {
    jti: String,
    text: String,
    heard: Heard,
}

enum Heard {
    Key(String),
    /// It is used up, as far as the server knew.
    Refused,
    Nothing,
}

/// All that was said of a token, in whichever text.
#[derive(Debug, Default)]
struct Fate {
    texts: Vec<String>,
    keys: Vec<String>,
    refused: usize,
    unanswered: usize,
}

#[derive(Debug, Default)]
struct Figures {
    given: usize,
    refused: usize,
    unanswered: usize,
    /// Given although nobody heard of it.
    unheard: usize,
    /// Not given, and good still.
    saved: usize,
}

fn is_refused(answer: &Response) -> bool {
    answer.status == 400 && answer.json()["error"] == json!("invalid_grant")
}

fn key_of(answer: &Response) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().expect("a key").to_owned()
}

/// A client that brings one token after the other. Some of them the other of a pair brings, too: signed once more, it is another text.
fn bring(
    issuer: &str,
    kill: usize,
    address: SocketAddr,
    client: usize,
    answers: &AtomicUsize,
) -> Vec<Brought> {
    let mut connection = Connection::open(address);
    let mut brought = Vec::new();
    for n in 0.. {
        let jti = match n % 4 {
            0 => format!("{kill}-both-{}-{n}", client / 2),
            _ => format!("{kill}-{client}-{n}"),
        };
        let mut claims = claims(issuer, SystemTime::now());
        claims["jti"] = json!(jti);
        let text = EC.token(&claims);
        let sent = connection.try_send(&request(&text));
        let answer = sent.then(|| connection.try_receive(false).ok()).flatten();
        let heard = match &answer {
            None => Heard::Nothing,
            Some(answer) if is_refused(answer) => Heard::Refused,
            Some(answer) => Heard::Key(key_of(answer)),
        };
        brought.push(Brought { jti, text, heard });
        if answer.is_none() {
            break;
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
    brought
}

/// What was said of each token, by its id as the database has it.
fn fates(issuer: &str, told: Vec<Vec<Brought>>) -> BTreeMap<String, Fate> {
    let mut fates: BTreeMap<String, Fate> = BTreeMap::new();
    for Brought { jti, text, heard } in told.into_iter().flatten() {
        let fate = fates.entry(TokenId::of(issuer, &jti).to_string()).or_default();
        fate.texts.push(text);
        match heard {
            Heard::Key(key) => fate.keys.push(key),
            Heard::Refused => fate.refused += 1,
            Heard::Nothing => fate.unanswered += 1,
        }
    }
    fates
}

/// For which tokens there are keys, once for each key.
fn given_in(place: &Place, setup: &Setup) -> Vec<String> {
    const MINTED: &str = "SELECT e.reason FROM api_keys k JOIN api_key_events e ON e.key_id = k.id \
                          WHERE k.exchanged = 1 AND e.kind = 'minted'";
    let reasons = place.texts(setup, [MINTED, MINTED]);
    let tokens = reasons.iter().map(|reason| reason.rsplit_once(", token "));
    let mut tokens: Vec<String> = tokens.map(|token| token.expect("a token").1.to_owned()).collect();
    tokens.sort_unstable();
    tokens
}

/// What is not as it must be: for each token that is spent one key, and for each key a token.
fn faults(place: &Place, setup: &Setup) -> Vec<String> {
    let mut faults = place.faults(setup);
    let given = given_in(place, setup);
    let mut spent = place.texts(
        setup,
        [
            "SELECT lower(hex(id)) FROM api_key_tokens",
            "SELECT encode(id, 'hex') FROM api_key_tokens",
        ],
    );
    spent.sort_unstable();
    let alone = |those: &[String], others: &[String]| -> Vec<String> {
        those.iter().filter(|id| !others.contains(id)).cloned().collect()
    };
    if given != spent {
        let (keys, tokens) = (alone(&given, &spent), alone(&spent, &given));
        let (many, few) = (given.len(), spent.len());
        faults.push(format!(
            "{many} keys for {few} tokens: no tokens of {keys:?}, no keys of {tokens:?}"
        ));
    }
    faults
}

/// Each token is what it was said to be, and can still be used where it never was.
fn assert_kept(server: &Server, given: &[String], fates: &BTreeMap<String, Fate>, figures: &mut Figures) {
    let mut connection = Connection::open(server.address);
    let mut exchange = |bytes: &[u8]| {
        connection.send(bytes);
        connection.receive(false)
    };
    for (id, fate) in fates {
        let keys = given.iter().filter(|token| *token == id).count();
        let heard = fate.keys.len();
        figures.given += heard;
        figures.refused += fate.refused;
        figures.unanswered += fate.unanswered;
        assert!(heard <= 1 && keys <= 1, "{keys} keys for {id}: {fate:?}");
        let mut good = fate.keys.clone();
        // Whoever was told that it is used up was told the truth, too.
        if heard + fate.refused > 0 {
            assert_eq!(keys, 1, "no key for {id}: {fate:?}");
        } else if keys == 1 {
            figures.unheard += 1;
        } else {
            figures.saved += 1;
            good.push(key_of(&exchange(&request(&fate.texts[0]))));
        }
        for text in &fate.texts {
            let again = exchange(&request(text));
            assert!(is_refused(&again), "{id} twice: {again:?}");
        }
        for key in good {
            let bearer = format!("Authorization: Bearer {key}");
            let who = exchange(&get("GET", "/api/v1/whoami", &[&bearer]));
            assert_eq!(who.status, 200, "{id}: {who:?}");
        }
    }
}

fn setup(place: &Place, issuer: &Issuer) -> Setup {
    place
        .setup()
        .file("trust.toml", &deploy(issuer.url()))
        .arguments(&["--oidc-config", "trust.toml"])
}

fn survives(place: &Place) {
    let begun = Instant::now();
    let issuer = Issuer::start();
    let setup = setup(place, &issuer);
    let mut figures = Figures::default();
    let mut server = setup.start();
    for kill in 0..kills() {
        let address = server.address;
        let url = issuer.url();
        let told = kill_in_a_storm(&server, kill, |client, answers| {
            bring(url, kill, address, client, answers)
        });
        drop(server);
        // Before anybody has dealt with what the killed one left behind, and after.
        server = setup.start();
        assert_eq!(faults(place, &setup), Vec::<String>::new(), "after kill {kill}");
        let fates = fates(issuer.url(), told);
        assert_kept(&server, &given_in(place, &setup), &fates, &mut figures);
        assert_eq!(
            faults(place, &setup),
            Vec::<String>::new(),
            "once more after kill {kill}"
        );
        let given = given_in(place, &setup);
        let once = fates
            .keys()
            .all(|id| given.iter().filter(|token| *token == id).count() == 1);
        assert!(once, "a token with another number of keys than one: {given:?}");
    }
    print(place, &figures, begun.elapsed());
    assert!(
        figures.given > 0 && figures.refused > 0,
        "there was no storm: {figures:?}"
    );
    assert!(
        figures.unanswered >= kills(),
        "it was not killed in the middle: {figures:?}"
    );
}

#[expect(clippy::print_stderr, reason = "figures for whoever asks for them")]
fn print(place: &Place, figures: &Figures, took: Duration) {
    eprintln!(
        "{}: {} kills in {:.1} s; {figures:?}",
        place.name(),
        kills(),
        took.as_secs_f64()
    );
}

#[test]
fn a_token_is_used_up_with_its_key_or_not_at_all_whenever_the_server_is_killed_on_sqlite() {
    survives(&Place::sqlite());
}

#[test]
fn a_token_is_used_up_with_its_key_or_not_at_all_whenever_the_server_is_killed_on_postgres() {
    if let Some(place) = Place::postgres() {
        survives(&place);
    }
}

/// The tests above would find it.
fn finds_half_an_exchange(place: &Place) {
    let issuer = Issuer::start();
    let setup = setup(place, &issuer);
    let server = setup.start();
    let (address, url) = (server.address, issuer.url());
    kill_in_a_storm(&server, 79, |client, answers| {
        bring(url, 0, address, client, answers)
    });
    drop(server);
    assert_eq!(faults(place, &setup), Vec::<String>::new());
    for (damage, fault) in [
        (
            "DELETE FROM api_key_tokens WHERE id IN (SELECT id FROM api_key_tokens LIMIT 1)",
            " keys for ",
        ),
        (
            "DELETE FROM api_keys WHERE id = (SELECT max(id) FROM api_keys WHERE exchanged = 1)",
            "an event without its key",
        ),
    ] {
        place.sql(&setup, damage);
        let found = faults(place, &setup);
        assert!(
            found.iter().any(|found| found.contains(fault)),
            "{damage}: {found:?}"
        );
    }
}

#[test]
fn a_key_without_its_token_and_an_event_without_its_key_are_found_on_sqlite() {
    finds_half_an_exchange(&Place::sqlite());
}

#[test]
fn a_key_without_its_token_and_an_event_without_its_key_are_found_on_postgres() {
    if let Some(place) = Place::postgres() {
        finds_half_an_exchange(&place);
    }
}
