//! Bodies of responses.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_download_breaks_off_when_its_key_is_revoked() {
    let begun = tokio::time::Instant::now();
    let world = World::new();
    let key = world.issue(scopes(&["topics:read"])).await;
    let other = world.issue(scopes(&["topics:read"])).await;
    let mut streams = Vec::new();
    for path in ["/plain", "/layer", "/topics/a"] {
        streams.push(world.open(path, &key).await);
    }
    let mut others = world.open("/plain", &other).await;
    world.keys.revoke(key.record.id).await.expect("revoked");
    for stream in &mut streams {
        assert_eq!(stream.ends().await, Ended::KeyRevoked);
    }
    assert!(others.goes_on().await);
    nobody_waited(begun);
}

#[tokio::test]
async fn events_say_why_and_end_well() {
    let world = World::new();
    let key = world.issue(scopes(&["topics:read"])).await;
    let mut stream = world.open("/topics/a/events", &key).await;
    world.keys.revoke(key.record.id).await.expect("revoked");
    let farewell = stream.next().await.expect("an event").expect("data");
    assert_eq!(
        farewell,
        "event: auth-revoked\ndata: {\"reason\":\"key-revoked\"}\n\n"
    );
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_key_that_is_disabled_ends_its_streams() {
    let world = World::new();
    let key = world.issue(scopes(&["topics:read"])).await;
    let mut stream = world.open("/layer", &key).await;
    world
        .keys
        .change(key.record.id, KeyChange::new().disabled(true))
        .await
        .expect("disabled");
    assert_eq!(stream.ends().await, Ended::KeyDisabled);
}

#[tokio::test]
async fn only_a_scope_that_the_route_asked_for_ends_a_stream_when_it_goes() {
    let world = World::new();
    let both = || scopes(&["topics:read", "topics:send"]);
    for (path, lost, end) in [
        ("/layer", "topics:send", None),
        ("/topics/a", "topics:send", None),
        ("/layer", "topics:read", Some(Ended::InsufficientScope)),
        ("/topics/a", "topics:read", Some(Ended::InsufficientScope)),
        // Nobody saw what it asked for: everything counts.
        ("/plain", "topics:send", Some(Ended::InsufficientScope)),
    ] {
        let key = world.issue(both()).await;
        let mut stream = world.open(path, &key).await;
        let kept = if lost == "topics:read" {
            "topics:send"
        } else {
            "topics:read"
        };
        let change = KeyChange::new().scopes(Scopes::new([kept]).expect("a scope"));
        world.keys.change(key.record.id, change).await.expect("changed");
        match end {
            Some(end) => assert_eq!(stream.ends().await, end, "{path} {lost}"),
            None => {
                assert!(stream.goes_on().await, "{path} {lost}");
                world.keys.revoke(key.record.id).await.expect("revoked");
                assert_eq!(stream.ends().await, Ended::KeyRevoked);
            }
        }
    }
}

#[tokio::test]
async fn only_the_resource_of_the_route_ends_a_stream_when_it_goes() {
    let world = World::new();
    let key = world
        .issue(bound(&["topics:read"], &["topic:a", "topic:b", "topic:c"]))
        .await;
    let mut stream = world.open("/topics/a", &key).await;
    let narrow = async |topics: &[&str]| {
        let change = KeyChange::new().resources(Resources::only(topics).expect("topics"));
        world.keys.change(key.record.id, change).await.expect("changed");
    };
    narrow(&["topic:a", "topic:b"]).await;
    assert!(stream.goes_on().await);
    narrow(&["topic:b"]).await;
    assert_eq!(stream.ends().await, Ended::ResourceNotAllowed);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_key_expires_and_when_its_overlap_is_over() {
    let world = World::new();
    let now = tower_api_key::clock::Clock::now(&world.clock);
    let hour = Duration::from_secs(3600);
    let new = NewKey::new("alice").expires_at(now + hour);
    let expiring = world.keys.issue(new).await.expect("a key");
    let rotated = world.issue(scopes(&["topics:read"])).await;
    let mut expiring = world.open("/plain", &expiring).await;
    let mut overlapping = world.open("/plain", &rotated).await;
    let successor = world.keys.rotate(rotated.record.id, hour).await.expect("rotated");
    let mut successor = world.open("/plain", &successor).await;
    world.clock.advance(hour - Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(expiring.goes_on().await && overlapping.goes_on().await);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(expiring.ends().await, Ended::KeyExpired);
    assert_eq!(overlapping.ends().await, Ended::KeyExpired);
    assert!(successor.goes_on().await);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_owner_ends_all_streams_of_their_keys() {
    let begun = tokio::time::Instant::now();
    let suspended = Arc::new(Mutex::new(Vec::<String>::new()));
    let asked = suspended.clone();
    let world = World::with(|builder| {
        builder.owners(move |owner: String| {
            let gone = asked.lock().expect("unpoisoned").contains(&owner);
            async move {
                Ok::<_, Unavailable>(Some(match gone {
                    true => OwnerState::suspended(),
                    false => OwnerState::active(),
                }))
            }
        })
    });
    let alice = world.issue(scopes(&["topics:read"])).await;
    let bob = NewKey::new("bob").grants(scopes(&["topics:read"]));
    let bob = world.keys.issue(bob).await.expect("a key");
    let mut hers = world.open("/layer", &alice).await;
    let mut his = world.open("/layer", &bob).await;
    let suspend = async move {
        suspended.lock().expect("unpoisoned").push("alice".to_owned());
        Ok::<_, Infallible>(())
    };
    world
        .auth
        .change_owner("alice", suspend)
        .await
        .expect("suspended");
    assert_eq!(hers.ends().await, Ended::KeyDisabled);
    assert!(his.goes_on().await);
    nobody_waited(begun);
}

/// A revoke between the check of a request and the start of its stream is not lost.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_revoked_before_its_stream_begins_ends_it_at_once() {
    let begun = tokio::time::Instant::now();
    let world = World::new();
    let key = world.issue(scopes(&["topics:read"])).await;
    let (keys, id) = (world.keys.clone(), key.record.id);
    let revoke_first = get(async move || {
        keys.revoke(id).await.expect("revoked");
        endless()
    });
    let app = Router::new().route("/", revoke_first).layer(world.auth.clone());
    let Ok(response) = app.oneshot(request(Method::GET, "/", key.key.expose())).await;
    assert_eq!(response.status(), StatusCode::OK, "it was let in before");
    let error = response.into_body().collect().await.expect_err("cut short");
    assert_eq!(ended(error), Ended::KeyRevoked);
    nobody_waited(begun);
}

#[tokio::test(start_paused = true)]
async fn without_word_of_a_change_the_table_is_asked_again() {
    let revoked = Arc::new(Mutex::new(false));
    let table = revoked.clone();
    let auth = ApiKeyAuth::resolver(move |_: KeyDigest| {
        let revoked = *table.lock().expect("unpoisoned");
        async move {
            let known = Identity::new("alice");
            Ok::<_, Unavailable>(Some(if revoked { known.revoked() } else { known }))
        }
    })
    .clock(Paused::now())
    .build()
    .expect("a configuration");
    let Ok(response) = app(auth)
        .oneshot(request(Method::GET, "/plain", "some-key"))
        .await;
    let mut stream = Open(response.into_body());
    stream.next().await.expect("a frame").expect("data");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(stream.goes_on().await);
    *revoked.lock().expect("unpoisoned") = true;
    assert_eq!(stream.ends().await, Ended::KeyRevoked);
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_a_stream_only_when_it_lasts() {
    let down = Arc::new(Mutex::new(false));
    let table = down.clone();
    let auth = ApiKeyAuth::resolver(move |_: KeyDigest| {
        let down = *table.lock().expect("unpoisoned");
        async move {
            match down {
                true => Err(Unavailable::new("it is down")),
                false => Ok(Some(Identity::new("alice"))),
            }
        }
    })
    .clock(Paused::now())
    .build()
    .expect("a configuration");
    let Ok(response) = app(auth)
        .oneshot(request(Method::GET, "/plain", "some-key"))
        .await;
    let mut stream = Open(response.into_body());
    stream.next().await.expect("a frame").expect("data");
    *down.lock().expect("unpoisoned") = true;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(stream.goes_on().await, "it is waited for");
    *down.lock().expect("unpoisoned") = false;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(stream.goes_on().await, "it is back");
    *down.lock().expect("unpoisoned") = true;
    assert_eq!(stream.ends().await, Ended::Unavailable);
}

#[tokio::test]
async fn no_more_streams_than_there_is_room_for() {
    let world = World::with(|builder| builder.max_streams(2));
    let key = world.issue(scopes(&["topics:read"])).await;
    let first = world.open("/plain", &key).await;
    let _second = world.open("/plain", &key).await;
    let ask = async |path| ask(world.app.clone(), request(Method::GET, path, key.key.expose())).await;
    for path in ["/plain", "/large"] {
        let refused = ask(path).await;
        assert_eq!(refused.summary(), (503, "auth-unavailable".to_owned()), "{path}");
    }
    assert_eq!(ask("/small").await.status, 200, "that is no stream");
    drop(first);
    // The place is free once the task that kept it has had its turn.
    while world
        .app
        .clone()
        .oneshot(request(Method::GET, "/plain", key.key.expose()))
        .await
        .expect("an answer")
        .status()
        != 200
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_key_with_too_many_streams_leaves_room_for_others() {
    let world = World::with(|builder| builder.max_streams(16 * 17));
    let (greedy, other) = (
        world.issue(scopes(&["topics:read"])).await,
        world.issue(scopes(&["topics:read"])).await,
    );
    let mut open = Vec::new();
    for _ in 0..17 {
        open.push(world.open("/plain", &greedy).await);
    }
    let one_more = request(Method::GET, "/plain", greedy.key.expose());
    let Ok(refused) = world.app.clone().oneshot(one_more).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    world.open("/plain", &other).await;
}
