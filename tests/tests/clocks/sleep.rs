//! The limits after which the vault locks go on while the machine sleeps.

use std::thread;
use std::time::Instant;

use secretsd_tests::env::{CHEAP_KDF, PASSPHRASE};
use secretsd_tests::http::Request;
use secretsd_tests::process::DEADLINE;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Answer, Env};
use serde_json::{Value, json};

use super::moved::{self, Ahead};

const HOUR: i64 = 3_600;

/// With an open vault that holds the secret `KEY`, and these limits.
fn open(test: &str, idle: i64, max: i64) -> Option<Env> {
    let mut env = moved::env(test)?;
    env.settings(&format!("{CHEAP_KDF}[auto_lock]\nidle_seconds = {idle}\nmax_seconds = {max}\n"));
    moved::start(&mut env);
    env.init();
    let id = env.store("KEY", "canary-value")["id"].as_str().unwrap().to_owned();
    let rules = json!({ "rules": [{ "host": "api.example.com", "site": "bearer" }] });
    env.request("PUT", &format!("/user/secrets/{id}/rules")).json(&rules).send().expect(200);
    Some(env)
}

fn reveal(env: &Env, token: &str) -> Answer {
    let body = json!({ "secrets": ["KEY"], "purpose": "test" });
    env.anonymous("POST", "/user/secrets/reveal").bearer(token).json(&body).send()
}

fn take(env: &Env, session: &str) -> Answer {
    let body =
        json!({ "secret": "KEY", "method": "GET", "host": "api.example.com", "port": 443, "path": "/" });
    let socket = env.runtime_dir().join("use.sock");
    Request::new(&socket, "POST", "/api/v1/use/take").bearer(session).json(&body).send()
}

fn token(env: &Env, more: &Value) -> String {
    let mut body = json!({ "name": "agent", "scopes": ["list", "reveal", "use"] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    env.post("/tokens", &body).expect(201)["token"].as_str().unwrap().to_owned()
}

fn session(env: &Env, ttl: i64) -> String {
    let body = json!({ "secrets": ["KEY"], "purpose": "run", "ttl_seconds": ttl });
    env.post("/use/sessions", &body).expect(201)["token"].as_str().unwrap().to_owned()
}

fn unlock(env: &Env) {
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
}

/// Whether the log says that the vault locked by itself, with the entries after that.
fn locked_by_itself(env: &Env) -> bool {
    let log = env.get("/audit?limit=100").expect(200);
    let entries = log["entries"].as_array().unwrap();
    entries.iter().any(|entry| entry["action"] == "lock" && entry.to_string().contains("auto-lock"))
}

#[test]
fn the_first_request_after_sleep_finds_the_vault_locked() {
    // Each limit by itself; the machine slept, or a virtual machine was paused, or the clock was set.
    for (idle, max) in [(60, 0), (0, 7_200), (900, 28_800)] {
        for ahead in [Ahead::slept(10 * HOUR), Ahead::wall(10 * HOUR)] {
            let Some(env) = open("sleep", idle, max) else { return };
            let (token, session) = (token(&env, &json!({})), session(&env, 86_400));
            type Ask<'a> = (&'a str, &'a dyn Fn() -> Answer);
            let asks: [Ask<'_>; 6] = [
                ("reveal", &|| reveal(&env, &env.token())),
                ("reveal with a token", &|| reveal(&env, &token)),
                ("take", &|| take(&env, &session)),
                ("list", &|| env.get("/user/secrets")),
                ("list with a token", &|| env.anonymous("GET", "/user/secrets").bearer(&token).send()),
                ("write", &|| env.post("/user/secrets", &json!({ "name": "NEW", "value": "x" }))),
            ];
            let mut moved = Ahead::default();
            for (what, ask) in asks {
                moved.wall += ahead.wall;
                moved.boot += ahead.boot;
                moved::move_to(&env, moved);
                let answer = ask();
                assert_eq!(answer.json()["type"], "vault_locked_error", "{what}: {}", answer.text());
                assert!(!answer.text().contains("canary"));
                assert_eq!(env.state(), "locked", "{what}");
                unlock(&env);
                assert!(locked_by_itself(&env), "{what}");
            }
        }
    }
}

#[test]
fn the_state_is_told_as_it_is_after_sleep_and_memory_holds_no_value() {
    let Some(env) = open("sleep", 0, 28_800) else { return };
    env.value("KEY");
    moved::move_to(&env, Ahead::slept(7 * HOUR));
    assert_eq!(env.state(), "unlocked", "its hours are not over");
    let left = env.get("/vault").expect(200)["auto_lock"]["locks_at"].as_str().unwrap().to_owned();
    assert!(!left.is_empty());
    moved::move_to(&env, Ahead::slept(9 * HOUR));
    assert_eq!(env.state(), "locked");
    // The memory of before is gone: the program has replaced itself.
    let end = Instant::now() + DEADLINE;
    while !env.log().contains("resumed=true") {
        assert!(Instant::now() < end, "{}", env.log());
        thread::yield_now();
    }
}

#[test]
fn a_clock_that_is_put_back_extends_no_limit() {
    let Some(env) = open("sleep", 0, 7_200) else { return };
    let (short, session) = (token(&env, &json!({ "ttl_seconds": 3_600 })), session(&env, 3_600));
    // An hour of sleep, while the wall clock was put back by two.
    moved::move_to(&env, Ahead { wall: -2 * HOUR, boot: HOUR + 5, awake: 0 });
    for answer in [reveal(&env, &short), take(&env, &session)] {
        assert_eq!(answer.json()["type"], "expired_token_error", "{}", answer.text());
    }
    assert_eq!(env.state(), "unlocked");
    moved::move_to(&env, Ahead { wall: -2 * HOUR, boot: 2 * HOUR + 5, awake: 0 });
    assert_eq!(reveal(&env, &env.token()).json()["type"], "vault_locked_error");
    // What a clock of the day before made is refused by that of the day before.
    unlock(&env);
    moved::move_to(&env, Ahead { wall: -100 * HOUR, boot: 2 * HOUR + 5, awake: 0 });
    env.post("/vault/lock", &json!({})).expect(200);
    unlock(&env);
    assert_eq!(reveal(&env, &short).json()["type"], "expired_token_error");
}

#[test]
fn a_clock_that_is_set_after_the_start_loses_nothing() {
    let mut env = match moved::env("sleep") {
        Some(env) => env,
        None => return,
    };
    // As on a machine without a clock: 1970, until the network is there.
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    moved::move_to(&env, Ahead::wall(100 - now));
    moved::start(&mut env);
    env.init();
    env.store("KEY", "value");
    moved::move_to(&env, Ahead::default());
    assert_eq!(env.state(), "locked");
    unlock(&env);
    assert_eq!(env.value("KEY"), "value");
    assert_eq!(env.state(), "unlocked");
}

/// A question that nobody answers in time ends with its ask, and the terminal is the shell's again.
#[test]
fn a_question_that_nobody_answers_ends() {
    let Some(mut env) = moved::env("question") else { return };
    env.settings(CHEAP_KDF);
    moved::start(&mut env);
    env.init();
    env.store("KEY", "canary-value");
    env.ctl(["guard", "KEY"]).expect(0);
    for (typed, start) in [("", 0), ("once\r", 400)] {
        moved::move_to(&env, Ahead::ran(start));
        let mut shell = Terminal::run(&env, &["sh"]);
        let script = format!("PS1=; '{}' get KEY --show; echo en''ded:$?\r", env.programs().client);
        shell.type_keys(&script);
        shell.wait_for("[no]: ");
        shell.type_keys(typed);
        if !typed.is_empty() {
            shell.wait_for("passphrase: ");
        }
        moved::move_to(&env, Ahead::ran(start + 280));
        assert_eq!(env.get("/approvals").expect(200)["approvals"].as_array().unwrap().len(), 1);
        moved::move_to(&env, Ahead::ran(start + 301));
        shell.wait_for("\r\nsecretctl: the question has ended: nobody has answered it in time\r\n");
        shell.wait_for("nobody has allowed this");
        shell.wait_for("ended:3");
        shell.wait_until("at2last", "echo at$((1+1))last\r");
        assert!(shell.echoes() && !shell.shown().contains("canary"), "{}", shell.shown());
        assert_eq!(env.get("/approvals").expect(200)["approvals"], json!([]));
    }
}
