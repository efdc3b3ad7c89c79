//! What several machines do by way of a store: the same with each kind of it.

use std::path::Path;

use secretsd_tests::stores::{Proxy, Server, Then};
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, harness, process, programs};
use serde_json::{Value, json};

use super::{
    KEY, KEY_ID, begun, ctl, exchange, has, installed, join, moved, mover, objects, purge, s3, sync,
    sync_all, update,
};

#[test]
fn a_runner_has_the_store_of_its_environment_and_puts_nothing_there() {
    let Some(server) = s3("a runner by way of S3") else { return };
    let store = server.address(server.port);
    let a = begun(&store);
    a.store("KEY", "first");
    sync(&a);
    let ci = Env::new(programs!());
    let invited = ctl(&a, &["machine", "invite", "--runner"]).expect(0);
    let key = ci.private_file("key", &invited);
    let before = server.names();
    let words =
        ["machine", "join", "--runner-key-file", key.to_str().unwrap(), "--ephemeral", "--store", &store];
    // Without the credential nothing is left behind.
    ci.ctl(words).expect(5);
    assert!(!ci.runtime_dir().join("ephemeral").exists());
    ctl(&ci, &words).expect(0);
    assert_eq!(ci.ctl(["run", "-s", "KEY", "--", "printenv", "KEY"]).expect(0), "first\n");
    update(&a, "KEY", "second");
    sync(&a);
    let after = server.names();
    ctl(&ci, &["sync"]).expect(0);
    assert_eq!(ci.ctl(["get", "KEY"]).expect(0), "second");
    assert_eq!(server.names(), after);
    assert!(before.iter().all(|name| after.contains(name)));
    ci.ctl(["stop"]).expect(0);
    assert!(!ci.runtime_dir().join("ephemeral").exists() && !ci.data_dir().exists());
    // A key on paper is enough after the store was emptied and filled again, with no machine left.
    let paper = ctl(&a, &["machine", "invite", "--paper"]).expect(0);
    server.wipe();
    for _ in 0..2 {
        sync(&a);
    }
    drop(a);
    let new = Env::unlocked(programs!());
    let key = new.private_file("key", &paper);
    let words =
        ["machine", "join", "--paper-key-file", key.to_str().unwrap(), "--store", &store, "--name", "new"];
    ctl(&new, &words).expect(0);
    assert_eq!(new.value("KEY"), "second");
}

/// Everything that machines do, by way of this store.
fn three_machines(server: &Server) {
    three_machines_by(server, server.port);
}

/// The same by another port than its own.
fn three_machines_by(server: &Server, port: u16) {
    let store = server.address(port);
    let a = Env::unlocked(programs!());
    a.store("BEFORE", "first");
    ctl(&a, &["machine", "init", "--store", &store, "--name", "laptop"]).expect(0);
    let b = Env::unlocked(programs!());
    b.store("OF_B", "of-b");
    join(&a, &b, "desktop", &store);
    let c = Env::unlocked(programs!());
    join(&b, &c, "devbox", &store);
    let all = [&a, &b, &c];
    sync_all(&all);
    for env in all {
        assert_eq!((env.value("BEFORE"), env.value("OF_B")), ("first".into(), "of-b".into()));
    }
    // A change on one appears on the others.
    update(&c, "BEFORE", "second");
    sync_all(&[&c, &a, &b]);
    assert_eq!((a.value("BEFORE"), b.value("BEFORE")), ("second".into(), "second".into()));
    // Of two values none is lost.
    update(&a, "BEFORE", "of-laptop");
    update(&b, "BEFORE", "of-desktop");
    sync_all(&all);
    for env in all {
        assert_eq!(env.value("BEFORE"), a.value("BEFORE"));
        assert_eq!(env.get("/fleet").expect(200)["conflicts"].as_array().unwrap().len(), 1);
    }
    update(&c, "BEFORE", "settled");
    sync_all(&all);
    // What is purged is gone everywhere, also from the store and from the other machines' copies of it.
    a.store("GONE", "gone");
    sync_all(&all);
    let with_value: Vec<_> = server.names().into_iter().filter(|name| name.starts_with("l-")).collect();
    assert!(has(&c, "GONE") && !with_value.is_empty());
    purge(&b, "GONE");
    sync(&b);
    // A machine that moves and does not merge, as it is locked, puts nothing of it back.
    for _ in 0..2 {
        moved(&c);
        assert!(with_value.iter().all(|name| !server.names().contains(name)), "{:?}", server.names());
    }
    sync_all(&all);
    sync_all(&all);
    for env in all {
        assert!(!has(env, "GONE") && has(env, "BEFORE"));
        assert!(with_value.iter().all(|name| !objects(env).contains(name)), "{:?}", objects(env));
    }
    assert!(with_value.iter().all(|name| !server.names().contains(name)), "{:?}", server.names());
    // A store that was emptied is filled again.
    server.wipe();
    sync_all(&all);
    let there = server.names();
    assert!(objects(&a).iter().all(|name| there.contains(name)), "{there:?}");
    let d = Env::unlocked(programs!());
    join(&a, &d, "second-laptop", &store);
    assert_eq!((d.value("BEFORE"), d.value("OF_B")), ("settled".into(), "of-b".into()));
    // Who is removed reads nothing that comes after.
    let told = ctl(&a, &["machine", "remove", "devbox"]).expect(0);
    assert!(told.contains("BEFORE"), "{told}");
    update(&a, "BEFORE", "after");
    sync_all(&[&a, &b]);
    assert_eq!(b.value("BEFORE"), "after");
    ctl(&c, &["sync"]).expect(5);
    let told = ctl(&c, &["sync", "status"]).expect(0);
    assert!(told.contains("was removed by another one") && !told.contains("refused"), "{told}");
    assert_eq!(c.value("BEFORE"), "settled");
}

#[test]
fn three_machines_have_one_vault_by_s3() {
    let Some(server) = s3("three_machines_have_one_vault_by_s3") else { return };
    three_machines(&server);
}

/// A second server of S3: beside moto it is one that looks at signatures and keeps files.
#[test]
fn three_machines_have_one_vault_by_s3s_fs() {
    if harness::lacks("three_machines_have_one_vault_by_s3s_fs", &["s3s-fs"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let server = Server::s3s_fs(home.path(), KEY_ID, KEY);
    three_machines(&server);
    let other = Env::unlocked(programs!());
    let store = server.address(server.port);
    let refused =
        ctl(&other, &["machine", "init", "--store", &store]).env("AWS_SECRET_ACCESS_KEY", "wrong").run();
    refused.assert_code(5);
    assert!(refused.err().contains("refuses the credential"), "{}", refused.err());
}

#[test]
fn three_machines_have_one_vault_by_google_cloud_storage() {
    let test = "three_machines_have_one_vault_by_google_cloud_storage";
    let Some(program) = installed(test, "fake-gcs-server") else { return };
    let server = Server::fake_gcs(&program);
    let proxy = Proxy::before(server.port);
    proxy.rule(|_| Then::Google);
    three_machines_by(&server, proxy.port);
}

#[test]
fn three_machines_have_one_vault_by_azure() {
    if harness::lacks("three_machines_have_one_vault_by_azure", &["azurite-blob"]) {
        return;
    }
    three_machines(&Server::azurite());
}

#[test]
fn three_machines_have_one_vault_by_rclones_webdav() {
    if harness::lacks("three_machines_have_one_vault_by_rclones_webdav", &["rclone"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    three_machines(&Server::rclone(home.path().to_owned()));
}

#[test]
fn three_machines_have_one_vault_by_lighttpds_webdav() {
    let test = "three_machines_have_one_vault_by_lighttpds_webdav";
    let program = Path::new("/usr/sbin/lighttpd");
    let has_module = Path::new("/usr/lib/lighttpd/mod_webdav.so").exists();
    if !program.exists() || !has_module {
        return harness::skip(test, "lighttpd with mod_webdav is not installed");
    }
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root");
    std::fs::create_dir(&root).unwrap();
    three_machines(&Server::lighttpd(program, root, &home.path().join("settings")));
}

#[test]
fn two_people_compare_five_words_by_way_of_a_store() {
    let Some(server) = s3("two_people_compare_five_words_by_way_of_a_store") else { return };
    let store = server.address(server.port);
    let (a, b) = (begun(&store), Env::unlocked(programs!()));
    a.store("KEY", "of-laptop");
    let run = |env: &Env, words: &[&str]| {
        let (id, key) = (format!("AWS_ACCESS_KEY_ID={KEY_ID}"), format!("AWS_SECRET_ACCESS_KEY={KEY}"));
        Terminal::run(env, &[&["env", &id, &key, programs!().client], words].concat())
    };
    let mut inviting = run(&a, &["machine", "invite"]);
    inviting.wait_for("machine join --store 's3://notes/fleet?");
    inviting.wait_for("15 minutes: ");
    let code = || {
        inviting.shown().split("15 minutes: ").nth(1).unwrap().split_whitespace().next().map(str::to_owned)
    };
    process::until("the code is shown", || code().is_some_and(|code| code.len() == 14));
    let code = code().unwrap();
    let mut joining = run(&b, &["machine", "join", &code, "--store", &store, "--name", "desktop"]);
    joining.wait_for("show the same five words? [y/N] ");
    inviting.wait_for("show the same five words? [y/N] ");
    let words = |text: &str, before: &str| -> String {
        let after = text.split(before).nth(1).unwrap().split("Does").next().unwrap();
        after.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let seen = words(&inviting.shown(), "asks to have the vault:");
    assert_eq!(seen, words(&joining.shown(), "must show the same words:"));
    joining.type_keys("y\n");
    joining.wait_for("waiting for the other machine");
    inviting.type_keys("y\n");
    inviting.wait_for("desktop is a machine of the vault now");
    joining.wait_for("this machine has the vault now");
    assert_eq!(b.value("KEY"), "of-laptop");
    // A store that holds a vault is not begun with another, and a machine of one vault does not begin a second.
    let c = Env::unlocked(programs!());
    ctl(&c, &["machine", "init", "--store", &store, "--name", "other"]).expect(6);
    assert!(!exchange(&c).join(".store").exists());
    ctl(&a, &["machine", "init", "--store", &store, "--name", "other"]).expect(6);
    assert!(exchange(&a).join(".store").exists());
}

#[test]
fn no_more_is_asked_of_the_store_than_a_change_costs() {
    let Some(server) = s3("no_more_is_asked_of_the_store_than_a_change_costs") else { return };
    let proxy = Proxy::before(server.port);
    let store = server.address(proxy.port);
    let count = |env: &Env| {
        proxy.take();
        sync(env);
        proxy.counts()
    };
    let is = |list: usize, other: Option<(&str, usize)>| {
        let all = [("LIST", list)].into_iter().chain(other);
        all.map(|(kind, count)| (kind.to_owned(), count)).collect::<std::collections::BTreeMap<_, _>>()
    };
    // What one machine has at first: a list of machines, and all secrets together.
    let (a, b) = (Env::unlocked(programs!()), Env::unlocked(programs!()));
    for number in 0..20 {
        a.store(&format!("SECRET_{number}"), "value");
    }
    assert!(mover(&a, &["begin", &store]).status.success());
    a.post("/fleet", &json!({ "name": "laptop", "directory": exchange(&a) })).expect(201);
    assert_eq!((count(&a), objects(&a).len()), (is(1, Some(("PUT", 2))), 2));
    // What another one fetches at first: the same.
    assert!(mover(&b, &["begin", &store]).status.success());
    proxy.take();
    assert_eq!((&moved(&b)["got"], proxy.counts()), (&json!(2), is(1, Some(("GET", 2)))));
    assert_eq!(objects(&b), objects(&a));
    join(&a, &b, "desktop", &store);
    sync_all(&[&a, &b]);
    // Nothing new.
    assert_eq!(count(&a), is(1, None));
    // One change: its writer, a reader.
    a.store("KEY", "value");
    assert_eq!(count(&a), is(1, Some(("PUT", 1))));
    assert_eq!(count(&b), is(1, Some(("GET", 1))));
    assert_eq!(b.value("KEY"), "value");
    assert_eq!((count(&a), count(&b)), (is(1, None), is(1, None)));
    // Moving needs no open vault: what came is merged once it is open.
    update(&a, "KEY", "newer");
    sync(&a);
    b.post("/vault/lock", &Value::Null);
    assert_eq!(moved(&b)["got"], 1);
    b.post("/vault/unlock", &json!({ "passphrase": secretsd_tests::env::PASSPHRASE })).expect(200);
    b.post("/fleet/merge", &Value::Null).expect(200);
    assert_eq!(b.value("KEY"), "newer");
}
