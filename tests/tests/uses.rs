//! Use without reveal, through the sockets: sessions that hold no value, and values that leave for requests that a rule
//! allows, over a socket of their own.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant};

use secretsd_tests::activation::activated;
use secretsd_tests::env::{CHEAP_KDF, PASSPHRASE};
use secretsd_tests::http::Request;
use secretsd_tests::process::DEADLINE;
use secretsd_tests::{Answer, Env, programs};
use serde_json::{Value, json};

const VALUE: &str = "sk-proj-the-value-that-nobody-sees-0123456789";

/// Stores a secret with these rules.
fn usable(env: &Env, name: &str, value: &str, rules: &Value) {
    let id = env.store(name, value)["id"].as_str().unwrap().to_owned();
    let path = format!("/user/secrets/{id}/rules");
    env.request("PUT", &path).json(&json!({ "rules": rules })).send().expect(200);
}

fn rules() -> Value {
    json!([{ "host": "api.example.com", "methods": ["GET", "POST"], "except": ["/v1/keys/**"], "site": "bearer" }])
}

/// A token that may begin sessions.
fn token(env: &Env, more: &Value) -> String {
    let mut request = json!({ "name": "agent", "scopes": ["use"] });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    env.post("/tokens", &request).expect(201)["token"].as_str().unwrap().to_owned()
}

fn begin(env: &Env, token: &str, names: &[&str]) -> Answer {
    let body = json!({ "secrets": names, "purpose": "run", "command": "agent" });
    env.anonymous("POST", "/use/sessions").bearer(token).json(&body).send()
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    of[field].as_str().unwrap()
}

#[test]
fn a_session_has_placeholders_and_no_value() {
    let env = Env::unlocked(programs!());
    usable(&env, "KEY", VALUE, &rules());
    usable(&env, "OTHER", "short", &rules());
    let agent = token(&env, &json!({ "ttl_seconds": 86_400, "rate_per_minute": 600 }));
    let answer = begin(&env, &agent, &["KEY", "OTHER", "KEY"]);
    let session = answer.expect(201);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let location = format!("/api/v1/use/sessions/{}", text(&session, "id"));
    assert_eq!(answer.header("location"), Some(location.as_str()));
    assert!(!answer.text().contains(VALUE) && !answer.text().contains("short"));
    let secrets = session["secrets"].as_array().unwrap();
    assert_eq!(secrets.iter().map(|secret| text(secret, "name")).collect::<Vec<_>>(), ["KEY", "OTHER"]);
    let placeholder = text(&secrets[0], "placeholder");
    assert!(placeholder.starts_with("sk-proj-ssdph") && placeholder.len() == 48, "{placeholder}");
    assert!(text(&secrets[1], "placeholder").starts_with("ssdph"));
    assert_eq!(secrets[0]["rules"], rules());

    // It is an access token that may do nothing else, for these names, with its maker's rate.
    let list = env.get("/tokens").expect(200);
    let listed =
        list["tokens"].as_array().unwrap().iter().find(|token| token["id"] == session["id"]).unwrap();
    assert_eq!((&listed["scopes"], &listed["secrets"]), (&json!(["use"]), &json!(["KEY", "OTHER"])));
    assert_eq!((&listed["rate_per_minute"], &listed["expires_at"]), (&json!(600), &session["expires_at"]));
    let of_session = text(&session, "token");
    env.anonymous("GET", "/user/secrets").bearer(of_session).send().expect_error(403, "forbidden_error");
    // Another has placeholders of its own.
    let again = begin(&env, of_session, &["KEY"]).expect(201);
    assert_ne!(again["secrets"][0]["placeholder"], secrets[0]["placeholder"]);

    let log = env.get("/audit?name=OTHER").expect(200);
    let begun = log["entries"].as_array().unwrap().last().unwrap();
    assert_eq!((&begun["action"], &begun["names"]), (&json!("use_begin"), &json!(["KEY", "OTHER"])));
    assert_eq!((&begun["purpose"], &begun["command"]), (&json!("run"), &json!("agent")));
    assert_eq!(begun["caller"]["token"], "agent");
}

#[test]
fn all_that_keeps_a_session_from_beginning_is_told() {
    let env = Env::unlocked(programs!());
    usable(&env, "GOOD", VALUE, &rules());
    usable(&env, "LINES", "one\ntwo", &rules());
    usable(&env, "QUERY", "one\ntwo", &json!([{ "host": "a.example.com", "site": "query:key" }]));
    env.store("BARE", "x");
    env.store("BARER", "x");
    let agent = token(&env, &json!({ "secrets": ["[A-L]*", "QUERY", "MISSING"] }));
    begin(&env, &agent, &["GOOD", "QUERY"]).expect(201);
    // A name that it does not see is like one that is not there.
    for names in [["GOOD", "MISSING", "GONE"], ["GOOD", "MISSING", "ZEBRA"]] {
        let answer = begin(&env, &agent, &names);
        answer.expect_error(404, "not_found_error");
        let places: Vec<Value> =
            answer.json()["errors"].as_array().unwrap().iter().map(|e| e["loc"][2].clone()).collect();
        assert_eq!(places, [json!(1), json!(2)]);
    }
    let answer = begin(&env, &agent, &["BARE", "GOOD", "LINES", "BARER"]);
    answer.expect_error(422, "validation_error");
    let errors = answer.json()["errors"].clone();
    let told: Vec<(u64, bool)> = errors
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["loc"][2].as_u64().unwrap(), text(error, "msg").contains("proxy rule set")))
        .collect();
    assert_eq!(told, [(0, true), (2, false), (3, true)]);
    // None of these has begun one.
    assert_eq!(env.get("/tokens").expect(200)["tokens"].as_array().unwrap().len(), 2);
    let send = |body: &Value| env.anonymous("POST", "/use/sessions").bearer(&agent).json(body).send();
    for (field, value, place, kind) in [
        ("secrets", json!([]), json!(["body", "secrets"]), "too_short"),
        ("secrets", json!(vec!["GOOD"; 65]), json!(["body", "secrets"]), "too_long"),
        ("secrets", json!(["GO*"]), json!(["body", "secrets", 0]), "string_pattern_mismatch"),
        ("ttl_seconds", json!(0), json!(["body", "ttl_seconds"]), "int_parsing"),
        ("ttl_seconds", json!(604_801), json!(["body", "ttl_seconds"]), "int_parsing"),
        ("purpose", json!("No"), json!(["body", "purpose"]), "string_pattern_mismatch"),
        ("scopes", json!(["reveal"]), json!(["body"]), "extra_forbidden"),
    ] {
        let mut body = json!({ "secrets": ["GOOD"], "purpose": "run" });
        body[field] = value;
        send(&body).expect_invalid(&place, kind);
    }
    // It does not outlive what it is begun with: the token has thirty days, a session of it less.
    let body = json!({ "secrets": ["GOOD"], "purpose": "run", "ttl_seconds": 3_600 });
    let session = send(&body).expect(201);
    let body = json!({ "secrets": ["GOOD"], "purpose": "run", "ttl_seconds": 7_200 });
    let answer = env.anonymous("POST", "/use/sessions").bearer(text(&session, "token")).json(&body).send();
    answer.expect_error(403, "forbidden_error");
}

#[test]
fn a_session_is_ended_by_who_has_begun_it() {
    let env = Env::unlocked(programs!());
    usable(&env, "KEY", VALUE, &rules());
    let agent = token(&env, &json!({}));
    let other = token(&env, &json!({ "name": "other" }));
    let end =
        |token: &str, id: &str| env.anonymous("DELETE", &format!("/use/sessions/{id}")).bearer(token).send();
    let sessions: Vec<Value> = (0..4).map(|_| begin(&env, &agent, &["KEY"]).expect(201)).collect();
    let ids: Vec<&str> = sessions.iter().map(|session| text(session, "id")).collect();
    let good =
        |at: usize| env.anonymous("GET", "/vault").bearer(text(&sessions[at], "token")).send().status == 200;
    end(&other, ids[0]).expect_error(404, "not_found_error");
    // What is no session is not revoked by this.
    let list = env.get("/tokens").expect(200);
    let agents = list["tokens"].as_array().unwrap().iter().find(|token| token["name"] == "agent").unwrap();
    end(&agent, text(agents, "id")).expect_error(404, "not_found_error");
    assert!((0..4).all(good));
    assert_eq!(end(&agent, ids[0]).status, 204);
    assert_eq!(end(text(&sessions[1], "token"), ids[1]).status, 204);
    assert_eq!(env.request("DELETE", &format!("/use/sessions/{}", ids[2])).send().status, 204);
    assert_eq!((0..4).map(good).collect::<Vec<_>>(), [false, false, false, true]);
    // The last goes with its maker.
    assert_eq!(env.request("DELETE", &format!("/tokens/{}", text(agents, "id"))).send().status, 204);
    assert!(!good(3));
    let log = env.get("/audit?name=KEY").expect(200);
    let ended = log["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "use_end");
    assert_eq!(ended.count(), 4);
}

/// Asks on the socket over which values are taken.
fn ask(env: &Env, token: &str, path: &str, body: &Value) -> Answer {
    let socket = env.runtime_dir().join("use.sock");
    Request::new(&socket, "POST", &format!("/api/v1{path}")).bearer(token).json(body).send()
}

fn wanted(method: &str, host: &str, path: &str) -> Value {
    json!({ "secret": "KEY", "method": method, "host": host, "port": 443, "path": path })
}

fn take(env: &Env, token: &str, path: &str) -> Answer {
    ask(env, token, "/use/take", &wanted("GET", "api.example.com", path))
}

/// A vault with a secret to use, a token that begins sessions, and the token of a session.
fn in_session() -> (Env, String, Value) {
    let env = Env::unlocked(programs!());
    let (agent, session) = begun(&env);
    (env, agent, session)
}

/// Stores a secret to use, and begins a session for it with a token of its own.
fn begun(env: &Env) -> (String, Value) {
    usable(env, "KEY", VALUE, &rules());
    let agent = token(env, &json!({}));
    let session = begin(env, &agent, &["KEY"]).expect(201);
    (agent, session)
}

/// What the log says of uses.
fn uses(env: &Env) -> Vec<Value> {
    let log = env.get("/audit?limit=1000").expect(200);
    log["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "use").cloned().collect()
}

#[test]
fn a_value_is_taken_for_a_request_that_a_rule_allows_and_no_other() {
    let (env, _, session) = in_session();
    let session = text(&session, "token");
    let answer = take(&env, session, "/v1/models");
    assert_eq!(answer.expect(200), json!({ "rule": 1, "site": "bearer", "value": VALUE }));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let with_site = |site: &str| {
        let mut body = wanted("POST", "api.example.com", "/");
        body["site"] = json!(site);
        ask(&env, session, "/use/take", &body)
    };
    with_site("bearer").expect(200);
    let mut port = wanted("GET", "api.example.com", "/");
    port["port"] = json!(8443);
    let mut absent = wanted("GET", "api.example.com", "/");
    absent["secret"] = json!("OTHER");
    env.store("OTHER", "other-value-0123456789");
    for (answer, says) in [
        (take(&env, session, "/v1/keys/1"), "excepts"),
        (take(&env, session, "/v1/%6beys/1"), "excepts"),
        (take(&env, session, "/v1/a/../keys/1"), "two ways"),
        (take(&env, session, "/v1//keys/1"), "two ways"),
        (take(&env, session, "/v1%2fkeys/1"), "two ways"),
        (ask(&env, session, "/use/take", &wanted("DELETE", "api.example.com", "/")), "method"),
        (ask(&env, session, "/use/take", &wanted("GET", "evil.example.com", "/")), "host"),
        (ask(&env, session, "/use/take", &port), "host and port"),
        (with_site("header:x-api-key"), "puts its value there"),
    ] {
        answer.expect_error(403, "forbidden_error");
        assert!(answer.text().contains(says) && !answer.text().contains(VALUE), "{says}: {}", answer.text());
    }
    // A secret outside the session is not there.
    ask(&env, session, "/use/take", &absent).expect_error(404, "not_found_error");
    for (field, value, kind) in [
        ("host", json!("127.0.0.1"), "value_error"),
        ("host", json!("API.example.com"), "string_pattern_mismatch"),
        ("path", json!("/v1?key=canary"), "string_pattern_mismatch"),
        ("path", json!("v1"), "string_pattern_mismatch"),
        ("path", json!(format!("/{}", "a".repeat(8_192))), "string_too_long"),
        ("method", json!("get"), "string_pattern_mismatch"),
        ("port", json!(0), "int_parsing"),
        ("port", json!(65_536), "int_parsing"),
        ("site", json!("cookie:token"), "enum"),
    ] {
        let mut body = wanted("GET", "api.example.com", "/");
        body[field] = value;
        ask(&env, session, "/use/take", &body).expect_invalid(&json!(["body", field]), kind);
    }

    // The rules that hold are those of now.
    let id = env.get("/user/secrets?name=KEY").expect(200)["secrets"][0]["id"].as_str().unwrap().to_owned();
    let set = |rules: Value| {
        let path = format!("/user/secrets/{id}/rules");
        env.request("PUT", &path).json(&json!({ "rules": rules })).send().expect(200);
    };
    set(json!([{ "host": "other.example.com", "site": "bearer" }]));
    take(&env, session, "/v1/models").expect_error(403, "forbidden_error");
    set(rules());
    env.request("PUT", &format!("/user/secrets/{id}"))
        .json(&json!({ "value": "two\nlines" }))
        .send()
        .expect(200);
    take(&env, session, "/v1/models").expect_error(403, "forbidden_error");

    let denied = uses(&env).into_iter().filter(|entry| entry["outcome"] == "denied");
    let denied: Vec<Value> = denied.collect();
    assert!(denied.iter().all(|entry| entry["names"] == json!(["KEY"]) || entry["refusal"] == "missing"));
    let count = |entry: &&Value| (entry["refusal"] == "rule").then(|| entry["count"].as_u64().unwrap_or(1));
    assert_eq!(denied.iter().filter_map(|entry| count(&entry)).sum::<u64>(), 11);
    assert!(denied.iter().any(|entry| entry["used"]["host"] == "api.example.com:8443"));
    assert!(!env.log().contains(VALUE));
}

#[test]
fn the_first_use_in_a_minute_is_in_the_log_first_and_the_others_are_one_entry() {
    let (env, _, session) = in_session();
    let session = text(&session, "token");
    let long = format!("/v1/{}", "x".repeat(300));
    take(&env, session, &long).expect(200);
    let first = uses(&env);
    assert_eq!(first.len(), 1);
    let told = json!({ "rule": 1, "host": "api.example.com", "methods": ["GET"], "paths": [&long[..200]] });
    assert_eq!((&first[0]["used"], &first[0]["names"]), (&told, &json!(["KEY"])));
    assert_eq!((&first[0]["purpose"], &first[0]["command"]), (&json!("run"), &json!("agent")));
    assert!(text(&first[0]["caller"], "token").starts_with("session "));

    for number in 0..50 {
        take(&env, session, &format!("/v1/{number}")).expect(200);
    }
    ask(&env, session, "/use/take", &wanted("POST", "api.example.com", "/v1/1")).expect(200);
    // Asking for the log has written what was counted.
    let all = uses(&env);
    assert_eq!(all.len(), 2);
    let counted = &all[1];
    assert_eq!((&counted["count"], &counted["outcome"]), (&json!(51), &json!("ok")));
    assert_eq!(counted["used"]["methods"], json!(["GET", "POST"]));
    assert_eq!(counted["used"]["paths"].as_array().unwrap().len(), 32);
    assert!(counted["until"].as_str() >= counted["time"].as_str());
    // Of the same minute; another session has a first use of its own.
    take(&env, session, "/").expect(200);
    let other = begin(&env, session, &["KEY"]).expect(201);
    take(&env, text(&other, "token"), "/").expect(200);
    let counts: Vec<u64> = uses(&env).iter().map(|entry| entry["count"].as_u64().unwrap_or(1)).collect();
    assert_eq!(counts.len(), 4);
    assert_eq!(counts.iter().sum::<u64>(), 54);
    assert_ne!(env.get("/user/secrets?view=full").expect(200)["secrets"][0]["last_used_at"], Value::Null);
    env.get("/audit/verify").expect(200);
}

#[test]
fn the_log_is_shown_session_by_session() {
    let (env, agent, session) = in_session();
    let other = begin(&env, &agent, &["KEY"]).expect(201);
    for session in [&session, &other] {
        take(&env, text(session, "token"), "/").expect(200);
        take(&env, text(session, "token"), "/v1/keys/1").expect_error(403, "forbidden_error");
    }
    // One that is begun within it has its beginning in both.
    let inner = begin(&env, text(&session, "token"), &["KEY"]).expect(201);
    let ended = env.request("DELETE", &format!("/use/sessions/{}", text(&session, "id"))).send();
    assert_eq!(ended.status, 204);
    let shown = |query: &str| -> Vec<String> {
        let log = env.get(&format!("/audit?{query}")).expect(200);
        let entries = log["entries"].as_array().unwrap().iter();
        entries.map(|entry| format!("{} {}", text(entry, "action"), text(entry, "outcome"))).collect()
    };
    let of = |session: &Value| shown(&format!("session={}", text(session, "id")));
    // Its denial is written when the log is asked for.
    let mut own = of(&session);
    own.sort();
    assert_eq!(own, ["use denied", "use ok", "use_begin ok", "use_begin ok", "use_end ok"]);
    let mut others = of(&other);
    others.sort();
    assert_eq!(others, ["use denied", "use ok", "use_begin ok"]);
    assert_eq!(of(&inner)[0], "use_begin ok");
    assert!(of(&json!({ "id": "0f8fad5b-d9cb-469f-a165-70867728950e" })).is_empty());
    let both = format!("session={}&name=KEY&limit=1", text(&other, "id"));
    assert_eq!(shown(&both).len(), 1);

    let id = text(&other, "id");
    let told = env.ctl(["audit", "--session", id]).expect(0);
    assert_eq!(told.lines().count(), 4, "{told}");
    assert_eq!(env.ctl(["audit", "--session", &format!("session {}", id.replace('-', ""))]).expect(0), told);
    env.ctl(["audit", "--session", "agent"]).expect(7);
    let show = env.ctl(["show", "KEY"]).expect(0);
    assert!(show.lines().any(|line| line.starts_with("last used") && !line.contains("never")), "{show}");
}

#[test]
fn what_was_counted_is_written_at_a_lock_and_at_the_sessions_end() {
    let (env, agent, session) = in_session();
    let of_session = text(&session, "token");
    let key = json!({ "passphrase": PASSPHRASE });
    (0..3).for_each(|_| drop(take(&env, of_session, "/").expect(200)));
    env.post("/vault/lock", &Value::Null).expect(200);
    take(&env, of_session, "/").expect_error(403, "vault_locked_error");
    env.post("/vault/unlock", &key).expect(200);
    let actions = |env: &Env| -> Vec<String> {
        let log = env.get("/audit?limit=1000").expect(200);
        log["entries"].as_array().unwrap().iter().map(|entry| text(entry, "action").to_owned()).collect()
    };
    let log = actions(&env);
    let at = log.iter().position(|action| action == "lock").unwrap();
    assert_eq!(log[at - 2..at], ["use", "use"]);
    // The session goes on where it was.
    (0..3).for_each(|_| drop(take(&env, of_session, "/").expect(200)));
    let end =
        env.anonymous("DELETE", &format!("/use/sessions/{}", text(&session, "id"))).bearer(&agent).send();
    assert_eq!(end.status, 204);
    take(&env, of_session, "/").expect_error(401, "authentication_error");
    let log = actions(&env);
    let at = log.iter().rposition(|action| action == "use_end").unwrap();
    assert_eq!(log[at - 2..=at], ["use", "use", "use_end"]);
    let counts: Vec<u64> = uses(&env).iter().map(|entry| entry["count"].as_u64().unwrap_or(1)).collect();
    assert_eq!(counts, [1, 2, 1, 2]);
}

#[test]
fn a_value_that_has_left_is_in_the_log_whatever_happens_then() {
    let (mut env, _, session) = in_session();
    take(&env, text(&session, "token"), "/v1/models").expect(200);
    env.kill();
    env.start();
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    assert_eq!(uses(&env).len(), 1);
    take(&env, text(&session, "token"), "/v1/models").expect(200);
}

#[test]
fn values_are_taken_over_their_own_socket_in_sessions_alone() {
    let (mut env, agent, session) = in_session();
    let of_session = text(&session, "token").to_owned();
    let body = wanted("GET", "api.example.com", "/");
    // The API's socket has no such route for any caller.
    for path in ["/use/take", "/use/refusals"] {
        for token in [&of_session, &agent, &env.token()] {
            let answer = env.anonymous("POST", path).bearer(token).json(&body).send();
            answer.expect_error(404, "not_found_error");
        }
    }
    // Nor has this socket those of the API.
    let socket = env.runtime_dir().join("use.sock");
    let reveal = json!({ "secrets": ["KEY"], "purpose": "test" });
    for (method, path) in
        [("GET", "/user/secrets"), ("POST", "/user/secrets/reveal"), ("POST", "/use/sessions")]
    {
        let request = Request::new(&socket, method, &format!("/api/v1{path}")).bearer(&env.token());
        let request = if method == "GET" { request } else { request.json(&reveal) };
        request.send().expect_error(404, "not_found_error");
    }
    assert_eq!(Request::new(&socket, "GET", "/healthz").bearer(&env.token()).send().status, 404);
    // Neither a token that only begins sessions nor the owner's takes a value.
    take(&env, &agent, "/").expect_error(403, "forbidden_error");
    take(&env, &env.token(), "/").expect_error(403, "forbidden_error");
    let scopes = json!({ "name": "other", "scopes": ["list", "write", "reveal", "admin"] });
    let other = env.post("/tokens", &scopes).expect(201);
    take(&env, text(&other, "token"), "/").expect_error(403, "forbidden_error");
    Request::new(&socket, "POST", "/api/v1/use/take")
        .json(&body)
        .send()
        .expect_error(401, "authentication_error");
    take(&env, &format!("ssd_{}", "0".repeat(49)), "/").expect_error(401, "authentication_error");

    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&socket), mode(&env.runtime_dir())), (0o600, 0o700));
    env.stop();
    assert!(!socket.exists());
    env.start();
    take(&env, &of_session, "/").expect_error(403, "vault_locked_error");
}

#[test]
fn a_socket_that_was_handed_over_is_served_across_locks_and_left_behind() {
    let mut env = Env::new(programs!());
    let socket = env.private_dir("run/secretsd").join("use.sock");
    env.start_as(activated(&env, &[("use", &socket), ("api", &env.socket())]));
    env.init();
    let inode = || std::fs::metadata(&socket).unwrap().ino();
    let (before, (_, session)) = (inode(), begun(&env));
    for _ in 0..2 {
        assert_eq!(text(&take(&env, text(&session, "token"), "/").expect(200), "value"), VALUE);
        env.post("/vault/lock", &Value::Null).expect(200);
        take(&env, text(&session, "token"), "/").expect_error(403, "vault_locked_error");
        env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    }
    assert!(env.stop().success(), "{}", env.log());
    assert_eq!(inode(), before, "the socket's file is not the daemon's to remove");
}

#[test]
fn what_got_no_value_is_told_and_counted() {
    let (env, _, session) = in_session();
    let session = text(&session, "token");
    let mut body = wanted("GET", "evil.example.com", "/steal");
    body["why"] = json!("host_not_allowed");
    (0..5).for_each(|_| assert_eq!(ask(&env, session, "/use/refusals", &body).status, 204));
    body["why"] = json!("placeholder_misplaced");
    body["secret"] = json!("HIDDEN");
    assert_eq!(ask(&env, session, "/use/refusals", &body).status, 204);
    body["why"] = json!("whatever");
    ask(&env, session, "/use/refusals", &body).expect_invalid(&json!(["body", "why"]), "enum");
    let denied = uses(&env);
    assert_eq!(denied.len(), 2);
    assert_eq!((&denied[0]["refusal"], &denied[0]["count"]), (&json!("rule"), &json!(5)));
    assert_eq!(
        (&denied[0]["names"], &denied[0]["used"]["host"]),
        (&json!(["KEY"]), &json!("evil.example.com"))
    );
    assert_eq!(
        (&denied[1]["refusal"], &denied[1]["reason"]),
        (&json!("request"), &json!("placeholder_misplaced"))
    );
    assert_eq!(denied[1]["names"], Value::Null);

    // Who sees the name is told that it was used; where, are words of the one who used it.
    let request = json!({ "name": "bound", "scopes": ["admin"], "secrets": ["KEY"] });
    let bound = env.post("/tokens", &request).expect(201);
    let log = env.anonymous("GET", "/audit").bearer(text(&bound, "token")).send();
    let entries = log.expect(200)["entries"].clone();
    let of_use = entries.as_array().unwrap().iter().filter(|entry| entry["action"] == "use");
    assert_eq!(of_use.filter(|entry| entry["names"] == json!(["KEY"])).count(), 1);
    assert!(!log.text().contains("steal"), "{}", log.text());
}

#[test]
fn what_a_session_owes_the_log_is_not_limited_by_its_rate() {
    let env = Env::unlocked(programs!());
    usable(&env, "KEY", VALUE, &rules());
    let agent = token(&env, &json!({ "rate_per_minute": 3 }));
    let session = begin(&env, &agent, &["KEY"]).expect(201);
    let (id, session) = (text(&session, "id"), text(&session, "token"));
    while take(&env, session, "/v1/models").status != 429 {}
    let mut body = wanted("GET", "evil.example.com", "/steal");
    body["why"] = json!("host_not_allowed");
    (0..20).for_each(|_| assert_eq!(ask(&env, session, "/use/refusals", &body).status, 204));
    let told = uses(&env).into_iter().filter(|entry| entry["used"]["host"] == "evil.example.com");
    assert_eq!(told.map(|entry| entry["count"].as_u64().unwrap_or(1)).sum::<u64>(), 20);
    let end = env.anonymous("DELETE", &format!("/use/sessions/{id}")).bearer(session).send();
    assert_eq!(end.status, 204);
}

#[test]
fn a_session_uses_its_own_secrets_whatever_they_are_called_later() {
    let (env, _, session) = in_session();
    let session = text(&session, "token");
    assert_eq!(take(&env, session, "/v1/models").expect(200)["value"], VALUE);
    let rename = |from: &str, to: &str| env.ctl(["rename", from, to]).expect(0);
    usable(&env, "OTHER", "canary-of-another-secret", &rules());
    rename("KEY", "OLD");
    rename("OTHER", "KEY");
    let answer = take(&env, session, "/v1/models");
    answer.expect_error(404, "not_found_error");
    assert!(!answer.text().contains("canary"), "{}", answer.text());
}

#[test]
fn no_token_keeps_the_owner_from_sessions_or_tokens() {
    let (env, agent, session) = in_session();
    for _ in 1..32 {
        begin(&env, &agent, &["KEY"]).expect(201);
    }
    // A session's token begins some of its maker's, and is no way around that.
    for token in [agent.as_str(), text(&session, "token")] {
        begin(&env, token, &["KEY"]).expect_error(409, "conflict_error");
    }
    // Neither can many tokens together.
    for at in 0..5 {
        let more = token(&env, &json!({ "name": format!("more-{at}") }));
        for _ in 0..32 {
            begin(&env, &more, &["KEY"]).expect(201);
        }
    }
    let last = token(&env, &json!({ "name": "last" }));
    begin(&env, &last, &["KEY"]).expect_error(409, "conflict_error");
    let body = json!({ "secrets": ["KEY"], "purpose": "run" });
    env.post("/use/sessions", &body).expect(201);
    env.post("/tokens", &json!({ "name": "of-the-owner", "scopes": ["list"] })).expect(201);
}

#[test]
fn using_values_keeps_the_vault_open_for_as_long_as_it_may_be() {
    let mut env = Env::new(programs!());
    env.settings(&format!("{CHEAP_KDF}[auto_lock]\nidle_seconds = 1\nmax_seconds = 4\n"));
    env.start();
    env.init();
    usable(&env, "KEY", VALUE, &rules());
    let agent = token(&env, &json!({}));
    let session = begin(&env, &agent, &["KEY"]).expect(201);
    let start = Instant::now();
    let mut last = start;
    // Until it locks at its maximum; uses that are only counted are uses.
    while take(&env, text(&session, "token"), "/").status == 200 {
        last = Instant::now();
        assert!(start.elapsed() < DEADLINE, "it does not lock");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(last - start > Duration::from_millis(2_500), "it has locked as if nothing was used");
}
