//! What systemd's service managers load from the credentials socket: the whole value, or a refusal that fails the unit;
//! never nothing, and never a part.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::activation::activated;
use secretsd_tests::env::{CHEAP_KDF, Env, PASSPHRASE};
use secretsd_tests::harness::{behind, no_strace, skip, strace};
use secretsd_tests::unit::{self, REFUSAL, Unit, assert_refused};
use secretsd_tests::{process, programs};
use serde_json::{Value, json};

/// A group of this unit's name, unless this machine has none; then it prints that.
macro_rules! unit {
    ($($name:expr),+) => {
        match Unit::new($($name),+) {
            Ok(unit) => unit,
            Err(reason) => return skip(module_path!(), &reason),
        }
    };
}

fn allow(env: &Env, unit: &str, names: &[&str]) -> Value {
    env.post("/credentials", &json!({ "unit": unit, "secrets": names })).expect(200)
}

/// What the audit log has about loading, oldest first. Refusals are written a little later than they happen.
fn loads(env: &Env) -> Vec<Value> {
    let entries = env.get("/audit?limit=1000").expect(200)["entries"].as_array().unwrap().clone();
    entries
        .iter()
        .filter(|entry| entry["action"] == "credential_load")
        .map(|entry| load(entry["refusal"].as_str(), entry["command"].as_str(), entry["names"].as_array()))
        .collect()
}

/// What an entry about loading says: why it was refused if it was, the unit, and the names.
fn load(refusal: Option<&str>, unit: Option<&str>, names: Option<&Vec<Value>>) -> Value {
    json!([refusal, unit, names.cloned().unwrap_or_default()])
}

#[track_caller]
fn assert_noted(env: &Env, refusal: &str, unit: Option<&str>, name: Option<&str>) {
    let wanted = load(Some(refusal), unit, Some(&name.into_iter().map(Value::from).collect()));
    let end = Instant::now() + process::DEADLINE;
    while !loads(env).contains(&wanted) {
        assert!(Instant::now() < end, "{wanted:?} is not among {:?}", loads(env));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_granted_unit_gets_the_whole_value_byte_for_byte() {
    let (env, unit) = (Env::unlocked(programs!()), unit!("web.service"));
    assert_eq!(fs::metadata(env.credentials()).unwrap().permissions().mode() & 0o777, 0o600);
    let exact: String = ('\u{1}'..='\u{ff}').chain(['\r', '\n', '\u{feff}', '\u{10ffff}', '\n']).collect();
    let largest = "0123456789abcdef".repeat(4_096);
    for (name, value) in [("EXACT", exact.as_str()), ("ONE", "x"), ("LARGEST", &largest), ("LINE", "a\n")] {
        env.store(name, value);
        allow(&env, "web.service", &[name]);
        assert_eq!(unit.load(&env.credentials(), name), value.as_bytes(), "{name}");
        // A credential may have any name that is the secret's: those have no case.
        assert_eq!(unit.load(&env.credentials(), &name.to_lowercase()), value.as_bytes(), "{name}");
    }
    let noted = loads(&env);
    assert_eq!(noted.len(), 8, "{noted:?}");
    assert_eq!(noted[0], load(None, Some("web.service"), Some(&vec!["EXACT".into()])));
    let entries = env.get("/audit?limit=1000").expect(200)["entries"].as_array().unwrap().clone();
    let caller = &entries.iter().find(|entry| entry["action"] == "credential_load").unwrap()["caller"];
    assert_eq!((&caller["unit"], &caller["token"]), (&json!("web.service"), &json!("credential")));
    assert!(env.get("/user/secrets?view=full").expect(200)["secrets"][0]["last_used_at"].is_string());
    assert!(!env.log().contains("0123456789abcdef"));
}

#[test]
fn what_is_not_granted_any_more_or_not_there_is_refused() {
    let (env, web) = (Env::unlocked(programs!()), unit!("web.service"));
    let (other, socket) = (unit!("other.service"), env.credentials());
    env.store("A", "value-of-a");
    env.store("B", "value-of-b");
    assert_refused(&web.load(&socket, "A"));
    assert_noted(&env, "not_granted", Some("web.service"), Some("A"));
    allow(&env, "web.service", &["A", "B"]);
    assert_eq!(web.load(&socket, "A"), b"value-of-a");
    assert_refused(&other.load(&socket, "A"));
    assert_noted(&env, "not_granted", Some("other.service"), Some("A"));
    assert_refused(&web.load(&socket, "C"));
    assert_refused(&web.load(&socket, "no.secret's name"));
    assert_noted(&env, "missing", Some("web.service"), None);

    let secrets = env.get("/user/secrets").expect(200)["secrets"].clone();
    let id = secrets[1]["id"].as_str().unwrap().to_owned();
    assert_eq!(env.request("DELETE", &format!("/user/secrets/{id}")).send().status, 204);
    assert_refused(&web.load(&socket, "B"));
    assert_noted(&env, "missing", Some("web.service"), Some("B"));

    assert_eq!(env.request("DELETE", "/credentials?unit=web.service&name=A").send().status, 204);
    assert_refused(&web.load(&socket, "A"));
    allow(&env, "web.service", &["A"]);
    assert_eq!(web.load(&socket, "A"), b"value-of-a");
    assert_eq!(env.request("DELETE", "/credentials?unit=web.service").send().status, 204);
    assert_refused(&web.load(&socket, "A"));
}

#[test]
fn a_locked_vault_refuses_and_the_socket_outlives_the_lock() {
    let (env, web) = (Env::started(programs!()), unit!("web.service"));
    let socket = env.credentials();
    assert_refused(&web.load(&socket, "A"));
    env.init();
    env.store("A", "value-of-a");
    allow(&env, "web.service", &["A"]);
    for _ in 0..2 {
        env.post("/vault/lock", &json!({})).expect(200);
        assert_refused(&web.load(&socket, "A"));
        assert!(env.log().contains("the vault is locked"), "{}", env.log());
        env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
        assert_eq!(web.load(&socket, "A"), b"value-of-a");
    }
    // The name is for the vault alone, and does not outlive the lock outside it.
    assert_noted(&env, "locked", Some("web.service"), Some("A"));
}

#[test]
fn an_address_alone_is_not_enough() {
    let (env, web) = (Env::unlocked(programs!()), unit!("web.service"));
    let socket = env.credentials();
    env.store("A", "value-of-a");
    allow(&env, "web.service", &["A"]);
    // No unit at all, another unit, a group within another unit, a unit of a similar name.
    assert_refused(&unit::ask(&socket, &unit::address("web.service", "A")));
    assert_noted(&env, "other_unit", Some("web.service"), Some("A"));
    for other in [
        Unit::new("other.service").unwrap(),
        Unit::inside("other.service", "web.service").unwrap(),
        Unit::new("web.service.d").unwrap(),
        Unit::new("a-web.service").unwrap(),
        Unit::new("web.scope").unwrap(),
    ] {
        assert_refused(&other.ask(&socket, &unit::address("web.service", "A")));
    }
    // A part of the unit is the unit: systemd makes such groups for units that manage their own.
    let part = Unit::inside("web.service", ".control").unwrap();
    assert_eq!(part.ask(&socket, &unit::address("web.service", "A")), b"value-of-a");
    assert_eq!(web.load(&socket, "A"), b"value-of-a");
}

#[test]
fn who_is_no_service_manager_is_refused() {
    let (env, web) = (Env::unlocked(programs!()), unit!("web.service"));
    env.store("A", "value-of-a");
    allow(&env, "web.service", &["A"]);
    let own = std::process::id();
    for (number, address) in [
        "",
        "x",
        "/unit/web.service/A",
        "g/unit/web.service/A",
        "12345678901234567/unit/web.service/A",
        "1/unit/web.service",
        "1/unit/web.service/",
        "1/unit/web.service/A/A",
        "1/unit/web@.service/A",
        "1/unit/web.service/A\u{fffd}",
        "1/UNIT/web.service/A",
        "1/unit/../web.service/A",
    ]
    .iter()
    .enumerate()
    {
        // Two tests that run at once must not bind the same address.
        let address = address.replacen('1', &format!("{own:x}{number:x}"), 1);
        assert_refused(&web.ask(&env.credentials(), &address));
    }
    assert_noted(&env, "no_unit", None, None);
    assert_eq!(web.load(&env.credentials(), "A"), b"value-of-a");
}

#[test]
fn a_template_stands_for_its_instances() {
    let (env, socket) = (Env::unlocked(programs!()), |env: &Env| env.credentials());
    let (one, two) = (unit!("worker@one.service"), unit!("worker@two.service"));
    let plain = unit!("worker.service");
    env.store("A", "value-of-a");
    env.store("B", "value-of-b");
    allow(&env, "worker@.service", &["A"]);
    allow(&env, "worker@one.service", &["B"]);
    assert_eq!(one.load(&socket(&env), "A"), b"value-of-a");
    assert_eq!(one.load(&socket(&env), "B"), b"value-of-b");
    assert_eq!(two.load(&socket(&env), "A"), b"value-of-a");
    assert_refused(&two.load(&socket(&env), "B"));
    assert_refused(&plain.load(&socket(&env), "A"));
    let escaped = unit!(r"worker@a\x2db.service");
    assert_eq!(escaped.load(&socket(&env), "A"), b"value-of-a");
}

#[test]
fn many_at_once_are_served_and_a_flood_keeps_nobody_out() {
    let (env, web) = (Env::unlocked(programs!()), unit!("web.service"));
    let value = "v".repeat(65_536);
    env.store("A", &value);
    allow(&env, "web.service", &["A"]);
    let all: Vec<_> = (0..16)
        .map(|_| web.start(&unit::asker(&env.credentials(), &unit::address("web.service", "A"))))
        .collect();
    for child in all {
        assert_eq!(unit::finish(child), value.as_bytes());
    }
    // Connections that are refused and never read: more than there are seats.
    let mut flood = Command::new("python3");
    flood.args(["-c", FLOOD]).arg(env.credentials()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut flood = flood.spawn().unwrap();
    let mut line = [0; 6];
    std::io::Read::read_exact(flood.stdout.as_mut().unwrap(), &mut line).unwrap();
    assert_eq!(&line, b"ready\n");
    let began = Instant::now();
    assert_eq!(web.load(&env.credentials(), "A"), value.as_bytes());
    let took = began.elapsed();
    drop(flood.stdin.take());
    process::wait(&mut flood, process::DEADLINE);
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    assert_eq!(env.get("/vault").status, 200);
}

const FLOOD: &str = "
import socket, sys
held = []
for _ in range(300):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(sys.argv[1])
    held.append(connection)
print('ready', flush=True)
sys.stdin.read()
";

/// Asks without end until told to stop; what came must have been whole, too much, or no answer at all but an error.
fn hammer(env: &Env, unit: &Unit, value: &str, done: &AtomicBool) -> HashSet<String> {
    let mut seen = HashSet::new();
    while !done.load(Ordering::Relaxed) {
        let child = unit.start(&unit::asker(&env.credentials(), &unit::address("web.service", "A")));
        let outcome = match unit::attempt(child) {
            Ok(bytes) if bytes == value.as_bytes() => "value".to_owned(),
            // One that a lock interrupts is refused again, from the start.
            Ok(bytes) if bytes.len() >= REFUSAL && bytes.iter().all(|byte| *byte == 0) => {
                "refusal".to_owned()
            }
            Ok(bytes) => panic!("{} bytes came, which are neither the value nor a refusal", bytes.len()),
            Err(error) => error,
        };
        seen.insert(outcome);
    }
    seen
}

#[test]
fn no_lock_and_no_stop_hands_out_nothing_or_a_part() {
    let (mut env, web) = (Env::new(programs!()), unit!("web.service"));
    let key = env.private_file("key", [7; 32]);
    env.start();
    env.post("/vault/init", &json!({ "key_file": key })).expect(201);
    let value = "w".repeat(65_536);
    env.store("A", &value);
    allow(&env, "web.service", &["A"]);
    let done = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let hammers: Vec<_> = (0..3).map(|_| scope.spawn(|| hammer(&env, &web, &value, &done))).collect();
        let until = Instant::now() + Duration::from_secs(4);
        while Instant::now() < until {
            env.post("/vault/lock", &json!({})).expect(200);
            thread::sleep(Duration::from_millis(20));
            env.post("/vault/unlock", &json!({ "key_file": key })).expect(200);
            thread::sleep(Duration::from_millis(60));
        }
        process::signal(env.pid(), rustix::process::Signal::TERM);
        assert!(process::wait_gone(env.pid(), process::DEADLINE), "it did not stop");
        done.store(true, Ordering::Relaxed);
        hammers.into_iter().flat_map(|hammer| hammer.join().unwrap()).collect::<HashSet<_>>()
    });
    assert!(seen.contains("value") && seen.contains("refusal"), "{seen:?}");
    for outcome in seen.iter().filter(|outcome| !["value", "refusal"].contains(&outcome.as_str())) {
        assert!(["ECONNREFUSED", "ECONNRESET", "ENOENT"].contains(&outcome.as_str()), "{seen:?}");
    }
    assert!(!env.credentials().exists(), "the socket's file is left behind");
}

#[test]
fn a_socket_that_was_handed_over_is_served_across_locks_and_left_behind() {
    let (mut env, web) = (Env::new(programs!()), unit!("web.service"));
    let directory = env.private_dir("run/secretsd");
    let socket = directory.join("credentials.sock");
    let mut command = activated(&env, &[("credentials", &socket), ("api", &env.socket())]);
    command.args(["--log-level", "debug"]);
    env.start_as(command);
    env.init();
    env.store("A", "value-of-a");
    allow(&env, "web.service", &["A"]);
    for _ in 0..2 {
        assert_eq!(web.load(&socket, "A"), b"value-of-a");
        env.post("/vault/lock", &json!({})).expect(200);
        assert_refused(&web.load(&socket, "A"));
        env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    }
    assert!(env.stop().success(), "{}", env.log());
    assert!(socket.exists(), "the socket's file is not the daemon's to remove");
}

#[test]
fn the_socket_can_be_turned_off() {
    let (mut env, web) = (Env::new(programs!()), unit!("web.service"));
    env.settings(&format!("{CHEAP_KDF}\n[credentials]\nsocket = false\n"));
    env.start();
    assert!(!env.credentials().exists());
    env.stop();
    // One that systemd hands over all the same must not leave units waiting.
    fs::remove_dir_all(env.runtime_dir()).unwrap();
    let directory = env.private_dir("run/secretsd");
    let socket = directory.join("credentials.sock");
    env.start_as(activated(&env, &[("credentials", &socket), ("api", &env.socket())]));
    env.init();
    env.store("A", "value-of-a");
    allow(&env, "web.service", &["A"]);
    assert_refused(&web.load(&env.credentials(), "A"));
    assert_noted(&env, "off", Some("web.service"), Some("A"));
}

#[test]
fn a_stale_socket_is_replaced_and_anything_else_is_left_alone() {
    let mut env = Env::started(programs!());
    env.kill();
    assert!(env.credentials().exists(), "a kill leaves the file");
    env.start();
    assert!(env.stop().success());
    assert!(!env.credentials().exists());
    fs::write(env.credentials(), "precious").unwrap();
    let (status, said) = env.fail_to_start(env.daemon_command());
    assert!(!status.success() && said.contains("credentials.sock"), "{said}");
    assert_eq!(fs::read(env.credentials()).unwrap(), b"precious");
}

#[test]
fn another_user_is_refused_and_the_systems_manager_only_when_allowed() {
    if !rustix::process::geteuid().is_root() {
        return skip("another_user_is_refused", "only root can run the daemon as somebody else");
    }
    let web = unit!("web.service");
    for (system_manager, expected) in [(false, None), (true, Some("value-of-a"))] {
        let env = Env::new(programs!());
        env.settings(&format!("{CHEAP_KDF}\n[credentials]\nsystem_manager = {system_manager}\n"));
        let owned = process::run(Command::new("chown").args(["-R", "4711:4711"]).arg(env.path("")), b"").1;
        assert!(owned.status.success());
        // The first of these starts the daemon.
        let ctl = |arguments: &[&str], input: &str| {
            let mut command = env.command("setpriv");
            command.args(["--reuid=4711", "--regid=4711", "--clear-groups", env.programs().client]);
            let output = process::run(command.args(arguments), input.as_bytes()).1;
            assert!(output.status.success(), "{output:?}");
        };
        ctl(&["init", "--passphrase-file", "-"], PASSPHRASE);
        ctl(&["set", "A"], "value-of-a");
        ctl(&["credential", "allow", "web.service", "A"], "");
        let answer = web.load(&env.credentials(), "A");
        match expected {
            Some(value) => assert_eq!(answer, value.as_bytes()),
            None => assert_refused(&answer),
        }
        // Root's processes are not the only other ones.
        let mut stranger = unit::asker(&env.credentials(), &unit::address("web.service", "A"));
        stranger.arg("4712");
        assert_eq!(unit::attempt(web.start(&stranger)), Err("EACCES".to_owned()));
    }
}

#[test]
fn a_vault_that_fails_or_hangs_refuses_in_time() {
    if let Some(reason) = no_strace() {
        return skip("a vault that fails or hangs", reason);
    }
    let web = unit!("web.service");
    for (fault, refusal) in [("error=EIO", "failed"), ("delay_enter=9000000", "failed")] {
        let mut env = Env::unlocked(programs!());
        env.store("A", "value-of-a");
        allow(&env, "web.service", &["A"]);
        env.stop();
        let output = env.path("trace").display().to_string();
        // After what unlocking takes.
        let inject = format!("inject=fsync,fdatasync:{fault}:when=6+");
        let command = behind(&env, &strace(&output, &["-e", "trace=fsync,fdatasync", "-e", &inject]));
        env.start_as(command);
        env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
        let (mut refused, mut longest) = (false, Duration::ZERO);
        for _ in 0..6 {
            let began = Instant::now();
            let answer = web.load(&env.credentials(), "A");
            longest = longest.max(began.elapsed());
            if answer == b"value-of-a" {
                continue;
            }
            assert_refused(&answer);
            refused = true;
            break;
        }
        assert!(refused, "{fault}: nothing failed");
        assert!(longest < Duration::from_secs(5), "{fault}: it took {longest:?}");
        assert!(env.log().contains("a unit is refused a secret"), "{refusal}");
        env.kill();
    }
}
