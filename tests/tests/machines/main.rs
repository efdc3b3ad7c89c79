//! One vault on three machines: three daemons, each with a home of its own, and a directory between them.

mod again;
mod by_itself;
mod conflicts;
mod durable;
mod failures;
mod invited;
mod kept;
mod keys;
#[path = "../clocks/moved.rs"]
#[allow(dead_code, reason = "the clocks of the machine are moved in more ways than here")]
mod moved;
mod random;
mod sizes;

use std::fs;
use std::path::Path;

use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

/// Lets `joiner` in; both sides see the same words.
fn join(inviter: &Env, joiner: &Env, name: &str, store: &Path) {
    let invitation = inviter.post("/fleet/invitations", &Value::Null).expect(201);
    let waiting = format!("/fleet/invitations/{}", invitation["id"].as_str().unwrap());
    assert_eq!(inviter.get(&waiting).expect(200)["state"], "waiting");
    let request = json!({ "code": invitation["code"], "name": name, "directory": store });
    let joining = joiner.post("/fleet/join", &request).expect(201);
    let answered = inviter.get(&waiting).expect(200);
    assert_eq!(answered["state"], "answered");
    // The joining machine knew no words before the other one had settled on its answer.
    assert_eq!((&joining["state"], &joining["words"]), (&json!("waiting"), &Value::Null));
    let confirm = format!("/fleet/invitations/{}", joining["id"].as_str().unwrap());
    let joining = joiner.get(&confirm).expect(200);
    assert_eq!((&answered["name"], &answered["words"]), (&json!(name), &joining["words"]));
    assert_eq!(joining["words"].as_array().unwrap().len(), 5);
    // The joiner has said yes, the inviter has not: no key was handed over.
    let before = joiner.get("/fleet").expect(200);
    joiner.post(&confirm, &json!({ "accept": true })).expect_error(504, "gateway_timeout_error");
    assert_eq!(joiner.get("/fleet").expect(200), before);
    inviter.post(&waiting, &json!({ "accept": true })).expect(200);
    assert_eq!(joiner.post(&confirm, &json!({ "accept": true })).expect(200)["state"], "done");
}

fn sync(env: &Env) -> Value {
    env.post("/fleet/merge", &Value::Null).expect(200)
}

fn unlock(env: &Env) {
    env.post("/vault/unlock", &json!({ "passphrase": secretsd_tests::env::PASSPHRASE })).expect(200);
}

/// Does something while no machine reaches the directory.
fn apart<T>(store: &Path, work: impl FnOnce() -> T) -> T {
    let away = store.with_extension("away");
    fs::rename(store, &away).unwrap();
    let done = work();
    fs::rename(&away, store).unwrap();
    done
}

/// What is new on any of them is known to all.
fn sync_all(all: &[&Env]) {
    for _ in 0..2 {
        all.iter().for_each(|env| drop(sync(env)));
    }
}

fn id(env: &Env, name: &str) -> String {
    let list = env.get("/user/secrets").expect(200);
    let found = list["secrets"].as_array().unwrap().iter().find(|secret| secret["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not there"))["id"].as_str().unwrap().to_owned()
}

fn update(env: &Env, name: &str, value: &str) {
    let path = format!("/user/secrets/{}", id(env, name));
    env.request("PUT", &path).json(&json!({ "value": value })).send().expect(200);
}

fn has(env: &Env, name: &str) -> bool {
    env.get("/user/secrets").expect(200).to_string().contains(&format!("\"{name}\""))
}

/// Two machines with one vault, and the directory between them.
fn two() -> (Env, Env, std::path::PathBuf) {
    let (a, b) = (Env::unlocked(programs!()), Env::unlocked(programs!()));
    let store = a.private_dir("store");
    let place = format!("dir:{}", store.display());
    a.ctl(["machine", "init", "--store", &place, "--name", "laptop"]).expect(0);
    join(&a, &b, "desktop", &store);
    (a, b, store)
}

#[test]
fn a_change_on_one_machine_is_on_all() {
    let a = Env::unlocked(programs!());
    a.store("BEFORE", "canary-before");
    let store = a.private_dir("store");
    let place = format!("dir:{}", store.display());
    a.ctl(["machine", "init", "--store", &place, "--name", "laptop"]).expect(0);
    let again = a.ctl(["machine", "init", "--store", &place, "--name", "laptop"]).run();
    assert!(again.err().contains("is on several machines already"), "{}", again.err());
    assert_eq!(again.code, Some(6));
    let b = Env::unlocked(programs!());
    b.store("OF_B", "canary-of-b");
    join(&a, &b, "desktop", &store);
    let c = Env::unlocked(programs!());
    join(&b, &c, "devbox", &store);
    sync_all(&[&a, &b, &c]);
    for env in [&a, &b, &c] {
        assert_eq!((env.value("BEFORE"), env.value("OF_B")), ("canary-before".into(), "canary-of-b".into()));
    }
    update(&c, "BEFORE", "canary-after");
    a.store("NEW", "canary-new");
    sync_all(&[&c, &a, &b]);
    for env in [&a, &b, &c] {
        assert_eq!((env.value("BEFORE"), env.value("NEW")), ("canary-after".into(), "canary-new".into()));
        assert_eq!(
            env.get(&format!("/user/secrets/{}/versions", id(env, "BEFORE"))).expect(200)["versions"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
    }
    let listed = b.ctl(["machine", "list"]).expect(0);
    assert!(listed.contains("laptop") && listed.contains("desktop") && listed.contains("devbox"), "{listed}");
    // Nothing new is no object and no commit.
    let before = fs::read_dir(&store).unwrap().count();
    let idle = sync(&a);
    assert_eq!((&idle["written"], &idle["merged"]), (&json!(0), &json!([])));
    assert_eq!(fs::read_dir(&store).unwrap().count(), before);
    // The directory tells no name, no value and no size but the listed ones.
    for entry in fs::read_dir(&store).unwrap() {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        for canary in ["canary", "BEFORE", "laptop", "desktop"] {
            assert!(!bytes.windows(canary.len()).any(|part| part == canary.as_bytes()), "{canary}");
        }
        if entry.file_name().to_str().unwrap().starts_with(['l', 's', 'm']) {
            let size = bytes.len() - 49;
            assert!([2, 8, 32, 128, 512, 1024, 2048].iter().any(|step| step * 1024 == size), "{size}");
        }
    }
    // What is known of the fleet survives a restart, and the whole file is as it should be.
    let mut b = b;
    b.stop();
    b.start();
    b.post("/vault/unlock", &json!({ "passphrase": secretsd_tests::env::PASSPHRASE })).expect(200);
    b.post("/vault/verify", &json!({})).expect(200);
    b.store("SAID", "once");
    sync(&b);
    b.stop();
    b.start();
    b.post("/vault/unlock", &json!({ "passphrase": secretsd_tests::env::PASSPHRASE })).expect(200);
    // What was said before is not said again, in place of what others have said since.
    assert_eq!(sync(&b)["written"], 0);
    update(&b, "NEW", "canary-newer");
    sync_all(&[&b, &a]);
    assert_eq!(a.value("NEW"), "canary-newer");
}

#[test]
fn two_people_compare_five_words_on_two_terminals() {
    let (a, b) = (Env::unlocked(programs!()), Env::unlocked(programs!()));
    a.store("KEY", "canary-key");
    // Something is guarded on either side, so that either takes its passphrase.
    for (env, name) in [(&a, "OF_A"), (&b, "OF_B")] {
        env.store(name, "guarded");
        guard(env, &id(env, name));
    }
    let place = format!("dir:{}", a.private_dir("store").display());
    a.ctl(["machine", "init", "--store", &place, "--name", "laptop"]).expect(0);
    let mut inviting = Terminal::ctl(&a, &["machine", "invite"]);
    inviting.wait_for("15 minutes: ");
    let code = || {
        inviting.shown().split("15 minutes: ").nth(1).unwrap().split_whitespace().next().map(str::to_owned)
    };
    secretsd_tests::process::until("the code is shown", || code().is_some_and(|code| code.len() == 14));
    let mut joining = Terminal::ctl(&b, &["machine", "join", "--store", &place, "--name", "desktop"]);
    joining.wait_for("code: ");
    joining.type_keys(&format!("{}\n", code().unwrap()));
    joining.wait_for("show the same five words? [y/N] ");
    inviting.wait_for("show the same five words? [y/N] ");
    let words = |text: &str, before: &str| -> String {
        let after = text.split(before).nth(1).unwrap().split("Does").next().unwrap();
        after.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let seen = words(&inviting.shown(), "asks to have the vault:");
    assert_eq!(seen, words(&joining.shown(), "must show the same words:"));
    assert_eq!(seen.split(' ').count(), 5, "{seen}");
    for side in [&mut joining, &mut inviting] {
        side.type_keys("y\n");
        side.wait_for("a secret is guarded, so this takes the passphrase of the vault");
        side.wait_for("passphrase: ");
        side.type_keys("wrong\n");
        // Typed before the next prompt it would be on the screen, and be thrown away.
        let prompts = || side.shown().matches("passphrase: ").count();
        secretsd_tests::process::until("it is asked again", || prompts() == 2);
        assert!(side.shown().contains("wrong passphrase, try again"));
        side.type_keys(&format!("{}\n", secretsd_tests::env::PASSPHRASE));
    }
    joining.wait_for("waiting for the other machine");
    inviting.wait_for("desktop is a machine of the vault now");
    joining.wait_for("this machine has the vault now");
    assert_eq!(b.value("KEY"), "canary-key");
}

#[test]
fn of_two_values_none_is_lost_and_both_machines_say_so() {
    let (a, b, store) = two();
    a.store("KEY", "first");
    sync_all(&[&a, &b]);
    apart(&store, || {
        update(&a, "KEY", "from-laptop");
        update(&b, "KEY", "from-desktop");
    });
    sync_all(&[&a, &b]);
    let in_use = a.value("KEY");
    assert_eq!(b.value("KEY"), in_use);
    assert!(["from-laptop", "from-desktop"].contains(&in_use.as_str()));
    for env in [&a, &b] {
        let conflicts = env.get("/fleet").expect(200)["conflicts"].clone();
        assert_eq!((conflicts.as_array().unwrap().len(), &conflicts[0]["name"]), (1, &json!("KEY")));
        assert!(env.ctl(["sync", "status"]).expect(0).contains("conflict KEY"));
        let versions = env.get(&format!("/user/secrets/{}/versions", id(env, "KEY"))).expect(200);
        assert_eq!(versions["versions"].as_array().unwrap().len(), 3, "{versions}");
    }
    // A person who stores it again has seen both.
    update(&b, "KEY", "settled");
    sync_all(&[&b, &a]);
    assert_eq!((a.value("KEY"), b.value("KEY")), ("settled".into(), "settled".into()));
    for env in [&a, &b] {
        assert_eq!(env.get("/fleet").expect(200)["conflicts"], json!([]));
    }
}

#[test]
fn one_name_on_two_machines_is_kept_by_the_newer_value() {
    let (a, b, store) = two();
    apart(&store, || {
        a.store("SAME", "older");
        b.store("SAME", "newer");
    });
    sync_all(&[&a, &b]);
    sync_all(&[&a, &b]);
    assert_eq!(a.value("SAME"), b.value("SAME"));
    for env in [&a, &b] {
        let trash = env.get("/user/secrets/trash").expect(200);
        assert_eq!(trash["secrets"].as_array().unwrap().len(), 1, "{trash}");
    }
}

#[test]
fn what_is_purged_is_gone_everywhere() {
    let (a, b, store) = two();
    a.store("GONE", "canary-gone");
    a.store("KEPT", "canary-kept");
    sync_all(&[&a, &b]);
    assert!(has(&b, "GONE"));
    let logs = || {
        let names = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with("l-")).collect::<Vec<_>>()
    };
    let before = logs();
    let path = format!("/user/secrets/{}?purge=true", id(&a, "GONE"));
    assert_eq!(a.request("DELETE", &path).send().status, 204);
    sync_all(&[&a, &b]);
    assert!(!has(&a, "GONE") && !has(&b, "GONE") && has(&b, "KEPT"));
    assert_eq!(b.get("/user/secrets/trash").expect(200)["secrets"], json!([]));
    // The objects in which the value was have left the directory.
    assert!(!before.is_empty() && logs().iter().all(|name| !before.contains(name)));
    b.post("/vault/verify", &json!({})).expect(200);
}

#[test]
fn who_is_removed_reads_nothing_that_comes_after() {
    let (a, b, store) = two();
    let c = Env::unlocked(programs!());
    join(&a, &c, "devbox", &store);
    a.store("KEY", "before");
    sync_all(&[&a, &b, &c]);
    assert_eq!(c.value("KEY"), "before");
    let told = a.ctl(["machine", "remove", "devbox"]).expect(0);
    assert!(told.contains("KEY"), "{told}");
    update(&a, "KEY", "after");
    sync_all(&[&a, &b]);
    assert_eq!(b.value("KEY"), "after");
    c.post("/fleet/merge", &Value::Null).expect_error(403, "forbidden_error");
    assert_eq!(c.value("KEY"), "before");
    // The log of each machine says it, whichever did it.
    for (env, devices) in [(&a, "desktop"), (&b, "devbox")] {
        let entries = env.get("/audit?limit=1000").expect(200)["entries"].clone();
        let all = entries.as_array().unwrap().iter().filter(|entry| entry["action"] == "fleet");
        let reasons: Vec<_> = all.filter_map(|entry| entry["reason"].as_str()).collect();
        let count = |reason: &str| reasons.iter().filter(|one| **one == reason).count();
        assert_eq!(count(&format!("machine {devices} joined")), 1, "{reasons:?}");
        assert_eq!((count("machine devbox joined"), count("machine devbox removed")), (1, 1), "{reasons:?}");
    }
    // Nor does it change anything.
    update(&b, "KEY", "later");
    sync_all(&[&b, &a]);
    assert_eq!((a.value("KEY"), c.value("KEY")), ("later".into(), "before".into()));
}

#[test]
fn nobody_gets_in_with_a_wrong_code() {
    let (a, _b, store) = two();
    let c = Env::unlocked(programs!());
    let invitation = a.post("/fleet/invitations", &Value::Null).expect(201);
    let code = invitation["code"].as_str().unwrap();
    let slip = if code.starts_with('0') { code.replacen('0', "1", 1) } else { format!("0{}", &code[1..]) };
    let join = |code: &str| c.post("/fleet/join", &json!({ "code": code, "name": "c", "directory": &store }));
    join(&slip).expect_error(403, "wrong_key_error");
    join("").expect_error(403, "wrong_key_error");
    // No is no, on either side.
    let joining = join(code).expect(201);
    let waiting = format!("/fleet/invitations/{}", invitation["id"].as_str().unwrap());
    assert_eq!(a.post(&waiting, &json!({ "accept": false })).expect(200)["state"], "ended");
    let confirm = format!("/fleet/invitations/{}", joining["id"].as_str().unwrap());
    c.post(&confirm, &json!({ "accept": true })).expect_error(504, "gateway_timeout_error");
    assert_eq!(a.get("/fleet").expect(200)["machines"].as_array().unwrap().len(), 2);
}

fn reveal(env: &Env, name: &str) -> secretsd_tests::http::Answer {
    env.post("/user/secrets/reveal", &json!({ "secrets": [name], "purpose": "test" }))
}

fn guard(env: &Env, id: &str) {
    let path = format!("/user/secrets/{id}/guard");
    env.request("PUT", &path).json(&json!({ "guarded": true })).send().expect(200);
}

#[test]
fn what_is_guarded_goes_to_no_other_machine_without_a_proof() {
    let proven = json!({ "accept": true, "proof": { "passphrase": secretsd_tests::env::PASSPHRASE } });
    let refused = |env: &Env, confirm: &str| {
        for proof in [json!(null), json!({ "passphrase": "wrong" })] {
            let yes = json!({ "accept": true, "proof": proof });
            env.post(confirm, &yes).expect_error(403, "wrong_key_error");
        }
    };
    // Out by an invitation, and out by joining somebody else's fleet; guarded before it was begun, and after.
    for [is_invited, is_guarded_first] in [[true, true], [true, false], [false, true], [false, false]] {
        let (owner, thief) = (Env::unlocked(programs!()), Env::unlocked(programs!()));
        owner.store("KEY", "canary-guarded");
        let key = id(&owner, "KEY");
        if is_guarded_first {
            guard(&owner, &key);
        }
        let store = owner.private_dir("store");
        let (inviter, joiner) = if is_invited { (&owner, &thief) } else { (&thief, &owner) };
        inviter.post("/fleet", &json!({ "name": "laptop", "directory": &store })).expect(201);
        let invitation = inviter.post("/fleet/invitations", &Value::Null).expect(201);
        let request = json!({ "code": invitation["code"], "name": "desktop", "directory": &store });
        let joining = joiner.post("/fleet/join", &request).expect(201);
        let at = |answer: &Value| format!("/fleet/invitations/{}", answer["id"].as_str().unwrap());
        inviter.get(&at(&invitation)).expect(200);
        joiner.get(&at(&joining)).expect(200);
        if !is_guarded_first {
            guard(&owner, &key);
        }
        if is_invited {
            refused(inviter, &at(&invitation));
            assert_eq!(inviter.get("/fleet").expect(200)["machines"].as_array().unwrap().len(), 1);
            joiner.post(&at(&joining), &json!({ "accept": true })).expect_error(504, "gateway_timeout_error");
            inviter.post(&at(&invitation), &proven).expect(200);
            joiner.post(&at(&joining), &json!({ "accept": true })).expect(200);
        } else {
            let yes = json!({ "accept": true });
            inviter.post(&at(&invitation), &yes).expect_error(504, "gateway_timeout_error");
            refused(joiner, &at(&joining));
            // What was refused was no yes.
            inviter.post(&at(&invitation), &yes).expect_error(504, "gateway_timeout_error");
            assert_eq!(joiner.get("/fleet").expect(200)["member"], false);
            joiner.post(&at(&joining), &proven).expect_error(504, "gateway_timeout_error");
            inviter.post(&at(&invitation), &yes).expect(200);
            joiner.post(&at(&joining), &yes).expect(200);
        }
        sync_all(&[&owner, &thief]);
        assert!(has(&thief, "KEY"));
    }
}

#[test]
fn a_guard_says_which_other_machines_have_the_secret() {
    let (a, b, _store) = two();
    b.store("KEY", "value");
    let path = format!("/user/secrets/{}/guard", id(&b, "KEY"));
    let told = b.request("PUT", &path).json(&json!({ "guarded": true })).send().expect(200);
    assert_eq!(told["machines"], json!(["laptop"]));
    a.store("OTHER", "value");
    let told = a.ctl(["guard", "OTHER"]).run().err();
    assert!(told.contains("OTHER is on desktop, too"), "{told}");
}

#[test]
fn a_guard_is_on_every_machine_and_what_was_allowed_of_it_is_not() {
    let (a, b, store) = two();
    a.store("LATER", "canary-later");
    a.store("BOTH", "guarded here");
    sync_all(&[&a, &b]);
    assert_eq!(b.value("LATER"), "canary-later");
    // Turned on while the other machine has it, and before the other machine has it.
    guard(&a, &id(&a, "LATER"));
    a.store("FIRST", "canary-first");
    guard(&a, &id(&a, "FIRST"));
    apart(&store, || {
        update(&b, "BOTH", "changed there");
        guard(&a, &id(&a, "BOTH"));
    });
    sync_all(&[&a, &b]);
    for name in ["LATER", "FIRST", "BOTH"] {
        reveal(&b, name).expect_error(403, "approval_required_error");
        let detail = b.get(&format!("/user/secrets/{}?view=full", id(&b, name))).expect(200);
        assert_eq!(detail["guarded"], true, "{name}");
    }
    // The mark that keeps older programs from the vault is there, too.
    b.post("/vault/verify", &json!({})).expect(200);
    // Two secrets of one name: whichever keeps it is guarded.
    apart(&store, || {
        a.store("NAME", "older");
        guard(&a, &id(&a, "NAME"));
        b.store("NAME", "newer");
    });
    sync_all(&[&a, &b]);
    sync_all(&[&a, &b]);
    for env in [&a, &b] {
        reveal(env, "NAME").expect_error(403, "approval_required_error");
    }
}

#[test]
fn a_directory_that_was_emptied_is_filled_again() {
    let (a, b, store) = two();
    a.store("KEY", "canary-key");
    sync_all(&[&a, &b]);
    update(&b, "KEY", "canary-newer");
    sync_all(&[&b, &a]);
    for entry in fs::read_dir(&store).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    a.store("AFTER", "canary-after");
    sync_all(&[&a, &b]);
    assert_eq!(b.value("AFTER"), "canary-after");
    // Who comes now gets all of it from what was put there again.
    let c = Env::unlocked(programs!());
    join(&b, &c, "devbox", &store);
    sync_all(&[&c, &a, &b]);
    assert_eq!((c.value("KEY"), c.value("AFTER")), ("canary-newer".into(), "canary-after".into()));
    c.store("OF_C", "canary-of-c");
    sync_all(&[&c, &a, &b]);
    assert_eq!(a.value("OF_C"), "canary-of-c");
    // It comes to rest.
    let count = fs::read_dir(&store).unwrap().count();
    sync_all(&[&a, &b, &c]);
    assert_eq!(fs::read_dir(&store).unwrap().count(), count);
}

#[test]
fn what_the_directory_spoils_is_not_taken_and_comes_again() {
    let (a, b, store) = two();
    a.store("BEFORE", "canary-before");
    sync_all(&[&a, &b]);
    let names = || {
        let names =
            fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("l-")).collect::<Vec<_>>()
    };
    let before = names();
    // Until the object is spoilt, nobody reads it.
    b.post("/vault/lock", &Value::Null).expect(200);
    a.store("KEY", "canary-key");
    sync(&a);
    let new: Vec<_> = names().into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(new.len(), 1, "{new:?}");
    let path = store.join(&new[0]);
    let whole = fs::read(&path).unwrap();
    // What other programs leave there, and what is no file.
    fs::write(store.join(format!("{}.sync-conflict-20260101-000000-ABC", new[0])), &whole).unwrap();
    fs::write(store.join(".tmp-half"), b"half").unwrap();
    let other = |digit: &str| format!("l-{}-0000000001-{}", digit.repeat(16), digit.repeat(32));
    std::os::unix::fs::symlink("/etc/passwd", store.join(other("a"))).unwrap();
    fs::create_dir(store.join(other("b"))).unwrap();
    fs::write(store.join(other("c")), vec![1; 3 << 20]).unwrap();
    // Cut, flipped, another one's bytes, nothing.
    let flipped: Vec<u8> = whole.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 1_000)).collect();
    let others = fs::read(store.join(&before[0])).unwrap();
    for spoilt in [&whole[..500], &flipped, &others, b""] {
        fs::write(&path, spoilt).unwrap();
        if b.state() == "locked" {
            unlock(&b);
        }
        let status = sync(&b);
        assert!(status["fleet"]["refused"].as_u64().unwrap() >= 1, "{status}");
        assert!(!has(&b, "KEY"));
    }
    // A machine that has it is asked, and answers with a snapshot.
    for _ in 0..8 {
        sync_all(&[&b, &a]);
        if has(&b, "KEY") {
            break;
        }
    }
    assert_eq!(b.value("KEY"), "canary-key");
}

#[test]
fn what_cannot_be_read_or_replaced_stops_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let (a, b, store) = two();
    a.store("KEY", "canary-key");
    a.store("GONE", "canary-gone");
    sync_all(&[&a, &b]);
    let other = |digit: &str| store.join(format!("l-{}-0000000001-{}", digit.repeat(16), digit.repeat(32)));
    // Of nobody's to read, a socket, and a directory where an object was that a purge drops.
    fs::write(other("a"), "closed").unwrap();
    fs::set_permissions(other("a"), fs::Permissions::from_mode(0o000)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(store.join("s")).unwrap();
    fs::rename(store.join("s"), other("b")).unwrap();
    let logs = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path());
    let logs: Vec<_> =
        logs.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("l-")).collect();
    let path = logs.iter().find(|path| **path != other("a") && **path != other("b")).unwrap();
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    fs::write(path.join("inside"), "").unwrap();
    let purge = format!("/user/secrets/{}?purge=true", id(&a, "GONE"));
    assert_eq!(a.request("DELETE", &purge).send().status, 204);
    a.store("AFTER", "canary-after");
    sync_all(&[&a, &b]);
    assert_eq!((b.value("AFTER"), has(&b, "GONE")), ("canary-after".into(), false));
    assert!(sync(&b)["fleet"]["refused"].as_u64().unwrap() >= 2);
    // Nor is there anything left to be written each time.
    assert_eq!(sync(&a)["written"], 0);
    a.ctl(["machine", "remove", "desktop"]).expect(0);
    b.post("/fleet/merge", &Value::Null).expect_error(403, "forbidden_error");
}

#[test]
fn nothing_is_written_into_the_directory_of_another_fleet() {
    let (a, _b, store) = two();
    a.store("KEY", "value");
    sync(&a);
    let c = Env::unlocked(programs!());
    let place = format!("dir:{}", store.display());
    let count = fs::read_dir(&store).unwrap().count();
    c.ctl(["machine", "init", "--store", &place, "--name", "other"]).expect(6);
    assert_eq!(fs::read_dir(&store).unwrap().count(), count);
    c.ctl(["machine", "init", "--store", "dir:/nowhere/at/all", "--name", "other"]).expect(4);
    c.ctl(["sync"]).expect(4);
    assert_eq!(c.get("/fleet").expect(200)["member"], false);
}

#[test]
fn a_vault_that_was_put_back_gets_what_it_lacks_and_loses_nothing() {
    let (mut a, b, store) = two();
    a.store("KEY", "first");
    sync_all(&[&a, &b]);
    // A copy of the whole disk, which is put back later: nothing tells the machine.
    a.stop();
    let dirs = [a.data_dir(), a.state_dir()];
    let copies = ["data-copy", "state-copy"].map(|name| a.private_dir(name));
    for (from, to) in dirs.iter().zip(&copies) {
        copy(from, to);
    }
    a.start();
    unlock(&a);
    a.store("LOST_HERE", "kept there");
    update(&a, "KEY", "second");
    sync_all(&[&a, &b]);
    a.stop();
    for (to, from) in dirs.iter().zip(&copies) {
        fs::remove_dir_all(to).unwrap();
        fs::create_dir(to).unwrap();
        copy(from, to);
    }
    apart(&store, || {
        a.start();
        unlock(&a);
        assert!(!has(&a, "LOST_HERE"));
        // Under the same number as what was lost.
        a.store("NEW", "after the copy");
    });
    assert_eq!(b.value("KEY"), "second");
    sync_all(&[&a, &b, &a]);
    for env in [&a, &b] {
        assert_eq!((env.value("KEY"), env.value("LOST_HERE")), ("second".into(), "kept there".into()));
        assert_eq!(env.value("NEW"), "after the copy");
    }
    // From then on both can write.
    a.store("A", "a");
    b.store("B", "b");
    sync_all(&[&a, &b]);
    assert!(has(&a, "B") && has(&b, "A"));
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
