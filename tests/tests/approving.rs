//! Guarded secrets and `secretctl`: what is asked on a terminal, and what comes of a question that nobody answers.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::http::Request;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, process, programs};
use serde_json::{Value, json};

const VALUE: &str = "guarded-value-0123456789abcdef";

fn guarded() -> Env {
    let env = Env::unlocked(programs!());
    env.store("KEY", VALUE);
    assert_eq!(env.ctl(["guard", "KEY"]).expect(0), "");
    env
}

fn asks(env: &Env) -> Vec<Value> {
    env.get("/approvals").expect(200)["approvals"].as_array().unwrap().clone()
}

fn decide(env: &Env, id: &Value, mut body: Value) {
    body["proof"] = json!({ "passphrase": PASSPHRASE });
    let id = id.as_str().unwrap();
    env.post(&format!("/approvals/{id}/decision"), &body).expect(200);
}

#[test]
fn without_a_terminal_and_an_approver_every_command_fails_at_once_and_does_nothing() {
    let env = guarded();
    env.store("GITHUB_TOKEN", VALUE);
    env.store("AWS_ACCESS_KEY_ID", VALUE);
    env.store("AWS_SECRET_ACCESS_KEY", VALUE);
    env.ctl(["guard", "GITHUB_TOKEN", "AWS_ACCESS_KEY_ID"]).expect(0);
    let template = env.private_file("template", "{{ secret:KEY }}");
    let template = template.to_str().unwrap().to_owned();
    let marker = env.path("ran");
    let marker = marker.to_str().unwrap().to_owned();
    let git = "protocol=https\nhost=github.com\n\n";
    let cases: Vec<(Vec<&str>, &str, i32)> = vec![
        (vec!["get", "KEY"], "", 3),
        (vec!["run", "-s", "KEY", "--", "touch", &marker], "", 125),
        (vec!["run", "--all", "--", "touch", &marker], "", 125),
        (vec!["export", "-s", "KEY"], "", 3),
        (vec!["inject", "-i", &template], "", 3),
        (vec!["set", "KEY"], "changed", 3),
        (vec!["update", "KEY"], "changed", 3),
        (vec!["rename", "KEY", "RENAMED"], "", 3),
        (vec!["rm", "KEY", "--yes"], "", 3),
        (vec!["aws-credentials"], "", 3),
        (vec!["git-credential", "get"], git, 3),
    ];
    let before = env.get("/user/secrets").expect(200);
    for (arguments, input, code) in cases {
        if asks(&env).len() == 4 {
            // All of this is one asker, which has no more of them: a lock ends them.
            env.post("/vault/lock", &Value::Null).expect(200);
            env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
        }
        let start = Instant::now();
        let output = env.ctl(&arguments).stdin(input).run();
        let (out, err) = (output.out(), output.err());
        assert!(!out.contains(VALUE) && !err.contains(VALUE), "{arguments:?}");
        // git asks the next helper, whatever ours ends with.
        if arguments[0] != "git-credential" {
            output.assert_code(code);
            assert!(err.contains("secretctl approve "), "{arguments:?}: {err}");
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{arguments:?}: {:?}", start.elapsed());
    }
    assert_eq!(env.get("/user/secrets").expect(200), before);
    assert!(fs::metadata(&marker).is_err(), "a command ran without its secret");
    assert_eq!(env.get("/approvals/rules").expect(200)["total"], 0);
    let show = env.ctl(["show", "KEY"]).expect(0);
    assert!(show.contains("guarded    a person decides"), "{show}");
    assert_eq!(env.ctl(["show", "KEY", "--json"]).run().json()["guarded"], true);
}

#[test]
fn a_session_is_asked_for_once_in_its_terminal_and_in_no_other() {
    let env = guarded();
    let client = env.programs().client;
    let mut shell = Terminal::run(&env, &["sh"]);
    let get = |mark: &str| format!("'{client}' get KEY --show; echo {mark}:$?\r");
    shell.type_keys(&get("first"));
    shell.wait_for("KEY is guarded. Reveal it to ");
    shell.wait_for("token owner");
    shell.wait_for("[no]: ");
    shell.type_keys("s\r");
    shell.wait_for("passphrase: ");
    assert!(!shell.echoes());
    shell.type_keys("wrong\r");
    shell.wait_for("wrong passphrase, try again");
    shell.wait_for("passphrase: ");
    shell.type_keys(&format!("{PASSPHRASE}\r"));
    shell.wait_for(VALUE);
    shell.wait_for("first:0");
    // A script in the same terminal, and a tool in a session of its own, are the same session.
    shell.type_keys(&get("again"));
    shell.wait_for(VALUE);
    shell.wait_for("again:0");
    shell.type_keys(&format!("setsid --wait '{client}' get KEY | wc -c; echo detached\r"));
    shell.wait_for("30");
    shell.wait_for("detached");
    assert!(!shell.shown().contains(PASSPHRASE), "{}", shell.shown());
    // Another terminal asks; enter alone is no, and then it is quiet for a minute.
    let mut other = Terminal::run(&env, &["sh"]);
    other.type_keys(&get("other"));
    other.wait_for("[no]: ");
    other.type_keys("\r");
    other.wait_for("other:5");
    other.type_keys(&get("quiet"));
    other.wait_for("quiet:5");
    assert!(!other.shown().contains(VALUE), "{}", other.shown());
    // A program without a terminal asks, too.
    env.ctl(["get", "KEY"]).expect(3);
}

/// An agent that starts each of its tools in a session of its own, as Python's `start_new_session` and Node's `detached` do.
const AGENT: &str = r#"
import subprocess, sys
client = sys.argv[1]
run = ["run", "-s", "KEY", "--"]
for turn in range(3):
    for tool in ([*run, "printenv", "KEY"], [*run, "env"], ["get", "KEY"]):
        done = subprocess.run([client, *tool], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
        print(f"tool-{done.returncode}-{b'guarded-value' in done.stdout}", flush=True)
"#;

/// What its tools ask is one session's, so that it is asked once for each program and not once for each start of it.
#[test]
fn an_agent_whose_tools_have_sessions_of_their_own_is_asked_once_a_program() {
    let env = guarded();
    let answered = Mutex::new(Vec::new());
    let answer = |ask: &Value| {
        decide(&env, &ask["id"], json!({ "decision": "allow", "scope": "session" }));
        answered.lock().unwrap().push(ask.clone());
    };
    watched(&env, answer, || {
        let mut agent = Terminal::run(&env, &["python3", "-c", AGENT, env.programs().client]);
        (0..9).for_each(|_| agent.wait_for("tool-0-True"));
    });
    let answered = answered.into_inner().unwrap();
    let commands: Vec<&Value> = answered.iter().map(|ask| &ask["client"]["command"]).collect();
    assert_eq!(answered.len(), 3, "{commands:?}");
    let sessions: Vec<&Value> = answered.iter().map(|ask| &ask["client"]["session"]).collect();
    assert!(sessions.iter().all(|session| !session.is_null() && *session == sessions[0]), "{sessions:?}");
    assert_eq!(asks(&env), [] as [Value; 0]);
}

/// An agent that starts each of its tools on a terminal of the tool's own, and reads what is shown there.
const TERMINALS: &str = r#"
import os, pty, sys
client = sys.argv[1]
for turn in range(3):
    for tool in (["run", "-s", "KEY", "--", "printenv", "KEY"], ["get", "KEY", "--show"]):
        pid, master = pty.fork()
        if pid == 0:
            os.execv(client, [client, *tool])
        shown = b""
        try:
            while more := os.read(master, 65536):
                shown += more
        except OSError:
            pass
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        asked = b"KEY is guarded" in shown
        print(f"tool-{code}-{b'guarded-value' in shown}-asked-{asked}-{b'allowed elsewhere' in shown}", flush=True)
"#;

/// The question stands on the tool's own terminal, where the agent is; the session is that of the agent's terminal, so that
/// a person who answers elsewhere is asked once for each program, and the tools' next terminals ask nobody.
#[test]
fn an_agent_whose_tools_have_terminals_of_their_own_is_asked_once_a_program() {
    let env = guarded();
    let answered = Mutex::new(Vec::new());
    let answer = |ask: &Value| {
        decide(&env, &ask["id"], json!({ "decision": "allow", "scope": "session" }));
        answered.lock().unwrap().push(ask.clone());
    };
    watched(&env, answer, || {
        let mut agent = Terminal::run(&env, &["python3", "-c", TERMINALS, env.programs().client]);
        (0..2).for_each(|_| agent.wait_for("tool-0-True-asked-True-True"));
        (0..4).for_each(|_| agent.wait_for("tool-0-True-asked-False-False"));
        let shown = agent.shown();
        assert!(!shown.contains("KEY is guarded"), "the agent's own terminal was asked on: {shown}");
        agent.wait();
    });
    let answered = answered.into_inner().unwrap();
    let sessions: Vec<&Value> = answered.iter().map(|ask| &ask["client"]["session"]).collect();
    assert_eq!(answered.len(), 2, "{sessions:?}");
    assert!(
        sessions.iter().all(|session| session["leader"] == "python3" && *session == sessions[0]),
        "{sessions:?}"
    );
    // Another terminal, which has started none of them, is none of theirs.
    let mut other = Terminal::ctl(&env, &["get", "KEY", "--show"]);
    other.wait_for("[no]: ");
}

/// An answer at a shell's own prompt reaches all that the shell runs, and a name says nothing of the file: both are told.
#[test]
fn a_question_says_how_far_an_answer_reaches_and_which_file_asks() {
    let env = guarded();
    let client = env.programs().client;
    let mut shell = Terminal::run(&env, &["sh"]);
    shell.type_keys(&format!("'{client}' get KEY --show; echo ended:$?\r"));
    shell.wait_for("session is for whatever ");
    shell.wait_for(" runs in pts/");
    shell.wait_for("[no]: ");
    shell.type_keys("\r");
    shell.wait_for("ended:5");
    // Not the system's, but one that calls itself the same; and what is no shell has no such line.
    let npm = env.path("npm");
    fs::copy("/bin/true", &npm).unwrap();
    let mut shell = Terminal::run(&env, &["sh"]);
    shell.type_keys(&format!("'{client}' run -s KEY -- '{}'; echo ended:$?\r", npm.display()));
    shell.wait_for("npm is ");
    shell.wait_for("[no]: ");
    let lies = npm.parent().unwrap().file_name().unwrap().to_str().unwrap();
    assert!(shell.shown().replace("\r\n    ", "").contains(&format!("{lies}/npm")), "{}", shell.shown());
    shell.type_keys("\x03");
    shell.wait_until("at3last", "echo at$((2+1))last\r");
}

/// Four open asks of one asker are all: then nobody can be asked, which is what the exit code says.
#[test]
fn where_too_much_waits_nobody_could_be_asked() {
    let env = guarded();
    for number in 1..=4 {
        env.ctl(["run", "-s", "KEY", "--reason", &format!("r{number}"), "--", "true"]).expect(125);
    }
    assert_eq!(asks(&env).len(), 4);
    let git = "protocol=https\nhost=github.com\n\n";
    env.ctl(["run", "-s", "KEY", "--reason", "r4", "--", "true"]).expect(125);
    for (arguments, input, code) in [
        (vec!["get", "KEY"], "", 3),
        (vec!["export", "-s", "KEY"], "", 3),
        (vec!["set", "KEY"], "changed", 3),
        (vec!["rm", "KEY", "--yes"], "", 3),
        (vec!["run", "-s", "KEY", "--", "true"], "", 125),
        // It has looked for all that is not guarded.
        (vec!["scan", env.path("").to_str().unwrap()], "", 1),
        (vec!["git-credential", "get"], git, 0),
    ] {
        let output = env.ctl(&arguments).stdin(input).run();
        output.assert_code(code);
        if arguments[0] != "git-credential" {
            assert!(output.err().contains("too many asks wait for a person already"), "{}", output.err());
            assert!(output.err().contains("secretctl approve"), "{}", output.err());
        }
    }
    assert_eq!(asks(&env).len(), 4);
}

#[test]
fn a_recovery_key_that_is_typed_is_a_proof_too() {
    let env = Env::unlocked(programs!());
    env.store("KEY", VALUE);
    env.store("OTHER", "other-value-0123456789");
    let made = env.post("/vault/keys", &json!({ "recovery": true })).expect(201);
    let recovery = made["recovery_key"].as_str().unwrap().to_lowercase();
    env.ctl(["guard", "KEY"]).expect(0);
    let list = env.ctl(["list", "--json"]).run().json();
    assert_eq!((&list["secrets"][0]["guarded"], &list["total"]), (&json!(true), &json!(2)));
    assert_eq!(list["secrets"][1].as_object().unwrap().len(), 6, "{list}");
    let client = env.programs().client;
    let mut shell = Terminal::run(&env, &["sh"]);
    shell.type_keys(&format!("'{client}' get KEY --show; echo ended:$?\r"));
    shell.wait_for("[no]: ");
    shell.type_keys("once\r");
    shell.wait_for("passphrase: ");
    // The form of one, and none of this vault: it is a passphrase as well, and wrong.
    shell.type_keys(&format!("{}\r", ["m0p6"; 14].join(" ")));
    shell.wait_for("wrong passphrase, try again");
    shell.wait_for("passphrase: ");
    shell.type_keys(&format!("{recovery}\r"));
    shell.wait_for(VALUE);
    shell.wait_for("ended:0");
    assert!(!shell.shown().contains(&recovery), "{}", shell.shown());
    for arguments in
        [&["rules", "allow", "KEY", "--program", "/usr/bin/curl"][..], &["guard", "KEY", "--off"][..]]
    {
        let mut terminal = Terminal::ctl(&env, arguments);
        terminal.wait_for("passphrase: ");
        terminal.type_keys(&format!("{recovery}\r"));
        terminal.expect(0, "KEY");
    }
    assert_eq!(env.value("KEY"), VALUE);
}

/// A passphrase that has the form of a recovery key is one all the same.
#[test]
fn a_passphrase_like_a_recovery_key_is_taken() {
    let env = guarded();
    let odd = ["four"; 14].join(" ").replace('u', "v");
    let mut terminal = Terminal::ctl(&env, &["passwd"]);
    terminal.wait_for("present passphrase: ");
    terminal.type_keys(&format!("{PASSPHRASE}\r"));
    for question in ["new passphrase: ", "repeat it: "] {
        terminal.wait_for(question);
        terminal.type_keys(&format!("{odd}\r"));
    }
    terminal.expect(0, "");
    let mut terminal = Terminal::ctl(&env, &["guard", "KEY", "--off"]);
    terminal.wait_for("passphrase: ");
    terminal.type_keys(&format!("{odd}\r"));
    terminal.expect(0, "KEY is not guarded any more");
}

/// Another process of the same terminal that has asked the same before is not served by the answer to this one.
#[test]
fn once_is_for_the_process_at_whose_terminal_it_is_answered() {
    let env = guarded();
    let client = env.programs().client;
    let mut shell = Terminal::run(&env, &["sh"]);
    let detached = |mark: &str| format!("setsid --wait '{client}' get KEY > {mark}-out; echo {mark}:$?\r");
    shell.type_keys(&detached("first"));
    shell.wait_for("first:3");
    let first = asks(&env).remove(0);
    shell.type_keys(&format!("'{client}' get KEY --show; echo own:$?\r"));
    shell.wait_for("2 processes ask the same, 2 times; once is for process ");
    shell.wait_for("[no]: ");
    let open = asks(&env);
    assert_eq!((open.len(), &open[0]["id"], &open[0]["processes"]), (1, &first["id"], &json!(2)));
    // An approver elsewhere is shown the first, and this terminal its own.
    assert_eq!(open[0]["client"]["pid"], first["client"]["pid"]);
    let pid = first["client"]["pid"].to_string();
    assert!(!shell.shown().contains(&format!("for process {pid} alone")), "{}", shell.shown());
    shell.type_keys("once\r");
    shell.wait_for("passphrase: ");
    shell.type_keys(&format!("{PASSPHRASE}\r"));
    shell.wait_for(VALUE);
    shell.wait_for("own:0");
    shell.type_keys(&detached("again"));
    shell.wait_for("again:3");
}

#[test]
fn a_question_leaves_no_key_to_the_shell() {
    let env = guarded();
    let client = env.programs().client;
    let mut shell = Terminal::run(&env, &["sh"]);
    shell.type_keys(&format!("PS1=; '{client}' get KEY --show; echo ended:$?\r"));
    shell.wait_for("[no]: ");
    shell.type_keys("once\r");
    shell.wait_for("passphrase: ");
    shell.resize(30, 60);
    shell.type_keys("canary-one\rcanary-two\r");
    shell.wait_for("ended:1");
    shell.type_keys("echo at$((1+1))last\r");
    shell.wait_for("at2last");
    assert!(!shell.shown().contains("canary"), "{}", shell.shown());
    assert!(shell.echoes());
    shell.type_keys(&format!("'{client}' get KEY --show; echo ended:$?\r"));
    shell.wait_for("[no]: ");
    shell.type_keys("\x03");
    shell.wait_until("at3last", "echo at$((2+1))last\r");
    assert!(!shell.shown().contains(VALUE), "{}", shell.shown());
    assert_eq!(asks(&env).len(), 1, "to break off decides nothing");
    // What was typed before there was a question is no answer to it.
    assert!(env.command("mkfifo").arg("home/fifo").status().unwrap().success());
    shell.type_keys(&format!("read x < home/fifo; '{client}' get KEY --show; echo ended:$?\r"));
    shell.wait_for("ended:$?");
    shell.type_keys("never\r");
    fs::write(env.path("home/fifo"), "\n").unwrap();
    shell.wait_for("[no]: ");
    // Of two lines that are pasted here the first is the answer, and the shell gets no second.
    shell.type_keys("no\recho at$((3+1))last\r");
    shell.wait_for("ended:5");
    shell.wait_until("at5last", "echo at$((4+1))last\r");
    // The same where nothing is asked of the daemon in between.
    shell.type_keys(&format!("'{client}' rm --purge KEY; echo ended:$?\r"));
    shell.wait_for("versions? [y/N] ");
    shell.type_keys("n\recho at$((3+1))last\r");
    shell.wait_for("ended:");
    shell.wait_until("at6last", "echo at$((5+1))last\r");
    assert!(!shell.shown().contains("at4last"), "{}", shell.shown());
    assert_eq!(env.get("/approvals/rules").expect(200)["total"], 0);
}

#[test]
fn where_nobody_can_be_asked_somebody_who_waits_answers() {
    let env = guarded();
    let state = env.get("/approvals").expect(200)["changes"].to_string();
    thread::scope(|scope| {
        let approver = scope.spawn(|| {
            let told = env.get(&format!("/approvals?wait=25&after={state}")).expect(200);
            let ask = told["approvals"][0].clone();
            decide(&env, &ask["id"], json!({ "decision": "allow", "scope": "once" }));
            ask
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        while env.get("/approvals").expect(200)["approvers"] != 1 {
            assert!(Instant::now() < deadline, "nobody waits");
            thread::yield_now();
        }
        let output = env.ctl(["run", "-s", "KEY", "--reason", "release", "--", "printenv", "KEY"]).run();
        output.assert_code(0);
        assert_eq!(output.out().trim(), VALUE);
        let ask = approver.join().unwrap();
        assert_eq!((&ask["purpose"], &ask["reason"]), (&json!("run"), &json!("release")));
        let command = ask["client"]["command"].as_str().unwrap();
        assert!(command.ends_with("/printenv"), "{ask}");
        assert_eq!(ask["client"]["by"]["command"], "client");
    });
}

/// An approver, as `approve --watch` is one, that waits for asks and hands each to `seen`, while `work` is done.
fn watched<T>(env: &Env, seen: impl Fn(&Value) + Sync, work: impl FnOnce() -> T) -> T {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let told = env.get("/approvals?wait=1").expect(200);
                told["approvals"].as_array().unwrap().iter().for_each(&seen);
            }
        });
        // Ended before anything can fail, or the scope would wait for the approver.
        let done = catch_unwind(AssertUnwindSafe(|| {
            process::until("somebody waits", || env.get("/approvals").expect(200)["approvers"] == 1);
            work()
        }));
        ended.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|cause| resume_unwind(cause))
    })
}

#[test]
fn an_approver_that_never_answers_is_not_waited_for_without_end() {
    let env = guarded();
    let seen = Mutex::new(BTreeSet::new());
    let see = |ask: &Value| {
        seen.lock().unwrap().insert(ask["id"].to_string());
    };
    watched(&env, see, || {
        for (arguments, code) in [
            (&["get", "KEY", "--wait", "2"][..], 3),
            (&["run", "-s", "KEY", "--wait", "2", "--", "true"], 125),
        ] {
            let start = Instant::now();
            let output = env.ctl(arguments).run();
            output.assert_code(code);
            assert!(output.err().contains("nobody has allowed this"), "{}", output.err());
            // It was waited for, and no longer.
            let took = start.elapsed();
            assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(20), "{took:?}");
        }
    });
    assert_eq!(seen.into_inner().unwrap().len(), 2, "what the approver was shown");
    // It has left no rule, and no minute of peace: who asks again is asked for again.
    assert_eq!(env.get("/approvals/rules").expect(200)["total"], 0);
    assert!(asks(&env).iter().all(|ask| ask["state"] == "pending"), "{:?}", asks(&env));
    process::until("nobody waits any more", || env.get("/approvals").expect(200)["approvers"] == 0);
    env.ctl(["get", "KEY"]).expect(3);
}

/// A program on the session bus that finds the vault locked asks for it to be opened: a person who watches does that there.
#[test]
fn who_watches_opens_the_vault_for_a_program_that_waits() {
    let env = guarded();
    env.post("/vault/lock", &Value::Null).expect(200);
    let mut terminal = Terminal::ctl(&env, &["approve", "--watch"]);
    terminal.wait_for("waiting for what asks");
    let ask = || env.post("/approvals", &json!({ "right": "unlock" })).expect(201)["id"].clone();
    let state =
        |id: &Value| env.get(&format!("/approvals/{}", id.as_str().unwrap())).expect(200)["state"].clone();
    let id = ask();
    terminal.wait_for("the vault is locked. Open the vault for ");
    terminal.wait_for("  open, no [no]: ");
    terminal.type_keys("open\r");
    terminal.wait_for("passphrase: ");
    assert!(!terminal.echoes());
    terminal.type_keys("wrong\r");
    terminal.wait_for("wrong passphrase, try again");
    assert_eq!((env.state().as_str(), state(&id)), ("locked", json!("pending")));
    terminal.wait_for("passphrase: ");
    terminal.type_keys(&format!("{PASSPHRASE}\r"));
    terminal.wait_for("secretctl: allowed ");
    assert_eq!((env.state().as_str(), state(&id)), ("unlocked", json!("allowed")));
    // Enter alone is no here, too.
    env.post("/vault/lock", &Value::Null).expect(200);
    let id = ask();
    terminal.wait_for("  open, no [no]: ");
    terminal.type_keys("\r");
    terminal.wait_for("secretctl: denied ");
    assert_eq!((env.state().as_str(), state(&id)), ("locked", json!("denied")));
}

#[test]
fn asks_are_answered_and_rules_are_made_by_command() {
    let env = guarded();
    env.ctl(["get", "KEY"]).expect(3);
    let id = asks(&env)[0]["id"].as_str().unwrap().to_owned();
    let list = env.ctl(["approve", "--json"]).run().json();
    assert_eq!(list["approvals"][0]["id"], id);
    // Without a terminal nobody can show to be the owner.
    env.ctl(["approve", &id[..4], "--always"]).expect(3);
    env.ctl(["guard", "KEY", "--off"]).expect(3);
    env.ctl(["rules", "allow", "KEY", "--program", "/usr/bin/curl"]).expect(3);
    env.ctl(["rules", "allow", "KEY"]).expect(2);
    env.ctl(["deny", "0000"]).expect(4);
    env.ctl(["deny", "x"]).expect(7);
    let denied = env.ctl(["deny", &id[..4]]).run();
    denied.assert_code(0);
    assert!(denied.err().starts_with("secretctl: denied the reveal of KEY by "), "{}", denied.err());
    env.ctl(["get", "KEY"]).expect(5);
    env.ctl(["deny"]).expect(4);
    let mut terminal =
        Terminal::ctl(&env, &["rules", "allow", "KEY", "--token", "owner", "--program", "/usr/bin/curl"]);
    terminal.wait_for("passphrase: ");
    terminal.type_keys(&format!("{PASSPHRASE}\r"));
    terminal.expect(0, "KEY may be had by token owner, program /usr/bin/curl");
    let rules = env.ctl(["rules"]).expect(0);
    assert!(rules.contains("allow   KEY     reveal  token owner, program /usr/bin/curl"), "{rules}");
    let rule =
        env.ctl(["rules", "KEY", "--json"]).run().json()["rules"][0]["id"].as_str().unwrap().to_owned();
    env.ctl(["rules", "rm", &rule[..4]]).expect(0);
    assert_eq!(env.get("/approvals/rules").expect(200)["total"], 0);
    let mut terminal = Terminal::ctl(&env, &["guard", "KEY", "--off"]);
    terminal.wait_for("passphrase: ");
    terminal.type_keys(&format!("{PASSPHRASE}\r"));
    terminal.expect(0, "KEY is not guarded any more");
    assert_eq!(env.ctl(["get", "KEY"]).expect(0), VALUE);
}

/// A program that asks may call itself what it likes: what is shown of it neither steers a terminal nor turns text around.
#[test]
fn hostile_names_are_safe_where_they_are_shown() {
    let env = guarded();
    let hostile = "a\u{1b}[2J\u{202e}b\u{200b}<b>&\"\n";
    let directory = env.private_dir(hostile);
    let body = json!({ "secrets": ["KEY"], "purpose": "test", "reason": "r\u{202e}s" });
    for said in ["program=/a%1b%5b2J&directory=/%E2%80%AE", "command=/%0a"] {
        let request = Request::new(&env.socket(), "POST", "/api/v1/user/secrets/reveal").bearer(&env.token());
        request
            .header("X-Secretsd-Client", said)
            .json(&body)
            .send()
            .expect_error(403, "approval_required_error");
    }
    for (said, length) in
        [("program=%ff", 0), ("program=/", 64 << 10), ("nothing", 0), ("program=relative", 0)]
    {
        let said = format!("{said}{}", "a".repeat(length));
        let request = Request::new(&env.socket(), "POST", "/api/v1/user/secrets/reveal").bearer(&env.token());
        let answer = request.header("X-Secretsd-Client", &said).json(&body).send();
        assert!([400, 431].contains(&answer.status), "{}", answer.status);
    }
    // A program with such a name, in such a directory, and one that is no text at all. Each tells of itself what the daemon
    // reads: its name, its file and its directory.
    let no_text = env.path(OsStr::from_bytes(b"\xff\xfe\x1b[2J"));
    fs::create_dir(&no_text).unwrap();
    for directory in [&directory, &no_text] {
        let program = directory.join(OsStr::from_bytes(b"\x1b[2J\xe2\x80\xae\n<b>"));
        fs::copy("/usr/bin/curl", &program).unwrap();
        let output = Command::new(&program)
            .args(["-s", "--unix-socket"])
            .arg(env.socket())
            .args([
                "-H",
                &format!("Authorization: Bearer {}", env.token()),
                "-H",
                "Content-Type: application/json",
            ])
            .args(["-d", &body.to_string(), "http://localhost/api/v1/user/secrets/reveal"])
            .current_dir(directory)
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("approval_required_error"), "{output:?}");
    }
    let list = env.ctl(["approve", "--json"]).expect(0);
    let json: Value = serde_json::from_str(&list).unwrap();
    // As text and not as JSON writes it, where a control character would be none any more.
    fn texts(value: &Value) -> Vec<&str> {
        match value {
            Value::String(text) => vec![text],
            Value::Array(all) => all.iter().flat_map(texts).collect(),
            Value::Object(all) => all.values().flat_map(texts).collect(),
            _ => Vec::new(),
        }
    }
    let is_odd = |c: char| c.is_control() || ['\u{202e}', '\u{200b}'].contains(&c);
    let open = json["approvals"].as_array().unwrap();
    let hostile: Vec<&Value> =
        open.iter().filter(|ask| ask["client"]["chain"][0] == "\u{fffd}[2J\u{fffd}\u{fffd}<b>").collect();
    assert_eq!(hostile.len(), 2, "{json}");
    // What cannot be shown as it is is no fact that a rule could name.
    for (ask, fact) in hostile.iter().flat_map(|ask| ["program", "directory"].map(|fact| (ask, fact))) {
        assert_eq!(ask["client"].get(fact), None, "{ask}");
    }
    let log = env.get("/audit").expect(200);
    let callers = log["entries"].as_array().unwrap().iter().map(|entry| &entry["caller"]);
    for told in open.iter().map(|ask| &ask["client"]).chain(callers) {
        assert!(!texts(told).iter().any(|text| text.chars().any(is_odd)), "{told}");
    }
    let mut terminal = Terminal::ctl(&env, &["approve"]);
    terminal.wait_for("[no]: ");
    assert!(!terminal.shown().contains("\u{1b}[2J") && !terminal.shown().contains('\u{202e}'));
}

#[test]
fn a_question_that_is_settled_elsewhere_says_so_and_ends() {
    let env = guarded();
    let client = env.programs().client;
    let open = |line: &str| {
        let mut shell = Terminal::run(&env, &["sh"]);
        shell.type_keys(&format!("PS1=; '{client}' {line}; echo en''ded:$?\r"));
        shell.wait_for("[no]: ");
        shell
    };
    let settle = |decision: Value| {
        let id = asks(&env)[0]["id"].clone();
        match decision["decision"].as_str() {
            Some("allow") => decide(&env, &id, decision),
            _ => {
                let path = format!("/approvals/{}/decision", id.as_str().unwrap());
                env.post(&path, &decision).expect(200);
            }
        }
    };
    let mut shell = open("get KEY --show");
    // A word that is none is not taken, and the words that are there are named.
    shell.type_keys("yes\r");
    shell.wait_for("type one of these words");
    shell.wait_for("[no]: ");
    settle(json!({ "decision": "allow", "scope": "once" }));
    shell.wait_for("\r\nsecretctl: allowed elsewhere\r\n");
    shell.wait_for(VALUE);
    shell.wait_for("ended:0");
    // The same while the passphrase is asked for.
    let mut shell = open("get KEY --show");
    shell.type_keys("once\r");
    shell.wait_for("passphrase: ");
    settle(json!({ "decision": "allow", "scope": "once" }));
    shell.wait_for("\r\nsecretctl: allowed elsewhere\r\n");
    shell.wait_for("ended:0");
    let mut shell = open("get KEY --show");
    env.post("/vault/lock", &Value::Null).expect(200);
    shell.wait_for("the vault was locked meanwhile; nothing was done\r\n");
    shell.wait_for("ended:3");
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    let mut shell = open("get KEY --show");
    // Somebody who answers by command hears of it, too.
    let mut other = open("approve");
    settle(json!({ "decision": "deny" }));
    shell.wait_for("the reveal of KEY was denied elsewhere; nothing was done\r\n");
    shell.wait_for("ended:5");
    other.wait_for("\r\nsecretctl: denied elsewhere\r\n");
    other.wait_for("ended:0");
    // The terminal is as before.
    shell.wait_until("at2last", "echo at$((1+1))last\r");
    assert!(shell.echoes() && !shell.shown().contains(VALUE), "{}", shell.shown());
}
