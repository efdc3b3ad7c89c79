//! `secretctl items import` from a real gnome-keyring.

use std::io::Write;
use std::process::Stdio;

use secretsd_tests::harness::lacks;
use secretsd_tests::process::{self, until};
use secretsd_tests::session_bus::SessionBus;
use serde_json::{Value, json};
use zbus::OwnedObjectPath;

use crate::stage::{LOGIN, NAME, SERVICE, Stage};

/// A collection that needs no password, in gnome-keyring's own form.
const PLAIN: &str = "[keyring]\ndisplay-name=Plain\nctime=0\nmtime=0\nlock-on-idle=false\nlock-after=false\n\n\
    [1]\nitem-type=0\ndisplay-name=Of Plain\nsecret=canary-plain\nmtime=0\nctime=0\n\n\
    [1:attribute0]\nname=of\ntype=string\nvalue=plain\n";

const TEST: &str = "the_items_of_gnome_keyring_are_copied";

/// gnome-keyring with two open collections, and nobody else on the bus.
fn keyring() -> Option<Stage> {
    if lacks(TEST, &["dbus-daemon", "gnome-keyring-daemon"]) {
        return None;
    }
    let mut stage = Stage::empty();
    stage.env.private_dir("data/keyrings");
    stage.env.private_file("data/keyrings/plain.keyring", PLAIN);
    let mut daemon = SessionBus::command(&stage.env, "gnome-keyring-daemon");
    daemon.args(["--unlock", "--foreground", "--components=secrets"]).stdin(Stdio::piped());
    let child = stage.start_with(&mut daemon, |stdin| stdin.write_all(b"password").unwrap());
    assert!(child.try_wait().unwrap().is_none());
    let caller = stage.caller();
    until("its collections are open", || {
        let collections: zbus::OwnedVariant = caller.call(
            SERVICE,
            "org.freedesktop.DBus.Properties.Get",
            &("org.freedesktop.Secret.Service", "Collections"),
        );
        Vec::<OwnedObjectPath>::try_from(collections).unwrap().iter().any(|path| path.as_str() == LOGIN)
    });
    Some(stage)
}

/// Runs `secretctl items import`: the exit code, what it answers, what it says.
fn import(stage: &Stage, more: &[&str]) -> (i32, String, String) {
    let mut command = stage.command(stage.env.programs().client);
    command.args(["items", "import"]).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = process::run(&mut command, b"").1;
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(!out.contains("canary") && !err.contains("canary"), "{out}{err}");
    (output.status.code().unwrap(), out, err)
}

fn items(stage: &Stage) -> Value {
    stage.env.ctl(["items", "list", "--json"]).expect(0).parse().unwrap()
}

/// The values of the items that have this attribute, in order.
fn values(stage: &Stage, name: &str, value: &str) -> Vec<Vec<u8>> {
    let found = stage.env.post("/items/search", &json!({ "attributes": { name: value } })).expect(200);
    let reveal = |item: &Value| {
        let path = format!("/items/{}/reveal", item["id"].as_str().unwrap());
        let revealed = stage.env.post(&path, &json!({})).expect(200);
        data_encoding::BASE64.decode(revealed["value_base64"].as_str().unwrap().as_bytes()).unwrap()
    };
    let mut values: Vec<Vec<u8>> = found["items"].as_array().unwrap().iter().map(reveal).collect();
    values.sort();
    values
}

#[test]
fn the_items_of_gnome_keyring_are_copied_and_a_second_time_nothing_is() {
    let Some(stage) = keyring() else { return };
    let caller = stage.caller();
    let session = caller.session();
    let all: Vec<u8> = (0..=255).chain(*b"canary").collect();
    caller.create(&session, &[("s", "bytes"), ("lines", "a\nb")], &all, false).unwrap();
    // Two that are found by the same, and one by nothing.
    caller.create(&session, &[("s", "twice")], b"canary-1", false).unwrap();
    caller.create(&session, &[("s", "twice")], b"canary-2", false).unwrap();
    caller.create(&session, &[], b"canary-none", false).unwrap();
    caller.create(&session, &[("s", "empty")], b"", false).unwrap();
    // Two that are the same in all.
    caller.create(&session, &[("s", "same")], b"canary-same", false).unwrap();
    caller.create(&session, &[("s", "same")], b"canary-same", false).unwrap();

    let (code, _, said) = import(&stage, &["--dry-run"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("would copy 8, replace 0; there already: 0; left out: 0"), "{said}");
    assert_eq!(items(&stage)["total"], 0);

    let (code, _, said) = import(&stage, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("copied 8, replaced 0; there already: 0; left out: 0"), "{said}");
    assert_eq!(values(&stage, "s", "bytes"), [all]);
    assert_eq!(values(&stage, "lines", "a\nb").len(), 1);
    assert_eq!(values(&stage, "s", "twice"), [b"canary-1", b"canary-2"]);
    assert_eq!(values(&stage, "s", "empty"), [b""]);
    assert_eq!(values(&stage, "of", "plain"), [b"canary-plain"]);
    let before = items(&stage);
    assert_eq!(before["total"], 8);
    assert!(before.to_string().contains("Of Plain"));

    let (code, answer, said) = import(&stage, &["--json"]);
    assert_eq!(code, 0, "{said}");
    let outcome: Value = answer.parse().unwrap();
    assert_eq!(outcome, json!({ "copied": 0, "replaced": 0, "unchanged": 8, "left": [] }));
    assert_eq!(items(&stage), before);

    let same = json!({ "attributes": { "s": "same" } });
    let found = stage.env.post("/items/search", &same).expect(200);
    let one = format!("/items/{}", found["items"][0]["id"].as_str().unwrap());
    assert_eq!(stage.env.request("DELETE", &one).send().status, 204);
    let (code, _, said) = import(&stage, &[]);
    assert!(code == 0 && said.contains("copied 1, replaced 0; there already: 7; left out: 0"), "{said}");
}

#[test]
fn what_cannot_be_copied_is_named_and_the_rest_is() {
    let Some(stage) = keyring() else { return };
    let caller = stage.caller();
    let session = caller.session();
    caller.create(&session, &[("s", "large")], &[b'x'; 65_537], false).unwrap();
    let many: Vec<(String, String)> = (0..65).map(|n| (format!("n{n}"), n.to_string())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
    caller.create(&session, &many, b"canary-many", false).unwrap();
    caller.create(&session, &[("s", "x")], b"canary-there", false).unwrap();
    let other = json!({
        "label": "mine", "attributes": { "s": "x" }, "content_type": "text/plain",
        "value_base64": data_encoding::BASE64.encode(b"mine"),
    });
    stage.env.post("/items", &other).expect(201);

    let (code, _, said) = import(&stage, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("copied 1, replaced 0; there already: 0; left out: 3"), "{said}");
    assert_eq!(said.matches("larger than an item of the vault can be").count(), 2, "{said}");
    assert!(said.contains("--replace takes this one"), "{said}");
    assert_eq!(values(&stage, "s", "x"), [b"mine"]);
    let (code, _, said) = import(&stage, &["--replace"]);
    assert!(code == 1 && said.contains("copied 0, replaced 1; there already: 1; left out: 2"), "{said}");
    assert_eq!(values(&stage, "s", "x"), [&b"canary-there"[..]]);

    // A collection that is locked is named, and the other one is read.
    let login = zbus::ObjectPath::try_from(LOGIN).unwrap();
    let (locked, _): (Vec<OwnedObjectPath>, OwnedObjectPath) =
        caller.call(SERVICE, "Service.Lock", &vec![&login]);
    assert_eq!(locked.len(), 1);
    let (code, _, said) = import(&stage, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("not copied: the collection \"Login\": it is locked"), "{said}");
    assert!(said.contains("copied 0, replaced 0; there already: 1; left out: 1"), "{said}");
}

#[test]
fn without_another_keyring_nothing_is_copied() {
    if lacks("without_another_keyring_nothing_is_copied", &["dbus-daemon"]) {
        return;
    }
    let mut stage = Stage::empty();
    let (code, _, said) = import(&stage, &[]);
    assert!(code == 6 && said.contains(&format!("nobody has {NAME}")), "{said}");
    stage.serve(&[]);
    let (code, _, said) = import(&stage, &[]);
    assert!(code == 6 && said.contains("secretsd-bus (pid "), "{said}");
    stage.end_service();
    // One that has the name and is no Secret Service.
    let caller = stage.caller();
    caller.runtime.block_on(caller.connection.request_name(NAME)).unwrap();
    let (code, _, said) = import(&stage, &["--from", "org.example.None"]);
    assert!(code == 6 && said.contains("nobody has org.example.None"), "{said}");
}
