//! Rules through the socket: who may set them, what of a rule is refused and how, and that they stay with the secret.

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::{Answer, Env, programs};
use serde_json::{Value, json};

fn put(env: &Env, id: &str, rules: &Value) -> Answer {
    env.request("PUT", &format!("/user/secrets/{id}/rules")).json(&json!({ "rules": rules })).send()
}

fn stored(env: &Env, name: &str) -> String {
    env.store(name, "value-0123456789")["id"].as_str().unwrap().to_owned()
}

#[test]
fn rules_are_set_and_told_and_taken_away() {
    let env = Env::unlocked(programs!());
    let id = stored(&env, "KEY");
    let path = format!("/user/secrets/{id}/rules");
    assert_eq!(env.get(&path).expect(200), json!({ "name": "KEY", "source": "none", "rules": [] }));
    let rules = json!([
        { "host": "api.example.com", "methods": ["GET"], "paths": ["/v1/**"], "except": ["/v1/keys/**"], "site": "bearer" },
        { "host": "**.example.net:8443", "site": "header:x-api-key", "private": true },
    ]);
    let answer = put(&env, &id, &rules);
    let expected = json!({ "name": "KEY", "source": "own", "rules": rules });
    assert_eq!((answer.expect(200), answer.header("etag")), (expected.clone(), Some("\"2\"")));
    let answer = env.get(&path);
    assert_eq!((answer.expect(200), answer.header("etag")), (expected.clone(), Some("\"2\"")));
    // Nothing else of the secret has changed, and it is in the log.
    env.store("OTHER", "x");
    let log = env.get("/audit?name=KEY").expect(200);
    let last = log["entries"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["action"], &last["names"], &last["caller"]["token"]),
        (&json!("rule_set"), &json!(["KEY"]), &json!("owner"))
    );

    let stale = env.request("PUT", &path).header("If-Match", "\"1\"").json(&json!({ "rules": [] })).send();
    stale.expect_error(409, "conflict_error");
    assert_eq!(env.get(&path).expect(200), expected);
    // A new value and an edit leave them; so do a restart, a rotation and the trash.
    env.request("PUT", &format!("/user/secrets/{id}")).json(&json!({ "value": "y" })).send().expect(200);
    env.request("PATCH", &format!("/user/secrets/{id}")).json(&json!({ "note": "n" })).send().expect(200);
    env.post("/vault/rotate", &json!({ "passphrase": PASSPHRASE })).expect(200);
    env.request("DELETE", &format!("/user/secrets/{id}")).send();
    env.get(&path).expect_error(404, "not_found_error");
    env.post(&format!("/user/secrets/{id}/restore"), &Value::Null).expect(200);
    assert_eq!(env.get(&path).expect(200), expected);
    env.post("/vault/lock", &Value::Null).expect(200);
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    assert_eq!(env.get(&path).expect(200), expected);

    let gone = env.request("PUT", &path).header("If-Match", "*").json(&json!({ "rules": [] })).send();
    assert_eq!(gone.expect(200), json!({ "name": "KEY", "source": "none", "rules": [] }));
}

#[test]
fn a_known_provider_has_rules_until_there_are_own_ones() {
    let env = Env::unlocked(programs!());
    let body = json!({ "provider": "openai", "value": "x" });
    let id = env.post("/user/secrets/preset", &body).expect(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/user/secrets/{id}/rules");
    let preset = env.get(&path).expect(200);
    assert_eq!(preset["source"], "preset");
    assert_eq!(
        (&preset["rules"][0]["host"], &preset["rules"][0]["site"]),
        (&json!("api.openai.com"), &json!("bearer"))
    );
    let own = json!([{ "host": "openai.example.com", "site": "bearer" }]);
    let set = put(&env, &id, &own).expect(200);
    assert_eq!((&set["source"], &set["rules"], &set["preset"]), (&json!("own"), &own, &preset["rules"]));
    assert_eq!(put(&env, &id, &json!([])).expect(200), preset);
}

#[test]
fn each_malformed_part_is_named_by_its_place_and_not_repeated() {
    let env = Env::unlocked(programs!());
    let id = stored(&env, "KEY");
    let good = json!({ "host": "api.example.com", "site": "bearer" });
    for (field, value, place, kind, says) in [
        ("host", json!("CANARY.example.com"), json!(["host"]), "string_pattern_mismatch", "lower case"),
        ("host", json!("*"), json!(["host"]), "string_pattern_mismatch", "wildcard"),
        ("host", json!("127.0.0.1"), json!(["host"]), "value_error", "IP address"),
        ("host", json!("canary.example.com:0"), json!(["host"]), "int_parsing", "port"),
        ("host", json!(1), json!(["host"]), "string_type", "string"),
        ("methods", json!([]), json!(["methods"]), "too_short", "at least one"),
        ("methods", json!(vec!["GET"; 17]), json!(["methods"]), "too_long", "too many"),
        ("methods", json!(["GET", "canary"]), json!(["methods", 1]), "string_pattern_mismatch", "upper case"),
        ("methods", json!(["CONNECT"]), json!(["methods", 0]), "value_error", "tunnel"),
        ("paths", json!(["/v1", "canary"]), json!(["paths", 1]), "string_pattern_mismatch", "begins with /"),
        ("paths", json!(["/canary/%2f"]), json!(["paths", 0]), "string_pattern_mismatch", "percent"),
        ("except", json!(["/canary/../x"]), json!(["except", 0]), "value_error", "no //"),
        ("except", json!("/x"), json!(["except"]), "list_type", "list"),
        ("site", json!("canary"), json!(["site"]), "enum", "one of bearer"),
        ("site", json!("header:Canary"), json!(["site"]), "string_pattern_mismatch", "lower case"),
        ("site", json!("body:canary/"), json!(["site"]), "string_pattern_mismatch", "field"),
        ("site", json!("aws-sigv4:CANARY,"), json!(["site"]), "string_pattern_mismatch", "the key's id"),
        ("private", json!("yes"), json!(["private"]), "bool_type", "true or false"),
        ("canary", json!(1), json!([]), "extra_forbidden", "unknown field"),
    ] {
        let mut rule = good.clone();
        rule[field] = value;
        let answer = put(&env, &id, &json!([good, rule]));
        let mut at = vec![json!("body"), json!("rules"), json!(1)];
        at.extend(place.as_array().unwrap().iter().cloned());
        answer.expect_invalid(&Value::Array(at), kind);
        assert!(answer.text().contains(says), "{field}: {}", answer.text());
        assert!(!answer.text().to_lowercase().contains("canary"), "{}", answer.text());
    }
    for field in ["host", "site"] {
        let mut rule = good.clone();
        rule.as_object_mut().unwrap().remove(field);
        put(&env, &id, &json!([rule])).expect_invalid(&json!(["body", "rules", 0, field]), "missing");
    }
    put(&env, &id, &json!(["canary"])).expect_invalid(&json!(["body", "rules", 0]), "model_type");
    put(&env, &id, &json!("canary")).expect_invalid(&json!(["body", "rules"]), "list_type");
    put(&env, &id, &Value::Array(vec![good.clone(); 17]))
        .expect_invalid(&json!(["body", "rules"]), "too_long");
    put(&env, &id, &Value::Array(vec![good; 16])).expect(200);
    // Of a field that is there twice, one reader takes the first and another the last.
    let twice = r#"{"rules":[{"host":"a.example.com","host":"b.example.com","site":"bearer"}]}"#;
    let path = format!("/user/secrets/{id}/rules");
    env.request("PUT", &path)
        .text("application/json", twice)
        .send()
        .expect_error(400, "invalid_request_error");
}

#[test]
fn only_an_admin_says_where_a_value_goes() {
    let env = Env::unlocked(programs!());
    let id = stored(&env, "KEY");
    let path = format!("/user/secrets/{id}/rules");
    let rules = json!({ "rules": [{ "host": "evil.example.com", "site": "bearer" }] });
    let scopes = ["list", "write", "reveal", "use"];
    let made = env.post("/tokens", &json!({ "name": "agent", "scopes": scopes })).expect(201);
    let agent = made["token"].as_str().unwrap();
    env.anonymous("PUT", &path).bearer(agent).json(&rules).send().expect_error(403, "forbidden_error");
    assert_eq!(env.anonymous("GET", &path).bearer(agent).send().expect(200)["source"], "none");
    // Neither can it set them with the secret.
    for (method, path, body) in [
        ("POST", "/user/secrets".to_owned(), json!({ "name": "NEW", "value": "x", "rules": rules["rules"] })),
        ("PATCH", format!("/user/secrets/{id}"), rules.clone()),
        ("PUT", format!("/user/secrets/{id}"), json!({ "value": "x", "rules": rules["rules"] })),
    ] {
        let answer = env.anonymous(method, &path).bearer(agent).json(&body).send();
        answer.expect_invalid(&json!(["body"]), "extra_forbidden");
    }
    // Nor by a provider whose rules would hold then.
    let provider = |name: Option<&str>| {
        let body = json!({ "provider": name });
        env.anonymous("PATCH", &format!("/user/secrets/{id}")).bearer(agent).json(&body).send()
    };
    provider(Some("gitlab")).expect_error(403, "forbidden_error");
    assert_eq!(env.get(&path).expect(200)["source"], "none");
    provider(Some("of-nobody")).expect(200);
    put(&env, &id, &json!([{ "host": "good.example.com", "site": "bearer" }])).expect(200);
    provider(Some("gitlab")).expect(200);
    let own = env.get(&path).expect(200);
    assert_eq!((&own["source"], &own["rules"][0]["host"]), (&json!("own"), &json!("good.example.com")));
    put(&env, &id, &json!([])).expect(200);
    provider(None).expect_error(403, "forbidden_error");
    // What else a writer can do changes no rule.
    let before = env.get(&path).expect(200)["rules"].clone();
    let at = format!("/user/secrets/{id}");
    let ask = |method, path: &str, body| {
        let request = env.anonymous(method, path).bearer(agent);
        let answer = if body == Value::Null { request.send() } else { request.json(&body).send() };
        assert!(answer.status < 300, "{path}: {}", answer.text());
        assert_eq!(env.get(&format!("{at}/rules")).json()["rules"], before, "{method} {path}");
    };
    ask("PUT", &at, json!({ "value": "a-new-value" }));
    ask("PATCH", &at, json!({ "name": "OTHER", "note": "x" }));
    ask("POST", &format!("{at}/rollback"), json!({ "version": 1 }));
    let log = env.get("/audit").expect(200);
    let refused = log["entries"].as_array().unwrap().iter().filter(|entry| entry["refusal"] == "scope");
    let count: u64 = refused.clone().map(|entry| entry["count"].as_u64().unwrap_or(1)).sum();
    assert!(refused.clone().all(|entry| entry["action"] == "rule_set"));
    assert_eq!(count, 3);
}
