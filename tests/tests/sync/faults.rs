//! What goes wrong between a machine and its store, and what comes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use secretsd_tests::random::Random;
use secretsd_tests::stores::{Proxy, Then};
use secretsd_tests::{Env, process, programs};
use serde_json::{Value, json};

use super::{
    KEY, KEY_ID, MOVER, begun, ctl, exchange, fails, moved, mover, objects, s3, status, sync, sync_all, two,
    update,
};

/// A rule that does this to the first requests of a kind, and passes the rest.
fn first(
    count: u32,
    kind: &'static str,
    then: Then,
) -> impl FnMut(&secretsd_tests::stores::Seen) -> Then + Send {
    let mut left = count;
    move |seen| {
        if seen.kind() == kind && left > 0 {
            left -= 1;
            return then.clone();
        }
        Then::Pass
    }
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_said() {
    let Some(server) = s3("what_passes_is_tried_again_and_what_does_not_is_said") else { return };
    let proxy = Proxy::before(server.port);
    let a = begun(&server.address(proxy.port));
    let mut number = 0;
    let mut change = || {
        number += 1;
        a.store(&format!("KEY_{number}"), "value");
        a.post("/fleet/merge", &Value::Null).expect(200);
    };
    // The answer is lost, or the store is busy: the same bytes are put again.
    for then in [
        Then::code(409, "OperationAborted"),
        Then::code(412, "PreconditionFailed"),
        Then::code(429, "TooManyRequests"),
        Then::code(503, "SlowDown"),
        Then::code(500, "InternalError"),
        Then::Lose,
    ] {
        change();
        proxy.rule(first(2, "PUT", then.clone()));
        assert_eq!(moved(&a)["put"], 1, "{then:?}");
        let there = server.names();
        assert!(objects(&a).iter().all(|name| there.contains(name)), "{then:?}");
    }
    proxy.rule(first(1, "LIST", Then::code(503, "SlowDown")));
    moved(&a);
    // What does not pass: local work goes on, and what is to be moved waits.
    for (then, code, kind, words) in [
        (Then::code(503, "SlowDown"), 9, "unreadable", "503 SlowDown"),
        (Then::code(403, "AccessDenied"), 5, "refused", "refuses the credential"),
        (Then::code(401, "InvalidToken"), 5, "refused", "refuses the credential"),
        (Then::code(403, "QuotaExceeded"), 9, "full", "has no room"),
        (Then::code(507, "InsufficientStorage"), 9, "full", "has no room"),
        (Then::code(404, "NoSuchBucket"), 9, "absent", "no such bucket"),
        (Then::Lose, 9, "offline", "does not answer"),
    ] {
        change();
        proxy.rule(move |seen| if seen.kind() == "PUT" { then.clone() } else { Then::Pass });
        assert_eq!(fails(&a, code, words), kind);
        let told: Value = serde_json::from_str(&ctl(&a, &["sync", "status", "--json"]).expect(0)).unwrap();
        assert_eq!((&told["store"]["pending"], &told["store"]["last"]["error"]), (&json!(1), &json!(kind)));
        assert!(ctl(&a, &["sync", "status"]).expect(0).contains(words));
        proxy.rule(|_| Then::Pass);
        // The one whose answer was lost is there.
        assert_eq!(moved(&a)["put"], u8::from(kind != "offline"));
    }
    // A clock that is too far off is said as such, with how far.
    let earlier = "Date: Thu, 01 Jan 2015 00:00:00 GMT\r\n";
    let body = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
    proxy.rule(move |_| Then::answer(403, earlier, body));
    assert_eq!(fails(&a, 9, "min ahead of the store's"), "clock");
    // Nobody listens: an error, unless it is asked for only if there is a network.
    let nobody = server.address(1);
    let b = Env::unlocked(programs!());
    ctl(&b, &["machine", "init", "--store", &nobody]).expect(9);
    proxy.rule(|_| Then::Lose);
    assert_eq!(fails(&a, 9, "does not answer"), "offline");
    assert_eq!(mover(&a, &["--if-online"]).status.code(), Some(0));
    assert_eq!(status(&a)["error"], "offline");
    proxy.rule(|_| Then::code(403, "AccessDenied"));
    assert_eq!(mover(&a, &["--if-online"]).status.code(), Some(5));
}

#[test]
fn an_upload_that_was_cut_off_is_put_again_and_read_by_nobody() {
    let Some(server) = s3("an_upload_that_was_cut_off_is_put_again_and_read_by_nobody") else { return };
    let proxy = Proxy::before(server.port);
    let (a, b) = two(&server.address(proxy.port));
    a.store("KEY", "value");
    a.post("/fleet/merge", &Value::Null).expect(200);
    proxy.rule(first(1, "PUT", Then::Halve));
    moved(&a);
    proxy.rule(|_| Then::Pass);
    let came = moved(&b);
    assert_eq!((&came["got"], &came["spoilt"]), (&json!(0), &json!(1)));
    assert_eq!(moved(&a)["put"], 1, "its size differs in the list");
    assert_eq!(moved(&b)["got"], 1);
    sync(&b);
    assert_eq!(b.value("KEY"), "value");
    // An answer that was altered on its way is not taken.
    update(&a, "KEY", "newer");
    sync(&a);
    proxy.rule(first(1, "GET", Then::Flip));
    let came = moved(&b);
    assert_eq!((&came["got"], &came["spoilt"]), (&json!(0), &json!(1)));
    assert_eq!(moved(&b)["got"], 1);
    // A list without anything takes nothing away, and what it lacks is put again once the daemon knows.
    let before = objects(&b);
    let nothing = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    proxy.rule(move |seen| if seen.kind() == "LIST" { Then::answer(200, "", nothing) } else { Then::Pass });
    moved(&b);
    sync(&b);
    let lasting: Vec<_> = before.iter().filter(|name| !name.starts_with("i-")).collect();
    assert!(lasting.iter().all(|name| objects(&b).contains(*name)));
    proxy.rule(|_| Then::Pass);
    sync_all(&[&a, &b]);
    assert_eq!(b.value("KEY"), "newer");
    assert_eq!(b.get("/fleet").expect(200)["refused"], 0);
}

#[test]
fn another_vaults_directory_is_neither_read_nor_written() {
    let Some(server) = s3("another_vaults_directory_is_neither_read_nor_written") else { return };
    let store = server.address(server.port);
    let elsewhere = store.replace("/fleet?", "/other?");
    let (a, b) = (begun(&store), begun(&elsewhere));
    let (ours, theirs) = (objects(&a), server.names());
    assert!(mover(&b, &["begin", &store]).status.success());
    assert_eq!(fails(&b, 6, "another vault's files"), "other-fleet");
    assert!(objects(&b).is_disjoint(&ours));
    assert_eq!(server.names(), theirs);
}

#[test]
fn a_mover_that_is_killed_leaves_nothing_half_done() {
    let Some(server) = s3("a_mover_that_is_killed_leaves_nothing_half_done") else { return };
    let proxy = Proxy::before(server.port);
    let store = server.address(proxy.port);
    let (a, b) = two(&store);
    let mut random = Random::new();
    for round in 0..12 {
        for key in 0..3 {
            a.store(&format!("KEY_{round}_{key}"), "value");
            a.post("/fleet/merge", &Value::Null).expect(200);
        }
        for env in [&a, &b] {
            // With a request on its way, before or after the store has answered.
            let (at, then) = (random.below(4), if random.below(2) == 0 { Then::Pass } else { Then::Lose });
            let (count, pid) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
            let victim = Arc::clone(&pid);
            proxy.rule(move |_| {
                if u64::from(count.fetch_add(1, Ordering::Relaxed)) == at {
                    process::until("its id is known", || victim.load(Ordering::Relaxed) > 0);
                    process::signal(victim.load(Ordering::Relaxed), rustix::process::Signal::KILL);
                    return then.clone();
                }
                Then::Pass
            });
            let mut command = env.command(MOVER);
            command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", KEY);
            let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
            pid.store(child.id(), Ordering::Relaxed);
            child.wait().unwrap();
            proxy.rule(|_| Then::Pass);
            moved(env);
            let left = std::fs::read_dir(exchange(env)).unwrap().map(|entry| entry.unwrap().file_name());
            let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with(".tmp")).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
    sync_all(&[&a, &b]);
    assert_eq!(a.get("/user/secrets").expect(200)["total"], 36);
    assert_eq!(b.get("/user/secrets").expect(200)["total"], 36);
    let there = server.names();
    assert!(objects(&a).iter().all(|name| there.contains(name)));
    assert_eq!(objects(&a), objects(&b));
}

#[test]
fn the_credential_is_in_the_vault_or_systemds_and_its_end_is_said() {
    let Some(server) = s3("the_credential_is_in_the_vault_or_systemds_and_its_end_is_said") else { return };
    let proxy = Proxy::before(server.port);
    let store = server.address(proxy.port);
    let a = Env::unlocked(programs!());
    a.store("S3_ID", KEY_ID);
    a.store("S3_KEY", KEY);
    a.store("OTHER", "value");
    let credential = "AWS_ACCESS_KEY_ID=S3_ID,AWS_SECRET_ACCESS_KEY=S3_KEY";
    a.ctl(["machine", "init", "--store", &store, "--name", "laptop", "--credential", credential]).expect(0);
    let signed = proxy.take();
    assert!(signed.iter().all(|seen| seen.head.contains(&format!("Credential={KEY_ID}/"))));
    a.ctl(["sync"]).expect(0);
    // Its token sees these two alone.
    let token = std::fs::read_to_string(exchange(&a).join(".token")).unwrap();
    let reveal = |name: &str| {
        let request = json!({ "secrets": [name], "purpose": "test" });
        a.anonymous("POST", "/user/secrets/reveal").bearer(token.trim()).json(&request).send().status
    };
    assert_eq!((reveal("S3_KEY"), reveal("OTHER") == 200), (200, false));
    // A locked vault does not give it.
    a.post("/vault/lock", &Value::Null);
    let output = a.command(MOVER).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(status(&a)["error"], "locked");
    // systemd's credential; what means nothing for this store is not passed over.
    let b = Env::unlocked(programs!());
    let directory = b.private_dir("credentials");
    let run = |text: &str, words: &[&str]| {
        std::fs::write(directory.join("store"), text).unwrap();
        b.command(MOVER).args(words).env("CREDENTIALS_DIRECTORY", &directory).output().unwrap().status.code()
    };
    let good = format!("# of the bucket\nAWS_ACCESS_KEY_ID={KEY_ID}\nAWS_SECRET_ACCESS_KEY={KEY}\n");
    assert_eq!(run(&good, &["begin", &store]), Some(0));
    assert_eq!(run(&good, &[]), Some(0));
    assert_eq!(run("AWS_ACCESS_KEY_ID=x\n", &[]), Some(5));
    assert_eq!(run("NO_SUCH_THING=x\n", &[]), Some(5));
    assert_eq!(run("nothing", &[]), Some(5));
}
