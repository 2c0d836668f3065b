use super::*;

const PROXIES: &[&str] = &["10.0.0.0/8", "192.0.2.1", "2001:db8:ffff::/48", "10.1.0.0/16"];
const PEER: &str = "10.0.0.1";

fn at(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn proxies(blocks: &[&str]) -> Proxies {
    let blocks: Vec<String> = blocks.iter().map(ToString::to_string).collect();
    let proxies = Proxies::new(&blocks).expect("blocks");
    proxies.expect("there are some")
}

/// Whom a peer speaks for that sends these lines.
fn client(peer: &str, lines: &[(&'static str, &[u8])]) -> Option<Client> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value).expect("a value"));
    }
    let mut extensions = Extensions::new();
    extensions.insert(ClientAddress(at(peer)));
    proxies(PROXIES).client(&headers, &extensions)
}

fn known(address: &str) -> Option<Client> {
    Some(Client::Known(at(address)))
}

fn behind(address: &str) -> Option<Client> {
    Some(Client::Behind(at(address)))
}

/// Both headers, each with every form that an address can have in it.
#[test]
fn an_address_is_read_in_every_form_it_has() {
    for (text, address) in [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("203.0.113.7:0", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:65535", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:cb00:7107]:80", "203.0.113.7"),
        ("::ffff:10.0.0.9", "10.0.0.9"),
    ] {
        let bare = text.as_bytes();
        let blank = format!(" \t{text}\t ");
        for list in [bare, blank.as_bytes()] {
            assert_eq!(
                client(PEER, &[("x-forwarded-for", list)]),
                known(address),
                "{text}"
            );
        }
        let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
        for element in [
            format!("for={text}"),
            format!("For=\"{text}\""),
            format!("for=\"{escaped}\""),
            format!("proto=https; FOR=\"{text}\" ;by=\"_a,b\\\"c\\\\\""),
            format!(";;host=example.com:8080;for=\"{text}\";"),
        ] {
            let found = client(PEER, &[("forwarded", element.as_bytes())]);
            assert_eq!(found, known(address), "{element}");
        }
    }
}

#[test]
fn what_is_no_address_ends_the_walk_at_the_hop_before_it() {
    for text in [
        &b""[..],
        b" ",
        b"unknown",
        b"_hidden",
        b"_hidden:80",
        b"localhost",
        b"203.0.113",
        b"203.0.113.256",
        b"203.0.113.07",
        b"203.0.113.7:",
        b"203.0.113.7:x",
        b"203.0.113.7:+80",
        b"203.0.113.7:65536",
        b"203.0.113.7:80:80",
        b"203.0.113.7 203.0.113.8",
        b"203.0.113.7/32",
        b"[203.0.113.7]",
        b"[2001:db8::1",
        b"2001:db8::1]",
        b"[2001:db8::1]80",
        b"[2001:db8::1]:",
        b"[2001:db8::1]:x",
        b"[[2001:db8::1]]",
        b"[]",
        b"fe80::1%eth0",
        b"[fe80::1%25eth0]",
        b"\"203.0.113.7\"",
        b"203.0.113.7;",
        b"for=203.0.113.7",
        b"203.0.113.7\xe9",
        b"\xd9\xa1.0.0.1",
    ] {
        let what = String::from_utf8_lossy(text);
        let then = [b"203.0.113.7, ", text, b", 10.0.0.2"].concat();
        assert_eq!(client(PEER, &[("x-forwarded-for", text)]), behind(PEER), "{what}");
        assert_eq!(
            client(PEER, &[("x-forwarded-for", &then)]),
            behind("10.0.0.2"),
            "{what}"
        );
    }
    for text in [
        &b""[..],
        b";",
        b"for",
        b"for=",
        b"for=;proto=http",
        b"for=\"\"",
        b"for=unknown",
        b"for=\"_hidden\"",
        b"for=203.0.113.7;for=203.0.113.8",
        b"for=203.0.113.7;For=203.0.113.7",
        b"by=203.0.113.7",
        b"203.0.113.7",
        b"for =203.0.113.7",
        b"for= 203.0.113.7",
        b"for=203.0.113.7 proto=http",
        b"for=203.0.113.7;proto",
        b"for=203.0.113.7;=http",
        b"for=203.0.113.7;proto=\"http",
        b"for=203.0.113.7;proto=ht\"tp\"",
        b"for=\"203.0.113.7",
        b"for=203.0.113.7\"",
        b"for=\"203.0.113.7\\",
        b"for=\"203.0.113.7\\\"",
        b"for=\" 203.0.113.7\"",
        b"for=\"203.0.113.7\"80",
        b"for=203.0.113.7;host=\"caf\xe9\"",
        b"for=203.0.113.7;host=\"\\\xe9\"",
        b"for=\"000000000000000000000000000000000000000000000000000000000203.0.113.7\"",
    ] {
        let what = String::from_utf8_lossy(text);
        let then = [text, b", for=10.0.0.2"].concat();
        assert_eq!(client(PEER, &[("forwarded", text)]), behind(PEER), "{what}");
        assert_eq!(
            client(PEER, &[("forwarded", &then)]),
            behind("10.0.0.2"),
            "{what}"
        );
    }
}

/// The same lists in both headers.
#[test]
fn the_first_from_the_right_that_is_not_trusted_is_the_client() {
    for (peer, lines, expected) in [
        (PEER, &["203.0.113.7"][..], known("203.0.113.7")),
        ("::ffff:10.0.0.1", &["203.0.113.7"], known("203.0.113.7")),
        ("2001:db8:ffff::1", &["203.0.113.7"], known("203.0.113.7")),
        // What the client has written itself is never reached.
        (PEER, &["192.0.2.99, 203.0.113.7"], known("203.0.113.7")),
        (PEER, &["unknown, 203.0.113.7"], known("203.0.113.7")),
        (
            PEER,
            &["10.0.0.9,203.0.113.7,10.0.0.2 , 10.1.2.3"],
            known("203.0.113.7"),
        ),
        (PEER, &["203.0.113.7, unknown"], behind(PEER)),
        (PEER, &["203.0.113.7, unknown, 10.0.0.2"], behind("10.0.0.2")),
        (PEER, &["203.0.113.7,, 10.0.0.2"], behind("10.0.0.2")),
        (PEER, &["203.0.113.7, 10.0.0.2,"], behind(PEER)),
        (PEER, &[",203.0.113.7"], known("203.0.113.7")),
        // The lines are one list.
        (
            PEER,
            &["192.0.2.99", "203.0.113.7, 10.0.0.2", "10.0.0.3"],
            known("203.0.113.7"),
        ),
        (PEER, &["203.0.113.7", "", "10.0.0.3"], behind("10.0.0.3")),
        (PEER, &["203.0.113.7", "10.0.0.3"], known("203.0.113.7")),
        // All are trusted.
        (
            PEER,
            &["10.0.0.9, 2001:db8:ffff::7, 192.0.2.1"],
            known("10.0.0.9"),
        ),
        (PEER, &["10.0.0.1"], known(PEER)),
        // Nobody believes these.
        ("203.0.113.7", &["192.0.2.99"], None),
        ("192.0.2.2", &["192.0.2.99"], None),
        ("11.0.0.0", &["192.0.2.99"], None),
        ("9.255.255.255", &["192.0.2.99"], None),
        ("2001:db8:fffe::1", &["192.0.2.99"], None),
        (PEER, &[], None),
    ] {
        let lists: Vec<_> = lines
            .iter()
            .map(|line| ("x-forwarded-for", line.as_bytes()))
            .collect();
        assert_eq!(client(peer, &lists), expected, "{peer} {lines:?}");
        let elements = lines.iter().map(|line| {
            let hops = line.split(',').map(|hop| match hop.trim() {
                "" => String::new(),
                hop => format!("proto=http;for=\"{hop}\";by=\"a, for=192.0.2.99\""),
            });
            hops.collect::<Vec<_>>().join(", ")
        });
        let elements: Vec<String> = elements.collect();
        let elements: Vec<_> = elements
            .iter()
            .map(|line| ("forwarded", line.as_bytes()))
            .collect();
        assert_eq!(client(peer, &elements), expected, "{peer} {elements:?}");
    }
}

#[test]
fn no_quote_that_a_client_leaves_open_takes_anything_away_from_a_proxy() {
    for written in [
        "for=\"",
        "for=\"192.0.2.99",
        "for=192.0.2.99;by=\"",
        "for=192.0.2.99;by=\"\\",
        "\"",
        "\\\"",
        "for=\"192.0.2.99, for=192.0.2.98;by=\"",
    ] {
        let text = format!("{written}, for=\"203.0.113.7:80\", for=10.0.0.2");
        let one = client(PEER, &[("forwarded", text.as_bytes())]);
        assert_eq!(one, known("203.0.113.7"), "{text}");
        // In a line of its own it is what came before, and nothing that could be told.
        let lines = [("forwarded", written.as_bytes()), ("forwarded", b"for=10.0.0.2")];
        assert_eq!(client(PEER, &lines), behind("10.0.0.2"), "{written}");
    }
    // A quote that holds what looks like a list is one value.
    let text = "for=10.0.0.3;by=\"x, for=192.0.2.99, \\\\\\\", for=192.0.2.98\", for=10.0.0.2";
    assert_eq!(client(PEER, &[("forwarded", text.as_bytes())]), known("10.0.0.3"));
}

#[test]
fn two_headers_must_lead_to_the_same_client() {
    for (list, forwarded, expected) in [
        ("203.0.113.7", "for=203.0.113.7", known("203.0.113.7")),
        (
            "192.0.2.99, 203.0.113.7",
            "for=\"203.0.113.7:80\"",
            known("203.0.113.7"),
        ),
        ("::ffff:203.0.113.7", "for=203.0.113.7", known("203.0.113.7")),
        ("203.0.113.7", "for=192.0.2.99", behind(PEER)),
        (
            "203.0.113.7, 10.0.0.2",
            "for=192.0.2.99, for=10.0.0.2",
            behind(PEER),
        ),
        ("203.0.113.7", "for=unknown", behind(PEER)),
        ("unknown", "for=203.0.113.7", behind(PEER)),
        ("203.0.113.7", "", behind(PEER)),
        ("unknown, 10.0.0.2", "for=_x, for=10.0.0.2", behind("10.0.0.2")),
    ] {
        let lines = [
            ("x-forwarded-for", list.as_bytes()),
            ("forwarded", forwarded.as_bytes()),
        ];
        assert_eq!(client(PEER, &lines), expected, "{list} {forwarded}");
    }
}

#[test]
fn a_thousand_hops_are_walked_to_their_end() {
    let hops = vec!["10.0.0.2"; 1000].join(",");
    let list = format!("203.0.113.7,{hops}");
    assert_eq!(
        client(PEER, &[("x-forwarded-for", list.as_bytes())]),
        known("203.0.113.7")
    );
    let lines = vec![("x-forwarded-for", &b"10.0.0.2"[..]); 1000];
    assert_eq!(client(PEER, &lines), known("10.0.0.2"));
    let elements = vec!["for=\"10.0.0.2\";by=\"\\\\\\\",\""; 1000].join(",");
    let forwarded = format!("for=203.0.113.7,{elements}");
    assert_eq!(
        client(PEER, &[("forwarded", forwarded.as_bytes())]),
        known("203.0.113.7")
    );
    let nothing = ",".repeat(30_000);
    assert_eq!(
        client(PEER, &[("x-forwarded-for", nothing.as_bytes())]),
        behind(PEER)
    );
    let quotes = format!("{}for=10.0.0.2", "\\\"".repeat(15_000));
    assert_eq!(client(PEER, &[("forwarded", quotes.as_bytes())]), behind(PEER));
}

#[test]
fn an_address_that_cannot_be_told_is_known_to_nobody_further_inside() {
    let mut extensions = Extensions::new();
    extensions.insert(ClientAddress(at(PEER)));
    Client::Behind(at("10.0.0.2")).tell(&mut extensions);
    assert_eq!(ClientAddress::of(&extensions), None);
    assert_eq!(
        super::super::address::household(&extensions),
        Some(at("10.0.0.2")).into()
    );
    // Nor is it by a second layer.
    let mut headers = HeaderMap::new();
    headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("203.0.113.7"));
    assert_eq!(proxies(PROXIES).client(&headers, &extensions), None);
    assert_eq!(proxies(PROXIES).client(&headers, &Extensions::new()), None);
}

#[test]
fn each_block_that_is_none_is_named() {
    let blocks = ["10.0.0.0/8", "10.0.0.1/8", "proxy.example", ""].map(str::to_owned);
    let errors = Proxies::new(&blocks).expect_err("bad blocks");
    let named: Vec<&str> = errors.iter().map(|error| error.block.as_str()).collect();
    assert_eq!(named, ["10.0.0.1/8", "proxy.example", ""]);
    assert!(Proxies::new(&[]).expect("none").is_none());
}
