use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// Answers one request with these bytes, and then keeps the connection open.
async fn answering(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = [0; 1024];
        let read = stream.read(&mut head).await.expect("a head");
        assert!(head[..read].starts_with(b"GET /keys?a=b HTTP/1.1\r\n"));
        stream.write_all(&answer).await.expect("written");
        // Until whoever asked goes away.
        let _ = stream.read(&mut head).await;
    });
    address
}

async fn get(answer: &str) -> Result<Bytes, FetchError> {
    let address = answering(answer.as_bytes().to_vec()).await;
    let target = Target::parse(&format!("http://{address}/keys?a=b")).expect("a URL");
    let guarded = Guarded::new().danger_allow_http_loopback(true);
    guarded.get(&target).await
}

#[tokio::test]
async fn what_is_there_is_got() {
    let body = get("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
    assert_eq!(body.expect("a body"), "{}");
    let chunked =
        get("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n").await;
    assert_eq!(chunked.expect("a body"), "{}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_nothing_but_200_is_taken() {
    let elsewhere = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    assert!(matches!(get(elsewhere).await, Err(FetchError::Status(302))));
    for status in [201, 204, 206, 404, 500] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        let answer = get(&answer).await;
        assert!(matches!(answer, Err(FetchError::Status(found)) if found == status));
    }
}

#[tokio::test]
async fn too_much_is_not_read_whether_it_is_announced_or_not() {
    let large = "x".repeat(MAX_BODY + 1);
    let announced = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{large}",
        large.len()
    );
    assert!(matches!(get(&announced).await, Err(FetchError::TooLarge)));
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    assert!(matches!(get(&chunked).await, Err(FetchError::TooLarge)));
    let most = "x".repeat(MAX_BODY);
    let most = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{most}", most.len());
    assert_eq!(get(&most).await.expect("a body").len(), MAX_BODY);
    let head = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(2 * MAX_HEAD)
    );
    assert!(matches!(get(&head).await, Err(FetchError::Failed(_))));
}

#[tokio::test]
async fn what_never_ends_is_given_up() {
    let begun = get("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{").await;
    assert!(matches!(begun, Err(FetchError::TooSlow)), "{begun:?}");
}

#[tokio::test]
async fn nothing_is_sent_where_it_may_not_be() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
    ] {
        let refused = Guarded::new().get(&Target::parse(&url).expect("a URL")).await;
        assert!(matches!(refused, Err(FetchError::Url(_))), "{refused:?}");
    }
    // A name for it is no better than its number.
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "10.0.0.1",
    ] {
        let target = Target::parse(&format!("https://{host}:{port}/")).expect("a URL");
        let refused = Guarded::new().get(&target).await;
        assert!(matches!(refused, Err(FetchError::Address)), "{refused:?}");
    }
    let plain = Guarded::new().danger_allow_http_loopback(true);
    let refused = plain.get(&Target::parse("http://1.1.1.1/").expect("a URL")).await;
    assert!(matches!(refused, Err(FetchError::Address)), "{refused:?}");
    let nobody = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(nobody.is_err(), "somebody was connected");
}

#[tokio::test]
async fn a_server_without_a_good_certificate_is_not_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            .await
            .expect("written");
        let _ = stream.read(&mut [0; 1024]).await;
    });
    let target = Target::parse(&format!("https://{address}/")).expect("a URL");
    let refused = Guarded::new().allow_private(true).get(&target).await;
    assert!(matches!(refused, Err(FetchError::Failed(_))), "{refused:?}");
}
