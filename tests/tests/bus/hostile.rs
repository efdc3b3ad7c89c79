//! What a program on the bus may try that means harm: nobody else loses anything by it, and it gets nothing.

use std::fs;
use std::fs::File;
use std::os::fd::AsFd;

use secretsd_tests::harness::lacks;
use secretsd_tests::process::until;
use serde_json::json;
use zbus::{Fd, Message, ObjectPath, OwnedObjectPath, OwnedVariant, Variant};

use crate::stage::{Caller, LOGIN, NAME, SERVICE, Stage};

const LIMITS_EXCEEDED: &str = "org.freedesktop.DBus.Error.LimitsExceeded";
const NO_OBJECT: &str = "org.freedesktop.Secret.Error.NoSuchObject";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// What the service has had in memory at most, in bytes.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() << 10
}

/// Stores an item and finds it: all is well.
#[track_caller]
fn works(caller: &Caller) {
    let session = caller.session();
    let (item, _) = caller.create(&session, &[("of", "works")], b"value", true).unwrap();
    assert_eq!(caller.value(&session, item.as_str()).unwrap(), b"value");
}

#[test]
fn the_largest_message_of_a_bus_is_refused_and_does_no_harm() {
    if lacks("the_largest_message_of_a_bus_is_refused", &["dbus-daemon"]) {
        return;
    }
    let mut stage = Stage::new();
    let caller = stage.caller();
    let session = caller.session();
    // An array has at most 64 MiB, and a message 128.
    // Of numbers: a debug build writes them one by one.
    let large = vec![7_u64; (60 << 20) / 8];
    for _ in 0..2 {
        let refused = caller.try_call(LOGIN, "Collection.CreateItem", &(&session, &large, &large));
        assert_eq!(refused.unwrap_err(), LIMITS_EXCEEDED);
    }
    // What there would be room for, too.
    let more = vec![7_u64; (3 << 20) / 8];
    assert_eq!(caller.try_call(SERVICE, "Service.SearchItems", &more).unwrap_err(), LIMITS_EXCEEDED);
    works(&caller);
    let pid = stage.service().id();
    let unit =
        fs::read_to_string(secretsd_tests::source::repository().join("systemd/user/secretsd-bus.service"));
    let limit = unit
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("MemoryMax=")?.strip_suffix('M')?.parse().ok());
    let limit: u64 = limit.unwrap();
    assert!(peak(pid) < limit << 20, "it had {} MiB", peak(pid) >> 20);
    assert!(secretsd_tests::process::resident(pid) < 24 << 20, "it is given back");
}

#[test]
fn descriptors_that_nobody_asked_for_end_nothing() {
    if lacks("descriptors_that_nobody_asked_for_end_nothing", &["dbus-daemon"]) {
        return;
    }
    let mut stage = Stage::new();
    let caller = stage.caller();
    let file = File::open("/dev/null").unwrap();
    let fds: Vec<Fd<'_>> = (0..200).map(|_| Fd::from(file.as_fd())).collect();
    for _ in 0..40 {
        let message = Message::method_call(SERVICE, "SearchItems")
            .destination(NAME)
            .with_flags(zbus::message::Flags::NO_REPLY_EXPECTED)
            .build(&fds)
            .unwrap();
        caller.runtime.block_on(caller.connection.send(&message)).unwrap();
    }
    works(&caller);
    assert!(stage.service().try_wait().unwrap().is_none());
}

#[test]
fn programs_that_call_and_leave_take_no_place() {
    if lacks("programs_that_call_and_leave_take_no_place", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::new();
    // More than are answered at the same time.
    for _ in 0..600 {
        let caller = stage.caller();
        let message = Message::method_call(SERVICE, "ReadAlias")
            .destination(NAME)
            .with_flags(zbus::message::Flags::NO_REPLY_EXPECTED)
            .build(&"default")
            .unwrap();
        caller.runtime.block_on(caller.connection.send(&message)).unwrap();
    }
    let caller = stage.caller();
    until("there is room again", || caller.try_call(SERVICE, "Service.ReadAlias", &"default").is_ok());
    works(&caller);
}

#[test]
fn anothers_prompts_and_the_name_are_out_of_reach() {
    if lacks("anothers_prompts_and_the_name_are_out_of_reach", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::new();
    let (caller, other) = (stage.caller(), stage.caller());
    works(&caller);
    stage.env.post("/vault/lock", &json!({})).expect(200);
    let (_, prompt): (Vec<OwnedObjectPath>, OwnedObjectPath) =
        caller.call(SERVICE, "Service.Unlock", &vec![ObjectPath::try_from(LOGIN).unwrap()]);
    assert_ne!(prompt.as_str(), "/");
    assert_eq!(other.try_call(prompt.as_str(), "Prompt.Prompt", &"").unwrap_err(), NO_OBJECT);
    assert_eq!(other.try_call(prompt.as_str(), "Prompt.Dismiss", &()).unwrap_err(), NO_OBJECT);
    assert!(caller.prompted(prompt.as_str()).0, "nobody answers, and it is still the caller's");
    // DBUS_NAME_FLAG_REPLACE_EXISTING; 3 is DBUS_REQUEST_NAME_REPLY_EXISTS.
    let request = other.connection.call_method(
        Some("org.freedesktop.DBus"),
        "/org/freedesktop/DBus",
        Some("org.freedesktop.DBus"),
        "RequestName",
        &(NAME, 2_u32 | 4),
    );
    let answer = other.runtime.block_on(request).unwrap();
    assert_eq!(answer.body().deserialize::<u32>().unwrap(), 3);
}

#[test]
fn a_locked_vault_does_not_tell_which_items_there_are() {
    if lacks("a_locked_vault_does_not_tell_which_items_there_are", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::new();
    let caller = stage.caller();
    let session = caller.session();
    let (item, _) = caller.create(&session, &[("s", "x")], b"value", false).unwrap();
    let guessed = format!("{LOGIN}/{}", "0123456789abcdef".repeat(2));
    let refused = caller.value(&session, &guessed).unwrap_err();
    assert_eq!(refused, NO_OBJECT, "while it is open, what is not there is not");
    stage.env.post("/vault/lock", &json!({})).expect(200);
    until("it is locked", || stage.env.state() == "locked");
    let seen = |path: &str| {
        let all: std::collections::BTreeMap<String, OwnedVariant> =
            caller.call(path, &format!("{PROPERTIES}.GetAll"), &"org.freedesktop.Secret.Item");
        let set = ("org.freedesktop.Secret.Item", "Label", Variant::from("new"));
        let attributes = Variant::from(std::collections::HashMap::from([("a".to_owned(), "b".to_owned())]));
        let changed = ("org.freedesktop.Secret.Item", "Attributes", attributes);
        let carried = (&session, Vec::<u8>::new(), b"other".to_vec(), "text/plain");
        let paths = vec![ObjectPath::try_from(path).unwrap()];
        let secrets = caller.try_call(SERVICE, "Service.GetSecrets", &(&paths, &session)).unwrap();
        (
            format!("{all:?}"),
            caller.value(&session, path).unwrap_err(),
            caller.try_call(path, &format!("{PROPERTIES}.Set"), &set).unwrap_err(),
            caller.try_call(path, &format!("{PROPERTIES}.Set"), &changed).unwrap_err(),
            caller.try_call(path, "Item.SetSecret", &(carried,)).unwrap_err(),
            secrets.body().data().len(),
        )
    };
    assert_eq!(seen(item.as_str()), seen(&guessed));
    assert!(!seen(item.as_str()).0.contains('x'), "nothing of it is told");
}

#[test]
fn what_is_too_large_changes_nothing_by_any_way() {
    if lacks("what_is_too_large_changes_nothing_by_any_way", &["dbus-daemon"]) {
        return;
    }
    let stage = Stage::new();
    let caller = stage.caller();
    let session = caller.session();
    let (item, _) = caller.create(&session, &[("s", "x")], b"value", false).unwrap();
    let before = stage.env.ctl(["items", "list", "--json"]).expect(0);
    let long = "v".repeat(1_025);
    let many: Vec<(String, String)> = (0..65).map(|n| (format!("n{n}"), n.to_string())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
    for attributes in [&[("s", &*long)][..], &[(&*long, "x")], &many] {
        assert_eq!(caller.create(&session, attributes, b"x", true).unwrap_err(), LIMITS_EXCEEDED);
        let attributes: std::collections::HashMap<String, String> =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let search = caller.try_call(SERVICE, "Service.SearchItems", &attributes);
        assert_eq!(search.unwrap_err(), LIMITS_EXCEEDED);
        let set = ("org.freedesktop.Secret.Item", "Attributes", Variant::from(attributes));
        let refused = caller.try_call(item.as_str(), &format!("{PROPERTIES}.Set"), &set);
        assert_eq!(refused.unwrap_err(), LIMITS_EXCEEDED);
    }
    for (path, interface) in [(item.as_str(), "Item"), (LOGIN, "Collection")] {
        let interface = format!("org.freedesktop.Secret.{interface}");
        let set = (&interface, "Label", Variant::from("l".repeat(1_001)));
        let refused = caller.try_call(path, &format!("{PROPERTIES}.Set"), &set);
        assert_eq!(refused.unwrap_err(), LIMITS_EXCEEDED);
        for name in ["Locked", "Created", "Modified"] {
            let set = (&interface, name, Variant::from(false));
            let refused = caller.try_call(path, &format!("{PROPERTIES}.Set"), &set);
            assert_eq!(refused.unwrap_err(), "org.freedesktop.DBus.Error.PropertyReadOnly");
        }
    }
    assert_eq!(stage.env.ctl(["items", "list", "--json"]).expect(0), before);
}
