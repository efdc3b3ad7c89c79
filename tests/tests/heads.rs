//! What the head of a request may say: `HEAD` and `OPTIONS`, hosts, encodings, expectations, versions.

use std::collections::BTreeMap;
use std::{io, thread};

use secretsd::routes;
use secretsd_tests::process;
use secretsd_tests::{Env, programs};
use serde_json::json;

/// The status and the headers of an answer, but those that change each time.
fn head(answer: &[u8]) -> (u16, BTreeMap<String, String>, usize) {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let fields = lines.filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    (
        status,
        fields.filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str())).collect(),
        body.len(),
    )
}

#[test]
fn head_is_get_without_its_body_on_every_route() {
    let env = Env::unlocked(programs!());
    let id = env.store("A", "x")["id"].as_str().unwrap().to_owned();
    let mut tried = 0;
    for route in routes().filter(|route| route.method == "GET") {
        let path = route.path.replace("{id}", &id);
        for token in [Some(env.token()), None] {
            let authorization =
                token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
            let ask = |method| {
                let text = format!(
                    "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}\r\n"
                );
                head(&env.raw(text))
            };
            let ((status, mut get, body), (head_status, mut head, none)) = (ask("GET"), ask("HEAD"));
            assert_eq!((status, none), (head_status, 0), "{path}");
            assert!(body > 0 || status == 204, "{path}");
            if status >= 400 {
                assert!(head.remove("content-length").is_some() && get.remove("content-length").is_some());
            } else if path.ends_with("/backup") || path.contains("/audit") {
                // What takes work is not made for its length.
                assert!(get.remove("content-length").is_some(), "{path}");
            }
            assert_eq!(get, head, "{path}");
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
    // The connection goes on after it.
    let twice = "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = String::from_utf8(env.raw(twice)).unwrap();
    assert_eq!(answer.matches("200 OK").count(), 2, "{answer}");
    assert!(answer.ends_with("{\"status\":\"ok\"}"), "{answer}");
    let post = String::from_utf8(env.raw(format!(
        "HEAD /api/v1/user/secrets/reveal HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        env.token()
    )));
    assert!(post.unwrap().starts_with("HTTP/1.1 404"), "nothing is revealed by HEAD");
}

#[test]
fn head_makes_no_backup_and_does_not_read_the_log() {
    let env = Env::unlocked(programs!());
    let ask = |method: &str, path: &str| {
        let token = env.token();
        head(&env.raw(format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        )))
    };
    let entries = || env.get("/audit/verify").expect(200)["entries"].as_u64().unwrap();
    let before = entries();
    for path in ["/api/v1/vault/backup", "/api/v1/audit", "/api/v1/audit/verify"] {
        let (status, fields, _) = ask("HEAD", path);
        assert_eq!((status, fields.contains_key("content-length")), (200, false), "{path}");
    }
    assert_eq!(entries(), before, "a backup was made");
    assert_eq!(ask("HEAD", "/api/v1/audit?limit=x").0, 422);
    env.post("/vault/lock", &json!({})).expect(200);
    for path in ["/api/v1/vault/backup", "/api/v1/audit", "/api/v1/audit/verify"] {
        assert_eq!(ask("HEAD", path).0, ask("GET", path).0, "{path}");
        assert_eq!(ask("HEAD", path).0, 403, "{path}");
    }
}

#[test]
fn curl_and_wget_look_by_head() {
    let env = Env::unlocked(programs!());
    let answer = env.curl(["-I", "http://localhost/healthz"]);
    assert!(String::from_utf8_lossy(&answer.stdout).starts_with("HTTP/1.1 200"), "{answer:?}");
    let bearer = format!("Authorization: Bearer {}", env.token());
    let answer = env.curl(["-I", "-H", &bearer, "http://localhost/api/v1/user/secrets"]);
    assert!(
        String::from_utf8_lossy(&answer.stdout).to_ascii_lowercase().contains("\r\netag: "),
        "{answer:?}"
    );
    if std::process::Command::new("wget").arg("--version").output().is_err() {
        return secretsd_tests::harness::skip("curl_and_wget_look_by_head", "wget is not installed");
    }
    // wget knows no Unix sockets: a port in front of one.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    let socket = env.socket();
    thread::spawn(move || {
        for tcp in port.incoming().flatten() {
            let unix = std::os::unix::net::UnixStream::connect(&socket).unwrap();
            let (mut to, mut from) = (unix.try_clone().unwrap(), unix);
            let (mut read, mut write) = (tcp.try_clone().unwrap(), tcp);
            thread::spawn(move || io::copy(&mut read, &mut to));
            thread::spawn(move || io::copy(&mut from, &mut write));
        }
    });
    for host in ["127.0.0.1", "localhost"] {
        let mut command = env.command("wget");
        command.args(["--spider", "-4", "--no-proxy", "--tries=1", "--timeout=20"]);
        command.arg(format!("http://{host}:{}/healthz", address.port()));
        let (_, output) = process::run(&mut command, b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn options_tells_what_is_allowed() {
    let env = Env::unlocked(programs!());
    let answer = env.request("OPTIONS", "/user/secrets").send();
    assert_eq!((answer.status, answer.header("allow")), (204, Some("GET, POST, HEAD")));
    let answer = env.request("OPTIONS", "/vault/lock").send();
    assert_eq!((answer.status, answer.header("allow")), (204, Some("POST")));
    env.request("OPTIONS", "/nothing").send().expect_error(404, "not_found_error");
    env.anonymous("OPTIONS", "/user/secrets").send().expect_error(401, "authentication_error");
    env.request("OPTIONS", "/user/secrets")
        .header("Origin", "null")
        .send()
        .expect_error(403, "forbidden_error");
}

#[test]
fn hosts_below_localhost_are_local() {
    let env = Env::unlocked(programs!());
    for host in ["localhost", "LOCALHOST:80", "secrets.localhost", "a.b.localhost:8080"] {
        env.request("GET", "/vault").replace("Host", host).send().expect(200);
    }
    for host in ["localhost.evil.com", "evil.com", ".localhost", "a.localhost.evil", "a@b.localhost"] {
        env.request("GET", "/vault").replace("Host", host).send().expect_error(403, "forbidden_error");
    }
}

#[test]
fn an_encoding_and_an_unknown_expectation_are_refused_by_name() {
    let env = Env::unlocked(programs!());
    let create = || env.request("POST", "/user/secrets").json(&json!({ "name": "A", "value": "x" }));
    for encoding in ["gzip", "br", "identity, gzip", "x"] {
        let answer = create().header("Content-Encoding", encoding).send();
        answer.expect_error(400, "invalid_request_error");
        assert!(String::from_utf8_lossy(&answer.body).contains("Content-Encoding"), "{encoding}");
    }
    for expect in ["banana", "100-continue, banana", ""] {
        let answer = create().header("Expect", expect).send();
        answer.expect_error(400, "invalid_request_error");
        assert!(String::from_utf8_lossy(&answer.body).contains("Expect"), "{expect}");
    }
    create().header("Content-Encoding", "identity").header("Expect", "100-Continue").send();
    assert_eq!(env.value("A"), "x");
}

#[test]
fn if_match_takes_what_http_has() {
    let env = Env::unlocked(programs!());
    let id = env.store("A", "one")["id"].as_str().unwrap().to_owned();
    let put = |tags: &str| {
        let request = env.request("PUT", &format!("/user/secrets/{id}")).header("If-Match", tags);
        request.json(&json!({ "value": "new" })).send()
    };
    for stale in ["\"2\"", "\"2\", \"3\"", "W/\"1\"", "\"x\"", "W/\"1\", \"2\"", "\"01\""] {
        put(stale).expect_error(409, "conflict_error");
    }
    for bad in ["1", "\"1", "\"1\" \"2\"", "*, \"1\"", ","] {
        put(bad).expect_error(422, "validation_error");
    }
    assert_eq!(env.value("A"), "one");
    put("\"1\"").expect(200);
    put("\"1\", \"2\"").expect(200);
    put("W/\"1\",\"3\"").expect(200);
    put("*").expect(200);
}
