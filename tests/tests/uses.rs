//! Use without reveal, through the sockets: sessions that hold no value.

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
