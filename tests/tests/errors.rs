//! Every error that the API documents, provoked through the socket, and that none gives back what was sent.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use secrets_proto::ErrorType;
use secretsd_tests::env::{CHEAP_KDF, PASSPHRASE};
use secretsd_tests::http::{Request, raw, raw_and_finish};
use secretsd_tests::{Answer, Env, canary, programs};
use serde_json::{Value, json};

const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

fn head(env: &Env, lines: &str) -> String {
    format!("{lines}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n", env.token())
}

fn answer(env: &Env, bytes: impl AsRef<[u8]>) -> Answer {
    let bytes = env.raw(bytes);
    Answer::parse(&bytes).unwrap_or_else(|| panic!("no HTTP answer: {:?}", String::from_utf8_lossy(&bytes)))
}

#[test]
fn bodies_that_cannot_be_read_are_400() {
    let env = Env::unlocked(programs!());
    let post = |kind: &str, body: &str| env.request("POST", "/user/secrets").text(kind, body).send();
    for body in [
        "",
        "{",
        "nonsense",
        "{\"name\":\"A\",\"value\":\"x\"} trailing",
        "{\"name\":\"A\",\"name\":\"B\",\"value\":\"x\"}",
        "{\"name\":\"A\",\"value\":\"x\",\"value\":\"y\"}",
        "{\"name\":\"A\",\"value\":\"\\ud800\"}",
    ] {
        post("application/json", body).expect_error(400, "invalid_request_error");
    }
    let good = json!({ "name": "A", "value": "x" }).to_string();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "application/json; charset=latin1",
    ] {
        post(kind, &good).expect_error(400, "invalid_request_error");
    }
    let typeless = head(&env, "POST /api/v1/user/secrets HTTP/1.1\r\nHost: localhost");
    answer(&env, format!("{typeless}Content-Length: {}\r\n\r\n{good}", good.len()))
        .expect_error(400, "invalid_request_error");
    post("application/json; charset=utf-8", &good).expect(201);
}

#[test]
fn a_body_that_is_not_utf_8_is_400() {
    let env = Env::unlocked(programs!());
    let mut bytes =
        head(&env, "POST /api/v1/user/secrets HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json");
    let body = b"{\"name\":\"A\",\"value\":\"\xff\xfe\"}";
    bytes.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    answer(&env, [bytes.as_bytes(), body].concat()).expect_error(400, "invalid_request_error");
}

#[test]
fn a_body_over_one_mebibyte_is_400_announced_or_not() {
    let env = Env::unlocked(programs!());
    let body = json!({ "name": "A", "value": "x".repeat(1_048_576) }).to_string();
    env.request("POST", "/user/secrets")
        .text("application/json", &body)
        .send()
        .expect_error(400, "invalid_request_error");
    let chunked = head(
        &env,
        "POST /api/v1/user/secrets HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked",
    );
    answer(&env, format!("{chunked}\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()))
        .expect_error(400, "invalid_request_error");
}

#[test]
fn a_body_that_does_not_come_is_400_after_ten_seconds() {
    let env = Env::unlocked(programs!());
    let request = head(
        &env,
        "POST /api/v1/user/secrets HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100",
    );
    let before = Instant::now();
    answer(&env, format!("{request}\r\n{{\"name\":")).expect_error(400, "invalid_request_error");
    let took = before.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(15)).contains(&took), "{took:?}");
}

#[test]
fn a_stalled_header_is_dropped_while_others_are_served() {
    let env = Env::unlocked(programs!());
    let before = Instant::now();
    let mut slow = UnixStream::connect(env.socket()).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    slow.write_all(b"GET /api/v1/vault HTTP/1.1\r\nHost: local").unwrap();
    assert_eq!(env.state(), "unlocked");
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    let took = before.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(10)).contains(&took), "{took:?}");
}

#[test]
fn requests_that_two_programs_could_read_differently_are_400() {
    let env = Env::unlocked(programs!());
    let body = json!({ "name": "A", "value": "x" }).to_string();
    let json_type = "Content-Type: application/json";
    let length = format!("Content-Length: {}", body.len());
    let post = "POST /api/v1/user/secrets HTTP/1.1";
    for lines in [
        "GET /api/v1/vault HTTP/1.1\r\nHost: localhost\r\nHost: localhost".to_owned(),
        "GET /api/v1/vault HTTP/1.1".to_owned(),
        "GET http://localhost/api/v1/vault HTTP/1.1\r\nHost: localhost".to_owned(),
        format!("{post}\r\nHost: localhost\r\n{json_type}\r\n{length}\r\nTransfer-Encoding: chunked"),
        format!("{post}\r\nHost: localhost\r\n{json_type}\r\n{length}\r\n{length}"),
    ] {
        let answer = answer(&env, format!("{}\r\n{body}", head(&env, &lines)));
        answer.expect_error(400, "invalid_request_error");
    }
    // hyper refuses contradicting lengths before the daemon sees the request.
    let lines = format!("{post}\r\nHost: localhost\r\n{json_type}\r\n{length}\r\nContent-Length: 3");
    assert_eq!(answer(&env, format!("{}\r\n{body}", head(&env, &lines))).status, 400);
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 0);
}

#[test]
fn paths_that_need_interpretation_are_400() {
    let env = Env::unlocked(programs!());
    for path in [
        "/./user/secrets",
        "/user/../user/secrets",
        "/user//secrets",
        "//user/secrets",
        "/user%2fsecrets",
        "/user%2Fsecrets",
        "/user/secrets/%00",
        "/user/secrets/%41",
        "/user/secrets/..",
    ] {
        env.get(path).expect_error(400, "invalid_request_error");
    }
}

#[test]
fn bytes_that_are_not_http_are_closed_and_the_daemon_goes_on() {
    let env = Env::unlocked(programs!());
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01".as_slice(),
        b"\0\0\0\0",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"",
    ] {
        let answer = raw_and_finish(&env.socket(), bytes, Duration::from_secs(20));
        assert!(!String::from_utf8_lossy(&answer).contains(" 200 "));
    }
    let large = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    assert!(
        !String::from_utf8_lossy(&raw(&env.socket(), large.as_bytes(), Duration::from_secs(20)))
            .contains(" 200 ")
    );
    let many = "A: b\r\n".repeat(100);
    let many = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    assert!(
        !String::from_utf8_lossy(&raw(&env.socket(), many.as_bytes(), Duration::from_secs(20)))
            .contains(" 200 ")
    );
    assert_eq!(env.state(), "unlocked");
}

#[test]
fn without_a_good_token_401() {
    let env = Env::unlocked(programs!());
    let token = env.token();
    let shorter = &token[..token.len() - 1];
    for request in [
        env.anonymous("GET", "/user/secrets"),
        env.anonymous("GET", "/user/secrets").bearer("wrong"),
        env.anonymous("GET", "/user/secrets").bearer(shorter),
        env.anonymous("GET", "/user/secrets").header("X-API-Key", "wrong"),
        env.anonymous("GET", "/user/secrets").header("Authorization", &format!("Basic {token}")),
        env.anonymous("GET", "/user/secrets").header("Authorization", &token),
        env.anonymous("GET", &format!("/user/secrets?token={token}")),
        env.anonymous("POST", "/user/secrets").json(&json!({ "name": "A", "value": "x" })),
    ] {
        let answer = request.send();
        answer.expect_error(401, "authentication_error");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
}

#[test]
fn an_unknown_route_needs_a_token_too() {
    let env = Env::started(programs!());
    for path in ["/nothing", "/user/secrets/nothing", "/vault"] {
        env.anonymous("GET", path).send().expect_error(401, "authentication_error");
    }
}

#[test]
fn tokens_that_contradict_each_other_are_400() {
    let env = Env::started(programs!());
    let token = env.token();
    for request in [
        env.request("GET", "/vault").header("X-API-Key", "other"),
        env.request("GET", "/vault").bearer(&token),
        env.anonymous("GET", "/vault").header("X-API-Key", &token).header("X-API-Key", &token),
    ] {
        request.send().expect_error(400, "invalid_request_error");
    }
}

#[test]
fn browsers_are_403() {
    let env = Env::unlocked(programs!());
    for request in [
        env.request("GET", "/vault").header("Origin", "http://localhost"),
        env.request("GET", "/vault").header("Origin", "null"),
        env.request("GET", "/vault").header("Sec-Fetch-Site", "none"),
        env.request("GET", "/vault").replace("Host", "secrets.example.com"),
        env.request("GET", "/vault").replace("Host", "127.0.0.1.example.com"),
    ] {
        request.send().expect_error(403, "forbidden_error");
    }
    for host in ["localhost", "localhost:80", "127.0.0.1", "127.0.0.1:8080", "[::1]", "secretsd"] {
        env.request("GET", "/vault").replace("Host", host).send().expect(200);
    }
}

#[test]
fn a_vault_that_is_locked_or_not_made_is_403() {
    let env = Env::started(programs!());
    let id_path = format!("/user/secrets/{NOBODY}");
    let every = || {
        [
            env.get("/user/secrets"),
            env.get("/user/secrets/presets"),
            env.get(&id_path),
            env.post("/user/secrets", &json!({ "name": "A", "value": "x" })),
            env.post("/user/secrets/preset", &json!({ "provider": "openai", "value": "x" })),
            env.request("PUT", &id_path).json(&json!({ "value": "x" })).send(),
            env.request("DELETE", &id_path).send(),
            env.post("/user/secrets/reveal", &json!({ "secrets": ["A"], "purpose": "test" })),
            env.get("/audit"),
        ]
    };
    for answer in every() {
        answer.expect_error(403, "vault_locked_error");
    }
    env.post("/vault/unlock", &json!({ "passphrase": "x" })).expect_error(403, "vault_locked_error");
    env.init();
    env.request("POST", "/vault/lock").send().expect(200);
    for answer in every() {
        answer.expect_error(403, "vault_locked_error");
    }
}

#[test]
fn a_wrong_key_is_403_late_and_does_not_hold_up_others() {
    let env = Env::unlocked(programs!());
    env.request("POST", "/vault/lock").send().expect(200);
    let before = Instant::now();
    std::thread::scope(|scope| {
        let wrong = scope.spawn(|| env.post("/vault/unlock", &json!({ "passphrase": "wrong" })));
        let others = Instant::now();
        assert_eq!(env.state(), "locked");
        assert!(others.elapsed() < Duration::from_secs(1));
        wrong.join().unwrap().expect_error(403, "wrong_key_error");
    });
    assert!(before.elapsed() > Duration::from_millis(100), "{:?}", before.elapsed());
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
}

#[test]
fn what_is_not_there_is_404() {
    let env = Env::unlocked(programs!());
    for path in ["/nothing", "/user", "/user/secrets/", "/User/Secrets", &format!("/user/secrets/{NOBODY}")] {
        env.get(path).expect_error(404, "not_found_error");
    }
    Request::new(&env.socket(), "GET", "/").bearer(&env.token()).send().expect_error(404, "not_found_error");
}

#[test]
fn a_wrong_method_is_404_and_allow_says_which_is_right() {
    let env = Env::unlocked(programs!());
    let one = format!("/user/secrets/{NOBODY}");
    for (method, path, allowed) in [
        ("DELETE", "/user/secrets", vec!["GET", "POST"]),
        ("POST", "/user/secrets/presets", vec!["GET"]),
        ("GET", "/user/secrets/preset", vec!["POST"]),
        ("GET", "/user/secrets/reveal", vec!["POST"]),
        ("POST", one.as_str(), vec!["DELETE", "GET", "PATCH", "PUT"]),
        ("DELETE", "/vault", vec!["GET"]),
        ("GET", "/vault/init", vec!["POST"]),
        ("GET", "/vault/lock", vec!["POST"]),
    ] {
        let answer = env.request(method, path).send();
        answer.expect_error(404, "not_found_error");
        let allow = answer.header("allow").unwrap_or_else(|| panic!("{method} {path}: no Allow"));
        let mut methods: Vec<&str> =
            allow.split(',').map(str::trim).filter(|method| *method != "HEAD").collect();
        methods.sort_unstable();
        assert_eq!(methods, allowed, "{method} {path}");
    }
}

#[test]
fn a_second_vault_is_409() {
    let env = Env::unlocked(programs!());
    env.post("/vault/init", &json!({ "passphrase": "other" })).expect_error(409, "already_exists_error");
    env.request("POST", "/vault/lock").send().expect(200);
    env.post("/vault/init", &json!({ "passphrase": "other" })).expect_error(409, "already_exists_error");
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
}

#[test]
fn each_fault_of_a_field_is_422_with_its_type() {
    let env = Env::unlocked(programs!());
    let long_name = "x".repeat(256);
    let long_value = "x".repeat(65_537);
    let long_provider = "x".repeat(65);
    for (body, field, kind) in [
        (json!({ "value": "x" }), "name", "missing"),
        (json!({ "name": "A" }), "value", "missing"),
        (json!({ "name": "", "value": "x" }), "name", "string_too_short"),
        (json!({ "name": long_name, "value": "x" }), "name", "string_too_long"),
        (json!({ "name": "9A", "value": "x" }), "name", "string_pattern_mismatch"),
        (json!({ "name": "A-B", "value": "x" }), "name", "string_pattern_mismatch"),
        (json!({ "name": "A\n", "value": "x" }), "name", "string_pattern_mismatch"),
        (json!({ "name": 7, "value": "x" }), "name", "string_type"),
        (json!({ "name": null, "value": "x" }), "name", "string_type"),
        (json!({ "name": "A", "value": "" }), "value", "string_too_short"),
        (json!({ "name": "A", "value": long_value }), "value", "string_too_long"),
        (json!({ "name": "A", "value": "a\0b" }), "value", "string_pattern_mismatch"),
        (json!({ "name": "A", "value": ["x"] }), "value", "string_type"),
        (json!({ "name": "A", "value": "x", "provider": "" }), "provider", "string_too_short"),
        (json!({ "name": "A", "value": "x", "provider": long_provider }), "provider", "string_too_long"),
        (json!({ "name": "A", "value": "x", "provider": "Open AI" }), "provider", "string_pattern_mismatch"),
        (json!({ "name": "A", "value": "x", "provider": {} }), "provider", "string_type"),
    ] {
        env.post("/user/secrets", &body).expect_invalid(&json!(["body", field]), kind);
    }
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 0);
}

#[test]
fn all_faults_are_told_at_once() {
    let env = Env::unlocked(programs!());
    let answer = env.post("/user/secrets", &json!({ "name": "9", "provider": 1, "extra": true }));
    for (loc, kind) in [
        (json!(["body", "name"]), "string_pattern_mismatch"),
        (json!(["body", "value"]), "missing"),
        (json!(["body", "provider"]), "string_type"),
        (json!(["body"]), "extra_forbidden"),
    ] {
        answer.expect_invalid(&loc, kind);
    }
}

#[test]
fn bodies_of_another_shape_are_422() {
    let env = Env::unlocked(programs!());
    for body in [json!([]), json!("text"), json!(7), json!(null), json!(true)] {
        env.post("/user/secrets", &body).expect_invalid(&json!(["body"]), "model_type");
    }
    env.post("/user/secrets/reveal", &json!({ "secrets": "A", "purpose": "test" }))
        .expect_invalid(&json!(["body", "secrets"]), "list_type");
    env.post("/user/secrets/reveal", &json!({ "secrets": [], "purpose": "test" }))
        .expect_invalid(&json!(["body", "secrets"]), "too_short");
    env.post("/user/secrets/reveal", &json!({ "secrets": vec!["A"; 1_001], "purpose": "test" }))
        .expect_invalid(&json!(["body", "secrets"]), "too_long");
    env.post("/user/secrets/reveal", &json!({ "secrets": ["A", 7], "purpose": "test" }))
        .expect_invalid(&json!(["body", "secrets", 1]), "string_type");
    env.post("/user/secrets/reveal", &json!({ "secrets": ["A", "B["], "purpose": "test" }))
        .expect_invalid(&json!(["body", "secrets", 1]), "string_pattern_mismatch");
    env.post("/user/secrets/reveal", &json!({ "secrets": ["A"] }))
        .expect_invalid(&json!(["body", "purpose"]), "missing");
    env.post("/user/secrets/reveal", &json!({ "secrets": ["A"], "purpose": "Two Words" }))
        .expect_invalid(&json!(["body", "purpose"]), "string_pattern_mismatch");
}

#[test]
fn ids_and_queries_are_checked() {
    let env = Env::unlocked(programs!());
    for id in ["nothing", "2489E9AD2EE28E008EC932D5F69181C0", "2489E9AD-2EE2-8E00-8EC9-32D5F69181CG"] {
        env.get(&format!("/user/secrets/{id}")).expect_invalid(&json!(["path", "id"]), "uuid_parsing");
    }
    env.get("/user/secrets?nonsense=1").expect_error(422, "validation_error");
    let body = env.get("/user/secrets?nonsense=1").expect(422);
    assert_eq!(body["errors"][0]["type"], "extra_forbidden");
    env.get("/user/secrets?view=everything").expect_invalid(&json!(["query", "view"]), "enum");
    env.get("/user/secrets?name=A[").expect_invalid(&json!(["query", "name"]), "string_pattern_mismatch");
    env.get("/user/secrets?provider=OpenAI")
        .expect_invalid(&json!(["query", "provider"]), "string_pattern_mismatch");
    env.get("/audit?limit=many").expect_invalid(&json!(["query", "limit"]), "int_parsing");
    env.get("/audit?since=yesterday").expect_invalid(&json!(["query", "since"]), "datetime_parsing");
    env.get("/audit?session=9").expect_invalid(&json!(["query", "session"]), "uuid_parsing");
    env.get("/audit?name=9").expect_invalid(&json!(["query", "name"]), "string_pattern_mismatch");
}

#[test]
fn numbers_are_checked() {
    let env = Env::unlocked(programs!());
    let id = env.store("A", "x")["id"].as_str().unwrap().to_owned();
    let rollback = |version: &str| {
        env.request("POST", &format!("/user/secrets/{id}/rollback"))
            .text("application/json", &format!("{{\"version\":{version}}}"))
            .send()
    };
    for version in [
        "0",
        "-1",
        "0.0",
        "-1.0",
        "1.5",
        "1e300",
        "18446744073709551615",
        "18446744073709551616",
        "9007199254740992",
    ] {
        rollback(version).expect_invalid(&json!(["body", "version"]), "int_parsing");
    }
    for version in ["\"1\"", "null", "true", "[1]"] {
        rollback(version).expect_invalid(&json!(["body", "version"]), "int_type");
    }
    rollback("9007199254740991").expect_error(404, "not_found_error");
    let drop = |query: &str| env.request("DELETE", &format!("/user/secrets/{id}/versions{query}")).send();
    for version in ["", "0", "-1", "1.0", "one", "9007199254740992"] {
        drop(&format!("?version={version}")).expect_invalid(&json!(["query", "version"]), "int_parsing");
    }
    drop("").expect_invalid(&json!(["query", "version"]), "missing");
    drop("?version=9007199254740991").expect_error(404, "not_found_error");
    drop("?version=1").expect_error(409, "conflict_error");
    // JSON does not tell 1.0 from 1.
    for version in ["1", "1.0", "10e-1"] {
        rollback(version).expect(200);
    }
}

#[test]
fn presets_and_keys_are_checked() {
    let env = Env::started(programs!());
    for body in [
        json!({}),
        json!({ "passphrase": "a", "key_file": "/b" }),
        json!({ "passphrase": "" }),
        json!({ "passphrase": "x".repeat(1_025) }),
        json!({ "passphrase": 7 }),
        json!({ "key_file": "relative" }),
        json!({ "key_file": "/nowhere/at/all" }),
        json!({ "key_file": "/dev/null" }),
        json!({ "recovery_key": "x" }),
    ] {
        env.post("/vault/init", &body).expect_error(422, "validation_error");
    }
    assert_eq!(env.state(), "uninitialized");
    env.init();
    env.request("POST", "/vault/lock").send().expect(200);
    for body in [
        json!({}),
        json!({ "passphrase": "a", "recovery_key": "b" }),
        json!({ "recovery_key": "not a token" }),
    ] {
        env.post("/vault/unlock", &body).expect_error(422, "validation_error");
    }
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    let unknown = env.post("/user/secrets/preset", &json!({ "provider": "nobody", "value": "x" }));
    let body = unknown.expect_error(422, "validation_error");
    assert_eq!(body["errors"][0]["loc"], json!(["body", "provider"]));
    env.post("/user/secrets/preset", &json!({ "value": "x" }))
        .expect_invalid(&json!(["body", "provider"]), "missing");
    let id = env.store("A", "x")["id"].as_str().unwrap().to_owned();
    env.request("PUT", &format!("/user/secrets/{id}"))
        .json(&json!({}))
        .send()
        .expect_invalid(&json!(["body", "value"]), "missing");
    env.request("PATCH", &format!("/user/secrets/{id}"))
        .json(&json!({ "expires_at": "tomorrow" }))
        .send()
        .expect_invalid(&json!(["body", "expires_at"]), "datetime_parsing");
}

#[test]
fn another_version_is_426_and_upgrade_says_which() {
    let env = Env::started(programs!());
    let old = head(&env, "GET /api/v1/vault HTTP/1.0\r\nHost: localhost");
    let old = answer(&env, format!("{old}\r\n"));
    old.expect_error(426, "upgrade_required_error");
    assert!(old.header("upgrade").is_some());
    for version in ["2", "0", "v1", ""] {
        let newer = env.request("GET", "/vault").header("X-Secretsd-Api", version).send();
        newer.expect_error(426, "upgrade_required_error");
        assert!(newer.header("upgrade").is_some());
    }
    env.request("GET", "/vault").header("X-Secretsd-Api", "1").send().expect(200);
}

#[test]
fn guessing_tokens_is_429_and_a_good_token_still_works() {
    let env = Env::started(programs!());
    let mut limited = None;
    for _ in 0..12 {
        let answer = env.anonymous("GET", "/vault").bearer("wrong").send();
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
        answer.expect_error(401, "authentication_error");
    }
    let limited = limited.expect("twelve bad tokens were not limited");
    limited.expect_error(429, "rate_limit_error");
    let after: u64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=10).contains(&after), "{after}");
    env.get("/vault").expect(200);
}

#[test]
fn more_unlocks_than_wait_at_once_are_429_and_the_others_are_answered() {
    let env = Env::unlocked(programs!());
    env.request("POST", "/vault/lock").send().expect(200);
    let unlock = || env.post("/vault/unlock", &json!({ "passphrase": "wrong" }));
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..24).map(|_| scope.spawn(unlock)).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let (limited, others): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 429);
    assert!(!limited.is_empty() && others.len() >= 8, "{} of 24 were limited", limited.len());
    for answer in limited {
        answer.expect_error(429, "rate_limit_error");
        assert_eq!(answer.header("retry-after"), Some("2"));
    }
    for answer in others {
        answer.expect_error(403, "wrong_key_error");
    }
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
}

/// Each type of error that a request can provoke, with its cause. What is missing says where it is.
#[test]
fn every_type_of_error_has_a_real_cause() {
    let mut env = Env::new(programs!());
    let settings = "[key_providers.failing]\nargv = [\"/bin/false\"]\n[key_providers.hanging]\nargv = [\"/usr/bin/tail\", \"-f\", \"/dev/null\"]\n";
    env.settings(&format!("{CHEAP_KDF}{settings}"));
    env.start();
    let mut seen = BTreeSet::new();
    let mut provoked = |answer: Answer| {
        let kind = answer.json()["type"].as_str().unwrap().to_owned();
        let kind: ErrorType = serde_json::from_value(json!(kind)).unwrap();
        answer.expect_error(kind.code(), serde_json::to_value(kind).unwrap().as_str().unwrap());
        seen.insert(format!("{kind:?}"));
    };
    provoked(env.get("/user/secrets"));
    provoked(env.post("/vault/init", &json!({ "key_provider": "failing" })));
    provoked(env.post("/vault/init", &json!({ "key_provider": "hanging" })));
    env.init();
    let id = env.store("A", "x")["id"].as_str().unwrap().to_owned();
    let one = format!("/user/secrets/{id}");
    provoked(env.request("POST", "/user/secrets").text("application/json", "{").send());
    provoked(env.anonymous("GET", "/vault").send());
    provoked(env.request("GET", "/vault").header("Origin", "null").send());
    provoked(env.get(&format!("/user/secrets/{NOBODY}")));
    provoked(env.post("/user/secrets", &json!({ "name": "A", "value": "x" })));
    provoked(env.request("DELETE", &one).header("If-Match", "\"99\"").send());
    provoked(env.post("/user/secrets", &json!({})));
    let large = json!({ "label": "x".repeat(1_001), "attributes": {}, "value_base64": "" });
    provoked(env.post("/items", &large));
    provoked(env.request("GET", "/vault").header("X-Secretsd-Api", "2").send());
    env.request("PUT", &format!("{one}/guard")).json(&json!({ "guarded": true })).send().expect(200);
    let reveal = || env.post("/user/secrets/reveal", &json!({ "secrets": ["A"], "purpose": "test" }));
    provoked(reveal());
    let asks = env.get("/approvals").expect(200);
    let ask = asks["approvals"][0]["id"].as_str().unwrap();
    env.post(&format!("/approvals/{ask}/decision"), &json!({ "decision": "deny" })).expect(200);
    provoked(reveal());
    for _ in 0..11 {
        provoked(env.anonymous("GET", "/vault").bearer("wrong").send());
    }
    env.request("POST", "/vault/lock").send().expect(200);
    let file = env.data_dir().join("vault.db");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    provoked(env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })));
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    provoked(env.post("/vault/unlock", &json!({ "passphrase": "wrong" })));
    assert!(env.stop().success());
    OpenOptions::new().write(true).open(&file).unwrap().set_len(8_192).unwrap();
    env.start();
    provoked(env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })));
    let elsewhere = [
        // A bug: no request is known to have it. How it is answered is a unit test of the router's.
        ErrorType::InternalError,
        // `tokens.rs`
        ErrorType::ExpiredTokenError,
    ];
    let all: BTreeSet<String> = ErrorType::ALL.iter().map(|kind| format!("{kind:?}")).collect();
    seen.extend(elsewhere.map(|kind| format!("{kind:?}")));
    assert_eq!(seen, all);
    let codes: BTreeSet<u16> =
        ErrorType::ALL.iter().filter(|kind| !elsewhere.contains(kind)).map(|kind| kind.code()).collect();
    assert_eq!(codes.len(), 11, "a code without a cause here: {codes:?}");
}

#[test]
fn every_request_has_an_id_of_the_daemons_own() {
    let env = Env::started(programs!());
    let id = |answer: Answer| answer.header("x-request-id").unwrap().to_owned();
    let first = id(env.get("/nothing"));
    let second = id(env.request("GET", "/nothing").header("X-Request-Id", "mine").send());
    assert!(first != second && second != "mine");
    assert!(env.log().contains(&second), "the log does not know {second}");
}

/// Puts one recognisable text into every place of a request, and looks for it in answer and log.
#[test]
fn nothing_that_was_sent_comes_back() {
    let env = Env::unlocked(programs!());
    let text = "CaNaRy4711xyzzy";
    let id = env.store("A", "x")["id"].as_str().unwrap().to_owned();
    let one = format!("/user/secrets/{id}");
    let as_value = json!(text);
    let object = |key: &str, value: &Value| -> Value { json!({ (key): value }) };
    let requests = [
        env.get(&format!("/{text}")),
        env.get(&format!("/user/secrets/{text}")),
        env.get(&format!("/user/{text}/secrets")),
        env.get(&format!("/user/secrets?{text}=1")),
        env.get(&format!("/user/secrets?view={text}")),
        env.get(&format!("/user/secrets?name={text}[")),
        env.get(&format!("/user/secrets?name={text}%4")),
        env.get(&format!("/audit?since={text}")),
        env.get(&format!("/audit?limit={text}")),
        env.request(text, "/user/secrets").send(),
        env.request("GET", "/nothing").header(text, "x").send(),
        env.request("GET", "/nothing").header("X-Request-Id", text).send(),
        env.request("GET", "/nothing").header("User-Agent", text).send(),
        env.request("GET", "/nothing").header("Cookie", text).send(),
        env.request("GET", "/vault").header("X-Secretsd-Api", text).send(),
        env.request("GET", "/vault").header("Origin", text).send(),
        env.request("GET", "/vault").replace("Host", &format!("{text}.example.com")).send(),
        env.request("GET", "/vault").header("X-API-Key", text).send(),
        env.anonymous("GET", "/vault").bearer(text).send(),
        env.anonymous("GET", "/vault").header("Authorization", &format!("{text} x")).send(),
        env.request("DELETE", &one).header("If-Match", text).send(),
        env.request("DELETE", &one).header("If-Match", &format!("\"{text}\"")).send(),
        env.request("POST", "/user/secrets").text(text, "{}").send(),
        env.request("POST", "/user/secrets").text("application/json", text).send(),
        env.request("POST", "/user/secrets")
            .text("application/json", &format!("{{\"name\":\"{text}\","))
            .send(),
        env.request("POST", "/user/secrets")
            .text("application/json", &format!("{{\"value\":\"{text}\\q\"}}"))
            .send(),
        env.post("/user/secrets", &as_value),
        env.post("/user/secrets", &json!([text])),
        env.post("/user/secrets", &object(text, &json!(1))),
        env.post("/user/secrets", &json!({ "name": "A", "value": text })),
        env.post("/user/secrets", &json!({ "name": format!("{text}-"), "value": text })),
        env.post("/user/secrets", &json!({ "name": "B", "value": { (text): text } })),
        env.post("/user/secrets", &json!({ "name": "B", "value": format!("{text}\0") })),
        env.post("/user/secrets", &json!({ "name": "B", "value": "x", "provider": text })),
        env.post("/user/secrets/preset", &json!({ "provider": text.to_lowercase(), "value": text })),
        env.post(
            "/user/secrets/reveal",
            &json!({ "secrets": [text, format!("{text}*")], "purpose": "test" }),
        ),
        env.post("/user/secrets/reveal", &json!({ "secrets": ["A"], "purpose": text })),
        env.post("/vault/init", &json!({ "passphrase": text })),
        env.post("/vault/init", &json!({ "key_file": format!("/{text}") })),
        env.post("/vault/unlock", &json!({ "recovery_key": text })),
        env.request("PATCH", &one).json(&json!({ "expires_at": text })).send(),
        env.request("PATCH", &one).json(&json!({ "note": format!("{text}\n") })).send(),
    ];
    for (index, answer) in requests.iter().enumerate() {
        assert!(answer.status >= 400, "request {index} was accepted: {}", answer.status);
        let bytes = String::from_utf8_lossy(&answer.bytes).to_lowercase();
        assert_eq!(canary::find(bytes.as_bytes(), &text.to_lowercase()), None, "request {index}: {bytes}");
    }
    env.get("/vault").expect(200);
    let log = env.log();
    let leak = log.lines().find(|line| line.to_lowercase().contains(&text.to_lowercase()));
    assert_eq!(leak, None, "in the log");
    assert_eq!(canary::find(log.as_bytes(), text), None);
}
