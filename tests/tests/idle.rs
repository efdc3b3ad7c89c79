//! An idle daemon does not wake up: what it waits for wakes it, and nothing looks from time to time.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::{behind, skip};
use secretsd_tests::process::{DEADLINE, until};
use secretsd_tests::{Env, programs};
use serde_json::json;

/// For so long nothing must wake it.
const STILL: Duration = Duration::from_secs(5);

/// How often its threads have waited for something.
fn waits(env: &Env) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", env.pid())).unwrap();
    let of_thread = |status: String| -> u64 {
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.unwrap().trim().parse().unwrap()
    };
    // A thread may have ended since.
    tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok()).map(of_thread).sum()
}

/// Waits until it has not woken up for a while. What was done before may need some seconds to be over.
#[track_caller]
fn wait_still(env: &Env, when: &str) {
    let begin = Instant::now();
    let (mut since, mut before) = (begin, waits(env));
    while since.elapsed() < STILL {
        assert!(begin.elapsed() < DEADLINE, "it wakes up again and again: {when}");
        thread::sleep(Duration::from_millis(50));
        let now = waits(env);
        if now != before {
            (since, before) = (Instant::now(), now);
        }
    }
}

fn is_reached(env: &Env) -> bool {
    UnixStream::connect(env.socket()).is_ok() && env.runtime_dir().join("token").exists()
}

#[test]
fn an_idle_daemon_does_not_wake_up() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    wait_still(&env, "open");
    fs::remove_dir_all(env.runtime_dir()).unwrap();
    until("all is there again", || is_reached(&env));
    wait_still(&env, "after its directory was removed");
    // What was made again is watched, too.
    fs::remove_file(env.socket()).unwrap();
    until("the socket is there again", || is_reached(&env));
}

#[test]
fn a_daemon_that_is_locked_does_not_wake_up_and_one_that_lost_a_name_does_until_it_is_back() {
    let env = Env::unlocked(programs!());
    env.post("/vault/lock", &json!({})).expect(200);
    wait_still(&env, "locked");
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    // Nothing tells when such a place is free again: it looks from time to time until it is.
    fs::remove_file(env.credentials()).unwrap();
    fs::create_dir(env.credentials()).unwrap();
    until("the status says it", || !env.get("/vault").expect(200)["lost"].is_null());
    fs::remove_dir(env.credentials()).unwrap();
    until("all is well", || UnixStream::connect(env.credentials()).is_ok());
    wait_still(&env, "after a name was lost for a while");
}

/// Neither what was mounted over nor what was unmounted while in use tells whom it concerns.
#[test]
fn a_mount_over_the_directory_is_heard_of() {
    let mut env = Env::new(programs!());
    let unshare = ["unshare", "--mount"];
    let able = env.command("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    if !able {
        return skip("a_mount_over_the_directory_is_heard_of", "a mount namespace needs root");
    }
    env.start_as(behind(&env, &unshare));
    wait_still(&env, "before");
    let pid = env.pid().to_string();
    let run = env.path("run");
    let mut mount = Command::new("nsenter");
    mount.args(["--target", &pid, "--mount", "mount", "-t", "tmpfs", "-o", "mode=0700", "none"]).arg(&run);
    assert!(mount.status().unwrap().success());
    // The path as the daemon sees it.
    let inside = format!("/proc/{pid}/root{}", env.runtime_dir().join("token").display());
    until("it is made again where it can be seen", || fs::exists(&inside).unwrap());
    wait_still(&env, "after");
}
