//! Pages of others.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
};

use crate::{
    browser::Start,
    place::{alone, at, create, visit},
};

/// Serves this page at every path, on an origin of its own: as near to the demo as another origin can be, so that cookies go along.
fn serve(html: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let html = html.clone();
            // A browser opens more than it uses.
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let length = html.len();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
                let answer = format!("{head}\r\nContent-Length: {length}\r\n\r\n{html}");
                let _ = stream.write_all(answer.as_bytes());
            });
        }
    });
    address
}

#[test]
fn a_form_of_another_origin_changes_nothing_and_a_frame_shows_nothing() {
    let _alone = alone();
    let Some((server, browser)) = visit(&Start::default()) else {
        return;
    };
    create(&server, &browser, "target");
    let key = browser.value("#key");
    browser.follow(".actions .primary");
    let target = browser.url();
    let target = target.split('?').next().expect("an address");
    let evil = serve(format!(
        "<form method=post action=\"{target}/revoke\"><button id=go>win</button></form><iframe src=\"{target}\"></iframe>"
    ));
    browser.open(&format!("http://{evil}/"));
    let framed = browser.run("try { return frames[0].document.body.textContent } catch { return 'blocked' }");
    assert_eq!(framed, "blocked");
    browser.follow("#go");
    assert!(
        browser.source().contains("cross-origin-request"),
        "{}",
        browser.source()
    );
    let whoami = server.get("/api/v1/whoami", &[&format!("X-Key: {key}")]);
    assert_eq!(whoami.status, 200, "{whoami:?}");
    // The same form here works, so that it was the origin.
    browser.open(&format!("{target}/revoke"));
    browser.follow(".solid");
    assert_eq!(
        server.get("/api/v1/whoami", &[&format!("X-Key: {key}")]).status,
        401
    );
    browser.open(&at(&server, "/keys"));
    let framed = browser.complaints();
    assert!(
        framed
            .iter()
            .any(|complaint| complaint.contains("frame-ancestors")),
        "{framed:?}"
    );
}
