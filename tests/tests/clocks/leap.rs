//! A clock that leaps destroys nothing.

use secretsd_tests::Env;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::process;
use serde_json::{Value, json};

use super::moved::{self, Ahead};

const DAY: i64 = 86_400;

/// With a secret in the trash, a token of an hour, and one without an end.
fn with_what_could_be_lost(test: &str) -> Option<(Env, String)> {
    let mut env = moved::env(test)?;
    moved::start(&mut env);
    env.init();
    let id = env.store("GONE", "value")["id"].as_str().unwrap().to_owned();
    assert_eq!(env.request("DELETE", &format!("/user/secrets/{id}")).send().status, 204);
    let token = |name: &str, ttl: Value| {
        let body = json!({ "name": name, "scopes": ["list"], "ttl_seconds": ttl });
        env.post("/tokens", &body).expect(201)["token"].as_str().unwrap().to_owned()
    };
    token("endless", Value::Null);
    let short = token("short", json!(3_600));
    Some((env, short))
}

fn lock(env: &Env) {
    env.post("/vault/lock", &json!({})).expect(200);
}

fn unlock(env: &Env) -> Value {
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200)
}

fn relock(env: &Env) -> Value {
    // A clock that leaps ahead locks the vault by itself.
    if env.state() == "unlocked" {
        lock(env);
    }
    unlock(env)
}

/// How many secrets are in the trash, and how many tokens there are.
fn kept(env: &Env) -> (usize, usize) {
    let count = |path: &str, of: &str| env.get(path).expect(200)[of].as_array().unwrap().len();
    (count("/user/secrets/trash", "secrets"), count("/tokens", "tokens"))
}

fn refusal(env: &Env, token: &str) -> Option<String> {
    let answer = env.anonymous("GET", "/user/secrets").bearer(token).send();
    (answer.status != 200).then(|| answer.json()["type"].as_str().unwrap().to_owned())
}

#[test]
fn nothing_is_destroyed_after_a_leap_until_the_clock_has_run_for_a_day() {
    let Some((env, short)) = with_what_could_be_lost("leap") else { return };
    assert_eq!(kept(&env), (1, 2));
    let mut ahead = Ahead::default();
    // Again and again, also from one leap to another, and with the vault locked by hand or by itself.
    for wall in [400 * DAY, 401 * DAY, 800 * DAY, 800 * DAY] {
        ahead.wall = wall;
        moved::move_to(&env, ahead);
        let status = relock(&env);
        assert!(status["clock_leapt_seconds"].as_i64().unwrap() > 300 * DAY, "{status}");
        assert_eq!(kept(&env), (1, 2), "{wall}");
        assert_eq!(refusal(&env, &short).as_deref(), Some("expired_token_error"), "refused, not removed");
    }
    // It was wrong, and is put right: all is as before.
    moved::move_to(&env, Ahead::default());
    assert_eq!(refusal(&env, &short), None);
    assert!(relock(&env)["clock_leapt_seconds"].as_i64().unwrap() < -700 * DAY);
    assert_eq!((kept(&env), refusal(&env, &short)), ((1, 2), None));
    let id = env.get("/user/secrets/trash").expect(200)["secrets"][0]["id"].as_str().unwrap().to_owned();
    env.post(&format!("/user/secrets/{id}/restore"), &json!({})).expect(200);
    assert_eq!(env.value("GONE"), "value");
}

#[test]
fn a_clock_that_has_run_is_believed_again() {
    let Some((env, short)) = with_what_could_be_lost("leap") else { return };
    // The machine ran for forty days.
    moved::move_to(&env, Ahead::ran(40 * DAY));
    assert!(relock(&env).get("clock_leapt_seconds").is_none());
    assert_eq!((kept(&env), refusal(&env, &short).as_deref()), ((0, 1), Some("authentication_error")));

    let Some((env, _)) = with_what_could_be_lost("leap") else { return };
    moved::move_to(&env, Ahead::wall(400 * DAY));
    relock(&env);
    // A day by the wall clock alone is none.
    moved::move_to(&env, Ahead { wall: 402 * DAY, boot: 60, awake: 60 });
    relock(&env);
    assert_eq!(kept(&env), (1, 2));
    moved::move_to(&env, Ahead { wall: 403 * DAY + 60, boot: DAY + 120, awake: DAY + 120 });
    assert!(relock(&env).get("clock_leapt_seconds").is_none());
    assert_eq!(kept(&env), (0, 1));
}

#[test]
fn a_leap_over_a_restart_is_noticed_and_so_is_one_before_sessions_begin() {
    let Some((mut env, _)) = with_what_could_be_lost("leap") else { return };
    let id = env.store("KEY", "value")["id"].as_str().unwrap().to_owned();
    let rules = json!({ "rules": [{ "host": "api.example.com", "site": "bearer" }] });
    env.request("PUT", &format!("/user/secrets/{id}/rules")).json(&rules).send().expect(200);
    let begin = |env: &Env| {
        let body = json!({ "secrets": ["KEY"], "purpose": "run", "ttl_seconds": 60 });
        env.post("/use/sessions", &body).expect(201);
    };
    begin(&env);
    assert!(env.stop().success());
    moved::move_to(&env, Ahead::wall(400 * DAY));
    moved::start(&mut env);
    unlock(&env);
    // To begin one removes those that have ended.
    begin(&env);
    assert_eq!(kept(&env), (1, 4));
    env.kill();
    moved::move_to(&env, Ahead::default());
    moved::start(&mut env);
    unlock(&env);
    assert_eq!(kept(&env), (1, 4));
}

#[test]
fn the_owner_is_told_of_a_leap() {
    let Some((env, _)) = with_what_could_be_lost("leap") else { return };
    lock(&env);
    moved::move_to(&env, Ahead::wall(400 * DAY));
    let ctl = |words: &[&str], input: &str| {
        let mut command = moved::seeing(&env, env.command(env.programs().client));
        command.args(words);
        let (_, output) = process::run(&mut command, input.as_bytes());
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let said = ctl(&["unlock", "--passphrase-file", "-"], PASSPHRASE);
    assert!(said.contains("the clock is 400 days ahead") && said.contains("trash"), "{said}");
    for words in [&["status"][..], &["doctor"]] {
        let said = ctl(words, "");
        assert!(said.contains("ahead of where it was when the vault was last in use"), "{words:?}: {said}");
    }
    moved::move_to(&env, Ahead::default());
    let said = ctl(&["doctor"], "");
    assert!(said.contains("days behind where it was when the vault was last in use"), "{said}");
    // A write makes the file as new as the clock, and the entries of the leap stay where they are.
    env.store("NEW", "x");
    let said = ctl(&["doctor"], "");
    assert!(said.contains("days behind where it was"), "{said}");
}
