//! What of HTTP is refused, in which order, and with which headers.

use super::*;

fn error(status: u16, kind: &str) -> (u16, String) {
    (status, kind.to_owned())
}

#[tokio::test]
async fn ambiguous_heads_are_refused_before_anybody_asks_who_is_there() {
    let running = Running::new();
    for request in [
        "GET /healthz HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        "GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET unix://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET //healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /healthz// HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /./healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /a/../healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /healthz/.. HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /%68ealthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /api%2fv1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /healthz%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /%2e%2e/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /api%5cv1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer a\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: x\r\nX-API-Key: a\r\nX-API-Key: a\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: x\r\nX-API-Key: a\r\nAuthorization: Bearer b\r\n\r\n",
    ] {
        let mut client = running.connect();
        client.send(request).await;
        let reply = client.reply().await.unwrap();
        assert_eq!(reply.error(), error(400, "invalid_request_error"), "{request:?}");
        assert!(client.ends().await, "{request:?}");
    }
}

#[tokio::test]
async fn requests_with_two_lengths_are_refused_and_their_connection_ends() {
    let running = Running::new();
    // Five bytes that are a whole body in each reading, so that hyper has nothing to complain about.
    let body = "0\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 5",
    ] {
        let mut client = running.connect();
        client.send(format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{body}")).await;
        let reply = client.reply().await.unwrap();
        assert_eq!(reply.error(), error(400, "invalid_request_error"), "{headers}");
        assert!(client.ends().await, "{headers}");
    }
    for headers in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{body}");
        assert_eq!(running.ask(request).await.status, 200, "{headers}");
    }
}

#[tokio::test]
async fn a_body_that_looks_like_a_request_does_no_harm() {
    let running = Running::new();
    let mut client = running.connect();
    let body = "\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
    client.send(owner("GET", "/healthz", "", body)).await;
    assert_eq!(client.reply().await.unwrap().status, 200);
    client.send(owner("GET", "/healthz", "", "")).await;
    assert_eq!(client.reply().await.unwrap().status, 200);
}

#[tokio::test]
async fn other_protocols_are_told_what_to_speak() {
    let running = Running::new();
    let old = running.ask("GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n").await;
    assert_eq!(old.error(), error(426, "upgrade_required_error"));
    assert_eq!((old.header("upgrade"), old.header("connection")), (Some("http/1.1"), Some("upgrade, close")));
    let newer = running.ask("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Secretsd-Api: 2\r\n\r\n").await;
    assert_eq!(newer.error(), error(426, "upgrade_required_error"));
    assert_eq!(newer.header("upgrade"), Some("secretsd-api/1"));
    let same = running.ask("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Secretsd-Api: 1\r\n\r\n").await;
    assert_eq!(same.status, 200);
}

#[tokio::test]
async fn web_pages_are_refused_before_their_token_is_looked_at() {
    let running = Running::new();
    for headers in ["Host: x\r\nOrigin: null", "Host: x\r\nSec-Fetch-Site: same-origin", "Host: evil.example"]
    {
        for path in ["/healthz", "/api/v1/user/secrets"] {
            let reply = running.ask(format!("GET {path} HTTP/1.1\r\n{headers}\r\n\r\n")).await;
            assert_eq!(reply.error(), error(403, "forbidden_error"), "{headers}");
        }
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_told_but_that_the_daemon_lives() {
    let running = Running::new();
    let reply = running.ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"status":"ok"}"#));
    for route in crate::router::routes().filter(|route| route.access != crate::router::Access::Open) {
        let path = route.path.replace("{id}", "2489e9ad-2ee2-4e00-8ec9-32d5f69181c0");
        for headers in ["", "X-API-Key: wrong\r\n", "Authorization: Basic x\r\n"] {
            // A server each, so that wrong tokens are not too many.
            let running = Running::new();
            let reply =
                running.ask(format!("{} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n", route.method)).await;
            assert_eq!(reply.error(), error(401, "authentication_error"), "{path} {headers}");
            assert_eq!(reply.header("www-authenticate"), Some("bearer"));
        }
    }
    for target in [
        "/nowhere",
        "/healthz/",
        "/api/v1/user/secrets/",
        "/api/v1/user/secrets?token=owner-token-of-the-tests-0123456789-abcdefg",
    ] {
        let reply = running.ask(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(reply.error(), error(401, "authentication_error"), "{target}");
    }
    let reply = running.ask("POST /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn the_owner_learns_what_does_not_exist_and_which_methods_do() {
    let running = Running::new();
    for target in ["/nowhere", "/healthz/", "/api/v1/user/secrets/", "/api/v1/user/secrets/a/b"] {
        let reply = running.owner("GET", target, "", "").await;
        assert_eq!(reply.error(), error(404, "not_found_error"), "{target}");
        assert_eq!(reply.header("allow"), None);
    }
    for (method, target, allow) in [
        ("DELETE", "/api/v1/user/secrets", "get, post, head"),
        ("GET", "/api/v1/user/secrets/preset", "post"),
        (
            "POST",
            "/api/v1/user/secrets/2489e9ad-2ee2-4e00-8ec9-32d5f69181c0",
            "get, put, patch, delete, head",
        ),
        ("BREW", "/healthz", "get, head"),
    ] {
        let reply = running.owner(method, target, "", "").await;
        assert_eq!(reply.error(), error(404, "not_found_error"), "{method} {target}");
        assert_eq!(reply.header("allow"), Some(allow));
    }
}

#[tokio::test]
async fn every_answer_has_its_own_id_and_is_not_to_be_kept() {
    let running = Running::new();
    let mut ids = std::collections::HashSet::new();
    for target in ["/healthz", "/healthz", "/nowhere"] {
        let reply = running.owner("GET", target, "", "").await;
        assert!(ids.insert(reply.header("x-request-id").unwrap().to_owned()));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn nothing_that_was_sent_comes_back() {
    let running = Running::new();
    let json = "Content-Type: application/json\r\n";
    let id = "/api/v1/user/secrets/2489e9ad-2ee2-4e00-8ec9-32d5f69181c0";
    for (method, target, headers, body) in [
        ("GET", "/canary", "", ""),
        ("GET", "/api/v1/user/secrets/canary", "", ""),
        ("GET", "/api/v1/user/secrets?canary=canary&view=canary&name=-canary-", "", ""),
        ("GET", "/api/v1/audit?since=canary&limit=canary", "", ""),
        ("CANARY", "/healthz", "", ""),
        ("PUT", id, "Content-Type: application/json\r\nIf-Match: canary\r\n", r#"{"value":1}"#),
        ("POST", "/api/v1/user/secrets", "Content-Type: canary\r\n", "canary"),
        ("POST", "/api/v1/user/secrets", json, "canary"),
        ("POST", "/api/v1/user/secrets", json, r#""canary""#),
        ("POST", "/api/v1/user/secrets", json, r#"{"canary":"canary","name":"canary-canary"}"#),
        ("POST", "/api/v1/user/secrets", json, r#"{"canary":1,"canary":2}"#),
        ("POST", "/api/v1/user/secrets/preset", json, r#"{"provider":"CANARY","value":["canary"]}"#),
        ("POST", "/api/v1/user/secrets/reveal", json, r#"{"secrets":["-canary-"],"purpose":"Canary"}"#),
        ("POST", "/api/v1/vault/unlock", json, r#"{"passphrase":"canary","key_file":"/canary"}"#),
    ] {
        let reply = running.owner(method, target, headers, body).await;
        assert!(reply.status >= 400, "{method} {target} {body}: {reply:?}");
        assert!(
            !format!("{reply:?}").to_lowercase().contains("canary"),
            "{method} {target} {body}: {reply:?}"
        );
    }
}
