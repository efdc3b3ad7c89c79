//! `secretctl mcp` as agents use it: the protocol's own client starts it and calls its tools, on the real daemon.

use std::path::{Path, PathBuf};
use std::time::Instant;

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::skip;
use secretsd_tests::process::DEADLINE;
use secretsd_tests::{Env, process, programs, source};
use serde_json::{Value, json};

const VALUE: &str = "sk-canary-0123456789-of-the-agents";

/// Where the protocol's client lies, or a word that it is not there.
fn modules(test: &str) -> Option<PathBuf> {
    let modules = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients/mcp");
    if modules.join("installed").exists() {
        return Some(modules);
    }
    assert!(std::env::var_os("CI").is_none(), "run tests/tests/clients/install.sh");
    skip(test, "the protocol's client is not there; run tests/tests/clients/install.sh");
    None
}

/// What the client saw, with these calls.
fn asked(env: &Env, modules: &Path, calls: &Value) -> Value {
    let mut command = env.command("node");
    command
        .arg(source::repository().join("tests/tests/mcp/client.mjs"))
        .args([env.programs().client, "mcp"])
        .env("MODULES", modules);
    let (_, output) = process::run(&mut command, calls.to_string().as_bytes());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(VALUE) && !text.contains("canary"), "{text}");
    serde_json::from_str(&text).unwrap()
}

fn call(name: &str, arguments: Value) -> Value {
    json!({ "name": name, "arguments": arguments })
}

/// The environment, with one secret that has a rule and one that has none.
fn vault() -> Env {
    let mut env = Env::new(programs!());
    env.start();
    env.init();
    env.ctl(["set", "API_KEY"]).stdin(VALUE).expect(0);
    env.ctl(["set", "OTHER_KEY"]).stdin("another-canary-of-the-agents").expect(0);
    let rule = ["proxy", "rule", "set", "API_KEY", "--host", "api.example.com", "--path", "/v1/**"];
    env.ctl(rule).expect(0);
    env
}

#[test]
fn an_agent_lists_checks_and_asks() {
    let Some(modules) = modules("an_agent_lists_checks_and_asks") else { return };
    let env = vault();
    let seen = asked(
        &env,
        &modules,
        &json!([
            call("list_secrets", json!({})),
            call("list_secrets", json!({"containing": "other"})),
            call(
                "check_rule",
                json!({"name": "API_KEY", "method": "GET", "url": "https://api.example.com/v1/x"})
            ),
            call(
                "check_rule",
                json!({"name": "API_KEY", "method": "GET", "url": "https://api.example.com/v2"})
            ),
            call(
                "check_rule",
                json!({"name": "OTHER_KEY", "method": "GET", "url": "https://api.example.com/"})
            ),
            call("explain_denial", json!({"type": "placeholder_misplaced"})),
            call(
                "request_access",
                json!({"name": "OTHER_KEY", "host": "*.example.com", "methods": ["GET"],
                "paths": ["/v1/**"], "site": "header:x-api-key"})
            ),
        ]),
    );
    assert_eq!(seen["server"]["name"], "secretsd");
    assert!(seen["instructions"].as_str().unwrap().contains("secretctl proxy run"));
    let tools: Vec<&str> =
        seen["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(tools, ["list_secrets", "check_rule", "explain_denial", "request_access"]);
    let answer = |at: usize| &seen["answers"][at]["structuredContent"];
    let listed = answer(0)["secrets"].as_array().unwrap();
    let names: Vec<&str> = listed.iter().map(|secret| secret["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["API_KEY", "OTHER_KEY"]);
    let mut fields: Vec<&String> = listed[0].as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["masked_value", "name", "provider"]);
    assert_eq!(answer(1)["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(*answer(2), json!({"allowed": true, "rule": "API_KEY/1", "site": "bearer"}));
    assert_eq!(answer(3)["allowed"], false);
    assert!(
        answer(3)["why"]
            .as_str()
            .unwrap()
            .contains("secretctl proxy rule set API_KEY --host HOST --path PATTERN")
    );
    assert!(answer(4)["why"].as_str().unwrap().starts_with("OTHER_KEY has no rule"));
    assert!(answer(5)["remedy"].as_str().unwrap().contains("whole and unchanged"));
    let command = answer(6)["command"].as_str().unwrap();
    assert_eq!(answer(6)["granted"], false);
    // What is printed is what a person can run, and it allows what was asked for; the tool itself allowed nothing.
    assert_eq!(
        command,
        "secretctl proxy rule set OTHER_KEY --host '*.example.com' --method GET --path '/v1/**' --site header:x-api-key"
    );
    let check = ["proxy", "check", "OTHER_KEY", "GET", "https://a.example.com/v1/x"];
    env.ctl(check).expect(5);
    let shell = env.command("sh").args(["-c", command]).env("PATH", path(&env)).output().unwrap();
    assert!(shell.status.success(), "{}", String::from_utf8_lossy(&shell.stderr));
    env.ctl(check).expect(0);
    // It asked for lists alone: nothing was revealed or used.
    let log = env.ctl(["audit", "--json"]).expect(0);
    assert!(!log.contains("\"reveal\"") && !log.contains("\"use\""), "{log}");
}

#[test]
fn an_agent_asks_a_person_for_what_is_guarded() {
    let Some(modules) = modules("an_agent_asks_a_person_for_what_is_guarded") else { return };
    let env = vault();
    env.ctl(["guard", "API_KEY"]).expect(0);
    let request = || json!([call("request_access", json!({"name": "API_KEY", "wait_seconds": 30}))]);
    let answer = |seen: &Value| seen["answers"][0]["structuredContent"].clone();
    // Nobody waits to answer: the id is told at once.
    let told = answer(&asked(&env, &modules, &request()));
    assert_eq!((&told["granted"], &told["approval"]["state"]), (&json!(false), &json!("pending")), "{told}");
    let asks = env.get("/approvals").expect(200);
    let ask = &asks["approvals"][0];
    assert_eq!((&ask["id"], &ask["right"]), (&told["approval"]["id"], &json!("use")));
    let id = ask["id"].as_str().unwrap();
    assert_eq!(told["command"], format!("secretctl approve {}", &id[..8]));
    env.ctl(["deny"]).expect(0);
    let told = answer(&asked(&env, &modules, &request()));
    assert_eq!((&told["granted"], &told["approval"]["state"]), (&json!(false), &json!("denied")), "{told}");
    // What was denied is forgotten with a lock. Somebody waits to answer now, and does while the tool waits.
    env.post("/vault/lock", &json!({})).expect(200);
    env.post("/vault/unlock", &json!({"passphrase": PASSPHRASE})).expect(200);
    let told = std::thread::scope(|scope| {
        scope.spawn(|| {
            let end = Instant::now() + DEADLINE;
            loop {
                let list = env.get("/approvals?wait=5").expect(200);
                if let Some(id) = list["approvals"][0]["id"].as_str() {
                    let yes =
                        json!({"decision": "allow", "scope": "once", "proof": {"passphrase": PASSPHRASE}});
                    env.post(&format!("/approvals/{id}/decision"), &yes).expect(200);
                    return;
                }
                assert!(Instant::now() < end, "nobody asks");
            }
        });
        // The tool returns at once where nobody waits.
        let end = Instant::now() + DEADLINE;
        while env.get("/approvals").expect(200)["approvers"] == 0 {
            assert!(Instant::now() < end, "nobody waits");
        }
        answer(&asked(&env, &modules, &request()))
    });
    assert_eq!((&told["granted"], &told["approval"]["state"]), (&json!(true), &json!("allowed")), "{told}");
    let log = env.ctl(["audit", "--json"]).expect(0);
    assert!(!log.contains("\"reveal\"") && !log.contains(VALUE), "{log}");
    let sessions = env.get("/tokens").expect(200);
    assert!(!sessions.to_string().contains("session"), "a session is left: {sessions}");
}

fn path(env: &Env) -> std::ffi::OsString {
    let programs = Path::new(env.programs().client).parent().unwrap().to_owned();
    std::env::join_paths([programs, "/usr/bin".into(), "/bin".into()]).unwrap()
}

#[test]
fn what_an_agent_says_wrongly_is_refused_and_not_repeated() {
    let Some(modules) = modules("what_an_agent_says_wrongly_is_refused_and_not_repeated") else { return };
    let env = vault();
    let long = "x".repeat(5_000);
    let seen = asked(
        &env,
        &modules,
        &json!([
            call("list_secrets", json!({"containing": 7})),
            call("list_secrets", json!({ VALUE: 1 })),
            call("check_rule", json!({"name": VALUE, "method": "GET", "url": "https://api.example.com/"})),
            call(
                "check_rule",
                json!({"name": "API_KEY", "method": VALUE, "url": "https://api.example.com/"})
            ),
            call("check_rule", json!({"name": "API_KEY", "method": "GET", "url": format!("http://{VALUE}")})),
            call(
                "check_rule",
                json!({"name": "NO_SUCH", "method": "GET", "url": "https://api.example.com/"})
            ),
            call("explain_denial", json!({"type": VALUE})),
            call("request_access", json!({"name": "API_KEY; rm -rf canary", "host": "api.example.com"})),
            call(
                "request_access",
                json!({"name": "API_KEY", "host": "api.example.com", "paths": ["/'; canary '"]})
            ),
            call("request_access", json!({"name": "API_KEY", "host": "api.example.com' canary"})),
            call(
                "request_access",
                json!({"name": "API_KEY", "host": "api.example.com", "site": "header:x' canary"})
            ),
            call("request_access", json!({"name": "API_KEY", "host": "api.example.com", "methods": [long]})),
            call("reveal", json!({"name": "API_KEY"})),
        ]),
    );
    let answers = seen["answers"].as_array().unwrap();
    for (at, answer) in answers.iter().enumerate() {
        assert!(answer["isError"] == true || answer["error"].is_string(), "{at}: {answer}");
    }
    assert!(answers.last().unwrap()["error"].as_str().unwrap().contains("there is no tool of this name"));
}

#[test]
fn a_locked_vault_and_an_absent_daemon_are_told() {
    let Some(modules) = modules("a_locked_vault_and_an_absent_daemon_are_told") else { return };
    let mut env = vault();
    env.ctl(["lock"]).expect(0);
    let told = |env: &Env| {
        let seen = asked(env, &modules, &json!([call("list_secrets", json!({}))]));
        assert_eq!(seen["answers"][0]["isError"], true);
        seen["answers"][0]["content"][0]["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(told(&env), "the vault is locked; ask the person at this machine to run: secretctl unlock");
    env.stop();
    let mut server = env.command(Path::new(env.programs().client).with_file_name("secretctl-mcp"));
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}
{"jsonrpc":"2.0","method":"notifications/initialized"}
{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"list_secrets"}}
"#;
    let (_, output) = process::run(&mut server, call.as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("nothing listens on"), "{text}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_no_protocol_ends_with_a_word_that_repeats_nothing() {
    let env = Env::new(programs!());
    let server = Path::new(env.programs().client).with_file_name("secretctl-mcp");
    let (_, output) = process::run(&mut env.command(&server), format!("{VALUE}\n").as_bytes());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{errors}");
    assert!(
        errors.contains("does not speak the Model Context Protocol") && !errors.contains("canary"),
        "{errors}"
    );
    let (_, output) = process::run(env.command(&server).arg("--value"), b"");
    assert_eq!(output.status.code(), Some(2));
}
