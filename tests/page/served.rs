//! What is sent with a page, and what a page shows.

use std::time::{Duration, SystemTime};

use tower_api_key::access::Grants;

use crate::{
    people::{alice, post_form, setup},
    place::{FROM_HERE, listed, token},
    support::server::Server,
};

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn links<'b>(body: &'b str, attribute: &str) -> Vec<&'b str> {
    body.split(attribute)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

#[test]
fn whoever_is_not_logged_in_is_shown_the_way() {
    let server = setup().start();
    for path in [
        "/keys",
        "/keys/new",
        "/keys/01a225f0-548f-7770-8012-42b3c97c34a0",
        "/keys?q=x",
    ] {
        let answer = server.get(path, &[]);
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
        assert!(
            answer.body.contains("href=\"/login\"") && !answer.body.contains("<table"),
            "{answer:?}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-security-policy"), Some(POLICY));
        assert_eq!(answer.all("www-authenticate").len(), 2, "{answer:?}");
    }
    // A key that is not good is not anonymous.
    let bad = server.get("/keys", &["X-Key: ak_nonsense", &alice(&server)]);
    bad.assert_problem(401, "invalid-key");
    let post = post_form(&server, "/keys/new", &[FROM_HERE], "name=ci");
    assert_eq!(post.status, 401, "{post:?}");
}

#[test]
fn what_people_type_leads_to_the_keys_and_only_those_who_are_known_can_sign_out() {
    let server = setup().start();
    for path in ["/", "/keys/"] {
        let typed = server.get(path, &["Accept: text/html"]);
        assert_eq!(
            (typed.status, typed.header("location")),
            (307, Some("/keys")),
            "{path}"
        );
        for method in ["GET", "POST"] {
            server.send(method, path, &[]).assert_problem(404, "not-found");
        }
    }
    let form = "action=\"/logout\"";
    assert!(!server.get("/keys", &[]).body.contains(form));
    let cookie = alice(&server);
    assert!(server.get("/keys", &[&cookie]).body.contains(form));
    let out = post_form(&server, "/logout", &[&cookie, FROM_HERE, "Accept: text/html"], "");
    assert_eq!(
        (out.status, out.header("location")),
        (303, Some("/login")),
        "{out:?}"
    );
    assert_eq!(server.get("/keys", &[&cookie]).status, 401);
}

#[test]
fn every_page_forbids_scripts_frames_and_caches() {
    let server = setup().start();
    let cookie = alice(&server);
    let form = format!(
        "token={}&name=ci&scopes=issues:read&expires=never",
        token(&server, &cookie)
    );
    let secret = post_form(&server, "/keys/new", &[&cookie, FROM_HERE], &form);
    // Nor does a browser that translates pages send the key to whoever translates them for it.
    assert!(
        secret
            .body
            .contains("<section class=\"card form notranslate\" id=\"secret\" translate=\"no\""),
        "{secret:?}"
    );
    // With no referrer the form would not say that it comes from here, and be refused.
    assert_eq!(secret.header("referrer-policy"), Some("no-referrer"));
    assert!(!secret.body.contains("action=\"/logout\""), "{secret:?}");
    let id = &form[6..42];
    let mut answers = vec![secret];
    for path in [
        "",
        "/new",
        &format!("/{id}"),
        &format!("/{id}/revoke"),
        &format!("/{id}/rotate"),
        "/nothing/here",
    ] {
        answers.push(server.get(&format!("/keys{path}"), &[&cookie]));
    }
    for answer in answers {
        assert_eq!(
            answer.header("content-security-policy"),
            Some(POLICY),
            "{answer:?}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert!(matches!(
            answer.header("referrer-policy"),
            Some("same-origin" | "no-referrer")
        ));
        for inline in ["<style", " style=", " onclick=", "javascript:"] {
            assert!(!answer.body.contains(inline), "{inline}: {answer:?}");
        }
        for script in answer.body.split("<script").skip(1) {
            assert!(script.starts_with(" src=\"/keys/assets/page-"), "{script}");
        }
    }
    assert_eq!(server.send("HEAD", "/keys", &[&cookie]).status, 200);
    assert_eq!(server.send("DELETE", "/keys", &[&cookie, FROM_HERE]).status, 405);
    assert_eq!(
        server
            .send("GET", &format!("/keys/{id}/disable"), &[&cookie])
            .status,
        405
    );
}

#[test]
fn what_a_page_is_made_of_is_kept_for_ever_and_weighs_little() {
    let server = setup().start();
    let cookie = alice(&server);
    for _ in 0..30 {
        let name = "name=a%20key%20with%20a%20name%20of%20some%20length&scopes=issues:read&scopes=issues:write&scopes=topics:read&resources=agent:alpha&expires=never";
        let form = format!("token={}&{name}", token(&server, &cookie));
        assert_eq!(
            post_form(&server, "/keys/new", &[&cookie, FROM_HERE], &form).status,
            201
        );
    }
    let list = server.get("/keys", &[&cookie]);
    let mut weight = list.head.len() + list.body.len();
    let assets: Vec<&str> = links(&list.body, "href=\"")
        .into_iter()
        .chain(links(&list.body, "src=\""))
        .filter(|link| link.contains("/assets/"))
        .collect();
    assert_eq!(assets.len(), 3, "{assets:?}");
    for asset in assets {
        let got = server.get(asset, &[]);
        assert_eq!(got.status, 200, "{got:?}");
        weight += got.head.len() + got.body.len();
        assert_eq!(
            got.header("cache-control"),
            Some("public, max-age=31536000, immutable")
        );
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        let tag = got.header("etag").expect("a tag");
        let known = server.get(asset, &[&format!("If-None-Match: \"other\", W/{tag}")]);
        assert_eq!((known.status, known.body.as_str()), (304, ""), "{known:?}");
        assert!(
            !got.body.contains("http://") || asset.ends_with(".css") || asset.ends_with(".svg"),
            "{asset}"
        );
        assert!(
            !got.body.replace("http://www.w3.org/2000/svg", "").contains("://"),
            "{asset} loads from elsewhere"
        );
    }
    assert_eq!(listed(&list.body).len(), 25);
    assert!(weight < 60 * 1024, "{weight} bytes");
    #[expect(clippy::print_stdout, reason = "a figure of the README")]
    {
        println!(
            "first load: {weight} bytes, of which the list {}",
            list.body.len()
        );
    }
    let plain = server.get("/keys/assets/page.css", &[]);
    assert_eq!(plain.header("cache-control"), Some("no-cache"), "{}", plain.head);
    assert_eq!(
        server.get("/keys/assets/page-0000000000000000.css", &[]).status,
        404
    );
}

#[test]
fn hostile_names_are_text() {
    let server = setup().start();
    let cookie = alice(&server);
    let name = "</title></bdi><script>alert(1)</script>\"'><img src=x onerror=alert(2)>";
    let encoded =
        "%3C/title%3E%3C/bdi%3E%3Cscript%3Ealert(1)%3C/script%3E%22'%3E%3Cimg%20src=x%20onerror=alert(2)%3E";
    let form = format!(
        "token={}&name={encoded}&scopes=issues:read&expires=never&resources=a:%3Cb%3E",
        token(&server, &cookie)
    );
    let secret = post_form(&server, "/keys/new", &[&cookie, FROM_HERE], &form);
    assert_eq!(secret.status, 201, "{secret:?}");
    let id = &form[6..42];
    let again = post_form(
        &server,
        "/keys/new",
        &[&cookie, FROM_HERE],
        &format!("token=x&name={encoded}&rate_limit={encoded}&resources={encoded}"),
    );
    let mut pages = vec![secret, again];
    for path in [
        "",
        &format!("/{id}"),
        &format!("/{id}/revoke"),
        &format!("/{id}/rotate"),
        &format!("?q={encoded}"),
        &format!("?done={encoded}&status={encoded}"),
    ] {
        pages.push(server.get(&format!("/keys{path}"), &[&cookie]));
    }
    for page in pages {
        assert!([200, 201, 400].contains(&page.status), "{page:?}");
        for raw in ["<script>", "<img", "a:<b>", name] {
            assert!(!page.body.contains(raw), "{raw}: {page:?}");
        }
    }
}

fn mint(server: &Server, name: &str, scopes: &str) -> String {
    let body = format!(r#"{{"name":"{name}","scopes":[{scopes}]}}"#);
    let minted = server.send_json("POST", "/api/v1/keys", &body);
    assert_eq!(minted.status, 201, "{minted:?}");
    minted.json()["id"].as_str().expect("an id").to_owned()
}

#[test]
fn keys_are_found_by_name_prefix_scope_and_status() {
    let server = setup().start();
    let admin = "X-Key: external-key-of-the-tests-0123";
    let (a, b) = (
        mint(&server, "Déploy", r#""issues:read""#),
        mint(&server, "backup", r#""topics:read""#),
    );
    let found = |query: &str| listed(&server.get(&format!("/keys?{query}"), &[admin]).body);
    assert_eq!(found(""), [b.as_str(), &a]);
    assert_eq!(found("q=d%C3%89p"), [a.as_str()]);
    assert_eq!(found("q=topics"), [b.as_str()]);
    assert_eq!(found("q=nothing"), Vec::<String>::new());
    assert_eq!(
        found(&format!("q={}", &a[..13])),
        if a[..13] == b[..13] {
            vec![b.clone(), a.clone()]
        } else {
            vec![a.clone()]
        }
    );
    let revoked = server.send("DELETE", &format!("/api/v1/keys/{b}"), &[admin]);
    assert_eq!(revoked.status, 204, "{revoked:?}");
    assert_eq!(found(""), [a.as_str()]);
    assert_eq!(found("status=revoked"), [b.as_str()]);
    assert_eq!(found("status=all"), [b.as_str(), &a]);
    assert_eq!(found("status=disabled"), Vec::<String>::new());
    assert_eq!(found("status=nonsense&nonsense=1"), [a.as_str()]);
    // A whole key that is looked for does not stay in the address.
    let key = server
        .send_json("POST", "/api/v1/keys", r#"{"name":"lost","scopes":[]}"#)
        .json();
    let key = key["key"].as_str().expect("a key").to_owned();
    let answer = server.get(&format!("/keys?q={key}"), &[admin]);
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some(&*format!("/keys?status=active&q={}", &key[..7])))
    );
    assert_eq!(found(&format!("q={}", &key[..7])).len(), 1);
}

#[test]
fn a_list_goes_on_from_page_to_page_also_where_few_fit() {
    let server = setup().start();
    let admin = "X-Key: external-key-of-the-tests-0123";
    let mut ids: Vec<String> = Vec::new();
    for i in 0..60 {
        ids.insert(0, mint(&server, if i % 2 == 0 { "even" } else { "odd" }, ""));
    }
    let walk = |mut path: String| {
        let mut seen = Vec::new();
        loop {
            let page = server.get(&path, &[admin]);
            seen.push(listed(&page.body));
            match page.body.split_once("\" rel=\"next\"") {
                Some((before, _)) => path = before.rsplit('"').next().expect("a link").replace("&#38;", "&"),
                None => return seen,
            }
        }
    };
    let pages = walk("/keys".to_owned());
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [25, 25, 10]);
    assert_eq!(pages.concat(), ids);
    let pages = walk("/keys?q=odd".to_owned());
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [25, 5]);
    let odd: Vec<String> = ids.iter().step_by(2).cloned().collect();
    assert_eq!(pages.concat(), odd);
}

#[test]
fn expiry_is_shown_with_a_warning_and_time_in_words() {
    let setup = setup();
    let server = setup.start();
    let admin = "X-Key: external-key-of-the-tests-0123";
    let database = setup.database();
    let soon = SystemTime::now() + Duration::from_secs(3 * 24 * 60 * 60 + 60);
    let minted = database.mint_expiring(&["issues:read"], soon);
    let list = server.get("/keys", &[admin]);
    for text in ["badge soon\">Expires in 3 days", ">just now</time>", "title=\"20"] {
        assert!(list.body.contains(text), "{text}: {list:?}");
    }
    let one = server.get(&format!("/keys/{}", minted.id), &[admin]);
    assert!(one.body.contains("The key expires in 3 days"), "{one:?}");
    let forever = database.mint(Grants::none());
    let one = server.get(&format!("/keys/{}", forever.id), &[admin]);
    assert!(
        one.body.contains("No scopes") && one.body.contains("No use is known yet"),
        "{one:?}"
    );
}

#[test]
fn requests_are_counted_by_their_outcome() {
    let server = setup().start();
    let admin = "X-Key: external-key-of-the-tests-0123";
    let body = r#"{"name":"counted","scopes":["topics:read"],"rate_limit":"6/1h"}"#;
    let minted = server.send_json("POST", "/api/v1/keys", body).json();
    let (id, key) = (
        minted["id"].as_str().expect("an id"),
        minted["key"].as_str().expect("a key"),
    );
    let field = format!("X-Key: {key}");
    let page = || server.get(&format!("/keys/{id}"), &[admin]).body;
    assert!(page().contains("No requests have been counted"), "{}", page());
    for _ in 0..5 {
        assert_eq!(server.get("/api/v1/whoami", &[&field]).status, 200);
    }
    // What a route refuses uses nothing of the limit.
    for _ in 0..3 {
        assert_eq!(server.get("/api/v1/issues", &[&field]).status, 403);
    }
    assert_eq!(server.get("/api/v1/whoami", &[&field]).status, 200);
    assert_eq!(server.get("/api/v1/whoami", &[&field]).status, 429);
    let page = page();
    for text in [
        "Allowed <b>6</b>",
        "Refused <b>4</b>",
        "<td>6</td><td>4</td>",
        "<rect class=\"refused\"",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
}
