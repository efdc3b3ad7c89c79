//! How little a request allocates that is answered from memory: each block costs three times, when it is made, wiped
//! and given back.

use super::*;
use crate::memory::counted;

const REQUESTS: usize = 200;

/// A server whose vault is open and holds this many secrets.
async fn with_secrets(count: usize) -> Running {
    let running = Running::new();
    let json = "Content-Type: application/json\r\n";
    let made = r#"{"passphrase":"correct horse battery staple"}"#;
    assert_eq!(running.owner("POST", "/api/v1/vault/init", json, made).await.status, 201);
    for n in 0..count {
        let body = format!(r#"{{"name":"NAME_{n}","value":"sk-0123456789abcdefghijklmnopqrstuvwxyz-{n}"}}"#);
        assert_eq!(running.owner("POST", "/api/v1/user/secrets", json, &body).await.status, 201);
    }
    running
}

/// The calls of the allocator and the bytes that one of many equal requests on one connection takes, on the server's
/// side: the client allocates nothing. They are all on this thread, and the vault's thread is not asked.
async fn of_one_request(running: &Running, target: &str) -> (f64, f64) {
    let mut client = running.connect();
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    client.send(&request).await;
    let body = client.reply().await.unwrap().body.len();
    client.send(&request).await;
    let mut buffer = vec![0; body + 4096];
    let mut length = client.0.read(&mut buffer).await.unwrap();
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    while length < head + body {
        length += client.0.read(&mut buffer).await.unwrap();
    }
    let before = counted::so_far();
    for _ in 0..REQUESTS {
        client.0.write_all(request.as_bytes()).await.unwrap();
        client.0.read_exact(&mut buffer[..head + body]).await.unwrap();
    }
    let after = counted::so_far();
    let each = |after: usize, before: usize| (after - before) as f64 / REQUESTS as f64;
    (each(after.0, before.0), each(after.1, before.1))
}

#[tokio::test]
async fn a_list_and_a_secret_are_answered_without_a_copy() {
    let running = with_secrets(100).await;
    let list = running.owner("GET", "/api/v1/user/secrets", "", "").await;
    assert!(list.body.len() > 10_000);
    let secret = format!("/api/v1/user/secrets/{}", list.json()["secrets"][7]["id"].as_str().unwrap());
    for target in ["/api/v1/user/secrets", &secret] {
        let (calls, bytes) = of_one_request(&running, target).await;
        println!("{target}: {calls} allocations of {bytes} bytes");
        assert!(calls <= 0.5 && bytes <= 128.0, "{target}: {calls} allocations of {bytes} bytes");
    }
}
