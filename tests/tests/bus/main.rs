//! `secretsd-bus` on a real bus, with the real vault.

mod clients;
mod guarded;
mod hostile;
mod imported;
mod stage;

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::lacks;
use secretsd_tests::process::{self, DEADLINE, until};
use serde_json::json;
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

use stage::{LOGIN, NAME, SERVICE, Stage};

#[test]
fn values_are_any_bytes_up_to_the_limit() {
    if lacks("values_are_any_bytes_up_to_the_limit", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::new();
    let caller = stage.caller();
    let session = caller.session();
    let all: Vec<u8> = (0..=255).collect();
    for value in [&all[..], b"", b"\0", &[7; 65_536]] {
        let (item, prompt) = caller.create(&session, &[("a\n", "b\nc")], value, true).unwrap();
        assert_eq!(prompt.as_str(), "/");
        assert_eq!(caller.value(&session, item.as_str()).unwrap(), value);
    }
    assert_eq!(caller.search(&[("a\n", "b\nc")]).0.len(), 1);
    let refused = caller.create(&session, &[("a\n", "b\nc")], &[7; 65_537], true).unwrap_err();
    assert_eq!(refused, "org.freedesktop.DBus.Error.LimitsExceeded");
    let (item, _) = caller.create(&session, &[], b"none", false).unwrap();
    assert_eq!(caller.value(&session, item.as_str()).unwrap(), b"none");
    assert_eq!(caller.search(&[]).0.len(), 2);
}

#[test]
fn only_an_item_with_equal_attributes_is_replaced() {
    if lacks("only_an_item_with_equal_attributes_is_replaced", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::new();
    let caller = stage.caller();
    let session = caller.session();
    let (both, _) = caller.create(&session, &[("s", "x"), ("u", "a")], b"of a", true).unwrap();
    let (one, _) = caller.create(&session, &[("s", "x")], b"first", true).unwrap();
    let (again, _) = caller.create(&session, &[("s", "x")], b"second", true).unwrap();
    assert_eq!(one, again);
    assert_eq!(caller.value(&session, both.as_str()).unwrap(), b"of a");
    assert_eq!(caller.value(&session, one.as_str()).unwrap(), b"second");
    assert_eq!(caller.search(&[("s", "x")]).0.len(), 2);
}

#[test]
fn a_session_is_of_the_connection_that_opened_it() {
    if lacks("a_session_is_of_the_connection_that_opened_it", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::new();
    let (caller, other) = (stage.caller(), stage.caller());
    let session = caller.session();
    let (item, _) = caller.create(&session, &[("s", "x")], b"value", false).unwrap();
    let none = "org.freedesktop.Secret.Error.NoSession";
    assert_eq!(other.value(&session, item.as_str()).unwrap_err(), none);
    assert_eq!(other.create(&session, &[], b"x", false).unwrap_err(), none);
    assert_eq!(other.try_call(session.as_str(), "Session.Close", &()).unwrap_err(), none);
    let body = (vec![item.clone()], session.clone());
    assert_eq!(other.try_call(SERVICE, "Service.GetSecrets", &body).unwrap_err(), none);
    assert_eq!(caller.value(&session, item.as_str()).unwrap(), b"value");
    caller.call::<()>(session.as_str(), "Session.Close", &());
    assert_eq!(caller.value(&session, item.as_str()).unwrap_err(), none);
    // What has ended belongs to nobody, also not to the next caller.
    let ended = caller.session();
    drop(caller);
    assert_eq!(other.value(&ended, item.as_str()).unwrap_err(), none);
}

#[test]
fn wrong_arguments_are_refused_and_harm_nothing() {
    if lacks("wrong_arguments_are_refused_and_harm_nothing", &["dbus-daemon"]) {
        return;
    }
    let mut stage = Stage::new();
    let caller = stage.caller();
    let session = caller.session();
    let (item, _) = caller.create(&session, &[("s", "x")], b"value", false).unwrap();
    let methods = [
        (
            SERVICE,
            "Service",
            "OpenSession CreateCollection SearchItems Unlock Lock GetSecrets ReadAlias SetAlias",
        ),
        (LOGIN, "Collection", "SearchItems CreateItem"),
        (item.as_str(), "Item", "GetSecret SetSecret"),
        (SERVICE, "org.freedesktop.DBus.Properties", "Get GetAll Set"),
    ];
    for (path, interface, names) in methods {
        for name in names.split(' ') {
            let method = format!("{interface}.{name}");
            let refusals = [
                caller.try_call(path, &method, &()),
                caller.try_call(path, &method, &(1_u32, "x", true, 2_u8)),
                caller.try_call(path, &method, &vec![vec![1_u8; 100]; 3]),
                caller.try_call(path, &method, &Variant::from("x")),
            ];
            for refusal in refusals {
                assert_eq!(refusal.unwrap_err(), "org.freedesktop.DBus.Error.InvalidArgs", "{method}");
            }
        }
    }
    for (path, method, error) in [
        (SERVICE, "Service.None", "org.freedesktop.DBus.Error.UnknownMethod"),
        (SERVICE, "Collection.SearchItems", "org.freedesktop.DBus.Error.UnknownInterface"),
        ("/org/freedesktop/secrets/collection/other", "Collection.Delete", NO_OBJECT),
        ("/org/freedesktop/secrets/collection/login/1", "Item.Delete", NO_OBJECT),
        (LOGIN, "Collection.Delete", "org.freedesktop.DBus.Error.NotSupported"),
    ] {
        assert_eq!(caller.try_call(path, method, &()).unwrap_err(), error, "{path} {method}");
    }
    for bytes in [vec![], vec![0; 128], vec![1], vec![255; 128], vec![2; 129]] {
        let body = ("dh-ietf1024-sha256-aes128-cbc-pkcs7", Variant::from(bytes));
        let refused = caller.try_call(SERVICE, "Service.OpenSession", &body).unwrap_err();
        assert_eq!(refused, "org.freedesktop.DBus.Error.InvalidArgs");
    }
    let unknown = ("dh-ietf2048", Variant::from(""));
    let refused = caller.try_call(SERVICE, "Service.OpenSession", &unknown).unwrap_err();
    assert_eq!(refused, "org.freedesktop.DBus.Error.NotSupported");
    assert_eq!(caller.value(&session, item.as_str()).unwrap(), b"value");
    assert!(stage.service().try_wait().unwrap().is_none());
}

const NO_OBJECT: &str = "org.freedesktop.Secret.Error.NoSuchObject";

#[test]
fn a_locked_vault_has_one_stand_in_and_nobody_waits_without_an_approver() {
    if lacks("a_locked_vault_has_one_stand_in", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::new();
    let caller = stage.caller();
    let session = caller.session();
    let (item, _) = caller.create(&session, &[("s", "x")], b"value", false).unwrap();
    stage.env.post("/vault/lock", &json!({})).expect(200);
    until("it is locked", || stage.env.state() == "locked");

    assert_eq!(caller.value(&session, item.as_str()).unwrap_err(), "org.freedesktop.Secret.Error.IsLocked");
    let (unlocked, locked) = caller.search(&[("s", "x")]);
    assert_eq!((unlocked.len(), locked.len()), (0, 1));
    assert_eq!(caller.search(&[("s", "x")]).1, locked, "the same search has the same stand-in");
    let absent = caller.search(&[("s", "absent")]).1;
    let (done, prompt): (Vec<OwnedObjectPath>, OwnedObjectPath) =
        caller.call(SERVICE, "Service.Unlock", &locked);
    assert!(done.is_empty());
    let before = Instant::now();
    assert!(caller.prompted(prompt.as_str()).0, "nobody could answer");
    assert!(before.elapsed() < DEADLINE / 2);

    // An approver comes; it answers as `secretctl unlock` does.
    let (item_prompt, stored) = (caller.create(&session, &[("s", "new")], b"later", false).unwrap(), "later");
    assert_eq!(item_prompt.0.as_str(), "/");
    let both = [locked[0].clone(), absent[0].clone()];
    let (_, prompt): (Vec<OwnedObjectPath>, OwnedObjectPath) =
        caller.call(SERVICE, "Service.Unlock", &both.to_vec());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut after = 0;
            let end = Instant::now() + DEADLINE;
            while Instant::now() < end {
                let asks = stage.env.get(&format!("/approvals?wait=5&after={after}")).expect(200);
                if asks["approvals"].as_array().is_some_and(|asks| !asks.is_empty()) {
                    stage.env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
                    return;
                }
                after = asks["changes"].as_u64().unwrap();
            }
        });
        until("there is an approver", || stage.env.get("/approvals").expect(200)["approvers"] != 0);
        let (is_dismissed, result) = caller.prompted(prompt.as_str());
        assert!(!is_dismissed);
        let unlocked = Vec::<OwnedObjectPath>::try_from(result).unwrap();
        assert_eq!(unlocked, [locked[0].clone()], "what is absent is not unlocked");
    });
    assert_eq!(caller.value(&session, locked[0].as_str()).unwrap(), b"value");
    assert_eq!(caller.value(&session, absent[0].as_str()).unwrap_err(), NO_OBJECT);
    // What waited for the vault is stored now that it is open.
    let (is_dismissed, made) = caller.prompted(item_prompt.1.as_str());
    assert!(!is_dismissed);
    let made = OwnedObjectPath::try_from(made).unwrap();
    assert_eq!(caller.value(&session, made.as_str()).unwrap(), stored.as_bytes());
}

#[test]
fn a_name_that_another_has_is_left_to_it() {
    if lacks("a_name_that_another_has_is_left_to_it", &["dbus-daemon"]) {
        return;
    }
    let mut stage = Stage::new();
    let pid = stage.service().id();
    let program = env!("CARGO_BIN_EXE_secretsd-bus");
    let run = |arguments: &[&str]| {
        let mut command = stage.command(program);
        process::run(command.args(arguments).stderr(Stdio::piped()), b"").1
    };
    let second = run(&[]);
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(said.contains(NAME) && said.contains(&format!("(pid {pid})")), "{said}");
    let held = run(&["--holder"]);
    assert!(String::from_utf8(held.stdout).unwrap().contains("secretsd-bus"));
    assert_eq!(run(&["--holder", "--bus-name", "org.example.None"]).stdout, b"");
    assert_eq!(run(&["--bus-name", "no name"]).status.code(), Some(2));
}

#[test]
fn it_is_turned_on_and_off_and_never_beside_another() {
    if lacks("it_is_turned_on_and_off_and_never_beside_another", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::empty();
    let caller = stage.caller();
    let has = |wanted: bool| until("the name is taken, or free", || caller.has_owner() == wanted);
    let ctl = |word: &str, code: i32| {
        let mut command = stage.command(stage.env.programs().client);
        let said = process::run(command.args(["secret-service", word]), b"").1;
        let text = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
        assert_eq!(said.status.code(), Some(code), "{text}");
        text
    };
    let file = stage.env.path("data/dbus-1/services/org.freedesktop.secrets.service");
    has(false);
    assert!(ctl("status", 0).contains("off") && !file.exists());
    assert!(ctl("enable", 0).contains("is on") && file.exists());
    // The bus has started it, from what was written.
    let session = caller.session();
    caller.create(&session, &[("of", "test")], b"value", false).unwrap();
    let status = ctl("status", 0);
    assert!(status.contains("  on\n") && status.contains("secretsd-bus (pid "), "{status}");
    ctl("enable", 0);
    let mut doctor = stage.command(stage.env.programs().client);
    let found = process::run(doctor.arg("doctor"), b"").1;
    let found = String::from_utf8(found.stdout).unwrap();
    assert!(found.contains("the vault serves org.freedesktop.secrets"), "{found}");
    let off = ctl("disable", 0);
    assert!(off.contains("serves until it is ended") && !file.exists(), "{off}");
    assert!(stage.env.ctl(["items", "list"]).expect(0).contains("of=test"));
    let (_, pid) = status.split_once("(pid ").unwrap();
    process::signal(pid.split_once(')').unwrap().0.parse().unwrap(), rustix::process::Signal::TERM);
    has(false);
    caller.runtime.block_on(caller.connection.request_name(NAME)).unwrap();
    let refused = ctl("enable", 6);
    assert!(refused.contains(&format!("(pid {})", std::process::id())) && !file.exists(), "{refused}");
}

#[test]
fn what_was_answered_survives_a_kill_and_the_process_ends_with_its_bus() {
    if lacks("what_was_answered_survives_a_kill", &["dbus-daemon"]) {
        return;
    }
    let mut stage = Stage::new();
    let mut stored = Vec::new();
    thread::scope(|scope| {
        let (sender, answered) = std::sync::mpsc::channel();
        let caller = stage.caller();
        scope.spawn(move || {
            let session = caller.session();
            for number in 0..100_000 {
                let number = number.to_string();
                match caller.create(&session, &[("n", &number)], number.as_bytes(), false) {
                    Ok(_) => sender.send(number).unwrap(),
                    Err(_) => return,
                }
            }
        });
        stored.extend(answered.iter().take(40));
        stage.end_service();
        stored.extend(answered.iter());
    });
    let listed = stage.env.ctl(["items", "list", "--json"]).expect(0);
    for number in &stored {
        assert!(listed.contains(&format!("\"n\":\"{number}\"")), "{number} was answered and is gone");
    }

    stage.serve(&[]);
    let caller = stage.caller();
    assert_eq!(caller.search(&[("n", "0")]).0.len(), 1);
    stage.bus.end();
    assert_eq!(process::wait(stage.service(), DEADLINE).code(), Some(1));
}

#[test]
fn who_listens_on_the_bus_sees_no_value_of_an_encrypted_session() {
    if lacks("who_listens_on_the_bus_sees_no_value", &["dbus-daemon", "dbus-monitor", "secret-tool"]) {
        return;
    }
    const CANARY: &str = "canary-4f1d8a53-canary";
    let stage = Stage::new();
    let heard = stage.env.path("heard");
    let mut monitor = stage.command("dbus-monitor");
    let file = fs::File::create(&heard).unwrap();
    let mut monitor = monitor.arg("--session").stdout(file).spawn().unwrap();
    until("it listens", || fs::metadata(&heard).unwrap().len() > 0);
    let mut store = stage.command("secret-tool");
    let stored = process::run(store.args(["store", "--label=x", "s", "x"]), CANARY.as_bytes()).1;
    assert!(stored.status.success());
    let mut lookup = stage.command("secret-tool");
    let found = process::run(lookup.args(["lookup", "s", "x"]), b"").1;
    assert_eq!(found.stdout, CANARY.as_bytes());
    let mut absent = stage.command("secret-tool");
    assert_eq!(process::run(absent.args(["lookup", "s", "y"]), b"").1.status.code(), Some(1));
    let caller = stage.caller();
    let plain = caller.session();
    let text = || String::from_utf8_lossy(&fs::read(&heard).unwrap()).into_owned();
    until("all was heard", || text().matches("OpenSession").count() >= 3);
    assert!(text().contains("SearchItems") && !text().contains(CANARY));
    // And that it would have been seen.
    let (unlocked, _) = caller.search(&[("s", "x")]);
    caller.value(&plain, unlocked[0].as_str()).unwrap();
    let hex = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    until("the plain one is seen", || text().contains(CANARY) || text().contains(&hex));
    monitor.kill().unwrap();
    monitor.wait().unwrap();
}

#[test]
fn properties_are_those_of_the_specification() {
    if lacks("properties_are_those_of_the_specification", &["dbus-daemon"]) {
        return;
    }
    let mut stage = Stage::new();
    let caller = stage.caller();
    let session = caller.session();
    let (item, _) = caller.create(&session, &[("s", "x")], b"value", false).unwrap();
    let get = |path: &str, interface: &str, name: &str| -> OwnedVariant {
        let interface = format!("org.freedesktop.Secret.{interface}");
        caller.call(path, "org.freedesktop.DBus.Properties.Get", &(interface, name))
    };
    let set = |path: &str, interface: &str, name: &str, value: Variant<'_>| {
        let interface = format!("org.freedesktop.Secret.{interface}");
        let body = (interface, name, value);
        caller.try_call(path, "org.freedesktop.DBus.Properties.Set", &body).map(drop)
    };
    for path in [LOGIN, "/org/freedesktop/secrets/aliases/default"] {
        let items = Vec::<OwnedObjectPath>::try_from(get(path, "Collection", "Items")).unwrap();
        assert_eq!(items, std::slice::from_ref(&item));
    }
    set(item.as_str(), "Item", "Label", Variant::from("new")).unwrap();
    assert_eq!(String::try_from(get(item.as_str(), "Item", "Label")).unwrap(), "new");
    set(LOGIN, "Collection", "Label", Variant::from("Mine")).unwrap();
    assert_eq!(String::try_from(get(LOGIN, "Collection", "Label")).unwrap(), "Mine");
    for (name, error) in [("Locked", "PropertyReadOnly"), ("None", "UnknownProperty")] {
        let refused = set(item.as_str(), "Item", name, Variant::from(true)).unwrap_err();
        assert_eq!(refused, format!("org.freedesktop.DBus.Error.{error}"));
    }
    let refused = set(item.as_str(), "Item", "Label", Variant::from(1_u8)).unwrap_err();
    assert_eq!(refused, "org.freedesktop.DBus.Error.InvalidArgs");
    assert!(process::resident(stage.service().id()) < 24 << 20, "a debug build");
}
