//! The router in applications of other shapes than the demo: beside the same keys in JSON, nested elsewhere, in other words and colours.

use axum::Router;
use http::request::Parts;
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Scope},
    page::{Colour, OfferedScope, Page, Texts},
    principal::Identity,
    store::MemoryStore,
};

use crate::inside::{HTML, ask, auth, send, token_in};

#[tokio::test]
async fn browsers_get_a_page_and_programs_json_under_the_same_paths() {
    let auth = auth();
    let app = Router::new().nest("/keys", auth.router()).layer(auth);
    for (accept, kind) in [
        (HTML, "text/html; charset=utf-8"),
        ("TEXT/HTML", "text/html; charset=utf-8"),
        ("text/html, */*", "text/html; charset=utf-8"),
        (
            "text/html;q=0.5, application/json;q=0.4",
            "text/html; charset=utf-8",
        ),
        ("text/*, application/json;q=0.9", "text/html; charset=utf-8"),
        ("text/html;level=1;Q=0.9, */*;q=0.8", "text/html; charset=utf-8"),
        // Of an old Java client, on its way to look.
        (
            "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
            "text/html; charset=utf-8",
        ),
        ("application/json, text/html;q=0.1", "application/json"),
        ("application/json, text/html", "application/json"),
        ("text/html, application/json", "application/json"),
        ("text/html;q=0", "application/json"),
        ("text/html;q=0.000, */*", "application/json"),
        ("text/html;q=nonsense", "application/json"),
        ("application/problem+json, text/plain", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("", "application/json"),
    ] {
        let list = ask(&app, "GET", "/keys", accept, None).await;
        assert_eq!((list.status, list.kind.as_str()), (200, kind), "{accept}");
        assert!(list.vary.contains(&"accept".to_owned()), "{:?}", list.vary);
    }
    let new = ask(&app, "GET", "/keys/new", HTML, None).await;
    let token = token_in(&new.body);
    let form = format!("token={token}&name=ci&scopes=issues:read&expires=never");
    let made = ask(&app, "POST", "/keys/new", HTML, Some(&form)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = &token[..36];
    let one = ask(&app, "GET", &format!("/keys/{id}"), HTML, None).await;
    assert!(one.body.contains("<h1><bdi>ci</bdi></h1>"), "{}", one.body);
    let one = ask(&app, "GET", &format!("/keys/{id}"), "", None).await;
    assert!(one.body.contains("\"name\":\"ci\""), "{}", one.body);

    // A page is what a form of it is answered with, and nothing else that is sent.
    let java = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2";
    let json = [
        ("accept", java),
        ("content-type", "application/json"),
        ("sec-fetch-site", "same-origin"),
    ];
    let minted = send(
        &app,
        "POST",
        "/keys",
        &json,
        r#"{"name":"java","scopes":["issues:read"]}"#,
    )
    .await;
    assert_eq!(
        (minted.status, minted.kind.as_str()),
        (201, "application/json"),
        "{}",
        minted.body
    );
    let at = minted.location.as_str();
    let renamed = send(&app, "PATCH", at, &json, r#"{"name":"jvm"}"#).await;
    assert_eq!((renamed.status, renamed.kind.as_str()), (200, "application/json"));
    let rotated = send(&app, "POST", &format!("{at}/rotate"), &json, "{}").await;
    assert_eq!((rotated.status, rotated.kind.as_str()), (201, "application/json"));
    let sent = ask(&app, "POST", "/keys", HTML, Some("name=ci")).await;
    assert_eq!(
        (sent.status, sent.kind.as_str()),
        (415, "application/problem+json")
    );
    let deleted = ask(&app, "DELETE", at, HTML, Some("")).await;
    assert_eq!(deleted.status, 204);

    // What programs are answered is what they are answered without this feature.
    for (method, path, form, status) in [
        ("POST", "/keys", Some("name=ci"), 415),
        ("GET", "/keys/new", None, 404),
        ("POST", "/keys/new", Some(form.as_str()), 405),
        ("GET", "/keys/events", None, 403),
        ("DELETE", "/keys/current", None, 409),
    ] {
        let answer = ask(&app, method, path, "*/*", form).await;
        assert_eq!(
            (answer.status, answer.kind.as_str()),
            (status, "application/problem+json"),
            "{method} {path}"
        );
    }
    let rotated = ask(&app, "POST", &format!("/keys/{id}/rotate"), "*/*", None).await;
    assert_eq!((rotated.status, rotated.kind.as_str()), (201, "application/json"));
    let events = ask(&app, "GET", &format!("/keys/{id}/events"), HTML, None).await;
    assert_eq!((events.status, events.kind.as_str()), (200, "application/json"));
    assert_eq!(
        ask(&app, "DELETE", &format!("/keys/{id}"), HTML, None)
            .await
            .status,
        204
    );
}

#[tokio::test]
async fn links_lead_where_the_router_is_nested() {
    let auth = auth();
    let mounted = auth.page().mounted_at("/app/keys/").into_router();
    let outer = Router::new().nest("/tenants/{id}/keys", auth.page().into_router());
    let app = Router::new()
        .nest("/outer", outer)
        .nest("/inner", mounted)
        .merge(auth.page().into_router())
        .layer(auth);
    for (path, new) in [
        (
            "/outer/tenants/acme%20corp/keys",
            "/outer/tenants/acme%20corp/keys/new",
        ),
        ("/inner", "/app/keys/new"),
        ("/", "/new"),
    ] {
        let list = ask(&app, "GET", path, HTML, None).await;
        assert_eq!(list.status, 200, "{path}");
        assert!(
            list.body
                .contains(&format!("class=\"button primary\" href=\"{new}\"")),
            "{path}: {}",
            list.body
        );
        for link in list.body.split("href=\"").skip(1) {
            assert!(!link.starts_with("//"), "{path}: {link}");
        }
        let at = new.trim_end_matches("/new");
        assert!(
            list.body.contains(&format!("src=\"{at}/assets/page-")),
            "{}",
            list.body
        );
    }
    // Below, too; and what a form leads to.
    let form = ask(&app, "GET", "/outer/tenants/acme%20corp/keys/new", HTML, None).await;
    let token = token_in(&form.body);
    let path = format!("/outer/tenants/acme%20corp/keys/{}", &token[..36]);
    let sent = format!("token={token}&name=ci&scopes=issues:read&expires=never");
    let made = ask(
        &app,
        "POST",
        "/outer/tenants/acme%20corp/keys/new",
        HTML,
        Some(&sent),
    )
    .await;
    assert!(
        made.status == 201 && made.body.contains(&format!("href=\"{path}\"")),
        "{}",
        made.body
    );
    let off = ask(&app, "POST", &format!("{path}/disable"), HTML, Some("")).await;
    assert_eq!((off.status, off.location), (303, format!("{path}?done=disabled")));
    let list = ask(&app, "GET", "//evil.example/", HTML, None).await;
    assert_eq!(list.status, 404);
}

#[tokio::test]
async fn an_application_gives_it_a_name_a_colour_a_way_back_a_column_scopes_and_another_language() {
    let auth = auth();
    let mut texts = Texts::default();
    texts.language = "de".into();
    texts.create_key = "Schlüssel <anlegen>".into();
    let configure = |page: Page| {
        page.title("Acme & Co")
            .accent(Colour::rgb(0xff, 0xd4, 0x00))
            .back_link("https://acme.example/?a=1&b=2", "Zurück")
            .column("Team", |key| format!("<{}>", key.owner))
            .scopes([
                OfferedScope::new(Scope::from_static("issues:read"))
                    .group("Issues")
                    .description("Read <all>"),
                OfferedScope::new(Scope::from_static("issues:write")).group("Issues"),
            ])
            .texts(texts.clone())
            .example("https://api.example/v1")
            .variable("ACME_KEY")
    };
    let app = Router::new()
        .nest("/keys", configure(auth.page()).into_router())
        .layer(auth.clone());
    let new = ask(&app, "GET", "/keys/new", HTML, None).await;
    assert!(new.body.contains("value=\"issues:read\""), "{}", new.body);
    assert!(
        !new.body.contains("value=\"issues:write\""),
        "what the caller lacks is not offered"
    );
    assert!(
        new.body.contains("Read &#60;all&#62;") && new.body.contains("<h2>Issues</h2>"),
        "{}",
        new.body
    );
    let token = token_in(&new.body);
    let sent = format!("token={token}&name=ci&scopes=issues:read&expires=never");
    let made = ask(&app, "POST", "/keys/new", HTML, Some(&sent)).await;
    for line in [
        "ACME_KEY=ak_",
        "gh secret set ACME_KEY",
        "ACME_KEY: ${{ secrets.ACME_KEY }}",
        "Authorization: Bearer $ACME_KEY\" \\\n  https://api.example/v1",
    ] {
        assert!(made.body.contains(line), "{line}: {}", made.body);
    }
    let list = ask(&app, "GET", "/keys", HTML, None).await;
    for part in [
        "<html lang=\"de\"",
        "<title>Acme &#38; Co</title>",
        "Schlüssel &#60;anlegen&#62;",
        ">Team</th>",
        "&#60;alice&#62;",
        "https://acme.example/?a=1&#38;b=2",
        "Zurück",
    ] {
        assert!(list.body.contains(part), "{part}: {}", list.body);
    }
    let css = list
        .body
        .split("stylesheet\" href=\"")
        .nth(1)
        .expect("a link")
        .split('"')
        .next()
        .expect("its end");
    let css = ask(&app, "GET", css, "text/css", None).await;
    // Black on yellow, and a yellow that can be read as text on white is not yellow any more.
    assert!(
        css.body
            .starts_with(":root{--accent:#ffd400;--on-accent:#111114;--link:#"),
        "{}",
        &css.body[..80]
    );
    assert!(
        !css.body.contains("--link:#ffd400;")
            && css
                .body
                .contains("prefers-color-scheme:dark){:root{--link:#ffd400}")
    );
}

#[tokio::test]
async fn without_scopes_told_the_callers_own_are_offered_or_asked_for() {
    let auth = auth();
    let app = Router::new().nest("/keys", auth.page().into_router()).layer(auth);
    let new = ask(&app, "GET", "/keys/new", HTML, None).await;
    for scope in ["keys:read", "keys:write", "issues:read"] {
        assert!(new.body.contains(&format!("value=\"{scope}\"")), "{scope}");
    }
    let all = ApiKeyAuth::builder(MemoryStore::new().expect("a store"))
        .fallback(|_: &Parts| async { Ok(Some(Identity::new("root").grants(Grants::all()))) })
        .build()
        .expect("a configuration");
    let app = Router::new().nest("/keys", all.page().into_router()).layer(all);
    let new = ask(&app, "GET", "/keys/new", HTML, None).await;
    assert!(new.body.contains("<textarea id=\"scopes\""), "{}", new.body);
}
