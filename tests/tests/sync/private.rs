//! What leaves a machine, and what its mover touches.

use std::fs;

use secretsd_tests::canary;
use secretsd_tests::stores::Proxy;
use secretsd_tests::{Env, harness, process, programs};
use serde_json::json;

use super::{KEY, KEY_ID, MOVER, begun, ctl, exchange, id, join, mover, purge, s3, sync_all, update};

const VALUE: &str = "canary-of-a-value-0001";
const NAME: &str = "CANARY_OF_A_NAME_0001";
const NOTE: &str = "canary of a note 0001";
const MACHINES: [&str; 2] = ["canary-of-laptop-0001", "canary-of-desktop-0001"];

#[test]
fn nothing_that_leaves_a_machine_tells_what_is_in_the_vault() {
    let Some(server) = s3("nothing_that_leaves_a_machine_tells_what_is_in_the_vault") else { return };
    let proxy = Proxy::before(server.port);
    let store = server.address(proxy.port);
    let (a, b) = (Env::unlocked(programs!()), Env::unlocked(programs!()));
    let mut told = Vec::new();
    let mut say = |env: &Env, words: &[&str]| told.push(ctl(env, words).run());
    say(&a, &["machine", "init", "--store", &store, "--name", MACHINES[0]]);
    a.store(NAME, VALUE);
    let path = format!("/user/secrets/{}", id(&a, NAME));
    a.request("PATCH", &path).json(&json!({ "note": NOTE })).send().expect(200);
    join(&a, &b, MACHINES[1], &store);
    sync_all(&[&a, &b]);
    update(&b, NAME, &format!("{VALUE}-again"));
    sync_all(&[&a, &b]);
    assert_eq!(a.value(NAME), format!("{VALUE}-again"));
    a.store("GONE", VALUE);
    sync_all(&[&a, &b]);
    purge(&a, "GONE");
    sync_all(&[&a, &b]);
    for words in [&["sync"][..], &["sync", "--json"]] {
        let mut command = a.command(MOVER);
        command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", KEY);
        let output = command.output().unwrap();
        for text in [&output.stdout, &output.stderr] {
            for canary in [VALUE, NAME, NOTE, KEY, MACHINES[0], MACHINES[1]] {
                assert_eq!(canary::find(text, canary), None, "{words:?}");
            }
        }
    }
    // Every request: its head, and its body.
    let requests = proxy.take();
    let puts: Vec<_> = requests.iter().filter(|seen| seen.kind() == "PUT").collect();
    assert!(puts.len() > 5);
    for seen in &requests {
        for canary in [VALUE, NAME, NOTE, KEY, MACHINES[0], MACHINES[1], "GONE-GONE", "laptop-0001"] {
            assert_eq!(canary::find(seen.head.as_bytes(), canary), None, "{}", seen.target);
            assert_eq!(canary::find(&seen.body, canary), None, "{}", seen.target);
        }
    }
    // Sizes are of few steps.
    for seen in puts.iter().filter(|seen| !seen.target.contains("/i-")) {
        let size = seen.body.len() - 49;
        assert!([2, 8, 32, 128, 512, 1024, 2048].iter().any(|step| step * 1024 == size), "{size}");
    }
    // All that is in the exchange, `.status` and the rest, and all that was logged.
    for env in [&a, &b] {
        canary::assert_absent(&exchange(env), &[VALUE, NAME, NOTE, KEY, MACHINES[0], MACHINES[1]]);
        for canary in [VALUE, NOTE, KEY] {
            assert_eq!(canary::find(env.log().as_bytes(), canary), None);
        }
    }
    for output in &told {
        assert_eq!(canary::find(output.err().as_bytes(), KEY), None);
    }
}

#[test]
fn the_mover_touches_its_directory_alone_and_the_daemon_no_network() {
    let test = "the_mover_touches_its_directory_alone_and_the_daemon_no_network";
    if let Some(reason) = harness::no_strace() {
        return harness::skip(test, reason);
    }
    let Some(server) = s3(test) else { return };
    let store = server.address(server.port);
    let a = begun(&store);
    let mut b = Env::new(programs!());
    let calls = b.path("calls");
    let mut daemon = b.command("strace");
    daemon.args(["-f", "-qq", "-e", "trace=socket", "-o"]).arg(&calls).arg(programs!().daemon);
    b.start_as(daemon);
    b.init();
    b.store("OF_B", "value");
    join(&a, &b, "desktop", &store);
    sync_all(&[&a, &b]);
    assert_eq!(a.value("OF_B"), "value");
    let sockets = fs::read_to_string(&calls).unwrap();
    assert!(sockets.contains("socket(AF_UNIX"), "{sockets}");
    assert!(!sockets.contains("AF_INET"), "{sockets}");
    // The mover, with something to fetch, to put and to delete.
    a.store("OF_A", "value");
    purge(&b, "OF_B");
    for env in [&a, &b] {
        env.post("/fleet/merge", &serde_json::Value::Null).expect(200);
    }
    assert!(mover(&a, &[]).status.success());
    let calls = b.path("files");
    let mut command = b.command("strace");
    command.args(["-f", "-qq", "-e", "trace=%file,connect", "-o"]).arg(&calls).arg(MOVER);
    command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", KEY);
    let output = process::run(&mut command, b"").1;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let calls = fs::read_to_string(&calls).unwrap();
    let (root, own) = (b.path("").display().to_string(), exchange(&b).display().to_string());
    let mut count = 0;
    for line in calls.lines() {
        let paths = line.split('"').skip(1).step_by(2).filter(|path| path.starts_with(&root));
        for path in paths {
            count += usize::from(path.starts_with(&own));
            // That the directories above it are no other user's is looked at.
            let is_above = own.starts_with(path.trim_end_matches('/'));
            let is_looked_at = line.contains("stat") || line.contains("readlink");
            // A throw-away vault's exchange is elsewhere: whether there is one is looked at.
            let is_chosen_by = path.ends_with("/secretsd/ephemeral");
            assert!(path.starts_with(&own) || (is_above || is_chosen_by) && is_looked_at, "{line}");
        }
        assert!(!line.contains("connect(") || line.contains("127.0.0.1"), "{line}");
        // Other files are read alone.
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "unlink", "rename", "mkdir"];
        let is_own = line.contains(&own) || line.contains("/dev/");
        assert!(is_own || !writes.iter().any(|word| line.contains(word)), "{line}");
    }
    assert!(count > 5, "{calls}");
}
