//! Changes that a page of another site asks for.

use std::sync::Arc;

use axum::Router;
use parking_lot::Mutex;
use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    credential::Sources,
    manage::NewKey,
    principal::{Principal, PrincipalKind},
    store::MemoryStore,
};

use crate::{
    forms::minted,
    inside::{auth, send},
    people::{alice, post_form, setup},
    place::{listed, token},
};

#[test]
fn only_a_page_of_the_same_origin_changes_anything() {
    let server = setup().start();
    let cookie = alice(&server);
    let (id, key) = minted(&server, &cookie, "");
    let token = token(&server, &cookie);
    for fields in [
        &[][..],
        &["Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: same-site"],
        &["Sec-Fetch-Site: none"],
        &["Origin: http://evil.example"],
        &["Origin: null"],
        &["Origin: http://demo", "Sec-Fetch-Site: cross-site"],
    ] {
        let fields = [&[cookie.as_str()], fields].concat();
        for (path, form) in [
            (
                "/keys/new".to_owned(),
                format!("token={token}&name=ci&scopes=issues:read&expires=never"),
            ),
            (format!("/keys/{id}/rotate"), String::new()),
            (format!("/keys/{id}/revoke"), String::new()),
            (format!("/keys/{id}/disable"), String::new()),
            (format!("/keys/{id}/enable"), String::new()),
            (format!("/keys/{id}/rename"), "name=other".to_owned()),
        ] {
            let answer = post_form(&server, &path, &fields, &form);
            assert_eq!(answer.status, 403, "{path} {fields:?} {answer:?}");
        }
    }
    assert_eq!(
        listed(&server.get("/keys?status=all", &[&cookie]).body),
        [id.as_str()]
    );
    assert_eq!(
        server.get("/api/v1/whoami", &[&format!("X-Key: {key}")]).json()["name"],
        "ci"
    );
    // A program with a key is no browser.
    let by_key = post_form(
        &server,
        &format!("/keys/{id}/rename"),
        &["X-Key: external-key-of-the-tests-0123"],
        "name=other",
    );
    assert_eq!(by_key.status, 303, "{by_key:?}");
    // But a page of another origin that has one is still a page of another origin.
    let fields = [
        "X-Key: external-key-of-the-tests-0123",
        "Sec-Fetch-Site: cross-site",
    ];
    let by_page = post_form(&server, &format!("/keys/{id}/rename"), &fields, "name=third");
    assert_eq!(by_page.status, 403, "{by_page:?}");
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const HERE: (&str, &str) = ("host", "app.example");

/// Everything that a page of another site could send, and what a browser too old to say whence it comes does.
const ELSEWHERE: [&[(&str, &str)]; 5] = [
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("sec-fetch-site", "none")],
    &[("origin", "https://evil.example")],
    &[("origin", "null")],
];

/// The page in an application that knows its users by itself: no layer of this crate has looked at where a request comes from.
#[tokio::test]
async fn the_page_looks_where_a_change_comes_from_by_itself() {
    let auth = auth();
    let keys = auth.keys().expect("there is a store");
    let issued = keys
        .issue(NewKey::new("alice").name("target"))
        .await
        .expect("a key");
    let id = issued.record.id;
    // Whom the layer knows, handed on to where there is none.
    let known = Arc::new(Mutex::new(None));
    let seen = known.clone();
    let who = axum::routing::get(async move |alice: Principal| *seen.lock() = Some(alice));
    let asked = send(
        &Router::new().route("/", who).layer(auth.clone()),
        "GET",
        "/",
        &[],
        "",
    )
    .await;
    assert_eq!(asked.status, 200);
    let alice = known.lock().take().expect("somebody");
    assert_eq!(alice.kind(), PrincipalKind::Session);
    let app: Router = Router::new()
        .nest("/keys", auth.page().into_router())
        .layer(axum::Extension(alice));
    let target = |verb: &str| format!("/keys/{id}/{verb}");
    for fields in ELSEWHERE.into_iter().chain([&[][..]]) {
        let fields = [&[FORM, HERE], fields].concat();
        for (path, form) in [
            ("/keys/new".to_owned(), "name=ci&scopes=keys:read&expires=never"),
            (target("rotate"), "overlap=0"),
            (target("revoke"), ""),
            (target("disable"), ""),
            (target("enable"), ""),
            (target("rename"), "name=other"),
        ] {
            let answer = send(&app, "POST", &path, &fields, form).await;
            assert_eq!(answer.status, 403, "{path} {fields:?} {}", answer.body);
            assert!(answer.body.contains("This came from another site"), "{path}");
        }
    }
    assert_eq!(
        keys.get(id).await.expect("read").expect("a key").record,
        issued.record
    );
    for from_here in [
        ("sec-fetch-site", "same-origin"),
        ("origin", "https://app.example"),
    ] {
        let answer = send(
            &app,
            "POST",
            &target("rename"),
            &[FORM, HERE, from_here],
            "name=b",
        )
        .await;
        assert_eq!(answer.status, 303, "{from_here:?} {}", answer.body);
    }
}

/// A browser sends a cookie along wherever a request comes from, whether there is a session or a key in it.
#[tokio::test]
async fn a_key_in_a_cookie_is_taken_only_from_a_page_of_the_same_origin() {
    let builder = ApiKeyAuth::builder(MemoryStore::new().expect("a store"));
    let auth = builder
        .sources(Sources::none().cookie("key").bearer())
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let grants = Grants::scopes(["keys:read", "keys:write"]).expect("scopes");
    let new = NewKey::new("alice").name("in a browser").grants(grants);
    let issued = keys.issue(new).await.expect("a key");
    let app: Router = Router::new().nest("/keys", auth.page().into_router()).layer(auth);
    let rename = format!("/keys/{}/rename", issued.record.id);
    let cookie = format!("key={}", issued.key.expose());
    let bearer = format!("Bearer {}", issued.key.expose());
    let (cookie, bearer) = (("cookie", cookie.as_str()), ("authorization", bearer.as_str()));
    let status = async |fields: &[(&str, &str)]| {
        let fields = [&[FORM, HERE], fields].concat();
        send(&app, "POST", &rename, &fields, "name=b").await.status
    };
    for fields in ELSEWHERE.into_iter().chain([&[][..]]) {
        assert_eq!(status(&[&[cookie], fields].concat()).await, 403, "{fields:?}");
    }
    assert_eq!(status(&[cookie, ("sec-fetch-site", "same-origin")]).await, 303);
    // No browser adds the other by itself.
    assert_eq!(status(&[bearer]).await, 303);
    assert_eq!(status(&[bearer, ("cookie", "theme=dark")]).await, 303);
    for fields in ELSEWHERE {
        assert_eq!(status(&[&[bearer], fields].concat()).await, 403, "{fields:?}");
    }
}
