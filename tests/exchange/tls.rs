//! Issuers over TLS, with certificates of an authority of their own: which are believed, and which are as good as not there.

use std::{io::Write, sync::Arc, time::Duration};

use rcgen::{DnType, ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::{AlertDescription, ServerConfig};
use tempfile::NamedTempFile;
use tokio::time::timeout;
use tower_api_key::manage::Policy;

use crate::{
    authority::{Authority, self_signed},
    issuer::{Behaviour, Issuer},
    signer::{EC, FORGER, NEXT, RSA},
    support::PATIENCE,
    transport::Transport,
    world::{World, deploy},
};

const ADDRESS: &str = "127.0.0.1";
const SECOND: Duration = Duration::from_secs(1);
const TEN_MINUTES: Duration = Duration::from_secs(600);

fn https(host: &str, config: Arc<ServerConfig>) -> Issuer {
    Issuer::start_as(&format!("https://{host}"), Transport::Tls(config))
}

/// A file with the certificates of these.
fn file_of(authorities: &[&Authority]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    for authority in authorities {
        file.write_all(authority.pem().as_bytes()).expect("written");
    }
    file
}

/// Nothing but https, and of the issuer what is in its table.
pub(crate) fn strict(issuer: &str, table: &str) -> String {
    let policies = deploy(issuer).replace("danger_allow_http_loopback = true", "");
    format!("{policies}\n[[issuer]]\nurl = \"{issuer}\"\n{table}\n")
}

/// A world that knows the issuer's address to be private, and believes these about it.
fn trusting(issuer: Issuer, authorities: &[&Authority]) -> World {
    let file = file_of(authorities);
    let table = format!("allow_private = true\nca_file = {:?}", file.path());
    let policies = strict(issuer.url(), &table);
    World::of(issuer, &policies, Policy::new())
}

/// What cannot be asked is not believed: 503, no key, and no word in the log, which strangers could fill otherwise.
async fn assert_unavailable(world: &World, token: &str, case: &str) {
    // Far more than it may take: to fail rather than to hang.
    let answer = timeout(PATIENCE, world.exchange(token)).await.expect(case);
    assert_eq!(answer.status, 503, "{case}: {answer:?}");
    answer.assert_error(503, "temporarily_unavailable");
    assert!(!answer.text.contains(world.issuer.url()), "{case}: {answer:?}");
    assert_eq!(world.key_count().await, 0, "{case}");
    assert_eq!(world.events().await.len(), 0, "{case}");
    // Whoever it is may be asked again.
    world.clock.advance(SECOND);
}

#[tokio::test]
async fn an_issuer_is_believed_by_the_authority_that_the_configuration_names() {
    let authority = Authority::new("Internal");
    for (host, config) in [
        (ADDRESS, authority.server(ADDRESS)),
        ("localhost", authority.server("localhost")),
        (ADDRESS, authority.server_of_tls_1_2(ADDRESS)),
    ] {
        let world = trusting(https(host, config), &[&authority]);
        let key = world.exchange(&world.token()).await.key();
        let shown = world.by_key(&key, "GET", "/keys", serde_json::Value::Null).await;
        assert_eq!(shown.status, 403, "it is known, and may not read keys: {shown:?}");
        // A connection for what it says about itself, and one for its keys.
        assert_eq!(world.issuer.reached(), (2, 2), "{host}");
        world.exchange(&EC.token(&world.claims())).await.key();
        world.assert_refused(&FORGER.token(&world.claims()), None).await;
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_refused_before_anything_is_asked() {
    let (authority, namesake) = (Authority::new("Internal"), Authority::new("Internal"));
    let mut world = trusting(https(ADDRESS, authority.server(ADDRESS)), &[&authority]);
    let token = world.token();
    let but = |change: fn(&mut rcgen::CertificateParams)| authority.server_but(ADDRESS, change);
    for (case, config, said) in [
        (
            "of nobody who is known",
            Authority::new("Unknown").server(ADDRESS),
            AlertDescription::UnknownCA,
        ),
        (
            "of somebody of the same name",
            namesake.server(ADDRESS),
            AlertDescription::DecryptError,
        ),
        ("of its own", self_signed(ADDRESS), AlertDescription::UnknownCA),
        (
            "of a server to which the authority gave one",
            authority.pretender().server(ADDRESS),
            AlertDescription::CertificateUnknown,
        ),
        (
            "for a name that is not the address",
            authority.server("localhost"),
            AlertDescription::BadCertificate,
        ),
        (
            "for another address",
            authority.server("127.0.0.2"),
            AlertDescription::BadCertificate,
        ),
        (
            "with the address where names of people are",
            but(|params| {
                params.subject_alt_names.clear();
                params.distinguished_name.push(DnType::CommonName, ADDRESS);
            }),
            AlertDescription::BadCertificate,
        ),
        (
            "that is over",
            but(|params| {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2021, 1, 1);
            }),
            AlertDescription::CertificateExpired,
        ),
        (
            "that is not yet",
            but(|params| params.not_before = date_time_ymd(2999, 1, 1)),
            AlertDescription::CertificateExpired,
        ),
        (
            "for clients",
            but(|params| params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ClientAuth)),
            AlertDescription::UnsupportedCertificate,
        ),
    ] {
        world.issuer.restart_as(Transport::Tls(config));
        assert_unavailable(&world, &token, case).await;
        assert_eq!(world.issuer.parting(), Some(said), "{case}");
        assert_eq!(world.issuer.reached(), (1, 0), "{case}");
    }
    // It was for nothing else, and the token was not spent.
    world.issuer.restart_as(Transport::Tls(authority.server(ADDRESS)));
    world.exchange(&token).await.key();
}

#[tokio::test]
async fn a_private_authority_and_a_private_address_are_nothing_without_the_configuration() {
    let authority = Authority::new("Internal");
    let config = authority.server(ADDRESS);
    let by = |table: &str| {
        let issuer = https(ADDRESS, config.clone());
        let policies = strict(issuer.url(), table);
        World::of(issuer, &policies, Policy::new())
    };
    // By what the operating system believes.
    let world = by("allow_private = true");
    assert_unavailable(&world, &world.token(), "no authority").await;
    assert_eq!(world.issuer.reached().1, 0);
    let file = file_of(&[&authority]);
    let world = by(&format!("ca_file = {:?}", file.path()));
    assert_unavailable(&world, &world.token(), "no leave").await;
    assert_eq!(world.issuer.reached(), (0, 0), "it was connected to");
}

#[tokio::test]
async fn what_does_not_speak_tls_as_it_should_is_refused() {
    let authority = Authority::new("Internal");
    let mut world = trusting(https(ADDRESS, authority.server(ADDRESS)), &[&authority]);
    let token = world.token();
    // It would answer well, without TLS.
    world.issuer.restart_as(Transport::Plain);
    assert_unavailable(&world, &token, "plain").await;
    assert_eq!(world.issuer.reached(), (1, 0));
    for version in [[3, 0], [3, 1], [3, 2]] {
        world.issuer.restart_as(Transport::Only(version));
        assert_unavailable(&world, &token, "old").await;
        let said = world.issuer.parting();
        assert_eq!(said, Some(AlertDescription::ProtocolVersion), "{version:?}");
    }
    // Of the same server with TLS 1.2 the version would do.
    world.issuer.restart_as(Transport::Only([3, 3]));
    assert_unavailable(&world, &token, "too weak").await;
    let said = world.issuer.parting();
    assert_ne!(said, Some(AlertDescription::ProtocolVersion));
    world.issuer.restart_as(Transport::Tls(authority.server(ADDRESS)));
    world.exchange(&token).await.key();
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up() {
    let authority = Authority::new("Internal");
    let mut world = trusting(https(ADDRESS, authority.server(ADDRESS)), &[&authority]);
    let token = world.token();
    for (case, transport) in [("mute", Transport::Mute), ("dripping", Transport::Dripping)] {
        world.issuer.restart_as(transport);
        assert_unavailable(&world, &token, case).await;
        // The connection is not kept, either.
        assert_eq!(world.issuer.parting(), None, "{case}");
    }
    world.issuer.restart_as(Transport::Tls(authority.server(ADDRESS)));
    world.exchange(&token).await.key();
}

#[tokio::test]
async fn tls_is_not_left_for_http_nor_for_anybody_else() {
    let authority = Authority::new("Internal");
    let plain = Issuer::start();
    let other = https(ADDRESS, authority.server(ADDRESS));
    let issuer = https(ADDRESS, authority.server(ADDRESS));
    let file = file_of(&[&authority]);
    let table = format!("allow_private = true\nca_file = {:?}", file.path());
    let policies = strict(issuer.url(), &table);
    let lax = format!("danger_allow_http_loopback = true\n{policies}");
    let world = World::of(issuer, &lax, Policy::new());
    let token = world.token();
    // Both could be asked: it is only that they are not.
    for to in [&plain, &other] {
        let to = to.url().to_owned();
        for behaviour in [Behaviour::Moved(to.clone()), Behaviour::KeysMoved(to)] {
            world.issuer.behave(behaviour.clone());
            assert_unavailable(&world, &token, &format!("{behaviour:?}")).await;
        }
    }
    assert_eq!((plain.reached(), other.reached()), ((0, 0), (0, 0)));
    world
        .issuer
        .behave(Behaviour::KeysAt(format!("{}/jwks", plain.url())));
    world.exchange(&token).await.key();
    assert_eq!(plain.reached(), (1, 1));
    // Without leave for http the same word of it is not followed.
    let issuer = https(ADDRESS, authority.server(ADDRESS));
    issuer.behave(Behaviour::KeysAt(format!("{}/jwks", plain.url())));
    let world = trusting(issuer, &[&authority]);
    assert_unavailable(&world, &world.token(), "keys by http").await;
    assert_eq!(plain.reached(), (1, 1));
    assert_eq!(world.issuer.reached(), (1, 1));
}

#[tokio::test]
async fn too_many_keys_are_not_read_over_tls_either() {
    let authority = Authority::new("Internal");
    let world = trusting(https(ADDRESS, authority.server(ADDRESS)), &[&authority]);
    let token = world.token();
    for behaviour in [
        Behaviour::Oversized,
        Behaviour::Endless,
        Behaviour::Garbled,
        Behaviour::Lying,
    ] {
        world.issuer.behave(behaviour.clone());
        assert_unavailable(&world, &token, &format!("{behaviour:?}")).await;
    }
    world.issuer.behave(Behaviour::Well);
    world.exchange(&token).await.key();
}

#[tokio::test]
async fn a_certificate_may_change_and_be_by_another_authority_that_is_known() {
    let (authority, next) = (Authority::new("Internal"), Authority::new("Internal 2"));
    let mut world = trusting(https(ADDRESS, authority.server(ADDRESS)), &[&authority, &next]);
    world.exchange(&world.token()).await.key();
    for config in [authority.server(ADDRESS), next.server(ADDRESS)] {
        world.issuer.publish(&[RSA.jwk(), EC.jwk(), NEXT.jwk()]);
        world.issuer.restart_as(Transport::Tls(config));
        // What is known goes on, and nobody is asked.
        world.exchange(&world.token()).await.key();
        assert_eq!(world.issuer.reached(), (0, 0));
        world.clock.advance(TEN_MINUTES);
        world.exchange(&world.token()).await.key();
        assert_eq!(world.issuer.reached(), (2, 2));
        world.exchange(&NEXT.token(&world.claims())).await.key();
        assert_eq!(world.issuer.reached(), (2, 2));
    }
}

#[tokio::test]
async fn a_certificate_is_looked_at_whenever_the_issuer_is_asked() {
    let authority = Authority::new("Internal");
    for good in [authority.server(ADDRESS), authority.server_of_tls_1_2(ADDRESS)] {
        let mut world = trusting(https(ADDRESS, good.clone()), &[&authority]);
        world.exchange(&world.token()).await.key();
        // It would go on with a session in which it showed a better one.
        let mut over = ServerConfig::clone(&authority.server_but(ADDRESS, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }));
        over.session_storage = good.session_storage.clone();
        world.issuer.restart_as(Transport::Tls(Arc::new(over)));
        world.clock.advance(TEN_MINUTES);
        world.exchange(&world.token()).await.key();
        assert_eq!(world.issuer.reached(), (1, 0));
        let said = world.issuer.parting();
        assert_eq!(said, Some(AlertDescription::CertificateExpired));
    }
}

#[tokio::test]
async fn a_new_authority_is_not_known_before_the_configuration_is_read_again() {
    let (authority, next) = (Authority::new("Internal"), Authority::new("Internal 2"));
    let mut world = trusting(https(ADDRESS, authority.server(ADDRESS)), &[&authority]);
    world.exchange(&world.token()).await.key();
    world.issuer.publish(&[RSA.jwk(), NEXT.jwk()]);
    world.issuer.restart_as(Transport::Tls(next.server(ADDRESS)));
    world.clock.advance(TEN_MINUTES);
    // What was believed before goes on as if it were away; what only the new one says is not believed.
    world.exchange(&world.token()).await.key();
    assert_eq!(world.issuer.reached(), (1, 0));
    assert_eq!(world.issuer.parting(), Some(AlertDescription::UnknownCA));
    let answer = world.exchange(&NEXT.token(&world.claims())).await;
    answer.assert_error(503, "temporarily_unavailable");
    assert_eq!(world.issuer.reached().1, 0);
    let world = trusting(world.issuer, &[&next]);
    world.exchange(&world.token()).await.key();
    world.exchange(&NEXT.token(&world.claims())).await.key();
}
