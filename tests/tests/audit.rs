//! The audit log as people need it: who it was, what was refused and why, and whether the log is as it was written.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use secrets_proto::Timestamp;
use secretsd_tests::connection::Connection;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::http::raw;
use secretsd_tests::process::DEADLINE;
use secretsd_tests::{Answer, Env, harness, process, programs};
use serde_json::{Value, json};

fn entries(env: &Env) -> Vec<Value> {
    let list = env.get("/audit?limit=1000").expect(200);
    list["entries"].as_array().unwrap().clone()
}

/// The entries that say that something was refused for this reason.
fn refused(env: &Env, why: &str) -> Vec<Value> {
    entries(env).into_iter().filter(|entry| entry["refusal"] == why).collect()
}

fn last(env: &Env) -> Value {
    entries(env).pop().unwrap()
}

fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found =
        std::env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.is_file());
    fs::canonicalize(found.unwrap()).unwrap()
}

/// curl's command for storing a secret; the program may go by another name.
fn storing(env: &Env, program: impl AsRef<std::ffi::OsStr>, name: &str) -> Command {
    let mut command = env.command(program);
    command.args(["--silent", "--show-error", "--fail", "--max-time", "20", "--unix-socket"]);
    command.arg(env.socket()).arg("--header").arg(format!("Authorization: Bearer {}", env.token()));
    command.args(["--header", "Content-Type: application/json", "--data"]);
    command.arg(json!({ "name": name, "value": "x" }).to_string());
    command.arg("http://localhost/api/v1/user/secrets");
    command
}

/// Runs it to its end and gives its process id.
#[track_caller]
fn run(mut command: Command) -> u32 {
    let (pid, output) = process::run(&mut command, b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    pid
}

/// A request with a token that nobody has.
fn wrong_token(env: &Env) -> Answer {
    env.anonymous("GET", "/user/secrets").bearer("no-such-token").send()
}

fn unlock(env: &Env, passphrase: &str) -> Answer {
    env.post("/vault/unlock", &json!({ "passphrase": passphrase }))
}

#[test]
fn entries_describe_the_process_that_asked() {
    let env = Env::unlocked(programs!());
    let pid = run(storing(&env, "curl", "BY_CURL"));
    let caller = &last(&env)["caller"];
    assert_eq!((&caller["pid"], &caller["comm"]), (&json!(pid), &json!("curl")));
    assert_eq!(caller["exe"], json!(program("curl")));
    assert_eq!(caller["uid"], rustix::process::geteuid().as_raw());

    let output = env.ctl(["get", "BY_CURL"]).run();
    output.assert_code(0);
    let caller = &last(&env)["caller"];
    assert_eq!((&caller["pid"], &caller["comm"]), (&json!(output.pid), &json!("secretctl")));
    // It is not dumpable, so that only root may look at what it executes.
    if rustix::process::geteuid().is_root() {
        assert_eq!(caller["exe"], json!(fs::canonicalize(programs!().client).unwrap()));
    }
    let table = env.ctl(["audit"]).expect(0);
    assert!(table.contains(&format!("secretctl[{}]", output.pid)), "{table}");
    assert!(table.contains(&format!("curl[{pid}]")), "{table}");
}

#[test]
fn a_unit_is_told_by_the_control_group() {
    let env = Env::unlocked(programs!());
    let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .find(|root| Path::new(root).join("cgroup.procs").exists());
    let name = format!("secretsd-test-{}.scope", std::process::id());
    let Some(group) =
        root.map(|root| Path::new(root).join(&name)).filter(|group| fs::create_dir(group).is_ok())
    else {
        return harness::skip("a_unit_is_told_by_the_control_group", "no control group can be made here");
    };
    let curl = storing(&env, "curl", "A");
    let mut command = env.command("sh");
    command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&group);
    command.arg(curl.get_program()).args(curl.get_args());
    let (_, output) = process::run(&mut command, b"");
    let entry = last(&env);
    fs::remove_dir(&group).unwrap();
    if !output.status.success() {
        return harness::skip("a_unit_is_told_by_the_control_group", "no process can be moved here");
    }
    assert_eq!(entry["caller"]["unit"], json!(name), "{entry}");
}

/// Connects, hands the connection to a child and ends; the child asks once its parent is gone.
const ORPHAN: &str = r#"
import os, socket, sys, time
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
# Served, so that the daemon has accepted it while its process lives.
peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
assert peer.recv(4096).startswith(b"HTTP/1.1 200")
parent = os.getpid()
if os.fork() > 0:
    os._exit(0)
while os.getppid() == parent or os.path.exists(f"/proc/{parent}"):
    time.sleep(0.005)
body = b'{"name":"ORPHAN","value":"x"}'
peer.sendall(b"POST /api/v1/user/secrets HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    + b"Authorization: Bearer " + sys.argv[2].encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
assert peer.recv(4096).startswith(b"HTTP/1.1 201")
"#;

#[test]
fn a_peer_that_has_ended_is_described_by_nothing() {
    let env = Env::unlocked(programs!());
    let mut command = env.command("python3");
    command.args(["-c", ORPHAN]).arg(env.socket()).arg(env.token());
    let pid = run(command);
    let entry = last(&env);
    assert_eq!(entry["names"], json!(["ORPHAN"]));
    let nobody = json!({ "uid": rustix::process::geteuid().as_raw(), "pid": pid, "token": "owner" });
    assert_eq!(entry["caller"], nobody);
}

#[test]
fn a_hostile_name_is_made_safe_to_print() {
    let env = Env::unlocked(programs!());
    let hostile = env.path("x\u{1b}[2J\u{202e}\ny");
    fs::copy(program("curl"), &hostile).unwrap();
    run(storing(&env, &hostile, "A"));
    let caller = &last(&env)["caller"];
    assert_eq!(caller["comm"], "x\u{fffd}[2J\u{fffd}\u{fffd}y");
    assert!(caller["exe"].as_str().unwrap().ends_with("/x\u{fffd}[2J\u{fffd}\u{fffd}y"), "{caller}");
    for output in [env.ctl(["audit"]).expect(0), env.ctl(["audit", "--json"]).expect(0)] {
        assert!(!output.contains(['\u{1b}', '\u{202e}']), "{output:?}");
        assert_eq!(output.lines().filter(|line| line.contains("[2J")).count(), 1, "{output:?}");
    }
}

#[test]
fn refusals_are_in_the_log_with_their_reason() {
    let env = Env::unlocked(programs!());
    env.store("THERE", "x");
    wrong_token(&env).expect_error(401, "authentication_error");
    env.anonymous("GET", "/user/secrets").send().expect_error(401, "authentication_error");
    env.request("GET", "/vault")
        .header("Origin", "http://localhost")
        .send()
        .expect_error(403, "forbidden_error");
    unlock(&env, "wrong").expect_error(403, "wrong_key_error");
    let reveal = json!({ "secrets": ["THERE", "NOT_THERE"], "purpose": "run", "command": "npm" });
    env.post("/user/secrets/reveal", &reveal).expect_error(404, "not_found_error");

    let pid = std::process::id();
    for (why, action, token, names) in [
        ("unknown_token", "access", "", json!(null)),
        ("no_token", "access", "", json!(null)),
        ("browser", "access", "", json!(null)),
        ("wrong_key", "unlock", "owner", json!(null)),
        ("missing", "reveal", "owner", json!(["NOT_THERE", "THERE"])),
    ] {
        let found = refused(&env, why);
        assert_eq!(found.len(), 1, "{why}: {found:?}");
        let entry = &found[0];
        assert_eq!((&entry["action"], &entry["outcome"]), (&json!(action), &json!("denied")), "{entry}");
        assert_eq!(
            (&entry["caller"]["pid"], &entry["caller"]["token"]),
            (&json!(pid), &json!(token)),
            "{entry}"
        );
        assert!(entry["caller"]["comm"].is_string(), "{entry}");
        assert_eq!(entry.get("names").unwrap_or(&Value::Null), &names);
    }
    assert_eq!(refused(&env, "missing")[0]["command"], "npm");
    // Nothing that was sent is kept: the tries could have been another's secrets.
    let log = env.ctl(["audit", "--json"]).expect(0);
    assert!(!log.contains("no-such-token") && !log.contains("wrong\""), "{log}");

    let table = env.ctl(["audit"]).expect(0);
    assert!(table.contains("denied: unknown token") && !table.contains('\u{1b}'), "{table}");
    let coloured = env.ctl(["audit", "--color", "always"]).expect(0);
    let red = coloured.lines().filter(|line| line.starts_with("\u{1b}[31m")).count();
    assert_eq!(red, 5, "{coloured:?}");
    env.ctl(["audit", "--verify"]).expect(0);
}

#[test]
fn another_user_who_gets_through_is_in_the_log() {
    if !rustix::process::geteuid().is_root() {
        return harness::skip(
            "another_user_who_gets_through_is_in_the_log",
            "acting as another user needs root",
        );
    }
    let env = Env::unlocked(programs!());
    for open in [env.path(""), env.path("run"), env.runtime_dir()] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o711)).unwrap();
    }
    fs::set_permissions(env.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let mut command = env.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "curl", "--silent", "--unix-socket"]);
    command.arg(env.socket()).arg("http://localhost/api/v1/vault").current_dir("/");
    let pid = run(command);
    let found = refused(&env, "other_user");
    assert_eq!(found.len(), 1, "{found:?}");
    let caller = &found[0]["caller"];
    assert_eq!((&caller["uid"], &caller["pid"]), (&json!(65_534), &json!(pid)), "{caller}");
    let table = env.ctl(["audit"]).expect(0);
    assert!(table.contains("uid 65534"), "{table}");
}

/// A time of an answer. As texts they have another order, since zeros at the end are left out.
fn time(text: &Value) -> Timestamp {
    Timestamp::parse(text.as_str().unwrap()).unwrap()
}

#[test]
fn what_is_refused_while_locked_is_in_the_log_after_the_next_unlock() {
    let mut env = Env::started(programs!());
    wrong_token(&env).expect_error(401, "authentication_error");
    env.init();
    assert_eq!(refused(&env, "unknown_token").len(), 1, "what came before the vault was made");
    // Not written yet when the lock comes.
    env.anonymous("GET", "/user/secrets").send().expect_error(401, "authentication_error");
    env.request("POST", "/vault/lock").send().expect(200);

    let wrong = unlock(&env, "wrong");
    wrong.expect_error(403, "wrong_key_error");
    env.request("GET", "/vault").header("Sec-Fetch-Site", "none").send().expect_error(403, "forbidden_error");
    // A lock is a new image, and there is nothing that could be written.
    let pid = env.pid();
    for _ in 0..2 {
        env.request("POST", "/vault/lock").send().expect(200);
    }
    assert_eq!(env.pid(), pid);
    unlock(&env, "wrong").expect_error(403, "wrong_key_error");
    unlock(&env, PASSPHRASE).expect(200);

    let log = entries(&env);
    let at =
        |wanted: &dyn Fn(&Value) -> bool| log.iter().position(wanted).unwrap_or_else(|| panic!("{log:#?}"));
    let unlocked = at(&|entry| entry["action"] == "unlock" && entry["outcome"] == "ok");
    let locked = at(&|entry| entry["action"] == "lock");
    let anonymous = at(&|entry| entry["refusal"] == "no_token");
    assert!(anonymous < locked, "{log:#?}");
    let time = |at: usize| time(&log[at]["time"]);
    for (why, count) in [("wrong_key", 2), ("browser", 1)] {
        let at = at(&|entry| entry["refusal"] == why);
        assert!(locked < at && at < unlocked, "{log:#?}");
        assert!(time(locked) < time(at) && time(at) < time(unlocked), "{log:#?}");
        let times: u64 = log.iter().filter(|entry| entry["refusal"] == why).map(times).sum();
        assert_eq!(times, count, "{why}: {log:#?}");
        assert_eq!(log[at]["caller"]["pid"], std::process::id(), "{log:#?}");
    }
    env.get("/audit/verify").expect(200);
    assert!(env.stop().success());
}

#[test]
fn a_refusal_is_written_soon_although_nobody_looks() {
    let mut env = Env::unlocked(programs!());
    wrong_token(&env).expect_error(401, "authentication_error");
    let end = Instant::now() + DEADLINE;
    while !env.log().contains("denials are in the audit log") {
        assert!(Instant::now() < end, "nothing is written; the log:\n{}", env.log());
        thread::sleep(Duration::from_millis(5));
    }
    // What is only in memory is lost with it.
    env.kill();
    env.start();
    unlock(&env, PASSPHRASE).expect(200);
    assert_eq!(refused(&env, "unknown_token").len(), 1);
}

/// How often what an entry says has happened.
fn times(entry: &Value) -> u64 {
    entry["count"].as_u64().unwrap_or(1)
}

#[test]
fn a_flood_of_refusals_is_counted_and_does_not_fill_the_log() {
    const TRIES: u64 = 5_000;
    let env = Env::unlocked(programs!());
    let mut stream = UnixStream::connect(env.socket()).unwrap();
    let request = b"GET /api/v1/vault HTTP/1.1\r\nHost: localhost\r\nX-API-Key: wrong\r\n\r\n";
    // One pipeline from this one process, answered in order.
    let writer = thread::spawn({
        let mut stream = stream.try_clone().unwrap();
        move || {
            for _ in 0..TRIES {
                stream.write_all(request).unwrap();
            }
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
    });
    let mut answers = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut answers).unwrap();
    writer.join().unwrap();
    let served = answers.windows(9).filter(|window| window == b"HTTP/1.1 ").count();
    assert_eq!(u64::try_from(served).unwrap(), TRIES);

    let log = entries(&env);
    let denied: Vec<&Value> = log.iter().filter(|entry| entry["action"] == "access").collect();
    assert_eq!(denied.iter().map(|entry| times(entry)).sum::<u64>(), TRIES, "{denied:#?}");
    // Two kinds, the unknown and the throttled; on a slow machine they are written more than once.
    assert!(denied.len() <= 8, "{denied:#?}");
    let newest = denied.last().unwrap();
    assert!(time(&newest["until"]) >= time(&newest["time"]), "{newest}");
    let table = env.ctl(["audit"]).expect(0);
    assert!(table.contains("too many tries") && table.contains(" times until "), "{table}");
}

#[test]
fn the_log_is_archived_into_a_file_and_goes_on() {
    let mut env = Env::unlocked(programs!());
    env.store("A", "x");
    for _ in 0..1_100 {
        env.post("/user/secrets/reveal", &json!({ "secrets": ["A"], "purpose": "test" })).expect(200);
    }
    let file = env.path("archive.jsonl");
    let archive = |env: &Env| env.ctl(["audit", "archive", file.to_str().unwrap()]).run();
    // Without a place for the file nothing leaves the vault.
    fs::write(&file, "mine").unwrap();
    archive(&env).assert_code(6);
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    assert_eq!(env.get("/audit/verify").expect(200), json!({ "entries": 1_102 }));
    fs::remove_file(&file).unwrap();
    archive(&env).assert_code(0);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = fs::read_to_string(&file).unwrap();
    let archived: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(archived.iter().map(|entry| entry["sequence"].as_u64().unwrap()).eq(1..=1_102));
    assert_eq!(env.get("/audit/verify").expect(200), json!({ "entries": 1, "first": 1_103 }));
    assert_eq!(last(&env)["action"], "audit_archive");
    let output = env.ctl(["audit", "--verify"]).run();
    assert!(output.err().contains("from number 1103 on"), "{}", output.err());
    // The oldest that is left is chained on what was archived.
    env.stop();
    let vault = rusqlite::Connection::open(env.data_dir().join("vault.db")).unwrap();
    vault.execute("UPDATE audit SET mac = zeroblob(32) WHERE sequence = 1103", []).unwrap();
    drop(vault);
    env.start();
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE }));
    assert_eq!(env.get("/audit/verify").status, 500);
}

/// A lock in the middle: what has left by then is said in the log, and the file that has it is kept.
#[test]
fn archiving_that_is_cut_short_is_in_the_log_and_the_file_is_kept() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    for _ in 0..1_500 {
        env.post("/user/secrets/reveal", &json!({ "secrets": ["A"], "purpose": "test" })).expect(200);
    }
    let file = env.path("archive.jsonl");
    let output = thread::scope(|scope| {
        let archive = scope.spawn(|| env.ctl(["audit", "archive", file.to_str().unwrap()]).run());
        let has_begun = || env.get("/audit/verify").json().get("first").is_some();
        while !has_begun() && !archive.is_finished() {}
        env.post("/vault/lock", &json!({})).expect(200);
        archive.join().unwrap()
    });
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    let first = env.get("/audit/verify").expect(200)["first"].as_u64().unwrap();
    assert!(first > 1);
    let log = env.get("/audit?limit=1000").expect(200);
    let said = log["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "audit_archive");
    assert_eq!(said.count(), 1, "entries have left in silence");
    let lines = fs::read_to_string(&file).unwrap();
    assert!(lines.lines().count() as u64 >= first - 1, "the file lacks what has left");
    if output.code != Some(0) {
        assert!(output.err().contains("the file is complete, keep it"), "{}", output.err());
    }
}

#[test]
fn verification_names_the_first_entry_that_was_edited() {
    let mut env = Env::unlocked(programs!());
    for index in 0..10 {
        env.store(&format!("S{index}"), "x");
    }
    assert_eq!(env.get("/audit/verify").expect(200), json!({ "entries": 11 }));
    let output = env.ctl(["audit", "--verify"]).run();
    output.assert_code(0);
    assert!(output.err().contains("none of the 11 entries was changed"), "{}", output.err());
    assert_eq!(env.ctl(["audit", "--verify", "--json"]).run().json(), json!({ "entries": 11 }));
    env.stop();
    let (vault, anchor) = (env.data_dir().join("vault.db"), env.state_dir().join("anchor"));
    let (good, guard) = (fs::read(&vault).unwrap(), fs::read(&anchor).unwrap());
    for (sql, what) in [
        (
            "UPDATE audit SET sealed = zeroblob(length(sealed)) WHERE sequence IN (4, 9)",
            "entry 4: it or its place in the chain was changed",
        ),
        (
            "UPDATE audit SET mac = zeroblob(32) WHERE sequence = 7",
            "entry 7: it or its place in the chain was changed",
        ),
        ("UPDATE audit SET sequence = 0 WHERE sequence = 5", "entry 0: it was added"),
        (
            "UPDATE audit SET sequence = 99 WHERE sequence = 6; UPDATE audit SET sequence = 6 WHERE sequence = 5; UPDATE audit SET sequence = 5 WHERE sequence = 99",
            "entry 5: it or its place in the chain was changed",
        ),
    ] {
        fs::remove_file(env.data_dir().join("vault.db-wal")).ok();
        fs::write(&vault, &good).unwrap();
        fs::write(&anchor, &guard).unwrap();
        let database = rusqlite::Connection::open(&vault).unwrap();
        database.execute_batch(sql).unwrap();
        database.close().unwrap();
        env.start();
        unlock(&env, PASSPHRASE).expect(200);
        let answer = env.get("/audit/verify").expect_error(500, "vault_corrupt_error");
        assert!(answer["detail"].as_str().unwrap().contains(what), "{sql}: {answer}");
        let output = env.ctl(["audit", "--verify"]).run();
        output.assert_code(9);
        assert!(output.err().contains(what), "{sql}: {}", output.err());
        env.post("/vault/verify", &json!({})).expect_error(500, "vault_corrupt_error");
        env.kill();
    }
}

#[test]
fn the_log_is_read_in_pages() {
    let env = Env::unlocked(programs!());
    let mut connection = Connection::open(&env);
    for index in 0..30 {
        let body = json!({ "name": format!("S{}", index % 3), "value": "x" });
        connection.exchange("POST", "/user/secrets", Some(&body)).unwrap();
        let reveal = json!({ "secrets": [format!("S{}", index % 3)], "purpose": "run" });
        connection.ask("POST", "/user/secrets/reveal", Some(&reveal)).expect(200);
    }
    let page = |query: &str| {
        let list = env.get(&format!("/audit?{query}")).expect(200);
        let numbers =
            list["entries"].as_array().unwrap().iter().map(|entry| entry["sequence"].as_u64().unwrap());
        (numbers.collect::<Vec<_>>(), list["more"].as_bool().unwrap())
    };
    let (all, more) = page("limit=1000");
    assert_eq!((all.len(), more), (34, false));
    let (mut pages, mut before) = (Vec::new(), String::new());
    loop {
        let (numbers, more) = page(&format!("limit=10{before}"));
        before = format!("&before={}", numbers[0]);
        pages = [numbers, pages].concat();
        if !more {
            break;
        }
    }
    assert_eq!(pages, all);
    let (named, _) = page("limit=5&name=S1&before=30");
    assert!(named.len() == 5 && named.is_sorted() && named[4] < 30, "{named:?}");
    assert_eq!(page("before=1"), (vec![], false));
    assert_eq!(page("before=999&limit=1"), (vec![34], true));
    assert_eq!(page("since=2100-01-01T00:00:00Z"), (vec![], false));
    assert_eq!(page("limit=1000&since=2000-01-01T00:00:00Z").0, all);
    for (query, field) in [("before=0", "before"), ("before=-1", "before"), ("before=x", "before")] {
        env.get(&format!("/audit?{query}")).expect_invalid(&json!(["query", field]), "int_parsing");
    }
    for query in ["limit=0", "limit=1001"] {
        env.get(&format!("/audit?{query}")).expect_invalid(&json!(["query", "limit"]), "int_parsing");
    }
    env.get("/audit/verify?limit=1").expect_error(422, "validation_error");
}

#[test]
fn when_a_secret_was_last_used_is_told_everywhere() {
    let env = Env::unlocked(programs!());
    let id = env.store("A", "x")["id"].as_str().unwrap().to_owned();
    let used = || {
        let one = env.get(&format!("/user/secrets/{id}?view=full")).expect(200)["last_used_at"].clone();
        let list = env.get("/user/secrets?view=full").expect(200);
        assert_eq!(list["secrets"][0]["last_used_at"], one);
        one
    };
    assert_eq!(used(), Value::Null);
    let before = env.store("CLOCK", "x")["created_at"].as_str().unwrap().to_owned();
    assert_eq!(env.value("A"), "x");
    let first = used().as_str().unwrap().to_owned();
    assert!(first >= before, "{first} {before}");
    for _ in 0..3 {
        env.ctl(["get", "A"]).expect(0);
    }
    let shown = env.ctl(["show", "A", "--json"]).run().json();
    let last = used();
    assert_eq!(shown["last_used_at"], last);
    assert!(last.as_str().unwrap() >= first.as_str());
    assert!(env.ctl(["show", "A"]).expect(0).contains(last.as_str().unwrap()));
    // A refusal is no use.
    let missing = json!({ "secrets": ["CLOCK", "NONE"], "purpose": "run" });
    env.post("/user/secrets/reveal", &missing).expect_error(404, "not_found_error");
    let list = env.get("/user/secrets?name=CLOCK&view=full").expect(200);
    assert_eq!(list["secrets"][0]["last_used_at"], Value::Null);
}

#[test]
fn a_key_in_the_place_of_another_is_called_so() {
    let env = Env::unlocked(programs!());
    let keys = env.get("/vault/keys").expect(200);
    let old = keys["keys"].as_array().unwrap().iter().find(|key| key["kind"] == "passphrase").unwrap()["id"]
        .clone();
    env.post("/vault/keys", &json!({ "passphrase": "another one", "replaces": old })).expect(201);
    assert_eq!(last(&env)["action"], "key_replace");
    env.post("/vault/keys", &json!({ "passphrase": "and one more" })).expect(201);
    assert_eq!(last(&env)["action"], "key_add");
}

#[test]
fn a_request_that_is_no_http_leaves_the_log_alone() {
    let env = Env::unlocked(programs!());
    let before = entries(&env).len();
    raw(&env.socket(), b"GET /api/v1/vault HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", DEADLINE);
    assert_eq!(entries(&env).len(), before);
}
