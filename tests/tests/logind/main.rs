//! Locking when the machine suspends and when a session is locked, against a stand-in for logind on a real bus: what the
//! daemon does at whose word, in which order, and when nobody is there to tell it. The real logind is in
//! `systemd/logind.rs`.

mod stand_in;

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;

use secretsd_tests::env::{CHEAP_KDF, Env, PASSPHRASE};
use secretsd_tests::process::until;
use secretsd_tests::{harness, programs};
use serde_json::{Value, json};

use stand_in::{Bus, FOREIGN, MANAGER, OBJECT, OWN, PROPERTIES, Peer, SESSION, hint};

/// Whether there can be a bus; if not, the test prints that.
fn can_be_tested(test: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|dir| dir.join("dbus-daemon").exists()) {
        eprintln!("{test}: logind is a stand-in here");
        return true;
    }
    harness::skip(test, "dbus-daemon is not installed");
    false
}

/// A daemon with an open vault, a bus, and a logind that the daemon has found.
fn open_vault(settings: &str) -> (Env, Bus, Peer) {
    let mut env = Env::new(programs!());
    let bus = Bus::start(&env.system_bus());
    let logind = Peer::logind(&bus);
    env.settings(&format!("{CHEAP_KDF}{settings}"));
    env.start();
    env.init();
    until("logind was found", || auto_lock(&env)["obstacle"].is_null());
    (env, bus, logind)
}

fn auto_lock(env: &Env) -> Value {
    env.get("/vault").expect(200)["auto_lock"].clone()
}

/// What the status says of suspend and session lock, and what is in the way.
fn told(env: &Env) -> [String; 3] {
    let auto_lock = auto_lock(env);
    ["suspend", "session_lock", "obstacle"]
        .map(|field| auto_lock[field].as_str().unwrap_or("none").to_owned())
}

fn is_locked(env: &Env) -> bool {
    env.state() == "locked"
}

/// How often the daemon has restarted itself.
fn relaunches(env: &Env) -> usize {
    env.log().matches("resumed=true").count()
}

fn unlock(env: &Env) {
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
}

/// Returns when the daemon has taken whatever logind has said so far: it asks whose session this is.
fn heard(logind: &Peer) {
    let before = logind.questions(FOREIGN);
    until("the daemon listens", || {
        // Again and again: it asks once for signals that come while it waits for the answer.
        logind.lock(FOREIGN);
        logind.questions(FOREIGN) > before
    });
}

#[test]
fn a_lock_of_an_own_session_locks_the_vault() {
    if !can_be_tested("a_lock_of_an_own_session_locks_the_vault") {
        return;
    }
    let (env, _bus, logind) = open_vault("");
    assert_eq!(told(&env), ["live", "live", "none"]);
    // Somebody else's session, and what does not say that one was locked.
    logind.lock(FOREIGN);
    logind.hint(FOREIGN, true);
    logind.hint(OWN, false);
    logind.signal(OWN, SESSION, "Unlock", &());
    heard(&logind);
    assert!(!is_locked(&env));

    logind.lock(OWN);
    until("locked", || is_locked(&env));
    until("started again", || relaunches(&env) == 1);
    until("found again", || told(&env) == ["live", "live", "none"]);
    unlock(&env);
    logind.hint(OWN, true);
    until("locked by the hint", || is_locked(&env));
    until("started again", || relaunches(&env) == 2);
    unlock(&env);
    let entries = env.get("/audit?limit=10").expect(200);
    let locks = entries["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "lock");
    assert!(locks.clone().count() == 2, "{entries}");
    assert!(locks.into_iter().all(|entry| entry.to_string().contains("session lock")), "{entries}");
}

/// A request whose body does not come.
fn half_a_request(env: &Env) -> UnixStream {
    let mut slow = UnixStream::connect(env.socket()).unwrap();
    let token = env.token();
    let head = format!(
        "POST /api/v1/user/secrets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).unwrap();
    until("received", || env.get("/vault").status == 200);
    slow
}

/// Whether the process runs an image that came after a lock: its environment says so. `None` if it cannot be read.
fn is_next_image(env: &Env) -> Option<bool> {
    let environment = fs::read(format!("/proc/{}/environ", env.pid())).ok()?;
    Some(String::from_utf8_lossy(&environment).contains("SECRETSD_RELAUNCH="))
}

#[track_caller]
fn assert_next_image(env: &Env) {
    match is_next_image(env) {
        Some(is_next) => assert!(is_next, "the machine sleeps and the old image is still there"),
        None => harness::skip("which image it is when the machine sleeps", "only root can see it"),
    }
}

#[test]
fn a_suspend_waits_until_memory_is_empty() {
    if !can_be_tested("a_suspend_waits_until_memory_is_empty") {
        return;
    }
    let (env, _bus, logind) = open_vault("");
    assert_eq!(logind.inhibitors(), 1);
    // A request whose body does not come holds up the end of the image.
    let slow = half_a_request(&env);
    assert!(!is_next_image(&env).unwrap_or(false));
    logind.sleep(true);
    logind.wait_for_inhibitors();
    assert_next_image(&env);
    assert!(is_locked(&env));
    drop(slow);

    // While the suspend is under way nobody can hold it up; afterwards it is as before.
    until("said so", || told(&env) == ["unavailable", "live", "suspending"]);
    // Opened in this moment, it is locked at the resume.
    unlock(&env);
    logind.sleep(false);
    until("locked at the resume", || is_locked(&env));
    until("held again", || logind.inhibitors() == 2 && told(&env) == ["live", "live", "none"]);
    assert!(logind.is_inhibited());

    // A locked vault has nothing to wipe: nothing is held up, and nothing restarts.
    let before = relaunches(&env);
    logind.sleep(true);
    logind.wait_for_inhibitors();
    logind.sleep(false);
    until("held again", || logind.inhibitors() == 3);
    assert_eq!(relaunches(&env), before);
}

#[test]
fn a_suspend_that_follows_a_lock_waits_for_its_end() {
    if !can_be_tested("a_suspend_that_follows_a_lock_waits_for_its_end") {
        return;
    }
    // As desktops do it: first the session, then the machine.
    let (env, _bus, logind) = open_vault("");
    let slow = half_a_request(&env);
    logind.lock(OWN);
    until("locked", || env.log().contains("INFO locked"));
    logind.sleep(true);
    logind.wait_for_inhibitors();
    assert_next_image(&env);
    drop(slow);
    logind.sleep(false);
    // By the new image at its start, and once more if it was there before the machine woke.
    until("held again", || logind.inhibitors() >= 2 && logind.is_inhibited());
    assert_eq!(relaunches(&env), 1);
}

#[test]
fn a_key_that_is_being_derived_is_locked_too() {
    if !can_be_tested("a_key_that_is_being_derived_is_locked_too") {
        return;
    }
    let mut env = Env::new(programs!());
    let bus = Bus::start(&env.system_bus());
    let logind = Peer::logind(&bus);
    // A key that is long in coming, as a derivation may be.
    let fifo = env.path("key.fifo");
    let mkfifo = env.command("mkfifo").args(["-m", "600"]).arg(&fifo).status().unwrap();
    assert!(mkfifo.success());
    env.settings(&format!(
        "{CHEAP_KDF}[key_providers.slow]\nargv = [\"/bin/cat\", \"{}\"]\n",
        fifo.display()
    ));
    env.start();
    env.init();
    env.post("/vault/lock", &json!({})).expect(200);
    until("logind was found", || auto_lock(&env)["obstacle"].is_null());
    let before = relaunches(&env);
    std::thread::scope(|scope| {
        let unlocking = scope.spawn(|| {
            let body = json!({ "key_provider": "slow" });
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| env.post("/vault/unlock", &body)))
        });
        // Opening it waits for the reader.
        let mut writer = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
        logind.sleep(true);
        logind.wait_for_inhibitors();
        until("started again", || relaunches(&env) > before);
        // The program that asked for it may be gone.
        writer.write_all(&[7; 40]).ok();
        drop(writer);
        // Refused or cut off, and in no case open.
        let answer = unlocking.join().unwrap();
        assert!(answer.is_err() || answer.unwrap().status != 200);
    });
    assert!(is_locked(&env));
}

#[test]
fn each_can_be_turned_off() {
    if !can_be_tested("each_can_be_turned_off") {
        return;
    }
    let (env, _bus, logind) = open_vault("[lock_on]\nsuspend = false\n");
    assert_eq!(told(&env), ["off", "live", "none"]);
    logind.sleep(true);
    logind.signal_to(&daemon_on_the_bus(&logind), OBJECT, MANAGER, "PrepareForSleep", &true);
    heard(&logind);
    assert_eq!((is_locked(&env), logind.inhibitors()), (false, 0));
    logind.lock(OWN);
    until("locked", || is_locked(&env));
    drop(env);

    let (env, _bus, logind) = open_vault("[lock_on]\nsession_lock = false\n");
    assert_eq!(told(&env), ["live", "off", "none"]);
    logind.lock(OWN);
    logind.hint(OWN, true);
    logind.signal_to(&logind.holder(), OWN, SESSION, "Lock", &());
    // It takes an inhibitor of a new logind, after whatever was said before.
    logind.restart();
    until("held again", || logind.inhibitors() == 2);
    assert_eq!((is_locked(&env), logind.questions(OWN)), (false, 0));
    logind.sleep(true);
    until("locked", || is_locked(&env));
    drop(env);

    let (env, _bus, logind) = open_vault("[lock_on]\nsuspend = false\nsession_lock = false\n");
    assert_eq!(told(&env), ["off", "off", "none"]);
    assert!(!env.log().contains("system bus"), "it has no business there");
    logind.sleep(true);
    logind.lock(OWN);
    assert!(!is_locked(&env));
}

/// The daemon's name on the bus, also where it holds no inhibitor.
fn daemon_on_the_bus(logind: &Peer) -> String {
    heard(logind);
    logind.asker()
}

#[test]
fn only_logind_is_listened_to() {
    if !can_be_tested("only_logind_is_listened_to") {
        return;
    }
    let (env, bus, logind) = open_vault("");
    let rogue = Peer::stranger(&bus);
    let daemon = logind.holder();
    rogue.lock(OWN);
    rogue.hint(OWN, true);
    rogue.signal(OBJECT, MANAGER, "PrepareForSleep", &true);
    rogue.signal_to(&daemon, OWN, SESSION, "Lock", &());
    rogue.signal_to(&daemon, OWN, PROPERTIES, "PropertiesChanged", &hint(true));
    rogue.signal_to(&daemon, OBJECT, MANAGER, "PrepareForSleep", &true);
    // To be taken for logind by what only the bus says.
    let name = ("org.freedesktop.login1", "", rogue.name());
    rogue.signal_to(&daemon, "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", &name);
    rogue.signal_to(&daemon, OWN, SESSION, "Lock", &());
    // A call is not answered; there is nothing to call.
    rogue.call(&daemon, OBJECT, MANAGER, "PrepareForSleep", &true);
    heard(&logind);
    assert_eq!((is_locked(&env), logind.questions(OWN), rogue.questions(OWN)), (false, 0, 0));
    assert!(logind.is_inhibited());

    // What logind itself says must have the form of it.
    logind.signal(OBJECT, MANAGER, "PrepareForSleep", &"true");
    logind.signal(OBJECT, MANAGER, "PrepareForSleep", &());
    logind.signal("/elsewhere", MANAGER, "PrepareForSleep", &true);
    logind.signal_to(&daemon, "/elsewhere", SESSION, "Lock", &());
    logind.signal(OWN, PROPERTIES, "PropertiesChanged", &(SESSION, 7_u32));
    logind.signal(OWN, PROPERTIES, "PropertiesChanged", &SESSION);
    heard(&logind);
    assert!(!is_locked(&env) && logind.is_inhibited());
    logind.lock(OWN);
    until("locked", || is_locked(&env));
}

#[test]
fn a_flood_locks_once() {
    if !can_be_tested("a_flood_locks_once") {
        return;
    }
    let (env, bus, logind) = open_vault("");
    let rogue = Peer::stranger(&bus);
    let daemon = logind.holder();
    for _ in 0..2_000 {
        rogue.signal_to(&daemon, OWN, SESSION, "Lock", &());
    }
    heard(&logind);
    assert!(!is_locked(&env));
    for session in 0..500 {
        logind.lock(&format!("/org/freedesktop/login1/session/c{session}"));
        logind.lock(OWN);
    }
    until("locked", || is_locked(&env));
    until("started again", || relaunches(&env) == 1);
    until("held again", || logind.inhibitors() == 2);
    // The old image may have said so several times while it ended.
    let locks = || env.log().matches("locking why").count();
    let before = locks();
    for _ in 0..500 {
        logind.lock(OWN);
    }
    // Twice: an answer to what was asked before the first is taken before the second.
    heard(&logind);
    heard(&logind);
    assert_eq!((relaunches(&env), locks()), (1, before));
}

#[test]
fn a_logind_that_refuses_is_still_heard() {
    if !can_be_tested("a_logind_that_refuses_is_still_heard") {
        return;
    }
    let mut env = Env::new(programs!());
    let bus = Bus::start(&env.system_bus());
    let logind = Peer::refusing(&bus, "org.freedesktop.DBus.Error.AccessDenied");
    env.start();
    env.init();
    until("refused", || told(&env) == ["unavailable", "live", "refused"]);
    logind.sleep(true);
    until("locked", || is_locked(&env));
}

#[test]
fn nothing_is_missing_without_a_bus_and_it_is_found_when_it_comes() {
    if !can_be_tested("nothing_is_missing_without_a_bus_and_it_is_found_when_it_comes") {
        return;
    }
    let mut env = Env::started(programs!());
    until("said so", || told(&env) == ["unavailable", "unavailable", "no_system_bus"]);
    let status = env.ctl(["status"]).run();
    assert!(status.out().contains("not at suspend or session lock: no system bus"), "{status:?}");
    assert_eq!(env.log().matches("there is no system bus").count(), 1);

    // The next time that the vault is opened it is looked for again.
    let bus = Bus::start(&env.system_bus());
    env.init();
    until("no logind", || told(&env) == ["unavailable", "unavailable", "no_logind"]);
    let logind = Peer::logind(&bus);
    until("logind has come", || told(&env) == ["live", "live", "none"]);
    let status = env.ctl(["status"]).run();
    assert!(status.out().contains("after unlock, at suspend, at session lock\n"), "{status:?}");
    drop(logind);
    until("logind is gone", || told(&env) == ["unavailable", "unavailable", "no_logind"]);
    drop(bus);
    until("the bus is gone", || told(&env) == ["unavailable", "unavailable", "no_system_bus"]);

    // A bus that was there is looked for by itself.
    let bus = Bus::start(&env.system_bus());
    let logind = Peer::logind(&bus);
    until("both are back", || told(&env) == ["live", "live", "none"]);
    assert!(!is_locked(&env));
    logind.lock(OWN);
    until("locked", || is_locked(&env));
    assert!(env.stop().success());
}
