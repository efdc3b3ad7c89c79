//! Access tokens through the socket: what they give, what they end in, and that names outside their globs do not exist
//! for them, whatever is asked.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::canary::{self, assert_absent};
use secretsd_tests::connection::Connection;
use secretsd_tests::env::{CHEAP_KDF, PASSPHRASE};
use secretsd_tests::process::DEADLINE;
use secretsd_tests::{Answer, Env, programs};
use serde_json::{Value, json};

const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// Makes a token and gives what the API says of it.
#[track_caller]
fn make(env: &Env, request: Value) -> Value {
    env.post("/tokens", &request).expect(201)
}

/// A token with these scopes and globs.
#[track_caller]
fn token(env: &Env, name: &str, scopes: &[&str], globs: &[&str]) -> String {
    let mut request = json!({ "name": name, "scopes": scopes });
    if !globs.is_empty() {
        request["secrets"] = json!(globs);
    }
    text(&make(env, request))
}

fn text(made: &Value) -> String {
    made["token"].as_str().unwrap().to_owned()
}

fn id(of: &Value) -> String {
    of["id"].as_str().unwrap().to_owned()
}

fn get(env: &Env, token: &str, path: &str) -> Answer {
    env.anonymous("GET", path).bearer(token).send()
}

fn send(env: &Env, token: &str, method: &str, path: &str, body: &Value) -> Answer {
    let request = env.anonymous(method, path).bearer(token);
    if body.is_null() { request.send() } else { request.json(body).send() }
}

fn names(list: &Value) -> Vec<&str> {
    list["secrets"].as_array().unwrap().iter().map(|secret| secret["name"].as_str().unwrap()).collect()
}

#[test]
fn a_token_is_shown_once_and_described_ever_after() {
    let env = Env::unlocked(programs!());
    let request = json!({ "name": "agent", "scopes": ["reveal", "list", "list"], "secrets": ["open*"], "rate_per_minute": 60 });
    let answer = env.post("/tokens", &request);
    let made = answer.expect(201);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("location"), Some(format!("/api/v1/tokens/{}", id(&made)).as_str()));
    let shown = text(&made);
    assert!(shown.len() == 53 && shown.starts_with("ssd_"), "{}", shown.len());
    assert!(shown[4..].bytes().all(|byte| byte.is_ascii_alphanumeric()));

    let list = env.get("/tokens");
    assert!(!list.text().contains(&shown[4..]));
    let info = &list.expect(200)["tokens"][0];
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("token");
    assert_eq!(*info, expected);
    assert_eq!(info["scopes"], json!(["list", "reveal"]));
    assert_eq!(info["secrets"], json!(["OPEN*"]));
    assert_eq!((&info["last_used_at"], &info["rate_per_minute"]), (&Value::Null, &json!(60)));
    // Thirty days by default.
    assert_ne!(info["expires_at"], Value::Null);
    // A whole number may be written like this, too.
    make(&env, json!({ "name": "whole", "scopes": ["list"], "ttl_seconds": 60.0 }));
    let endless = make(&env, json!({ "name": "endless", "scopes": ["list"], "ttl_seconds": null }));
    assert_eq!((&endless["expires_at"], &endless["secrets"]), (&Value::Null, &Value::Null));
}

#[test]
fn what_a_token_may_be_is_checked_field_by_field() {
    let env = Env::unlocked(programs!());
    let good = json!({ "name": "agent", "scopes": ["list"] });
    for (field, value, place, kind) in [
        ("name", Value::Null, json!(["body", "name"]), "string_type"),
        ("name", json!(""), json!(["body", "name"]), "string_too_short"),
        ("name", json!("x".repeat(65)), json!(["body", "name"]), "string_too_long"),
        ("name", json!("a\u{1b}[2J"), json!(["body", "name"]), "string_pattern_mismatch"),
        ("name", json!("owner"), json!(["body", "name"]), "string_pattern_mismatch"),
        ("scopes", json!("list"), json!(["body", "scopes"]), "list_type"),
        ("scopes", json!([]), json!(["body", "scopes"]), "too_short"),
        ("scopes", json!(vec!["list"; 7]), json!(["body", "scopes"]), "too_long"),
        ("scopes", json!(["list", "all"]), json!(["body", "scopes", 1]), "enum"),
        ("scopes", json!([1]), json!(["body", "scopes", 0]), "string_type"),
        ("secrets", json!([]), json!(["body", "secrets"]), "too_short"),
        ("secrets", json!(vec!["A"; 65]), json!(["body", "secrets"]), "too_long"),
        ("secrets", json!(["A", "["]), json!(["body", "secrets", 1]), "string_pattern_mismatch"),
        ("secrets", json!("A"), json!(["body", "secrets"]), "list_type"),
        ("ttl_seconds", json!(0), json!(["body", "ttl_seconds"]), "int_parsing"),
        ("ttl_seconds", json!(-1), json!(["body", "ttl_seconds"]), "int_parsing"),
        ("ttl_seconds", json!(1.5), json!(["body", "ttl_seconds"]), "int_parsing"),
        ("ttl_seconds", json!(315_360_001), json!(["body", "ttl_seconds"]), "int_parsing"),
        ("ttl_seconds", json!("60"), json!(["body", "ttl_seconds"]), "int_type"),
        ("rate_per_minute", json!(0), json!(["body", "rate_per_minute"]), "int_parsing"),
        ("rate_per_minute", json!(60_001), json!(["body", "rate_per_minute"]), "int_parsing"),
        ("rate_per_minute", json!(true), json!(["body", "rate_per_minute"]), "int_type"),
        ("token", json!("mine"), json!(["body"]), "extra_forbidden"),
    ] {
        let mut request = good.clone();
        request[field] = value;
        env.post("/tokens", &request).expect_invalid(&place, kind);
    }
    for field in ["name", "scopes"] {
        let mut request = good.clone();
        request.as_object_mut().unwrap().remove(field);
        env.post("/tokens", &request).expect_invalid(&json!(["body", field]), "missing");
    }
    assert_eq!(env.get("/tokens").expect(200)["tokens"], json!([]));
    make(&env, good);
    for taken in ["agent", "Agent"] {
        env.post("/tokens", &json!({ "name": taken, "scopes": ["list"] }))
            .expect_error(409, "already_exists_error");
    }
    env.request("DELETE", "/tokens/x").send().expect_invalid(&json!(["path", "id"]), "uuid_parsing");
    env.request("DELETE", &format!("/tokens/{NOBODY}")).send().expect_error(404, "not_found_error");
}

#[test]
fn there_is_an_end_to_how_many_tokens_there_can_be() {
    let env = Env::unlocked(programs!());
    let mut connection = Connection::open(&env);
    for number in 0..256 {
        let request = json!({ "name": format!("token {number}"), "scopes": ["list"] });
        connection.ask("POST", "/tokens", Some(&request)).expect(201);
    }
    let request = json!({ "name": "one more", "scopes": ["list"] });
    env.post("/tokens", &request).expect_error(409, "conflict_error");
    let first = id(&env.get("/tokens").expect(200)["tokens"][0]);
    assert_eq!(env.request("DELETE", &format!("/tokens/{first}")).send().status, 204);
    make(&env, request);
}

#[test]
fn each_scope_gives_its_own_and_no_more() {
    let env = Env::unlocked(programs!());
    let secret = id(&env.store("KEY", "x"));
    let path = format!("/user/secrets/{secret}");
    let reveal = json!({ "secrets": ["KEY"], "purpose": "test" });
    for scope in ["list", "write", "reveal", "admin", "use"] {
        let token = token(&env, scope, &[scope], &[]);
        let allowed = |wanted: &str, answer: Answer| {
            if wanted == scope {
                answer.expect(200);
            } else {
                answer.expect_error(403, "forbidden_error");
            }
        };
        allowed("list", get(&env, &token, "/user/secrets"));
        allowed("write", send(&env, &token, "PUT", &path, &json!({ "value": "y" })));
        allowed("reveal", send(&env, &token, "POST", "/user/secrets/reveal", &reveal));
        allowed("admin", get(&env, &token, "/audit"));
        get(&env, &token, "/vault").expect(200);
        // The header of the API's own client serves as well.
        env.anonymous("GET", "/vault").header("X-API-Key", &token).send().expect(200);
    }
}

#[test]
fn a_wrong_token_is_told_by_what_is_wrong_with_it() {
    let env = Env::unlocked(programs!());
    let made = make(&env, json!({ "name": "agent", "scopes": ["list"] }));
    let good = text(&made);
    get(&env, &good, "/user/secrets").expect(200);
    let mut mistyped = good.clone().into_bytes();
    mistyped.swap(10, 11);
    if mistyped == good.as_bytes() {
        mistyped[10] = if mistyped[10] == b'a' { b'b' } else { b'a' };
    }
    let mistyped = String::from_utf8(mistyped).unwrap();
    for (bad, word) in [(mistyped.as_str(), "mistyped"), (&good[..52], "incomplete"), ("ssd_", "incomplete")]
    {
        let error = get(&env, bad, "/user/secrets").expect_error(401, "authentication_error");
        assert!(error["detail"].as_str().unwrap().contains(word), "{error}");
    }
    assert_eq!(env.request("DELETE", &format!("/tokens/{}", id(&made))).send().status, 204);
    let answer = get(&env, &good, "/user/secrets");
    let error = answer.expect_error(401, "authentication_error");
    assert!(error["detail"].as_str().unwrap().contains("revoked"), "{error}");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
}

#[test]
fn a_token_expires() {
    let env = Env::unlocked(programs!());
    let made = make(&env, json!({ "name": "short", "scopes": ["list"], "ttl_seconds": 4 }));
    let short = text(&made);
    get(&env, &short, "/user/secrets").expect(200);
    let end = Instant::now() + Duration::from_secs(10);
    let answer = loop {
        let answer = get(&env, &short, "/user/secrets");
        if answer.status != 200 {
            break answer;
        }
        assert!(Instant::now() < end, "it does not expire");
        thread::sleep(Duration::from_millis(50));
    };
    answer.expect_error(401, "expired_token_error");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    // A guess it is not, however often it is sent.
    for _ in 0..15 {
        get(&env, &short, "/vault").expect_error(401, "expired_token_error");
    }
    assert_eq!(env.get("/tokens").expect(200)["tokens"][0]["name"], "short");
}

#[test]
fn a_revoked_token_is_refused_on_an_open_connection_and_in_a_request_under_way() {
    let env = Env::unlocked(programs!());
    let made = make(&env, json!({ "name": "agent", "scopes": ["list", "write"] }));
    let mut open = Connection::with_token(&env, text(&made));
    open.ask("GET", "/user/secrets", None).expect(200);
    // Its head is read, and its body is not there yet.
    let mut under_way = Connection::with_token(&env, text(&made));
    let body = json!({ "name": "LATE", "value": "x" }).to_string();
    under_way.begin("POST", "/user/secrets", body.len());
    let mut reading = Connection::with_token(&env, text(&made));
    reading.begin("GET", "/user/secrets", 2);
    let mut looking = Connection::with_token(&env, text(&made));
    looking.begin("GET", "/vault", 2);
    open.ask("GET", "/user/secrets", None).expect(200);
    assert_eq!(env.request("DELETE", &format!("/tokens/{}", id(&made))).send().status, 204);
    open.ask("GET", "/user/secrets", None).expect_error(401, "authentication_error");
    under_way.finish(&body).expect_error(401, "authentication_error");
    reading.finish("{}").expect_error(401, "authentication_error");
    looking.finish("{}").expect_error(401, "authentication_error");
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 0);
}

#[test]
fn a_token_has_a_rate_of_its_own() {
    let env = Env::unlocked(programs!());
    let request = |name: &str| json!({ "name": name, "scopes": ["list"], "rate_per_minute": 3 });
    let (slow, other) = (text(&make(&env, request("slow"))), text(&make(&env, request("other"))));
    for _ in 0..3 {
        get(&env, &slow, "/user/secrets").expect(200);
    }
    let answer = get(&env, &slow, "/user/secrets");
    answer.expect_error(429, "rate_limit_error");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    get(&env, &other, "/user/secrets").expect(200);
    env.get("/user/secrets").expect(200);
}

#[test]
fn what_a_token_has_made_shares_its_rate() {
    let env = Env::unlocked(programs!());
    let maker = json!({ "name": "maker", "scopes": ["list", "admin"], "rate_per_minute": 4 });
    let maker = text(&make(&env, maker));
    let child = |by: &str, name: &str| {
        let request = json!({ "name": name, "scopes": ["list", "admin"], "rate_per_minute": 4 });
        text(&send(&env, by, "POST", "/tokens", &request).expect(201))
    };
    let first = child(&maker, "first");
    let second = child(&first, "second");
    get(&env, &second, "/user/secrets").expect(200);
    // The maker has asked once, and three times by what it has made.
    get(&env, &first, "/user/secrets").expect(200);
    for token in [&second, &first, &maker] {
        let answer = get(&env, token, "/user/secrets");
        answer.expect_error(429, "rate_limit_error");
        assert!(answer.header("retry-after").is_some());
    }
}

#[test]
fn the_log_names_the_token_that_has_expired_or_asks_too_often() {
    let env = Env::unlocked(programs!());
    let short = text(&make(&env, json!({ "name": "short", "scopes": ["list"], "ttl_seconds": 1 })));
    let fast = text(&make(&env, json!({ "name": "fast", "scopes": ["list"], "rate_per_minute": 1 })));
    get(&env, &fast, "/user/secrets").expect(200);
    get(&env, &fast, "/user/secrets").expect_error(429, "rate_limit_error");
    let end = Instant::now() + Duration::from_secs(10);
    while get(&env, &short, "/user/secrets").status != 401 {
        assert!(Instant::now() < end, "it does not expire");
        thread::sleep(Duration::from_millis(50));
    }
    let log = env.get("/audit").expect(200);
    let denied: Vec<(&Value, &Value)> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["outcome"] == "denied")
        .map(|entry| (&entry["caller"]["token"], &entry["refusal"]))
        .collect();
    assert_eq!(denied, [(&json!("fast"), &json!("throttled")), (&json!("short"), &json!("expired_token"))]);
}

#[test]
fn a_good_token_is_served_however_many_bad_ones_come() {
    let env = Env::unlocked(programs!());
    let good = token(&env, "agent", &["list"], &[]);
    let statuses: Vec<u16> = (0..20).map(|_| get(&env, "wrong", "/user/secrets").status).collect();
    assert!(statuses.contains(&401) && statuses.ends_with(&[429]), "{statuses:?}");
    let refused = get(&env, &format!("ssd_{}", "0".repeat(49)), "/user/secrets");
    refused.expect_error(429, "rate_limit_error");
    assert!(refused.header("retry-after").is_some());
    get(&env, &good, "/user/secrets").expect(200);
    env.get("/user/secrets").expect(200);
    env.anonymous("GET", "/user/secrets").send().expect_error(401, "authentication_error");
}

#[test]
fn a_token_gives_no_more_than_its_maker_has_and_goes_with_it() {
    let env = Env::unlocked(programs!());
    let request =
        json!({ "name": "maker", "scopes": ["list", "admin"], "ttl_seconds": 3_600, "rate_per_minute": 600 });
    let maker = make(&env, request);
    let create = |token: &str, request: Value| send(&env, token, "POST", "/tokens", &request);
    for beyond in [
        json!({ "name": "x", "scopes": ["reveal"] }),
        json!({ "name": "x", "scopes": ["use"] }),
        json!({ "name": "x", "scopes": ["list", "write"] }),
        json!({ "name": "x", "scopes": ["list"], "ttl_seconds": null }),
        json!({ "name": "x", "scopes": ["list"], "ttl_seconds": 7_200 }),
        json!({ "name": "x", "scopes": ["list"], "rate_per_minute": 601 }),
    ] {
        create(&text(&maker), beyond).expect_error(403, "forbidden_error");
    }
    let child = create(&text(&maker), json!({ "name": "child", "scopes": ["list", "admin"] })).expect(201);
    assert_eq!((&child["expires_at"], &child["rate_per_minute"]), (&maker["expires_at"], &json!(600)));
    let grandchild = create(&text(&child), json!({ "name": "grandchild", "scopes": ["list"] })).expect(201);
    let other = token(&env, "other", &["list"], &[]);
    get(&env, &text(&grandchild), "/user/secrets").expect(200);
    assert_eq!(env.request("DELETE", &format!("/tokens/{}", id(&maker))).send().status, 204);
    for gone in [&maker, &child, &grandchild] {
        get(&env, &text(gone), "/user/secrets").expect_error(401, "authentication_error");
    }
    get(&env, &other, "/user/secrets").expect(200);
    let log = env.get("/audit").expect(200);
    let made: Vec<(&str, &str)> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"].as_str().unwrap().starts_with("token_") && entry["outcome"] == "ok")
        .map(|entry| (entry["action"].as_str().unwrap(), entry["caller"]["token"].as_str().unwrap()))
        .collect();
    let expected = [
        ("token_create", "owner"),
        ("token_create", "maker"),
        ("token_create", "child"),
        ("token_create", "owner"),
        ("token_revoke", "owner"),
        ("token_revoke", "owner"),
        ("token_revoke", "owner"),
    ];
    assert_eq!(made, expected);
    assert!(log.to_string().contains("token child: list, admin"), "which token it was is not told");
}

/// The answer as one that asks about an absent name would see it: all but the request's id and the time.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| name != "x-request-id" && name != "date").cloned();
    (answer.status, headers.collect(), answer.text().to_owned())
}

#[test]
fn a_name_outside_the_globs_cannot_be_told_from_an_absent_one() {
    let env = Env::unlocked(programs!());
    let hidden = id(&env.store("HIDDEN_KEY", "hidden-value-0123456789"));
    env.request("PUT", &format!("/user/secrets/{hidden}"))
        .json(&json!({ "value": "second" }))
        .send()
        .expect(200);
    let trashed = id(&env.store("HIDDEN_OLD", "x"));
    assert_eq!(env.request("DELETE", &format!("/user/secrets/{trashed}")).send().status, 204);
    let mine = id(&env.store("AGENT_KEY", "x"));
    let agent = token(&env, "agent", &["list", "write", "reveal", "admin"], &["AGENT_*", "[B-D]?"]);

    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &Value| {
        let mut request = env.anonymous(method, path).bearer(&agent);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if body.is_null() { request.send() } else { request.json(body).send() }
    };
    let value = json!({ "value": "mine now" });
    let rename = json!({ "name": "AGENT_NEW" });
    for (method, path, headers, body) in [
        ("GET", "", &[][..], Value::Null),
        ("GET", "?view=full", &[], Value::Null),
        ("GET", "", &[("If-None-Match", "\"2\"")], Value::Null),
        ("GET", "", &[("If-None-Match", "*")], Value::Null),
        ("PUT", "", &[], value.clone()),
        ("PUT", "", &[("If-Match", "\"2\"")], value.clone()),
        ("PUT", "", &[("If-Match", "\"7\"")], value),
        ("PATCH", "", &[], rename.clone()),
        ("PATCH", "", &[], json!({ "note": "x" })),
        ("PATCH", "", &[("If-Match", "\"7\"")], rename),
        ("DELETE", "", &[], Value::Null),
        ("DELETE", "", &[("If-Match", "\"7\"")], Value::Null),
        ("DELETE", "?purge=true", &[], Value::Null),
        ("GET", "/versions", &[], Value::Null),
        ("DELETE", "/versions?version=1", &[], Value::Null),
        ("POST", "/same", &[], Value::Null),
        ("POST", "/rollback", &[], json!({ "version": 1 })),
        ("POST", "/rollback", &[], json!({ "version": 9 })),
        ("POST", "/restore", &[], Value::Null),
    ] {
        let of = |id: &str| seen(&ask(method, &format!("/user/secrets/{id}{path}"), headers, &body));
        let absent = of(NOBODY);
        assert_eq!(absent.0, 404, "{method} {path}");
        for id in [&hidden, &trashed] {
            assert_eq!(of(id), absent, "{method} {path} {headers:?}");
        }
    }

    let reveal = |selectors: Value| {
        seen(&ask("POST", "/user/secrets/reveal", &[], &json!({ "secrets": selectors, "purpose": "test" })))
    };
    for (hidden, absent) in [
        (json!(["HIDDEN_KEY"]), json!(["ABSENT_KEY"])),
        (json!(["AGENT_KEY", "HIDDEN_KEY"]), json!(["AGENT_KEY", "ABSENT_KEY"])),
        (json!([hidden]), json!([NOBODY])),
        (json!(["HIDDEN_*"]), json!(["ABSENT_*"])),
        (json!(["*_KEY"]), json!(["AGENT_KEY"])),
        (json!(["*"]), json!(["AGENT_KEY"])),
    ] {
        assert_eq!(reveal(hidden.clone()), reveal(absent), "{hidden}");
    }

    // Refused before anything else, so that a taken name is not told from a free one.
    let create =
        |name: &str| seen(&ask("POST", "/user/secrets", &[], &json!({ "name": name, "value": "x" })));
    assert_eq!(create("HIDDEN_KEY").0, 403);
    assert_eq!(create("HIDDEN_KEY"), create("ABSENT_KEY"));
    let rename =
        |name: &str| seen(&ask("PATCH", &format!("/user/secrets/{mine}"), &[], &json!({ "name": name })));
    assert_eq!(rename("HIDDEN_KEY").0, 403);
    assert_eq!(rename("HIDDEN_KEY"), rename("ABSENT_KEY"));
    env.store("GITHUB_TOKEN", "x");
    let preset = |provider: &str| {
        seen(&ask("POST", "/user/secrets/preset", &[], &json!({ "provider": provider, "value": "x" })))
    };
    assert_eq!(preset("github").0, 403);
    assert_eq!(preset("github"), preset("openai"));

    let presets = ask("GET", "/user/secrets/presets", &[], &Value::Null).expect(200);
    let presets = presets["presets"].as_array().unwrap();
    assert!(presets.iter().all(|preset| preset["configured"] == false), "a preset tells of a hidden secret");
    for path in ["", "?view=full", "?name=*", "?name=*_KEY", "?name=AGENT_KEY"] {
        let answer = ask("GET", &format!("/user/secrets{path}"), &[], &Value::Null);
        let list = answer.expect(200);
        assert_eq!((names(&list), &list["total"]), (vec!["AGENT_KEY"], &json!(1)), "{path}");
    }
    let before = seen(&ask("GET", "/user/secrets", &[], &Value::Null));
    env.store("HIDDEN_NEW", "x");
    assert_eq!(seen(&ask("GET", "/user/secrets", &[], &Value::Null)), before);
    for path in ["?name=HIDDEN_KEY", "?name=HIDDEN*"] {
        let list = ask("GET", &format!("/user/secrets{path}"), &[], &Value::Null).expect(200);
        assert_eq!((names(&list), &list["total"]), (vec![], &json!(0)), "{path}");
    }
    let trash = ask("GET", "/user/secrets/trash", &[], &Value::Null).expect(200);
    assert_eq!((names(&trash), &trash["total"]), (vec![], &json!(0)));
    let status = ask("GET", "/vault", &[], &Value::Null).expect(200);
    assert_eq!((&status["secrets"], status.get("keys")), (&json!(1), None));

    // None of it has had an effect.
    assert_eq!(env.value("HIDDEN_KEY"), "second");
    let list = env.get("/user/secrets").expect(200);
    assert_eq!(names(&list), ["AGENT_KEY", "GITHUB_TOKEN", "HIDDEN_KEY", "HIDDEN_NEW"]);
    assert_eq!(names(&env.get("/user/secrets/trash").expect(200)), ["HIDDEN_OLD"]);

    // And what its globs cover is there.
    assert_eq!(create("C7").0, 201);
    assert_eq!(rename("AGENT_NEW").0, 200);
    get(&env, &agent, &format!("/user/secrets/{mine}")).expect(200);
}

#[test]
fn a_secret_that_leaves_the_globs_is_gone_for_the_token() {
    let env = Env::unlocked(programs!());
    let secret = id(&env.store("AGENT_KEY", "x"));
    let agent = token(&env, "agent", &["list"], &["AGENT_*"]);
    let path = format!("/user/secrets/{secret}");
    let tag = get(&env, &agent, &path).header("etag").unwrap().to_owned();
    env.request("PATCH", &path).json(&json!({ "name": "OTHER" })).send().expect(200);
    get(&env, &agent, &path).expect_error(404, "not_found_error");
    let again = env.anonymous("GET", &path).bearer(&agent).header("If-None-Match", &tag).send();
    again.expect_error(404, "not_found_error");
    env.request("PATCH", &path).json(&json!({ "name": "AGENT_AGAIN" })).send().expect(200);
    get(&env, &agent, &path).expect(200);
}

/// What others do is seen in no answer to a token that does not see what they do it with.
#[test]
fn a_bound_token_is_not_told_what_others_do() {
    let env = Env::unlocked(programs!());
    env.store("AGENT_A", "x");
    let hidden = env.store("HIDDEN_A", "x");
    let agent = token(&env, "agent", &["list"], &["AGENT_*"]);
    let all = || {
        ["/vault", "/user/secrets", "/user/secrets?view=full", "/user/secrets/trash", "/user/secrets/presets"]
            .map(|path| {
                let mut answer = get(&env, &agent, path);
                answer.headers.retain(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
                (answer.status, answer.text().to_owned(), answer.headers)
            })
    };
    let before = all();
    assert!(
        before.iter().all(|(status, body, _)| *status == 200 && !body.contains("locks_at")),
        "{before:?}"
    );
    assert!(env.get("/vault").expect(200)["auto_lock"]["locks_at"].is_string(), "its owner is told");
    // `locks_at` counts in seconds: the next has begun when this has moved for the owner.
    let locks_at = || env.get("/vault").expect(200)["auto_lock"]["locks_at"].to_string();
    let first = locks_at();
    let end = Instant::now() + DEADLINE;
    while locks_at() == first {
        assert!(Instant::now() < end, "it does not move");
        assert_eq!(env.value("HIDDEN_A"), "x");
    }
    let id = hidden["id"].as_str().unwrap();
    env.request("PUT", &format!("/user/secrets/{id}")).json(&json!({ "value": "y" })).send().expect(200);
    env.request("DELETE", &format!("/user/secrets/{id}")).send();
    env.store("HIDDEN_B", "x");
    assert_eq!(all(), before);

    // Neither does an id count requests.
    let id = || get(&env, &agent, "/vault").header("x-request-id").unwrap().to_owned();
    let ids: Vec<u128> = (0..8).map(|_| u128::from_str_radix(&id(), 16).unwrap()).collect();
    let steps: BTreeSet<u128> = ids.windows(2).map(|two| two[1].wrapping_sub(two[0])).collect();
    assert_eq!(steps.len(), 7, "{ids:x?}");
    assert!(steps.iter().all(|step| *step > 1_000_000), "{ids:x?}");
}

#[test]
fn the_log_tells_a_bound_token_of_its_own_names_alone() {
    let env = Env::unlocked(programs!());
    for name in ["AGENT_A", "HIDDEN_A", "AGENT_B"] {
        env.store(name, "x");
    }
    // What others write into the log may name any secret.
    let all = json!({
        "secrets": ["AGENT_A", "HIDDEN_A"],
        "purpose": "test",
        "command": "deploy HIDDEN_B",
        "reason": "until HIDDEN_C is there",
    });
    env.post("/user/secrets/reveal", &all).expect(200);
    env.post("/user/secrets/reveal", &json!({ "secrets": ["HIDDEN_A"], "purpose": "test" })).expect(200);
    let agent = token(&env, "agent", &["admin"], &["AGENT_*"]);
    let log = get(&env, &agent, "/audit").expect(200);
    assert!(!log.to_string().contains("HIDDEN"), "{log}");
    let whole = env.get("/audit").expect(200).to_string();
    assert!(whole.contains("deploy HIDDEN_B") && whole.contains("until HIDDEN_C is there"));
    let seen: Vec<(&str, &Value)> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["action"].as_str().unwrap(), &entry["names"]))
        .collect();
    let (a, b) = (json!(["AGENT_A"]), json!(["AGENT_B"]));
    assert_eq!(seen, [("create", &a), ("create", &b), ("reveal", &a)]);
    let of = |name: &str| get(&env, &agent, &format!("/audit?name={name}")).text().to_owned();
    assert_eq!(of("HIDDEN_A"), of("ABSENT_A"));
    let newest = get(&env, &agent, "/audit?limit=1").expect(200);
    assert_eq!(newest["entries"][0]["action"], "reveal");
}

#[test]
fn a_bound_admin_has_no_part_in_what_concerns_the_whole_vault() {
    let env = Env::unlocked(programs!());
    let agent = token(&env, "agent", &["list", "admin"], &["*"]);
    let key = json!({ "passphrase": PASSPHRASE });
    for (method, path, body) in [
        ("POST", "/vault/init", key.clone()),
        ("POST", "/vault/verify", json!({})),
        ("GET", "/vault/backup", Value::Null),
        ("POST", "/vault/rotate", key.clone()),
        ("GET", "/vault/keys", Value::Null),
        ("POST", "/vault/keys", json!({ "recovery": true })),
        ("DELETE", &format!("/vault/keys/{NOBODY}"), Value::Null),
        ("GET", "/tokens", Value::Null),
        ("POST", "/tokens", json!({ "name": "x", "scopes": ["list"], "secrets": ["*"] })),
        ("DELETE", &format!("/tokens/{NOBODY}"), Value::Null),
        ("GET", "/credentials", Value::Null),
        ("POST", "/credentials", json!({ "unit": "web.service", "secrets": ["A"] })),
        ("DELETE", "/credentials?unit=web.service", Value::Null),
        ("GET", "/audit/verify", Value::Null),
    ] {
        send(&env, &agent, method, path, &body).expect_error(403, "forbidden_error");
    }
    let log = env.get("/audit").expect(200);
    let refused = log["entries"].as_array().unwrap().iter().filter(|entry| entry["refusal"] == "scope");
    let refused: Vec<&str> = refused
        .inspect(|entry| assert_eq!(entry["caller"]["token"], "agent"))
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    for action in [
        "init",
        "verify",
        "backup",
        "rotate",
        "key_list",
        "key_add",
        "key_remove",
        "token_list",
        "token_create",
        "token_revoke",
        "credential_list",
        "credential_allow",
        "credential_revoke",
        "audit",
    ] {
        assert!(refused.contains(&action), "{action} is not in the log as refused: {refused:?}");
    }
    send(&env, &agent, "POST", "/vault/unlock", &key).expect(200);
    send(&env, &agent, "POST", "/vault/lock", &Value::Null).expect(200);
    assert_eq!(env.state(), "locked");
}

#[test]
fn while_the_vault_is_locked_no_token_can_be_checked() {
    let env = Env::unlocked(programs!());
    let agent = token(&env, "agent", &["list", "admin"], &[]);
    env.post("/vault/lock", &Value::Null).expect(200);
    let unknown = text(&{
        let other = Env::unlocked(programs!());
        make(&other, json!({ "name": "elsewhere", "scopes": ["list"] }))
    });
    // Not told apart, however often they are sent.
    for _ in 0..15 {
        for token in [&agent, &unknown] {
            get(&env, token, "/user/secrets").expect_error(403, "vault_locked_error");
        }
    }
    let key = json!({ "passphrase": PASSPHRASE });
    send(&env, &agent, "POST", "/vault/unlock", &key).expect_error(403, "vault_locked_error");
    get(&env, &agent[..52], "/user/secrets").expect_error(401, "authentication_error");
    env.post("/vault/unlock", &key).expect(200);
    get(&env, &agent, "/user/secrets").expect(200);
    get(&env, &unknown, "/user/secrets").expect_error(401, "authentication_error");
}

#[test]
fn tokens_survive_restart_rotation_backup_and_restore() {
    let mut env = Env::started(programs!());
    let key = env.private_file("key", [0x5a; 48]);
    let key = json!({ "key_file": key });
    env.post("/vault/init", &key).expect(201);
    let made = make(&env, json!({ "name": "agent", "scopes": ["list"], "secrets": ["A*"] }));
    let agent = text(&made);
    env.store("ABC", "x");
    env.store("XYZ", "x");
    let works = |env: &Env| assert_eq!(names(&get(env, &agent, "/user/secrets").expect(200)), ["ABC"]);
    works(&env);
    env.post("/vault/rotate", &key).expect(200);
    works(&env);
    assert_eq!(env.post("/vault/verify", &json!({})).expect(200)["tokens"], 1);
    let backup = env.path("copy.db");
    env.ctl(["backup", backup.to_str().unwrap()]).expect(0);
    env.stop();
    env.start();
    env.post("/vault/unlock", &key).expect(200);
    // The last use was written when the vault was closed.
    let info = &env.get("/tokens").expect(200)["tokens"][0];
    assert_ne!(info["last_used_at"], Value::Null);
    assert!(info["last_used_at"].as_str().unwrap().ends_with(":00Z"), "to the minute: {info}");
    works(&env);

    assert_eq!(env.request("DELETE", &format!("/tokens/{}", id(&made))).send().status, 204);
    env.stop();
    let key_file = env.path("key");
    let restore = ["restore-vault", backup.to_str().unwrap(), "--key-file", key_file.to_str().unwrap()];
    env.ctl(restore).expect(0);
    env.stop_listener();
    env.start();
    env.post("/vault/unlock", &key).expect(200);
    works(&env);
}

#[test]
fn using_a_token_writes_nothing() {
    let env = Env::unlocked(programs!());
    let agent = token(&env, "agent", &["list"], &[]);
    let entries = || env.get("/audit?limit=1").expect(200)["entries"][0]["sequence"].clone();
    let before = (entries(), env.get("/user/secrets").header("etag").unwrap().to_owned());
    for _ in 0..20 {
        get(&env, &agent, "/user/secrets").expect(200);
    }
    assert_eq!((entries(), env.get("/user/secrets").header("etag").unwrap().to_owned()), before);
    // When it is written down with something else, the list of secrets is the same as before.
    token(&env, "other", &["list"], &[]);
    assert_eq!(env.get("/user/secrets").header("etag").unwrap(), before.1);
    assert_ne!(env.get("/tokens").expect(200)["tokens"][0]["last_used_at"], Value::Null);
}

#[test]
fn a_token_is_nowhere_but_in_the_answer() {
    let mut env = Env::unlocked(programs!());
    let made = make(&env, json!({ "name": "agent", "scopes": ["list", "reveal"], "rate_per_minute": 5 }));
    let agent = text(&made);
    env.store("KEY", "x");
    for _ in 0..8 {
        get(&env, &agent, "/user/secrets");
    }
    get(&env, &agent[..52], "/user/secrets").expect_error(401, "authentication_error");
    env.ctl(["token", "revoke", &agent]).expect(4);
    assert!(!env.get("/audit").text().contains(&agent[4..40]));
    env.post("/vault/lock", &Value::Null).expect(200);
    get(&env, &agent, "/user/secrets").expect_error(403, "vault_locked_error");
    env.stop();
    assert!(env.log().contains("request refused"), "the log is not looked at");
    // Not even half of it, in any file: vault, anchor, log.
    let root = env.path("");
    assert_absent(&root, &[&agent, &agent[4..30], &agent[26..53]]);
    assert!(canary::files_under(&root).len() > 3);
}

#[test]
fn lists_go_on_while_eight_wrong_passphrases_are_checked() {
    let mut env = Env::new(programs!());
    env.settings("[kdf]\nmemory_kib = 65536\npasses = 3\nlanes = 1\n");
    env.start();
    env.init();
    env.store("KEY", "x");
    let agent = token(&env, "agent", &["list"], &[]);
    let time = |ask: &dyn Fn()| {
        let start = Instant::now();
        ask();
        start.elapsed()
    };
    let list = || time(&|| drop(get(&env, &agent, "/user/secrets").expect(200)));
    let p90 = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() * 9 / 10]
    };
    let wrong = json!({ "passphrase": "wrong horse" });
    let unlock = || assert_eq!(env.post("/vault/unlock", &wrong).status, 403);
    let idle = p90((0..50).map(|_| list()).collect());
    // A first wrong key is answered a quarter of a second after it was checked.
    let one = time(&unlock).saturating_sub(Duration::from_millis(250));
    let mut times = Vec::new();
    thread::scope(|scope| {
        let unlocks: Vec<_> = (0..8).map(|_| scope.spawn(unlock)).collect();
        // They are checked one after the other: until here there is always one that is being checked.
        let end = Instant::now() + one * 6;
        while Instant::now() < end {
            times.push(list());
            thread::sleep(Duration::from_millis(2));
        }
        unlocks.into_iter().for_each(|unlock| unlock.join().unwrap());
    });
    // Slower only if the machine is slow without them too. One that waits for a check takes as long as that.
    let (count, busy, bound) = (times.len(), p90(times), (idle * 10).max(Duration::from_millis(100)));
    assert!(
        busy < bound,
        "p90 of {count} is {busy:?} while keys are derived, {idle:?} otherwise; a check takes {one:?}"
    );
}

#[test]
fn secretctl_makes_lists_and_revokes_tokens() {
    let env = Env::unlocked(programs!());
    env.store("OPENAI_API_KEY", "value-of-the-key");
    env.store("OTHER", "x");
    let create = ["token", "create", "--name", "agent", "--scope", "list,reveal", "--secret", "OPENAI_*"];
    let output = env.ctl(create).run();
    output.assert_code(0);
    let agent = output.out().trim_end().to_owned();
    assert_eq!(output.out(), format!("{agent}\n"));
    assert!(agent.starts_with("ssd_") && agent.len() == 53);
    assert!(!output.err().contains(&agent[4..]), "the token is on stderr");
    assert!(output.err().contains("created token agent: list,reveal, OPENAI_*, until 2"), "{}", output.err());
    assert_eq!(output.err().lines().count(), 1);

    let as_agent = |words: &[&str]| env.ctl(words).env("SECRETSD_TOKEN", &agent);
    assert_eq!(as_agent(&["list", "--names"]).expect(0), "OPENAI_API_KEY\n");
    assert_eq!(as_agent(&["get", "OPENAI_API_KEY"]).expect(0), "value-of-the-key");
    as_agent(&["get", "OTHER"]).expect(4);
    let seen = as_agent(&["run", "--all", "--", "sh", "-c", "echo ${OTHER-none} ${SECRETSD_TOKEN-none}"]);
    assert_eq!(seen.expect(0), "none none\n");
    let refused = as_agent(&["rm", "OPENAI_API_KEY"]).run();
    refused.assert_code(5);
    assert!(refused.err().contains("lacks the scope `write`"), "{}", refused.err());
    let file = env.private_file("agent.token", format!("{agent}\n"));
    env.ctl(["list", "--token-file", file.to_str().unwrap()]).expect(0);

    for (token, words) in
        [(&agent[..50], "incomplete or mistyped"), ("t0ken", "SECRETSD_TOKEN is not this daemon's")]
    {
        let refused = env.ctl(["list"]).env("SECRETSD_TOKEN", token).run();
        refused.assert_code(5);
        assert!(refused.err().contains(words), "{}", refused.err());
    }

    let list = env.ctl(["token", "list"]).expect(0);
    assert!(list.starts_with("NAME   SCOPES       SECRETS   EXPIRES"), "{list}");
    assert!(list.contains("\nagent  list,reveal  OPENAI_*  2"), "{list}");
    let tokens: Value = env.ctl(["token", "list", "--json"]).run().json();
    assert_eq!(tokens["tokens"][0]["name"], "agent");

    for (words, code) in [
        (&["token", "create", "--name", "agent", "--scope", "list"][..], 6),
        (&["token", "create", "--name", "b"], 2),
        (&["token", "create", "--name", "b", "--scope", "all"], 7),
        (&["token", "create", "--name", "b", "--scope", "list", "--secret", ""], 7),
        (&["token", "create", "--name", "b", "--scope", "list", "--ttl", "soon"], 7),
        (&["token", "create", "--name", "b", "--scope", "list", "--ttl", "1h", "--no-expiry"], 2),
        (&["token", "create", "--name", "b", "--scope", "list", "--rate", "0"], 7),
        (&["token", "revoke", "nobody"], 4),
    ] {
        env.ctl(words).expect(code);
    }
    let rest = ["--scope", "list", "--no-expiry", "--rate", "60", "--json"];
    let made = env.ctl(["token", "create", "--name", "b"].iter().chain(&rest)).run();
    made.assert_code(0);
    assert_eq!((&made.json()["expires_at"], &made.json()["rate_per_minute"]), (&Value::Null, &json!(60)));
    env.ctl(["token", "revoke", made.json()["id"].as_str().unwrap()]).expect(0);

    env.ctl(["lock"]).expect(0);
    let locked = as_agent(&["list"]).run();
    locked.assert_code(3);
    assert!(locked.err().contains("its owner must unlock it"), "{}", locked.err());
    env.ctl(["unlock", "--passphrase-file", "-"]).stdin(PASSPHRASE).expect(0);
    assert!(env.ctl(["token", "revoke", "AGENT"]).run().err().contains("revoked token agent"));
    let revoked = as_agent(&["list"]).run();
    revoked.assert_code(5);
    assert!(revoked.err().contains("unknown or revoked"), "{}", revoked.err());
}

#[test]
fn how_many_wrong_tokens_are_answered_plainly_can_be_set() {
    let mut env = Env::new(programs!());
    env.settings(&format!("{CHEAP_KDF}[limits]\nwrong_tokens = 2\n"));
    env.start();
    let statuses: Vec<u16> = (0..4).map(|_| get(&env, "wrong", "/vault").status).collect();
    assert_eq!(statuses, [401, 401, 429, 429]);
}
