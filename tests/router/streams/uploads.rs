//! Bodies of requests, and whatever else outlives the check.

use super::*;

#[tokio::test]
async fn an_upload_is_given_up_when_its_key_is_revoked_and_a_small_body_is_not() {
    let world = World::new();
    let key = world.issue(scopes(&["topics:read"])).await;
    let upload = |length: Option<&str>| {
        let mut upload = Request::post("/upload").header("X-Key", key.key.expose());
        upload = match length {
            Some(length) => upload.header("Content-Length", length),
            None => upload.header("Transfer-Encoding", "chunked"),
        };
        let upload = upload.body(endless()).expect("a request");
        tokio::spawn(ask(world.app.clone(), upload))
    };
    let (chunked, long, short) = (upload(None), upload(Some("65537")), upload(Some("65536")));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!chunked.is_finished() && !long.is_finished());
    world.keys.revoke(key.record.id).await.expect("revoked");
    for upload in [chunked, long] {
        let answer = timeout(GUARD, upload)
            .await
            .expect("it goes on")
            .expect("no panic");
        assert_eq!(answer.summary(), (401, "key-revoked".to_owned()));
    }
    assert!(!short.is_finished(), "it was let in, and takes little room");
    short.abort();
}

/// Its key ends while the handler is at work on what it has read, and long before it answers.
#[tokio::test]
async fn a_handler_that_has_its_body_is_not_given_up() {
    let world = World::new();
    let revoking = |id| {
        let keys = world.keys.clone();
        async move || {
            keys.revoke(id).await.expect("revoked");
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            "done"
        }
    };
    let upload = |key: &IssuedKey, body: Body| {
        let upload = Request::post("/").header("X-Key", key.key.expose());
        let upload = upload.header("Transfer-Encoding", "chunked");
        upload.body(body).expect("a request")
    };
    let in_bits = || Body::from_stream(stream::iter(["a", "b"].map(Ok::<_, Infallible>)));

    let key = world.issue(scopes(&[])).await;
    let work = revoking(key.record.id);
    let read = post(async move |body: String| {
        assert_eq!(body, "ab");
        work().await
    });
    let app = Router::new().route("/", read).layer(world.auth.clone());
    let answer = ask(app, upload(&key, in_bits())).await;
    assert_eq!(answer.summary(), (200, "done".to_owned()));

    // One that is not interested waits for nothing, either.
    let key = world.issue(scopes(&[])).await;
    let unread = post(revoking(key.record.id));
    let app = Router::new().route("/", unread).layer(world.auth.clone());
    let answer = ask(app, upload(&key, endless())).await;
    assert_eq!(answer.summary(), (200, "done".to_owned()));

    // But one that has read the half of it.
    let key = world.issue(scopes(&[])).await;
    let work = revoking(key.record.id);
    let half = post(async move |mut body: Body| {
        body.frame().await.expect("a frame").expect("data");
        let answer = work().await;
        drop(body);
        answer
    });
    let app = Router::new().route("/", half).layer(world.auth.clone());
    let answer = ask(app, upload(&key, in_bits())).await;
    assert_eq!(answer.summary(), (401, "key-revoked".to_owned()));
}

/// Nothing is known of a body that is not axum's.
#[tokio::test]
async fn a_handler_of_another_stack_says_that_it_has_its_body() {
    let world = World::new();
    for (says_so, expected) in [(true, StatusCode::OK), (false, StatusCode::UNAUTHORIZED)] {
        let key = world.issue(scopes(&[])).await;
        let (keys, id) = (world.keys.clone(), key.record.id);
        let handler = service_fn(move |request: Request<String>| {
            let keys = keys.clone();
            async move {
                let caller = request.extensions().get::<Principal>().expect("a caller");
                if says_so {
                    caller.done_reading();
                }
                keys.revoke(id).await.expect("revoked");
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }
        });
        let upload = Request::post("/").header("X-Key", key.key.expose());
        let upload = upload.header("Transfer-Encoding", "chunked").body(String::new());
        let Ok(answer) = world
            .auth
            .layer(handler)
            .oneshot(upload.expect("a request"))
            .await;
        assert_eq!(answer.status(), expected);
    }
}

#[tokio::test]
async fn whatever_else_outlives_its_request_can_wait_for_the_end() {
    let world = World::new();
    let key = world.issue(scopes(&["topics:read", "topics:send"])).await;
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let handler = get(async move |caller: Scoped<Read>| {
        let inside = caller.revoked();
        let outside = caller.into_principal();
        sender.send((inside, outside)).expect("sent");
    });
    let app = Router::new()
        .route("/topics/{topic}", handler)
        .layer(world.auth.clone());
    let Ok(_) = app
        .oneshot(request(Method::GET, "/topics/a", key.key.expose()))
        .await;
    let (inside, outside) = receiver.recv().await.expect("both");
    let (inside, outside) = (tokio::spawn(inside), tokio::spawn(outside.revoked()));
    let change = KeyChange::new().scopes(Scopes::new(["topics:read"]).expect("a scope"));
    world.keys.change(key.record.id, change).await.expect("changed");
    let end = timeout(GUARD, outside)
        .await
        .expect("it waits")
        .expect("no panic");
    assert_eq!(
        end,
        Ended::InsufficientScope,
        "what the route asked for was not known there"
    );
    assert!(!inside.is_finished());
    world.keys.revoke(key.record.id).await.expect("revoked");
    let end = timeout(GUARD, inside).await.expect("it waits").expect("no panic");
    assert_eq!(end, Ended::KeyRevoked);
}

#[tokio::test]
async fn a_static_key_has_no_end() {
    let auth = crate::answer::granting(Grants::all());
    let handler = get(async |caller: Principal| {
        tokio::select! {
            biased;
            ended = caller.revoked() => ended.to_string(),
            () = ready(()) => "goes on".to_owned(),
        }
    });
    let app = Router::new().route("/", handler).layer(auth);
    let answer = ask(app, request(Method::GET, "/", crate::answer::KEY)).await;
    assert_eq!(answer.summary(), (200, "goes on".to_owned()));
}
