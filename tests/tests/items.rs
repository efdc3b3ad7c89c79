//! Items over the socket: secrets that are found by their attributes. What is kept and what is refused at each limit, which
//! item is replaced, who may ask while the vault is open or locked, and that nothing of an item is readable where it should
//! not be.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use secretsd_tests::connection::Connection;
use secretsd_tests::env::{CHEAP_KDF, PASSPHRASE};
use secretsd_tests::http::Request;
use secretsd_tests::process::until;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Answer, Env, canary, programs};
use serde_json::{Value, json};

fn as_items(env: &Env, method: &str, path: &str) -> Request {
    env.anonymous(method, path).bearer(&env.items_token())
}

fn post(env: &Env, path: &str, body: &Value) -> Answer {
    as_items(env, "POST", path).json(body).send()
}

fn new(label: &str, attributes: &Value, value: &[u8]) -> Value {
    json!({
        "label": label, "attributes": attributes, "content_type": "text/plain",
        "value_base64": BASE64.encode(value),
    })
}

/// Stores an item; its id.
#[track_caller]
fn stored(env: &Env, label: &str, attributes: &Value, value: &[u8]) -> String {
    post(env, "/items", &new(label, attributes, value)).expect(201)["id"].as_str().unwrap().to_owned()
}

fn replacing(env: &Env, label: &str, attributes: &Value, value: &[u8]) -> Answer {
    let mut body = new(label, attributes, value);
    body["replace"] = json!(true);
    post(env, "/items", &body)
}

#[track_caller]
fn value_of(env: &Env, id: &str) -> Vec<u8> {
    let revealed = as_items(env, "POST", &format!("/items/{id}/reveal")).send().expect(200);
    assert_eq!(revealed["id"], id);
    BASE64.decode(revealed["value_base64"].as_str().unwrap().as_bytes()).unwrap()
}

fn list(env: &Env, token: &str) -> Answer {
    env.anonymous("POST", "/items/search").bearer(token).json(&json!({ "attributes": {} })).send()
}

/// The labels of the items that are found, in their order.
#[track_caller]
fn found(env: &Env, attributes: &Value) -> Vec<String> {
    let list = post(env, "/items/search", &json!({ "attributes": attributes })).expect(200);
    let items = list["items"].as_array().unwrap();
    assert_eq!(list["total"], items.len());
    items.iter().map(|item| item["label"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_item_is_found_by_what_it_has_newest_change_first() {
    let env = Env::unlocked(programs!());
    let id = stored(&env, "a", &json!({ "service": "x", "user": "1" }), b"v");
    stored(&env, "b", &json!({ "service": "x", "user": "2" }), b"v");
    stored(&env, "none", &json!({}), b"v");
    stored(&env, "lines", &json!({ "a\nb": "c\nd", "": "" }), b"v");
    assert_eq!(found(&env, &json!({ "service": "x" })), ["b", "a"]);
    assert_eq!(found(&env, &json!({ "service": "x", "user": "1" })), ["a"]);
    assert_eq!(found(&env, &json!({ "a\nb": "c\nd" })), ["lines"]);
    assert_eq!(found(&env, &json!({ "": "" })), ["lines"]);
    assert_eq!(found(&env, &json!({})), ["lines", "none", "b", "a"]);
    assert!(found(&env, &json!({ "service": "X" })).is_empty());

    let item = as_items(&env, "GET", &format!("/items/{id}")).send();
    assert_eq!(item.header("etag"), Some("\"1\""));
    let mut item = item.expect(200);
    assert_eq!(item["created_at"], item["updated_at"]);
    for field in ["created_at", "updated_at"] {
        item.as_object_mut().unwrap().remove(field).unwrap();
    }
    let attributes = json!({ "service": "x", "user": "1" });
    assert_eq!(
        item,
        json!({ "id": id, "label": "a", "attributes": attributes, "content_type": "text/plain", "size": 1, "version": 1 })
    );

    // A change makes it the newest, of label, attributes or value.
    let path = format!("/items/{id}");
    as_items(&env, "PATCH", &path).json(&json!({ "label": "A" })).send().expect(200);
    assert_eq!(found(&env, &json!({})), ["A", "lines", "none", "b"]);
    as_items(&env, "PATCH", &path).json(&json!({ "attributes": { "other": "y" } })).send().expect(200);
    assert_eq!(found(&env, &json!({ "service": "x" })), ["b"]);
    assert_eq!(found(&env, &json!({ "other": "y" })), ["A"]);
    let changed = as_items(&env, "PUT", &format!("{path}/value"))
        .json(&json!({ "value_base64": BASE64.encode(b"w"), "content_type": "data/null" }))
        .send();
    assert_eq!(changed.header("etag"), Some("\"4\""));
    assert_eq!(changed.expect(200)["content_type"], "data/null");
    assert_eq!(value_of(&env, &id), b"w");
    let versions = as_items(&env, "GET", &format!("{path}/versions")).send().expect(200);
    let shown: Vec<_> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["version"].as_u64(),
                one["content_type"].as_str().unwrap(),
                one["size"].as_u64(),
                one["current"] == true,
            )
        })
        .collect();
    assert_eq!(shown, [(Some(4), "data/null", Some(1), true), (Some(1), "text/plain", Some(1), false)]);
}

#[test]
fn a_value_is_any_bytes_up_to_64_kib() {
    let env = Env::unlocked(programs!());
    let all: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..65_536_u32).map(|at| (at % 251) as u8).collect();
    for value in [&b""[..], &[0], &all, &large] {
        let id = stored(&env, "l", &json!({}), value);
        assert_eq!(value_of(&env, &id), value);
        let path = format!("/items/{id}/value");
        let put = |value: &[u8]| {
            as_items(&env, "PUT", &path).json(&json!({ "value_base64": BASE64.encode(value) })).send()
        };
        put(&all).expect(200);
        assert_eq!(value_of(&env, &id), all);
        let refused = put(&vec![1; 65_537]).expect_error(422, "limit_exceeded_error");
        assert_eq!(refused["errors"][0]["type"], "limit_exceeded");
        assert_eq!(refused["errors"][0]["loc"], json!(["body", "value_base64"]));
        // Nothing was cut, and nothing changed.
        assert_eq!(value_of(&env, &id), all);
    }
}

#[test]
fn what_is_at_a_limit_is_stored_and_one_more_is_refused_as_too_large() {
    let env = Env::unlocked(programs!());
    let pairs = |count: usize, length: usize| -> Value {
        let pair = |at: usize| (format!("{at:0length$}"), "\u{1}".repeat(length));
        json!((0..count).map(pair).collect::<BTreeMap<_, _>>())
    };
    let largest = json!({
        "label": "é".repeat(500), "attributes": pairs(64, 1_024), "content_type": "x".repeat(255),
        "value_base64": BASE64.encode(&[7; 65_536]),
    });
    let item = post(&env, "/items", &largest).expect(201);
    for field in ["label", "attributes", "content_type"] {
        assert_eq!(item[field], largest[field]);
    }
    let list = post(&env, "/items/search", &json!({ "attributes": pairs(64, 1_024) })).expect(200);
    assert_eq!(list["items"], json!([item]));
    for (field, value) in [
        ("label", json!("x".repeat(1_001))),
        ("content_type", json!("x".repeat(256))),
        ("attributes", pairs(65, 4)),
        ("attributes", pairs(1, 1_025)),
        ("attributes", json!({ "": "x".repeat(1_025) })),
    ] {
        let mut body = new("l", &json!({}), b"v");
        body[field] = value;
        let refused = post(&env, "/items", &body).expect_error(422, "limit_exceeded_error");
        assert_eq!(refused["errors"].as_array().unwrap().len(), 1);
        assert_eq!(refused["errors"][0]["loc"], json!(["body", field]));
    }
    for (field, value, kind) in [
        ("label", json!("a\0"), "string_pattern_mismatch"),
        ("attributes", json!({ "a": "\0" }), "string_pattern_mismatch"),
        ("attributes", json!({ "a": 1 }), "string_type"),
        ("attributes", json!([]), "model_type"),
        ("attributes", json!(null), "model_type"),
        ("value_base64", json!("YQ"), "string_pattern_mismatch"),
        ("value_base64", json!(7), "string_type"),
        ("more", json!(7), "extra_forbidden"),
    ] {
        let mut body = new("l", &json!({}), b"v");
        body[field] = value;
        let refused = post(&env, "/items", &body).expect_error(422, "validation_error");
        assert_eq!(refused["errors"][0]["type"], kind, "{field}");
    }
    let all = found(&env, &json!({}));
    assert_eq!(all.len(), 1, "what was refused was stored");
}

#[test]
fn an_item_is_replaced_only_by_one_with_equal_attributes() {
    let env = Env::unlocked(programs!());
    let more = json!({ "service": "x", "user": "a" });
    let (superset, subset) = (stored(&env, "more", &more, b"1"), json!({ "service": "x" }));
    let created = replacing(&env, "less", &subset, b"2");
    assert_eq!(created.status, 201, "one with more attributes was replaced");
    let less = created.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(created.header("location"), Some(&*format!("/api/v1/items/{less}")));
    let replaced = replacing(&env, "new label", &more, b"3").expect(200);
    assert_eq!((replaced["id"].as_str(), replaced["version"].as_u64()), (Some(&*superset), Some(2)));
    assert_eq!((value_of(&env, &superset), value_of(&env, &less)), (b"3".to_vec(), b"2".to_vec()));
    assert_eq!(found(&env, &json!({})), ["new label", "less"]);
    // None at all are attributes like others.
    let empty = stored(&env, "empty", &json!({}), b"4");
    assert_eq!(replacing(&env, "empty", &json!({}), b"5").expect(200)["id"], *empty);
    assert_eq!(value_of(&env, &empty), b"5");
    // Without `replace` there are two, and then the newer one is replaced.
    let second = stored(&env, "second", &more, b"6");
    assert_eq!(replacing(&env, "second", &more, b"7").expect(200)["id"], *second);
    assert_eq!(value_of(&env, &superset), b"3");
    // One in the trash is none.
    assert_eq!(as_items(&env, "DELETE", &format!("/items/{second}")).send().status, 204);
    assert_eq!(as_items(&env, "DELETE", &format!("/items/{superset}")).send().status, 204);
    replacing(&env, "third", &more, b"8").expect(201);
}

#[test]
fn a_deleted_item_comes_back_and_a_purged_one_is_gone() {
    let env = Env::unlocked(programs!());
    let id = stored(&env, "l", &json!({ "a": "b" }), b"v");
    let path = format!("/items/{id}");
    let stale = as_items(&env, "DELETE", &path).header("If-Match", "\"7\"").send();
    stale.expect_error(409, "conflict_error");
    assert_eq!(as_items(&env, "DELETE", &path).send().status, 204);
    as_items(&env, "GET", &path).send().expect_error(404, "not_found_error");
    as_items(&env, "POST", &format!("{path}/reveal")).send().expect_error(404, "not_found_error");
    assert!(found(&env, &json!({})).is_empty());
    let trash = as_items(&env, "GET", "/items/trash").send().expect(200);
    assert_eq!((&trash["total"], &trash["items"][0]["id"]), (&json!(1), &json!(id)));
    let back = as_items(&env, "POST", &format!("{path}/restore")).send().expect(200);
    assert_eq!((&back["label"], &back["version"]), (&json!("l"), &json!(3)));
    assert_eq!(value_of(&env, &id), b"v");
    assert_eq!(as_items(&env, "DELETE", &format!("{path}?purge=true")).send().status, 204);
    as_items(&env, "POST", &format!("{path}/restore")).send().expect_error(404, "not_found_error");
    let log = env.get("/audit").expect(200);
    let of_item = log["entries"].as_array().unwrap().iter().filter(|entry| entry["items"][0]["id"] == *id);
    let actions: Vec<&str> = of_item.map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["create", "delete", "restore", "reveal", "purge"]);
}

#[test]
fn the_collection_has_a_label_and_counts_its_items() {
    let mut env = Env::unlocked(programs!());
    let collection = |env: &Env| as_items(env, "GET", "/items/collection").send().expect(200);
    assert_eq!(
        collection(&env),
        json!({ "label": "Login", "total": 0, "created_at": null, "updated_at": null })
    );
    stored(&env, "l", &json!({}), b"v");
    assert_eq!((&collection(&env)["label"], &collection(&env)["total"]), (&json!("Login"), &json!(1)));
    let label = json!({ "label": "Mine\u{e9}" });
    as_items(&env, "PATCH", "/items/collection").json(&label).send().expect(200);
    as_items(&env, "PATCH", "/items/collection").json(&label).send().expect(200);
    env.stop();
    env.start();
    as_items(&env, "GET", "/items/collection").send().expect_error(403, "vault_locked_error");
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    let kept = collection(&env);
    assert_eq!((&kept["label"], &kept["total"]), (&label["label"], &json!(1)));
    assert!(kept["created_at"].is_string() && kept["updated_at"].is_string());
}

#[test]
fn the_token_for_items_gives_nothing_else_and_is_new_at_each_start() {
    let mut env = Env::unlocked(programs!());
    let secret = env.store("KEY", "value-of-a-secret-0123456789")["id"].as_str().unwrap().to_owned();
    let before = env.items_token();
    let file = env.runtime_dir().join("items-token");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_file(&file).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while !file.exists() {
        assert!(Instant::now() < end, "the token's file is not written again");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(env.items_token(), before);
    for (method, path) in [
        ("GET", "/user/secrets".to_owned()),
        ("GET", format!("/user/secrets/{secret}")),
        ("GET", "/tokens".to_owned()),
        ("GET", "/audit".to_owned()),
        ("GET", "/approvals".to_owned()),
        ("GET", "/vault/backup".to_owned()),
    ] {
        as_items(&env, method, &path).send().expect_error(403, "forbidden_error");
    }
    let reveal = json!({ "secrets": ["KEY"], "purpose": "test" });
    post(&env, "/user/secrets/reveal", &reveal).expect_error(403, "forbidden_error");
    let unlock = json!({ "passphrase": PASSPHRASE });
    post(&env, "/vault/unlock", &unlock).expect_error(403, "forbidden_error");
    assert_eq!(as_items(&env, "GET", "/vault").send().expect(200)["secrets"], 0);
    post(&env, "/approvals", &json!({ "right": "unlock" })).expect_error(409, "conflict_error");

    // No other scope gives items, and no new token gets the name.
    let token = json!({ "name": "all", "scopes": ["list", "write", "reveal", "admin", "use"] });
    let token = env.post("/tokens", &token).expect(201)["token"].as_str().unwrap().to_owned();
    list(&env, &token).expect_error(403, "forbidden_error");
    let named = json!({ "name": "Items", "scopes": ["list"] });
    env.post("/tokens", &named).expect_error(409, "already_exists_error");
    let bound = json!({ "name": "bound", "scopes": ["items"], "secrets": ["K*"] });
    let bound = env.post("/tokens", &bound).expect(201)["token"].as_str().unwrap().to_owned();
    list(&env, &bound).expect_error(403, "forbidden_error");
    let free = json!({ "name": "free", "scopes": ["items"] });
    let free = env.post("/tokens", &free).expect(201)["token"].as_str().unwrap().to_owned();
    list(&env, &free).expect(200);

    // It locks, and outlives that, so that a person can be asked to open the vault again.
    post(&env, "/vault/lock", &json!({})).expect(200);
    assert_eq!(env.items_token(), before);
    list(&env, &before).expect_error(403, "vault_locked_error");
    post(&env, "/items", &new("l", &json!({}), b"v")).expect_error(403, "vault_locked_error");
    let ask = post(&env, "/approvals", &json!({ "right": "unlock" })).expect(201);
    let path = format!("/approvals/{}", ask["id"].as_str().unwrap());
    assert_eq!(as_items(&env, "GET", &path).send().expect(200)["client"]["token"], "items");
    env.post("/vault/unlock", &unlock).expect(200);
    assert_eq!(as_items(&env, "GET", &path).send().expect(200)["state"], "allowed");
    env.stop();
    assert!(!env.runtime_dir().join("items-token").exists());
    env.start();
    assert_ne!(env.items_token(), before);
    list(&env, &before).expect_error(401, "authentication_error");
}

#[test]
fn changes_are_told_to_who_waits() {
    let env = Env::unlocked(programs!());
    let id = stored(&env, "l", &json!({}), b"v");
    let at = |path: String| as_items(&env, "GET", &path).send().expect(200);
    let mut last = at("/items/changes".to_owned());
    assert_eq!(last["state"], "unlocked");
    let edit = |label: &str| {
        let path = format!("/items/{id}");
        as_items(&env, "PATCH", &path).json(&json!({ "label": label })).send().expect(200);
    };
    for label in ["one", "two"] {
        let wait = format!("/items/changes?wait=25&after={}", last["changes"]);
        let (send, told) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| send.send(at(wait)).unwrap());
            // A reveal is no change.
            value_of(&env, &id);
            edit(label);
            let next = told.recv_timeout(Duration::from_secs(20)).expect("a change was not told");
            assert_ne!(next["changes"], last["changes"]);
            last = next;
        });
    }
    // What was missed is told at once; without a change there is nothing to tell.
    let now = at(format!("/items/changes?wait=1&after={}", last["changes"]));
    assert_eq!(now, last);
    env.post("/vault/lock", &json!({})).expect(200);
    let locked = at(format!("/items/changes?wait=25&after={}", last["changes"]));
    assert_eq!(locked["state"], "locked");
    assert_ne!(locked["changes"], last["changes"]);
}

/// Who waits is woken by what it waits for, and by nothing else: not by the limit of other requests, and the daemon's end is
/// told at once.
#[test]
fn who_waits_for_a_change_waits_for_as_long_as_it_takes() {
    let mut env = Env::new(programs!());
    env.settings(&format!("{CHEAP_KDF}[limits]\nrequest_seconds = 1\n"));
    env.start();
    env.init();
    let last = as_items(&env, "GET", "/items/changes").send().expect(200)["changes"].clone();
    let ask = |token: String, path: String| {
        let (socket, (send, told)) = (env.socket(), mpsc::channel());
        thread::spawn(move || {
            send.send(Request::new(&socket, "GET", &format!("/api/v1{path}")).bearer(&token).send())
        });
        told
    };
    let told = ask(env.items_token(), format!("/items/changes?wait=86400&after={last}"));
    // Past what other requests may take, during which others are served.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        assert_eq!(env.get("/vault").expect(200)["state"], "unlocked");
        assert!(told.try_recv().is_err(), "it was answered without a change");
    }
    stored(&env, "l", &json!({}), b"v");
    let answer = told.recv_timeout(Duration::from_secs(20)).expect("a change was not told");
    assert_ne!(answer.expect(200)["changes"], last);
    let (_items, _approvals) = (
        ask(env.items_token(), "/items/changes?wait=86400".to_owned()),
        ask(env.token(), "/approvals?wait=86400".to_owned()),
    );
    until("somebody waits", || env.get("/approvals").expect(200)["approvers"] == 1);
    let start = Instant::now();
    assert!(env.stop().success());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

/// A rule that allows is made by a person: at a terminal, with the passphrase, and by no other.
#[test]
fn a_rule_on_an_item_is_made_with_the_passphrase_alone() {
    let env = Env::unlocked(programs!());
    let id = stored(&env, "login of gh", &json!({ "service": "gh" }), b"v");
    env.ctl(["guard", "--item", &id]).expect(0);
    let arguments = ["rules", "allow", "--item", &id[..8], "--program", "/usr/bin/gh"];
    let rules = || env.get("/approvals/rules").expect(200)["items"].as_array().map_or(0, Vec::len);
    env.ctl(arguments).expect(3);
    let mut terminal = Terminal::ctl(&env, &arguments);
    for attempt in 1..=3 {
        terminal.wait_for("passphrase: ");
        assert!(!terminal.echoes());
        terminal.type_keys("wrong horse\r");
        if attempt < 3 {
            terminal.wait_for("wrong passphrase, try again");
        }
    }
    terminal.expect(5, "three wrong passphrases; nothing was allowed");
    assert_eq!(rules(), 0);
    let mut terminal = Terminal::ctl(&env, &arguments);
    terminal.wait_for("passphrase: ");
    terminal.type_keys(&format!("{PASSPHRASE}\r"));
    terminal.expect(0, "item \"login of gh\" may be had by token items, program /usr/bin/gh");
    assert_eq!(rules(), 1);
    assert!(!terminal.shown().contains(PASSPHRASE), "{}", terminal.shown());
}

#[test]
fn a_guard_holds_for_an_item_and_asks_about_whom_the_bus_speaks_for() {
    const SAID: &str = "pid=4242&process=inode:77&session=inode:70&tty=pts/7&leader=bash&unit=app.scope\
                        &program=/usr/bin/secret-tool&directory=/tmp&chain=secret-tool&chain=bash";
    const OTHER: &str =
        "pid=4243&process=inode:78&session=inode:71&tty=pts/8&leader=bash&program=/usr/bin/other";
    let env = Env::unlocked(programs!());
    let id = stored(&env, "bank \u{1b}[31m", &json!({ "a": "b" }), b"guarded-value");
    let path = format!("/items/{id}");
    let saying =
        |said: &str, method: &str, path: &str| as_items(&env, method, path).header("X-Secretsd-Client", said);
    let reveal = |said: &str| saying(said, "POST", &format!("{path}/reveal")).send();
    let is_locked = |said: &str| saying(said, "GET", &path).send().expect(200)["locked"] == true;
    let guard = env.request("PUT", &format!("{path}/guard")).json(&json!({ "guarded": true })).send();
    assert_eq!(guard.expect(200)["guarded"], true);
    assert!(is_locked(SAID) && is_locked(OTHER));
    // Each way to change it asks, too.
    let wanted = json!({ "label": "x" });
    saying(SAID, "PATCH", &path).json(&wanted).send().expect_error(403, "approval_required_error");
    saying(SAID, "DELETE", &path).send().expect_error(403, "approval_required_error");
    let mut replacing = new("x", &json!({ "a": "b" }), b"y");
    replacing["replace"] = json!(true);
    let replace = saying(SAID, "POST", "/items").json(&replacing).send();
    replace.expect_error(403, "approval_required_error");
    let put = saying(SAID, "PUT", &format!("{path}/value")).json(&json!({ "value_base64": "" })).send();
    put.expect_error(403, "approval_required_error");

    let refused = reveal(SAID);
    refused.expect_error(403, "approval_required_error");
    let ask = refused.header("x-secretsd-approval").unwrap().to_owned();
    let shown = env.get(&format!("/approvals/{ask}")).expect(200);
    assert_eq!(shown["items"], json!([{ "id": id, "label": "bank \u{fffd}[31m" }]));
    assert_eq!(shown["secrets"], json!([]));
    let client = &shown["client"];
    for (field, value) in [
        ("token", json!("items")),
        ("pid", json!(4242)),
        ("program", json!("/usr/bin/secret-tool")),
        ("unit", json!("app.scope")),
        ("directory", json!("/tmp")),
        ("session", json!({ "tty": "pts/7", "leader": "bash" })),
        ("chain", json!(["secret-tool", "bash"])),
    ] {
        assert_eq!(client[field], value, "{field}");
    }
    let allow = json!({ "decision": "allow", "scope": "session", "proof": { "passphrase": PASSPHRASE } });
    let without = json!({ "decision": "allow", "scope": "session" });
    env.post(&format!("/approvals/{ask}/decision"), &without).expect_error(403, "wrong_key_error");
    env.post(&format!("/approvals/{ask}/decision"), &allow).expect(200);
    assert!(!is_locked(SAID));
    reveal(SAID).expect(200);
    // Another program, in another session, is not meant: the token is everybody's on the bus.
    assert!(is_locked(OTHER));
    reveal(OTHER).expect_error(403, "approval_required_error");
    // Nor does the owner's own token give it away, nor what is sent with that token as a bus would.
    let owners = env.request("POST", &format!("{path}/reveal")).header("X-Secretsd-Client", SAID).send();
    owners.expect_error(403, "approval_required_error");

    let log = env.get("/audit").expect(200);
    let last = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .rfind(|entry| entry["action"] == "reveal" && entry["outcome"] == "ok");
    let last = last.unwrap();
    assert_eq!(last["items"][0]["id"], *id);
    let caller = &last["caller"];
    assert_eq!(
        (&caller["token"], &caller["pid"], &caller["exe"], &caller["comm"]),
        (&json!("items"), &json!(4242), &json!("/usr/bin/secret-tool"), &json!("secret-tool"))
    );
    // While an item is guarded, a key is not added without a proof, and the guard does not go without one.
    env.post("/vault/keys", &json!({ "recovery": true })).expect_error(403, "wrong_key_error");
    let off = json!({ "guarded": false });
    let unguard = |body: &Value| env.request("PUT", &format!("{path}/guard")).json(body).send();
    unguard(&off).expect_error(403, "wrong_key_error");
    unguard(&json!({ "guarded": false, "proof": { "passphrase": PASSPHRASE } })).expect(200);
    reveal(OTHER).expect(200);
}

#[test]
fn items_are_in_backups_rotations_and_verifications_and_nowhere_in_the_clear() {
    const LABEL: &str = "label-canary-0123456789abcdef";
    const NAME: &str = "attribute-canary-0123456789abcdef";
    const VALUE: &str = "value-canary-0123456789abcdef";
    let mut env = Env::unlocked(programs!());
    let id = stored(&env, LABEL, &json!({ NAME: format!("{NAME}-value") }), VALUE.as_bytes());
    let path = format!("/items/{id}/value");
    let put = json!({ "value_base64": BASE64.encode(format!("{VALUE}-2").as_bytes()), "content_type": "x" });
    as_items(&env, "PUT", &path).json(&put).send().expect(200);
    let check = |env: &Env| {
        assert_eq!(found(env, &json!({ NAME: format!("{NAME}-value") })), [LABEL]);
        assert_eq!(value_of(env, &id), format!("{VALUE}-2").as_bytes());
        let versions = as_items(env, "GET", &format!("/items/{id}/versions")).send().expect(200);
        assert_eq!(versions["versions"].as_array().unwrap().len(), 2);
        assert_eq!(env.post("/vault/verify", &json!({})).expect(200)["items"], 1);
    };
    check(&env);
    env.post("/vault/rotate", &json!({ "passphrase": PASSPHRASE })).expect(200);
    check(&env);
    let backup = env.path("backup.db");
    env.ctl(["backup", backup.to_str().unwrap()]).expect(0);
    assert_eq!(as_items(&env, "DELETE", &format!("/items/{id}?purge=true")).send().status, 204);
    assert!(found(&env, &json!({})).is_empty());
    env.stop();
    canary::assert_absent(&env.path(""), &[LABEL, NAME, VALUE]);
    assert!(!env.log().contains(LABEL));
    let passphrase = env.private_file("passphrase", PASSPHRASE);
    let restore =
        ["restore-vault", backup.to_str().unwrap(), "--passphrase-file", passphrase.to_str().unwrap()];
    env.ctl(restore).expect(0);
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    check(&env);
}

#[test]
fn answered_creates_survive_a_kill() {
    let mut env = Env::started(programs!());
    let key = json!({ "key_file": env.private_file("key", [0x4b; 32]) });
    env.post("/vault/init", &key).expect(201);
    let mut answered: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for round in 0..5_u8 {
        let (send, stored) = mpsc::channel();
        thread::scope(|scope| {
            for client in 0..3_u8 {
                let send = send.clone();
                let mut connection = Connection::with_token(&env, env.items_token());
                scope.spawn(move || {
                    for number in 0..10_000_u16 {
                        let value = [&[round, client][..], &number.to_be_bytes()].concat();
                        let body = new("l", &json!({ "number": number.to_string() }), &value);
                        // Once the daemon is killed there is no answer.
                        let Ok(answer) = connection.exchange("POST", "/items", Some(&body)) else { return };
                        let id = answer.expect(201)["id"].as_str().unwrap().to_owned();
                        if send.send((id, value)).is_err() {
                            return;
                        }
                    }
                });
            }
            for _ in 0..(20 + usize::from(round) * 7) {
                let (id, value) = stored.recv_timeout(Duration::from_secs(20)).expect("nothing is stored");
                answered.insert(id, value);
            }
            env.kill();
        });
        drop(send);
        answered.extend(stored);
        env.start();
        env.post("/vault/unlock", &key).expect(200);
        for (id, value) in &answered {
            assert_eq!(value_of(&env, id), *value);
        }
    }
}

#[test]
fn a_thousand_items_are_searched_in_a_moment() {
    let env = Env::unlocked(programs!());
    let mut connection = Connection::open(&env);
    for number in 0..1_000 {
        let attributes = json!({ "service": "x", "user": number.to_string(), "xdg:schema": "org.example" });
        connection.ask("POST", "/items", Some(&new("An item of a program", &attributes, b"v"))).expect(201);
    }
    let wanted = json!({ "attributes": { "user": "500" } });
    let mut fastest = Duration::MAX;
    for _ in 0..50 {
        let begun = Instant::now();
        let list = connection.ask("POST", "/items/search", Some(&wanted));
        fastest = fastest.min(begun.elapsed());
        let list = list.expect(200);
        assert_eq!(list["total"], 1);
    }
    assert_eq!(found(&env, &json!({ "service": "x" })).len(), 1_000);
    // The bar is 5 ms for a release build; this is one without optimization, on a machine that does other things.
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}

#[test]
fn the_client_lists_and_removes_items_and_never_shows_a_value() {
    const VALUE: &str = "value-that-is-never-shown-0123456789";
    let env = Env::unlocked(programs!());
    assert_eq!(env.ctl(["items", "list"]).run().err().trim_end(), "secretctl: no items");
    let id =
        stored(&env, "Password\n\u{1b}[31m", &json!({ "service": "x", "user": "a\nb" }), VALUE.as_bytes());
    let other = stored(&env, "", &json!({}), b"other");
    let mut shown = Vec::new();
    let mut ctl = |arguments: &[&str], code: i32| -> String {
        let output = env.ctl(arguments).run();
        output.assert_code(code);
        shown.extend_from_slice(&output.stdout);
        shown.extend_from_slice(&output.stderr);
        format!("{}{}", output.out(), output.err())
    };
    let list = ctl(&["items", "list"], 0);
    assert!(list.contains(&id[..8]) && list.contains("service=x") && list.contains("(no label)"), "{list}");
    assert!(!list.contains('\u{1b}') && list.lines().count() == 3, "{list:?}");
    let list = ctl(&["items", "list", "--attribute", "service=x"], 0);
    assert!(list.contains(&id[..8]) && !list.contains(&other[..8]), "{list}");
    ctl(&["items", "list", "--attribute", "service"], 2);
    let json: Value = serde_json::from_str(&ctl(&["items", "show", &id[..6], "--json"], 0)).unwrap();
    assert_eq!((&json["id"], &json["attributes"]["user"]), (&json!(id), &json!("a\nb")));
    let detail = ctl(&["items", "show", &id], 0);
    assert!(detail.contains("36 bytes") && detail.contains("service=x"), "{detail}");
    let history = ctl(&["items", "history", &id[..8]], 0);
    assert!(history.contains("text/plain") && history.contains("current"), "{history}");
    let guarded = ctl(&["guard", "--item", &id[..8]], 0);
    assert!(guarded.contains("is guarded"), "{guarded}");
    // Without a terminal nobody can be asked.
    let refused = ctl(&["items", "rm", &id[..8]], 3);
    assert!(refused.contains("item \"Password"), "{refused}");
    ctl(&["items", "rm", &other[..8]], 0);
    assert!(ctl(&["items", "list", "--trash"], 0).contains(&other[..8]));
    ctl(&["items", "show", &other[..8]], 4);
    ctl(&["items", "restore", &other[..8]], 0);
    ctl(&["items", "rm", "--purge", "--yes", &other[..8]], 0);
    ctl(&["items", "restore", &other[..8]], 4);
    ctl(&["items", "show", "xyz"], 7);
    let log = ctl(&["audit"], 0);
    assert!(log.contains("\"Password"), "{log}");
    assert!(ctl(&["verify"], 0).contains("items"), "verify does not count items");
    assert_eq!(canary::find(&shown, VALUE), None);
    env.stop_listener();
}

#[test]
fn a_rule_on_an_item_is_kept_listed_and_goes_with_it() {
    const SAID: &str = "pid=4242&process=inode:77&program=/usr/bin/secret-tool&chain=secret-tool";
    let mut env = Env::unlocked(programs!());
    let id = stored(&env, "bank", &json!({ "a": "b" }), b"v");
    let reveal = |env: &Env, said: &str| {
        as_items(env, "POST", &format!("/items/{id}/reveal")).header("X-Secretsd-Client", said).send()
    };
    let guard = env.request("PUT", &format!("/items/{id}/guard")).json(&json!({ "guarded": true })).send();
    guard.expect(200);
    let refused = reveal(&env, SAID);
    refused.expect_error(403, "approval_required_error");
    let ask = refused.header("x-secretsd-approval").unwrap();
    let allow = json!({ "decision": "allow", "scope": "always", "proof": { "passphrase": PASSPHRASE } });
    env.post(&format!("/approvals/{ask}/decision"), &allow).expect(200);
    env.stop();
    env.start();
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    let rules = env.get("/approvals/rules").expect(200);
    assert_eq!((&rules["rules"], &rules["total"]), (&json!([]), &json!(0)));
    let rule = &rules["items"][0];
    assert_eq!(rule["item"], json!({ "id": id, "label": "bank" }));
    assert_eq!(rule["client"], json!({ "token": "items", "program": "/usr/bin/secret-tool" }));
    assert!(env.ctl(["rules"]).expect(0).contains("item \"bank\""));
    reveal(&env, SAID).expect(200);
    let another = SAID.replace("/usr/bin/secret-tool", "/usr/bin/other").replace("77", "78");
    reveal(&env, &another).expect_error(403, "approval_required_error");
    env.ctl(["rules", "rm", &rule["id"].as_str().unwrap()[..8]]).expect(0);
    reveal(&env, SAID).expect_error(403, "approval_required_error");
    assert_eq!(env.get("/approvals/rules").expect(200).get("items"), None);
}
