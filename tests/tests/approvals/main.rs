//! Guarded secrets over the socket: nothing of them leaves or changes before a person has allowed it, and a program that has the
//! owner's token but not the passphrase gets them by no way.

mod unguarded;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use secretsd::routes;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::http::Request;
use secretsd_tests::process::until;
use secretsd_tests::{Answer, Env, programs};
use serde_json::{Value, json};

const VALUE: &str = "guarded-value-0123456789abcdef";

/// A vault with the guarded `KEY` and the unguarded `OTHER`; the id of the first.
fn guarded(env: &Env) -> String {
    let id = stored(env, "KEY", VALUE);
    stored(env, "OTHER", "other-value-0123456789");
    let guard = guard(env, &id).expect(200);
    assert_eq!(guard, json!({ "guarded": true, "weakened_by": [], "units": [] }));
    id
}

fn stored(env: &Env, name: &str, value: &str) -> String {
    env.store(name, value)["id"].as_str().unwrap().to_owned()
}

fn guard(env: &Env, id: &str) -> Answer {
    put(env, &format!("/user/secrets/{id}/guard"), &json!({ "guarded": true }))
}

fn put(env: &Env, path: &str, body: &Value) -> Answer {
    env.request("PUT", path).json(body).send()
}

fn reveal(env: &Env, names: &[&str]) -> Answer {
    env.post("/user/secrets/reveal", &json!({ "secrets": names, "purpose": "test" }))
}

fn proof() -> Value {
    json!({ "passphrase": PASSPHRASE })
}

/// The id of the ask that a refused request has made.
#[track_caller]
fn asked(answer: &Answer) -> String {
    let body = answer.expect_error(403, "approval_required_error");
    let id = answer.header("x-secretsd-approval").unwrap();
    assert_eq!(body["errors"], json!([{ "loc": ["approval"], "msg": id, "type": "approval" }]));
    id.to_owned()
}

fn decide(env: &Env, id: &str, decision: &Value) -> Answer {
    env.post(&format!("/approvals/{id}/decision"), decision)
}

fn allow(env: &Env, id: &str, scope: &str) -> Answer {
    decide(env, id, &json!({ "decision": "allow", "scope": scope, "proof": proof() }))
}

fn log_of(env: &Env, name: &str) -> Vec<(String, String)> {
    let log = env.get(&format!("/audit?name={name}")).expect(200);
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (text(entry, "action"), text(entry, "refusal")))
        .collect()
}

#[test]
fn without_a_guard_nobody_is_asked() {
    let env = Env::unlocked(programs!());
    let id = stored(&env, "KEY", VALUE);
    reveal(&env, &["KEY"]).expect(200);
    put(&env, &format!("/user/secrets/{id}"), &json!({ "value": "x" })).expect(200);
    assert_eq!(env.get("/approvals").expect(200), json!({ "approvals": [], "approvers": 0, "changes": 1 }));
    assert_eq!(env.get("/approvals/rules").expect(200), json!({ "rules": [], "total": 0 }));
    let detail = env.get(&format!("/user/secrets/{id}?view=full")).expect(200);
    assert_eq!(detail.get("guarded"), None);
    // Beside a guarded one, too.
    let guarded = stored(&env, "GUARDED", VALUE);
    guard(&env, &guarded).expect(200);
    reveal(&env, &["KEY"]).expect(200);
    assert_eq!(env.get("/approvals").expect(200)["approvals"], json!([]));
    let detail = env.get(&format!("/user/secrets/{guarded}?view=full")).expect(200);
    assert_eq!(detail["guarded"], true);
}

#[test]
fn nothing_of_a_guarded_secret_leaves_or_changes_before_it_is_allowed() {
    let env = Env::unlocked(programs!());
    let id = guarded(&env);
    let before = env.get(&format!("/user/secrets/{id}?view=full")).expect(200);
    let path = format!("/user/secrets/{id}");
    let rule = json!({ "rules": [{ "host": "api.example.com", "site": "bearer" }] });
    let writes = || {
        vec![
            put(&env, &path, &json!({ "value": "changed" })),
            env.request("PATCH", &path).json(&json!({ "name": "RENAMED" })).send(),
            env.request("PATCH", &path).json(&json!({ "note": "n" })).send(),
            env.post(&format!("{path}/rollback"), &json!({ "version": 1 })),
            put(&env, &format!("{path}/rules"), &rule),
            env.request("DELETE", &path).send(),
            env.request("DELETE", &format!("{path}?purge=true")).send(),
            env.request("DELETE", &format!("{path}/versions?version=1")).send(),
            // All or none: what is not guarded stays as it is, too, whichever comes first.
            env.post(
                "/user/secrets/batch",
                &json!({ "secrets": [
                { "name": "OTHER", "value": "changed", "replace": true },
                { "name": "NEW", "value": "new" },
                { "name": "KEY", "value": "changed", "replace": true },
            ] }),
            ),
        ]
    };
    let reads = || {
        vec![
            reveal(&env, &["KEY"]),
            reveal(&env, &["OTHER", "KEY"]),
            reveal(&env, &["*"]),
            reveal(&env, &[&id]),
        ]
    };
    let reading: BTreeSet<String> = reads().iter().map(asked).collect();
    let writing: BTreeSet<String> = writes().iter().map(asked).collect();
    assert_eq!((reading.len(), writing.len()), (1, 1), "equal asks are one, and rights are told apart");
    assert!(reading.is_disjoint(&writing));
    assert_eq!(env.get(&format!("/user/secrets/{id}?view=full")).expect(200), before);
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 2);
    assert_eq!(env.value("OTHER"), "other-value-0123456789");
    // Whether another secret has the value tells the value to who may store some.
    let copy = stored(&env, "COPY", VALUE);
    asked(&env.post(&format!("/user/secrets/{copy}/same"), &Value::Null));
    // One right does not imply another.
    allow(&env, reading.first().unwrap(), "time").expect(200);
    assert_eq!(env.value("KEY"), VALUE);
    asked(&put(&env, &path, &json!({ "value": "changed" })));
    allow(&env, writing.first().unwrap(), "time").expect(200);
    put(&env, &path, &json!({ "value": "changed" })).expect(200);
    env.request("PATCH", &path).json(&json!({ "name": "RENAMED" })).send().expect(200);
    env.request("PATCH", &path).json(&json!({ "name": "KEY" })).send().expect(200);
    let log = log_of(&env, "KEY");
    for action in ["guard", "ask", "approve"] {
        assert!(log.contains(&(action.to_owned(), String::new())), "{action}: {log:?}");
    }
    assert!(log.contains(&("reveal".to_owned(), "approval_required".to_owned())), "{log:?}");
    // A secret in the trash is guarded as it was.
    assert_eq!(env.request("DELETE", &path).send().status, 204);
    env.post("/vault/lock", &Value::Null).expect(200);
    env.post("/vault/unlock", &proof()).expect(200);
    asked(&env.post(&format!("{path}/restore"), &Value::Null));
    asked(&env.request("DELETE", &format!("{path}?purge=true")).send());
}

#[test]
fn an_answer_holds_for_as_long_as_it_says() {
    let mut env = Env::unlocked(programs!());
    let id = guarded(&env);
    let entry_of = |env: &Env, action: &str| {
        let log = env.get("/audit?name=KEY").expect(200);
        let entries = log["entries"].as_array().unwrap().clone();
        entries.into_iter().rfind(|entry| entry["action"] == action && entry["outcome"] == "ok").unwrap()
    };
    // Once is one request.
    let ask = asked(&reveal(&env, &["KEY"]));
    let approval = env.get(&format!("/approvals/{ask}")).expect(200);
    assert_eq!((&approval["state"], &approval["secrets"]), (&json!("pending"), &json!(["KEY"])));
    let program = std::env::current_exe().unwrap();
    assert_eq!(approval["client"]["program"].as_str(), program.to_str(), "{approval}");
    assert_eq!(approval["client"]["by"]["program"], "kernel");
    assert_eq!(allow(&env, &ask, "once").expect(200)["state"], "allowed");
    reveal(&env, &["KEY"]).expect(200);
    assert_eq!(entry_of(&env, "reveal")["approvals"], json!([ask]));
    let ask = asked(&reveal(&env, &["KEY"]));
    // Another process that is this program in all else waits by itself for once.
    allow(&env, &ask, "once").expect(200);
    let body = r#"{"secrets":["KEY"],"purpose":"test"}"#;
    let bearer = format!("Authorization: Bearer {}", env.token());
    let output = env.curl([
        "-s",
        "-H",
        &bearer,
        "-H",
        "Content-Type: application/json",
        "-d",
        body,
        "http://localhost/api/v1/user/secrets/reveal",
    ]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("approval_required_error") && !told.contains(VALUE), "{told}");
    // A time ends by itself, always stays.
    let decision = json!({ "decision": "allow", "scope": "time", "seconds": 1, "proof": proof() });
    reveal(&env, &["KEY"]).expect(200);
    let ask = asked(&reveal(&env, &["KEY"]));
    decide(&env, &ask, &decision).expect(200);
    decide(&env, &ask, &decision).expect_error(409, "conflict_error");
    let deadline = Instant::now() + Duration::from_secs(20);
    let ask = loop {
        let answer = reveal(&env, &["KEY"]);
        if answer.status != 200 {
            break asked(&answer);
        }
        assert!(Instant::now() < deadline, "a second does not end");
        thread::yield_now();
    };
    assert_eq!(allow(&env, &ask, "always").expect(200)["state"], "allowed");
    reveal(&env, &["KEY"]).expect(200);
    let rules = env.get("/approvals/rules").expect(200);
    let rule = &rules["rules"][0];
    assert_eq!(
        (&rule["secret"], &rule["effect"], &rule["rights"]),
        (&json!("KEY"), &json!("allow"), &json!(["reveal"]))
    );
    assert_eq!(rule["client"], json!({ "token": "owner", "program": program.to_str() }));
    assert_eq!(entry_of(&env, "reveal")["approvals"], json!([rule["id"]]));

    // It survives a restart, a new value, a rename, a rotation and the trash, and goes with the secret.
    let write = asked(&put(&env, &format!("/user/secrets/{id}"), &json!({ "value": VALUE })));
    allow(&env, &write, "time").expect(200);
    put(&env, &format!("/user/secrets/{id}"), &json!({ "value": VALUE })).expect(200);
    env.request("PATCH", &format!("/user/secrets/{id}"))
        .json(&json!({ "name": "RENAMED" }))
        .send()
        .expect(200);
    assert_eq!(env.value("RENAMED"), VALUE);
    env.post("/vault/rotate", &proof()).expect(200);
    env.request("DELETE", &format!("/user/secrets/{id}")).send();
    env.post(&format!("/user/secrets/{id}/restore"), &Value::Null).expect(200);
    let backup = env.get("/vault/backup");
    env.stop();
    env.start();
    env.post("/vault/unlock", &proof()).expect(200);
    assert_eq!(env.value("RENAMED"), VALUE);
    assert_eq!(env.get("/approvals/rules").expect(200)["rules"][0]["secret"], "RENAMED");
    // What was in memory is gone with the restart.
    let write = asked(&put(&env, &format!("/user/secrets/{id}"), &json!({ "value": "x" })));
    allow(&env, &write, "once").expect(200);
    put(&env, &format!("/user/secrets/{id}"), &json!({ "value": "x" })).expect(200);
    env.stop();
    fs::remove_file(env.data_dir().join("vault.db")).unwrap();
    let _ = fs::remove_file(env.data_dir().join("vault.db-wal"));
    fs::remove_file(env.state_dir().join("anchor")).unwrap();
    env.private_file("data/secretsd/vault.db", &backup.body);
    env.start();
    env.post("/vault/unlock", &proof()).expect(200);
    assert_eq!(env.value("RENAMED"), VALUE);
    let rule = env.get("/approvals/rules").expect(200)["rules"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(env.request("DELETE", &format!("/approvals/rules/{rule}")).send().status, 204);
    asked(&reveal(&env, &["RENAMED"]));
    assert_eq!(env.get("/approvals/rules").expect(200)["total"], 0);
}

#[test]
fn a_lock_ends_asks_and_what_was_allowed_in_memory() {
    let env = Env::unlocked(programs!());
    let id = guarded(&env);
    let ask = asked(&reveal(&env, &["KEY"]));
    allow(&env, &ask, "time").expect(200);
    let open = asked(&put(&env, &format!("/user/secrets/{id}"), &json!({ "value": "x" })));
    let waiting = thread::scope(|scope| {
        let waits = scope.spawn(|| env.get(&format!("/approvals/{open}?wait=25")));
        env.post("/vault/lock", &Value::Null).expect(200);
        waits.join().unwrap()
    });
    // With the image the connection may end before it is told.
    assert_ne!(waiting.status, 200, "{}", waiting.text());
    env.post("/vault/unlock", &proof()).expect(200);
    env.get(&format!("/approvals/{open}")).expect_error(404, "not_found_error");
    asked(&reveal(&env, &["KEY"]));
}

#[test]
fn to_deny_takes_nothing_and_to_allow_takes_a_proof() {
    let env = Env::unlocked(programs!());
    let id = guarded(&env);
    let ask = asked(&reveal(&env, &["KEY"]));
    for proof in [Value::Null, json!({ "passphrase": "wrong" }), json!({ "recovery_key": "wrong" })] {
        let body = json!({ "decision": "allow", "scope": "once", "proof": proof });
        decide(&env, &ask, &body).expect_error(403, "wrong_key_error");
    }
    let start = Instant::now();
    let late = json!({ "decision": "allow", "scope": "once", "proof": { "passphrase": "wrong" } });
    thread::scope(|scope| {
        let wrong = scope.spawn(|| decide(&env, &ask, &late));
        // Meanwhile others are served.
        let (mut served, mut longest) = (0, Duration::ZERO);
        while !wrong.is_finished() {
            let start = Instant::now();
            env.get("/user/secrets").expect(200);
            (served, longest) = (served + 1, longest.max(start.elapsed()));
        }
        wrong.join().unwrap().expect_error(403, "wrong_key_error");
        assert!(served > 3 && longest < Duration::from_secs(2), "{served} lists, {longest:?}");
    });
    assert!(start.elapsed() > Duration::from_millis(250), "a wrong proof is answered at once");
    assert!(log_of(&env, "KEY").iter().all(|(action, _)| action != "approve"));
    let log = env.get("/audit").expect(200);
    let refused = |entry: &Value| entry["action"] == "approve" && entry["refusal"] == "wrong_key";
    assert!(log["entries"].as_array().unwrap().iter().any(refused), "{log}");
    for (loc, body) in [
        ("scope", json!({ "decision": "allow", "proof": proof() })),
        ("scope", json!({ "decision": "allow", "scope": "never", "proof": proof() })),
        ("scope", json!({ "decision": "deny", "scope": "once" })),
        (
            "client",
            json!({ "decision": "allow", "scope": "always", "client": { "program": "/other" }, "proof": proof() }),
        ),
        ("proof", json!({ "decision": "allow", "scope": "once", "proof": {} })),
    ] {
        let answer = decide(&env, &ask, &body);
        let errors = answer.expect_error(422, "validation_error")["errors"].clone();
        assert_eq!(errors[0]["loc"], json!(["body", loc]), "{body}");
    }
    asked(&reveal(&env, &["KEY"]));
    assert_eq!(decide(&env, &ask, &json!({ "decision": "deny" })).expect(200)["state"], "denied");
    let told = reveal(&env, &["OTHER", "KEY"]).expect_error(403, "approval_denied_error");
    assert_eq!(
        told["detail"],
        "KEY is guarded, and this was denied by a person within the last minute; nobody is asked again until that is over"
    );
    assert!(log_of(&env, "KEY").contains(&("reveal".to_owned(), "approval_denied".to_owned())));
    // Never is kept, and beats what is allowed.
    let write = asked(&put(&env, &format!("/user/secrets/{id}"), &json!({ "value": "x" })));
    decide(&env, &write, &json!({ "decision": "deny", "scope": "never" })).expect(200);
    let told = put(&env, &format!("/user/secrets/{id}"), &json!({ "value": "x" }))
        .expect_error(403, "approval_denied_error");
    assert_eq!(
        told["detail"],
        "KEY is guarded, and this was denied by a rule; `secretctl rules` lists the rules"
    );
    let program = std::env::current_exe().unwrap();
    let client = json!({ "token": "owner", "program": program.to_str() });
    let rule = json!({ "effect": "allow", "secret": "KEY", "rights": ["write"], "client": client });
    env.post("/approvals/rules", &rule).expect_error(403, "wrong_key_error");
    let mut proven = rule;
    proven["proof"] = proof();
    env.post("/approvals/rules", &proven).expect(201);
    put(&env, &format!("/user/secrets/{id}"), &json!({ "value": "x" }))
        .expect_error(403, "approval_denied_error");
    // The owner's token alone, and what runs whatever it is given, is anybody.
    for client in [
        json!({ "token": "owner" }),
        json!({ "token": "owner", "program": "/usr/bin/python3" }),
        json!({ "token": "owner", "program": "/usr/bin/env" }),
        json!({ "token": "owner", "program": "/usr/bin/env", "script": "/etc/hosts" }),
        json!({ "token": "owner", "command": "/usr/bin/npm", "directory": "/src" }),
        json!({ "token": "nobody" }),
    ] {
        let mut rule = proven.clone();
        rule["client"] = client;
        env.post("/approvals/rules", &rule).expect_error(422, "validation_error");
    }
    // Off takes a proof, on does not.
    let guard = format!("/user/secrets/{id}/guard");
    put(&env, &guard, &json!({ "guarded": false })).expect_error(403, "wrong_key_error");
    put(&env, &guard, &json!({ "guarded": false, "proof": proof() })).expect(200);
    assert_eq!(env.value("KEY"), VALUE);
}

/// The header is the client's own word: neither how many asks it may have nor how long it gets a no depends on it.
#[test]
fn a_process_is_one_asker_whatever_it_says_of_itself() {
    let env = Env::unlocked(programs!());
    guarded(&env);
    let body = json!({ "secrets": ["KEY"], "purpose": "test" });
    let saying = |said: &str| {
        let request = Request::new(&env.socket(), "POST", "/api/v1/user/secrets/reveal").bearer(&env.token());
        request.header("X-Secretsd-Client", said).json(&body).send()
    };
    let commands = ["env", "true", "false", "touch", "printenv", "sleep"];
    let header = |name: &str| format!("command=/usr/bin/{name}");
    let asks: Vec<String> = commands[..4].iter().map(|name| asked(&saying(&header(name)))).collect();
    assert_eq!(
        asks.iter().collect::<BTreeSet<_>>().len(),
        4,
        "an answer is about the command that was shown"
    );
    saying(&header(commands[4])).expect_error(429, "rate_limit_error");
    decide(&env, &asks[0], &json!({ "decision": "deny" })).expect(200);
    for name in &commands[4..] {
        saying(&header(name)).expect_error(403, "approval_denied_error");
    }
    // What is not there is no fact.
    let told = env.get(&format!("/approvals/{}", asks[1])).expect(200);
    assert_eq!(told["client"]["command"], "/usr/bin/true");
    let env = Env::unlocked(programs!());
    guarded(&env);
    let request = Request::new(&env.socket(), "POST", "/api/v1/user/secrets/reveal").bearer(&env.token());
    let ask = asked(&request.header("X-Secretsd-Client", &header("no-such-program")).json(&body).send());
    let told = env.get(&format!("/approvals/{ask}")).expect(200);
    assert_eq!(told["client"].get("command"), None, "{told}");
}

/// Connects twice, and passes for another in one of two ways: `dies` leaves its connection to a child and ends, `becomes` asks
/// as itself and executes a shell, which asks over the other connection.
const PRETENDER: &str = r#"
import os, socket, sys
mode, path, request = sys.argv[1:4]
def connected():
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    return s
first, second = connected(), connected()
def ask(s):
    s.sendall(open(request, "rb").read())
    answer = b""
    while more := s.recv(65536):
        answer += more
    sys.stdout.buffer.write(answer + b"\n")
    sys.stdout.flush()
if mode == "dies":
    end, held = os.pipe()
    if os.fork():
        os._exit(0)
    os.close(held)
    os.read(end, 1)
    ask(first)
else:
    ask(first)
    sys.stdin.readline()
    second.set_inheritable(True)
    os.execv("/bin/bash", ["bash", "-c", 'cat "$1" >&$2; cat <&$2', "bash", request, str(second.fileno())])
"#;

/// Who is gone, and who has become another program, is not taken for what it was: an answer to that reaches neither.
#[test]
fn who_has_ended_or_become_another_program_passes_for_nobody() {
    let env = Env::unlocked(programs!());
    guarded(&env);
    let body = json!({ "secrets": ["KEY"], "purpose": "test" }).to_string();
    let said = "program=/usr/bin/python3&command=/usr/bin/curl";
    let request = format!(
        "POST /api/v1/user/secrets/reveal HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nX-Secretsd-Client: {said}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        env.token(),
        body.len()
    );
    let request = env.private_file("request", request);
    let pretender = |mode: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", PRETENDER, mode]).arg(env.socket()).arg(&request).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let open = || env.get("/approvals").expect(200)["approvals"].as_array().unwrap().clone();

    // What it says of itself allows the living one for good, and the dead one nothing.
    let rule = json!({
        "effect": "allow", "secret": "KEY", "rights": ["reveal"], "proof": proof(),
        "client": { "token": "owner", "command": "/usr/bin/curl" },
    });
    let rule = env.post("/approvals/rules", &rule).expect(201)["id"].as_str().unwrap().to_owned();
    let output = pretender("dies").wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("approval_required_error") && !told.contains(VALUE), "{told}");
    let asks = open();
    for fact in ["program", "script", "directory", "command", "session", "unit"] {
        assert_eq!(asks[0]["client"].get(fact), None, "{}", asks[0]);
    }
    assert!(!asks[0]["offers"].as_array().unwrap().contains(&json!("once")), "{}", asks[0]);
    decide(&env, asks[0]["id"].as_str().unwrap(), &json!({ "decision": "deny" })).expect(200);
    assert_eq!(env.request("DELETE", &format!("/approvals/rules/{rule}")).send().status, 204);

    // Allowed once, and another program by then.
    let mut child = pretender("becomes");
    let deadline = Instant::now() + Duration::from_secs(20);
    let ask = loop {
        if let Some(ask) = open().into_iter().next() {
            break ask;
        }
        assert!(Instant::now() < deadline, "nobody asks");
        thread::yield_now();
    };
    assert!(ask["client"]["program"].as_str().unwrap().contains("/python3"), "{ask}");
    allow(&env, ask["id"].as_str().unwrap(), "once").expect(200);
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(told.matches("approval_required_error").count(), 2, "{told}");
    assert!(!told.contains(VALUE), "{told}");
    let ask = open().remove(0);
    assert_eq!((&ask["state"], &ask["count"]), (&json!("pending"), &json!(1)), "{ask}");
    // A shell that only starts others stands for who has started it.
    assert_eq!(ask["client"]["chain"][0], "bash", "{ask}");
    assert_eq!(ask["client"]["program"].as_str(), std::env::current_exe().unwrap().to_str(), "{ask}");
}

/// Asks over a connection that stays, is allowed once, and is not there any more when that connection asks again: `leaves` ends,
/// and its child asks, `turns` executes a shell.
const HEIR: &str = r#"
import os, socket, sys
mode, path, staying, last = sys.argv[1:5]
s = socket.socket(socket.AF_UNIX)
s.connect(path)
s.sendall(open(staying, "rb").read())
answer = b""
while b"\r\n\r\n" not in answer:
    answer += s.recv(65536)
head, body = answer.split(b"\r\n\r\n", 1)
fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
while len(body) < int(fields[b"content-length"]):
    body += s.recv(65536)
sys.stdout.buffer.write(body + b"\n")
sys.stdout.flush()
sys.stdin.readline()
if mode == "leaves":
    end, held = os.pipe()
    if os.fork():
        os._exit(0)
    os.close(held)
    os.read(end, 1)
    s.sendall(open(last, "rb").read())
    while more := s.recv(65536):
        os.write(1, more)
else:
    s.set_inheritable(True)
    os.execv("/bin/bash", ["bash", "-c", 'cat "$1" >&$2; cat <&$2', "bash", last, str(s.fileno())])
"#;

/// A connection is no more than the process that made it, and what that process is at the time; the audit log says the same.
#[test]
fn a_connection_speaks_for_no_one_who_has_ended_or_become_another_program() {
    for mode in ["leaves", "turns"] {
        let env = Env::unlocked(programs!());
        guarded(&env);
        let body = json!({ "secrets": ["KEY"], "purpose": "test" }).to_string();
        let request = |name: &str, connection: &str| {
            let (token, length) = (env.token(), body.len());
            let head = format!(
                "POST /api/v1/user/secrets/reveal HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n{body}"
            );
            env.private_file(name, head)
        };
        let (staying, last) = (request("staying", "keep-alive"), request("last", "close"));
        let mut command = Command::new("python3");
        command.args(["-c", HEIR, mode]).arg(env.socket()).args([staying, last]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let open = || env.get("/approvals").expect(200)["approvals"].as_array().unwrap().clone();
        let deadline = Instant::now() + Duration::from_secs(20);
        let first = loop {
            if let Some(ask) = open().into_iter().next() {
                break ask;
            }
            assert!(Instant::now() < deadline, "nobody asks");
            thread::yield_now();
        };
        assert!(first["client"]["program"].as_str().unwrap().contains("/python3"), "{first}");
        allow(&env, first["id"].as_str().unwrap(), "once").expect(200);
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(told.matches("approval_required_error").count(), 2, "{mode}: {told}");
        assert!(!told.contains(VALUE), "{mode}: {told}");
        let second = open().remove(0);
        assert_ne!(second["id"], first["id"], "{mode}: {second}");
        let log = env.get("/audit?name=KEY").expect(200);
        let reveals = log["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "reveal");
        let callers: Vec<&Value> = reveals.map(|entry| &entry["caller"]).collect();
        assert_eq!(callers.len(), 2, "{log}");
        assert!(callers[0]["exe"].as_str().unwrap().contains("/python3"), "{mode}: {log}");
        assert_eq!(callers[0]["pid"], callers[1]["pid"], "{mode}: {log}");
        if mode == "leaves" {
            for fact in ["program", "script", "directory", "command", "session", "unit"] {
                assert_eq!(second["client"].get(fact), None, "{second}");
            }
            for fact in ["comm", "exe", "unit"] {
                assert_eq!(callers[1].get(fact), None, "{log}");
            }
        } else {
            assert_eq!(second["client"]["chain"][0], "bash", "{second}");
            assert_eq!(callers[1]["comm"], "bash", "{log}");
            assert!(callers[1]["exe"].as_str().unwrap().ends_with("/bash"), "{log}");
        }
    }
}

/// However often it is asked at once, a person answers once.
#[test]
fn two_hundred_equal_asks_are_one_question_and_one_answer() {
    const AT_ONCE: usize = 40;
    const EACH: usize = 5;
    let env = Env::unlocked(programs!());
    guarded(&env);
    let all = |env: &Env| -> Vec<Answer> {
        thread::scope(|scope| {
            let ask = || (0..EACH).map(|_| reveal(env, &["KEY"])).collect::<Vec<_>>();
            let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    };
    let ids: BTreeSet<String> = all(&env).iter().map(asked).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let open = env.get("/approvals").expect(200)["approvals"].clone();
    assert_eq!(open.as_array().unwrap().len(), 1, "{open}");
    let expected = (json!(ids.first()), json!(AT_ONCE * EACH), json!(1));
    assert_eq!(
        (&open[0]["id"], &open[0]["count"], &open[0]["processes"]),
        (&expected.0, &expected.1, &expected.2)
    );
    let log = log_of(&env, "KEY");
    assert_eq!(log.iter().filter(|(action, _)| action == "ask").count(), 1, "one entry for the question");
    allow(&env, ids.first().unwrap(), "time").expect(200);
    for answer in all(&env) {
        answer.expect(200);
    }
    assert_eq!(env.get("/approvals").expect(200)["approvals"], json!([]));
}

/// Four of one asker, and 32 in all: a later one is told to wait, and those that are open go on.
#[test]
fn no_more_than_32_asks_wait_of_all_askers_together() {
    let env = Env::unlocked(programs!());
    guarded(&env);
    let token = |number: usize| {
        let new = json!({ "name": format!("t{number}"), "scopes": ["reveal"] });
        env.post("/tokens", &new).expect(201)["token"].as_str().unwrap().to_owned()
    };
    let tokens: Vec<String> = (0..9).map(token).collect();
    let ask = |asker: usize, number: usize| {
        let body = json!({ "secrets": ["KEY"], "purpose": "test", "reason": format!("r{number}") });
        let path = "/api/v1/user/secrets/reveal";
        Request::new(&env.socket(), "POST", path).bearer(&tokens[asker]).json(&body).send()
    };
    let told = |answer: Answer| {
        answer.expect_error(429, "rate_limit_error");
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    };
    let asks: Vec<String> = (0..8)
        .flat_map(|asker| (0..4).map(move |number| (asker, number)))
        .map(|(a, n)| asked(&ask(a, n)))
        .collect();
    assert_eq!(asks.iter().collect::<BTreeSet<_>>().len(), 32);
    told(ask(8, 0));
    told(reveal(&env, &["KEY"]));
    assert_eq!(env.get("/approvals").expect(200)["approvals"].as_array().unwrap().len(), 32);
    // One that is open counts up, and makes room when it is answered.
    assert_eq!(asked(&ask(0, 0)), asks[0]);
    decide(&env, &asks[0], &json!({ "decision": "deny" })).expect(200);
    asked(&ask(8, 0));
    told(ask(8, 1));
}

#[test]
fn a_token_knows_its_own_asks_and_answers_none_of_them() {
    let env = Env::unlocked(programs!());
    guarded(&env);
    let token = |name: &str, scopes: &[&str]| {
        let made = env.post("/tokens", &json!({ "name": name, "scopes": scopes })).expect(201);
        made["token"].as_str().unwrap().to_owned()
    };
    let request = |token: &str, method: &str, path: &str| {
        Request::new(&env.socket(), method, &format!("/api/v1{path}")).bearer(token)
    };
    let (one, other) = (token("one", &["reveal"]), token("other", &["reveal", "list", "write", "use"]));
    let admin = token("admin", &["reveal", "admin"]);
    let body = json!({ "secrets": ["KEY"], "purpose": "test" });
    let ask = |token: &str| asked(&request(token, "POST", "/user/secrets/reveal").json(&body).send());
    let (of_one, of_admin) = (ask(&one), ask(&admin));
    assert_ne!(of_one, of_admin);
    let path = format!("/approvals/{of_one}");
    assert_eq!(request(&one, "GET", &path).send().expect(200)["client"]["token"], "one");
    request(&other, "GET", &path).send().expect_error(404, "not_found_error");
    request(&admin, "GET", &path).send().expect(200);
    let decision = json!({ "decision": "allow", "scope": "always", "proof": proof() });
    for token in [&one, &other] {
        request(token, "GET", "/approvals").send().expect_error(403, "forbidden_error");
        let path = format!("{path}/decision");
        request(token, "POST", &path).json(&decision).send().expect_error(403, "forbidden_error");
    }
    // Who may answer does not answer itself, nor what was made with it.
    let own = format!("/approvals/{of_admin}/decision");
    request(&admin, "POST", &own).json(&decision).send().expect_error(403, "forbidden_error");
    let made = json!({ "name": "made", "scopes": ["reveal"] });
    let made = request(&admin, "POST", "/tokens").json(&made).send().expect(201);
    let of_made = ask(made["token"].as_str().unwrap());
    let own = format!("/approvals/{of_made}/decision");
    request(&admin, "POST", &own).json(&decision).send().expect_error(403, "forbidden_error");
    // A name outside of a token's globs is not there, and nobody is asked.
    let bound = json!({ "name": "bound", "scopes": ["reveal"], "secrets": ["O*"] });
    let bound = env.post("/tokens", &bound).expect(201)["token"].as_str().unwrap().to_owned();
    let before = env.get("/approvals").expect(200)["approvals"].as_array().unwrap().len();
    request(&bound, "POST", "/user/secrets/reveal").json(&body).send().expect_error(404, "not_found_error");
    assert_eq!(env.get("/approvals").expect(200)["approvals"].as_array().unwrap().len(), before);
    // The token alone is meant by what is allowed to it: it is somebody.
    request(&admin, "POST", &format!("{path}/decision")).json(&decision).send().expect(200);
    request(&one, "POST", "/user/secrets/reveal").json(&body).send().expect(200);
    asked(&request(&other, "POST", "/user/secrets/reveal").json(&body).send());
    let rule = env.get("/approvals/rules").expect(200)["rules"][0].clone();
    assert_eq!(rule["client"], json!({ "token": "one" }));
}

#[test]
fn a_waiting_approver_is_told_at_once_and_counted() {
    let env = Env::unlocked(programs!());
    guarded(&env);
    let state = env.get("/approvals").expect(200)["changes"].to_string();
    thread::scope(|scope| {
        let approver = scope.spawn(|| env.get(&format!("/approvals?wait=25&after={state}")));
        let deadline = Instant::now() + Duration::from_secs(20);
        while env.get("/approvals").expect(200)["approvers"] != 1 {
            assert!(Instant::now() < deadline, "a waiting approver is not counted");
            thread::yield_now();
        }
        let start = Instant::now();
        let ask = asked(&reveal(&env, &["KEY"]));
        let told = approver.join().unwrap().expect(200);
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!((&told["approvals"][0]["id"], &told["approvers"]), (&json!(ask), &json!(1)));
        // Who comes later with an older state is told at once.
        env.get(&format!("/approvals?wait=25&after={state}")).expect(200);
        assert!(start.elapsed() < Duration::from_secs(20));
    });
    let ask = asked(&reveal(&env, &["KEY"]));
    thread::scope(|scope| {
        let asker = scope.spawn(|| env.get(&format!("/approvals/{ask}?wait=25")));
        allow(&env, &ask, "once").expect(200);
        assert_eq!(asker.join().unwrap().expect(200)["state"], "allowed");
    });
    env.get("/approvals?wait=86401").expect_error(422, "validation_error");
}

/// Who has sent all that it has to say still waits; who has gone does not, however long it had meant to.
#[test]
fn an_approver_counts_until_it_is_gone() {
    let env = Env::unlocked(programs!());
    let mut approver = UnixStream::connect(env.socket()).unwrap();
    let token = env.token();
    let request = format!(
        "GET /api/v1/approvals?wait=86400 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    approver.write_all(request.as_bytes()).unwrap();
    approver.shutdown(Shutdown::Write).unwrap();
    let approvers = || env.get("/approvals").expect(200)["approvers"].as_u64().unwrap();
    until("it waits", || approvers() == 1);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        assert_eq!(approvers(), 1, "after {:?}", start.elapsed());
    }
    drop(approver);
    until("it is gone", || approvers() == 0);
}

#[test]
fn who_finds_the_vault_locked_may_ask_for_it() {
    let env = Env::unlocked(programs!());
    env.post("/approvals", &json!({ "right": "unlock" })).expect_error(409, "conflict_error");
    env.post("/vault/lock", &Value::Null).expect(200);
    let ask = env.post("/approvals", &json!({ "right": "unlock" })).expect(201);
    let id = ask["id"].as_str().unwrap();
    assert_eq!((&ask["right"], &ask["secrets"]), (&json!("unlock"), &json!([])));
    assert_eq!(env.get("/approvals").expect(200)["approvals"][0]["id"], id);
    decide(&env, id, &json!({ "decision": "allow", "scope": "once", "proof": proof() }))
        .expect_error(422, "validation_error");
    env.post("/vault/unlock", &proof()).expect(200);
    assert_eq!(env.get(&format!("/approvals/{id}")).expect(200)["state"], "allowed");
}

#[test]
fn no_proof_no_key_and_no_unit() {
    let env = Env::unlocked(programs!());
    let id = guarded(&env);
    let keys = env.get("/vault/keys").expect(200)["keys"].clone();
    let key = |kind: &str| {
        let keys = keys.as_array().unwrap();
        keys.iter().find(|key| key["kind"] == kind).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let file = env.private_file("key", [7; 64]);
    let file_key = json!({ "key_file": file.to_str().unwrap() });
    let deny = |answer: Answer| drop(answer.expect_error(403, "wrong_key_error"));
    deny(env.post("/vault/keys", &file_key));
    deny(env.post("/vault/keys", &json!({ "recovery": true })));
    deny(env.post("/vault/keys", &json!({ "passphrase": "x", "replaces": key("recovery") })));
    deny(env.post("/vault/rotate", &file_key));
    for kind in ["passphrase", "recovery"] {
        deny(env.request("DELETE", &format!("/vault/keys/{}", key(kind))).send());
    }
    let unit = json!({ "unit": "web.service", "secrets": ["KEY"] });
    deny(env.post("/credentials", &unit));
    assert_eq!(env.get("/vault/keys").expect(200)["keys"], keys);
    assert_eq!(env.get("/credentials").expect(200)["total"], 0);
    // What is not guarded may go to a unit as before.
    env.post("/credentials", &json!({ "unit": "web.service", "secrets": ["OTHER"] })).expect(200);
    // With a proof all of it goes.
    let with = |mut body: Value| {
        body["proof"] = proof();
        body
    };
    env.post("/vault/keys", &with(file_key)).expect(201);
    env.post("/credentials", &with(unit)).expect(200);
    let added = env.get("/vault/keys").expect(200)["keys"].as_array().unwrap().clone();
    let added =
        added.iter().find(|key| key["kind"] == "key_file").unwrap()["id"].as_str().unwrap().to_owned();
    let told = guard(&env, &id).expect(200);
    assert_eq!(told, json!({ "guarded": true, "weakened_by": ["key_file"], "units": ["web.service"] }));
    // What is no proof itself is removed without one.
    assert_eq!(env.request("DELETE", &format!("/vault/keys/{added}")).send().status, 204);
    let recovery = format!("/vault/keys/{}", key("recovery"));
    assert_eq!(env.request("DELETE", &recovery).json(&json!({ "proof": proof() })).send().status, 204);
}

#[test]
fn a_session_of_use_is_asked_for_once_and_ends_with_a_new_guard() {
    let env = Env::unlocked(programs!());
    let id = stored(&env, "KEY", VALUE);
    let rules = json!({ "rules": [{ "host": "api.example.com", "site": "bearer" }] });
    put(&env, &format!("/user/secrets/{id}/rules"), &rules).expect(200);
    let begin = || env.post("/use/sessions", &json!({ "secrets": ["KEY"], "purpose": "test" }));
    let session = begin().expect(201)["id"].as_str().unwrap().to_owned();
    guard(&env, &id).expect(200);
    env.request("DELETE", &format!("/use/sessions/{session}")).send().expect_error(404, "not_found_error");
    let ask = asked(&begin());
    assert_eq!(env.get(&format!("/approvals/{ask}")).expect(200)["right"], "use");
    allow(&env, &ask, "once").expect(200);
    begin().expect(201);
    asked(&begin());
    // To use is not to have.
    asked(&reveal(&env, &["KEY"]));
}

/// Every route that changes something or gives something, by a program that has the owner's token and not the passphrase, in two
/// rounds; then every answer, and a backup opened with every key that this could have added, is searched for the value.
#[test]
fn the_owners_token_without_the_passphrase_gets_no_guarded_value_by_any_route() {
    let mut env = Env::unlocked(programs!());
    let id = guarded(&env);
    let file = env.private_file("key", [7; 64]);
    let file = file.to_str().unwrap();
    let keys = env.get("/vault/keys").expect(200)["keys"].as_array().unwrap().clone();
    let mut ids: Vec<String> = keys.iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect();
    ids.push(id.clone());
    let client = json!({ "token": "owner", "program": std::env::current_exe().unwrap().to_str() });
    // Bodies for any route; a route takes of them what it knows, and refuses the rest.
    let bodies = |ask: &str| {
        let _ = ask;
        vec![
            Value::Null,
            json!({}),
            json!({ "secrets": ["KEY"], "purpose": "test" }),
            json!({ "secrets": ["*"], "purpose": "test" }),
            json!({ "guarded": false }),
            json!({ "guarded": false, "proof": { "passphrase": "wrong" } }),
            json!({ "decision": "allow", "scope": "once" }),
            json!({ "decision": "allow", "scope": "always" }),
            json!({ "decision": "allow", "scope": "session", "proof": { "passphrase": "wrong" } }),
            json!({ "effect": "allow", "secret": "KEY", "rights": ["reveal", "use", "write"], "client": client }),
            json!({ "value": "changed" }),
            json!({ "name": "RENAMED" }),
            json!({ "version": 1 }),
            json!({ "rules": [{ "host": "example.com", "site": "bearer" }] }),
            json!({ "secrets": [{ "name": "KEY", "value": "changed", "replace": true }] }),
            json!({ "key_file": file }),
            json!({ "passphrase": "mine" }),
            json!({ "passphrase": "mine", "replaces": keys[0]["id"] }),
            json!({ "recovery": true }),
            json!({ "unit": "web.service", "secrets": ["KEY"] }),
            json!({ "name": "mine", "scopes": ["list", "write", "reveal", "admin", "use"], "ttl_seconds": null }),
            json!({ "accept_restore": true }),
            json!({ "through": 1 }),
        ]
    };
    let (mut said, mut tokens, mut recovery, mut asked_for) =
        (Vec::new(), vec![env.token()], Vec::new(), BTreeSet::new());
    let mut tried = 0;
    for round in 0..2 {
        for route in routes() {
            // These end the vault's being open, not the guard; they are tried at the end.
            if ["lock_vault", "unlock_vault", "init_vault"].contains(&route.operation) {
                continue;
            }
            let places: Vec<String> = match route.path.contains("{id}") {
                true => ids.iter().chain(&asked_for).cloned().collect(),
                false => vec![String::new()],
            };
            for place in &places {
                let mut path = route.path.replace("{id}", place);
                if route.operation == "delete_secret" && round == 1 {
                    path.push_str("?purge=true");
                }
                for body in bodies(place).into_iter().take(if route.method == "GET" { 1 } else { 99 }) {
                    for token in tokens.clone() {
                        let request = Request::new(&env.socket(), route.method, &path).bearer(&token);
                        let request = if body.is_null() { request } else { request.json(&body) };
                        let answer = request.send();
                        tried += 1;
                        if let Some(ask) = answer.header("x-secretsd-approval") {
                            asked_for.insert(ask.to_owned());
                        }
                        // A backup is encrypted, and searched below.
                        if route.operation != "backup_vault" && route.operation != "get_openapi" {
                            let text = answer.text().to_owned();
                            if answer.status == 201 && route.operation == "create_token" && tokens.len() < 3 {
                                tokens.push(answer.json()["token"].as_str().unwrap().to_owned());
                            }
                            if let Ok(json) = serde_json::from_str::<Value>(&text)
                                && let Some(key) = json["recovery_key"].as_str()
                            {
                                recovery.push(key.to_owned());
                            }
                            said.push((route.operation, text));
                        }
                    }
                }
            }
        }
    }
    assert!(tried > 1_000, "{tried} requests");
    assert!(tokens.len() > 1, "no token was made, so that none was tried");
    let mask = "guarde";
    for (operation, text) in &said {
        assert!(!text.contains(VALUE), "{operation} gave the value away");
        let _ = mask;
    }
    assert_eq!(recovery, Vec::<String>::new(), "a recovery key was made without a proof");
    // The value is as it was, under its name, guarded.
    let detail = env.get(&format!("/user/secrets/{id}?view=full")).expect(200);
    assert_eq!((&detail["name"], &detail["guarded"]), (&json!("KEY"), &json!(true)));
    let reveal_again = reveal(&env, &["KEY"]);
    assert_eq!(reveal_again.status, 403, "{}", reveal_again.text());
    // With what could have been added, a copy of the vault opens to nobody.
    let backup = env.get("/vault/backup");
    assert_eq!(backup.status, 200);
    env.stop();
    fs::remove_file(env.data_dir().join("vault.db")).unwrap();
    let _ = fs::remove_file(env.data_dir().join("vault.db-wal"));
    fs::remove_file(env.state_dir().join("anchor")).unwrap();
    env.private_file("data/secretsd/vault.db", &backup.body);
    env.start();
    for key in [json!({ "key_file": file }), json!({ "passphrase": "mine" })] {
        env.post("/vault/unlock", &key).expect_error(403, "wrong_key_error");
    }
    env.post("/vault/unlock", &proof()).expect(200);
    asked(&reveal(&env, &["KEY"]));
}
