//! The names that lead to the daemon: removed under it they come back, and where it listens elsewhere somebody says so.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use secretsd_tests::activation::activated;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::{behind, skip};
use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::{Env, programs};
use serde_json::json;

/// Waits until this is so.
#[track_caller]
fn wait_until(what: &str, env: &Env, holds: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "not after {DEADLINE:?}: {what}; the log:\n{}", env.log());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until all names lead to the daemon again, and it knows its token.
#[track_caller]
fn wait_reached(env: &Env, what: &str, token: &str) {
    let sockets = [env.socket(), env.credentials(), env.runtime_dir().join("use.sock")];
    wait_until(what, env, || sockets.iter().all(|socket| UnixStream::connect(socket).is_ok()));
    let file = env.runtime_dir().join("token");
    wait_until(what, env, || fs::read_to_string(&file).is_ok_and(|found| found == token));
    assert_eq!(env.get("/vault").expect(200)["state"], "unlocked", "{what}");
    for path in sockets.iter().chain([&file]) {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600, "{what}");
    }
    assert_eq!(fs::metadata(env.runtime_dir()).unwrap().mode() & 0o777, 0o700, "{what}");
}

#[test]
fn what_is_removed_comes_back() {
    let env = Env::unlocked(programs!());
    let (token, dir) = (env.token(), env.runtime_dir());
    type Harm<'a> = (&'a str, &'a dyn Fn());
    // At once: the daemon may be putting a name back while what was there is removed one by one.
    let remove = || {
        let aside = env.path("aside");
        fs::rename(&dir, &aside).unwrap();
        fs::remove_dir_all(aside).unwrap();
    };
    let remake = |mode| {
        remove();
        // Unless the daemon has made it by now.
        let _ = fs::create_dir(&dir);
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
    };
    let harms: [Harm; 10] = [
        ("directory", &remove),
        ("directory made again", &|| remake(0o700)),
        ("directory made again and open", &|| remake(0o777)),
        ("directory moved", &|| fs::rename(&dir, env.path("moved")).unwrap()),
        ("the directory above", &|| {
            fs::rename(env.path("run"), env.path("run-aside")).unwrap();
            env.private_dir("run");
        }),
        ("socket", &|| fs::remove_file(env.socket()).unwrap()),
        ("socket moved", &|| fs::rename(env.socket(), env.path("s")).unwrap()),
        ("credentials", &|| fs::remove_file(env.credentials()).unwrap()),
        ("token", &|| fs::remove_file(dir.join("token")).unwrap()),
        ("token emptied", &|| File::create(dir.join("token")).map(drop).unwrap()),
    ];
    for (what, harm) in harms {
        harm();
        wait_reached(&env, what, &token);
    }
    // Also in the image that goes on after a lock.
    env.post("/vault/lock", &json!({})).expect(200);
    remove();
    wait_until("after a lock", &env, || dir.join("token").exists());
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    wait_reached(&env, "after a lock", &token);
    // And in one that began without them.
    fs::remove_file(env.socket()).unwrap();
    process::signal(env.pid(), Signal::USR1);
    wait_until("a signal locks", &env, || env.log().contains("resumed=true"));
    wait_until("after a lock without a name", &env, || {
        UnixStream::connect(env.socket()).is_ok() && dir.join("token").exists()
    });
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    assert!(!env.log().contains(&token), "the token is in the log");
}

#[test]
fn the_next_command_finds_a_daemon_whose_directory_was_removed() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    fs::remove_dir_all(env.runtime_dir()).unwrap();
    let begin = Instant::now();
    assert!(env.ctl(["list"]).expect(0).contains('A'));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[test]
fn what_somebody_put_in_the_sockets_place_is_left_alone_and_told() {
    let mut env = Env::unlocked(programs!());
    fs::remove_file(env.socket()).unwrap();
    fs::write(env.socket(), "precious").unwrap();
    wait_until("the log says it", &env, || env.log().contains("nobody reaches the socket"));
    assert_eq!(fs::read(env.socket()).unwrap(), b"precious");
    fs::remove_file(env.socket()).unwrap();
    wait_until("the socket is back", &env, || UnixStream::connect(env.socket()).is_ok());

    // What does not concern the API's socket is in the answers that come over it.
    fs::remove_file(env.credentials()).unwrap();
    fs::create_dir(env.credentials()).unwrap();
    let lost = || env.get("/vault").expect(200)["lost"].clone();
    wait_until("the status says it", &env, || {
        lost()[0].as_str().is_some_and(|it| it.contains("credentials.sock"))
    });
    assert!(env.ctl(["status"]).expect(0).contains("credentials.sock"));
    let doctor = env.ctl(["doctor"]).run();
    assert_eq!(doctor.code, Some(1));
    let told = doctor
        .out()
        .lines()
        .any(|line| line.starts_with("fault    reach") && line.contains("credentials.sock"));
    assert!(told, "{}", doctor.out());
    assert_eq!(env.log().matches("nobody reaches the socket").count(), 2, "once each");
    let reader =
        env.post("/tokens", &json!({ "name": "r", "scopes": ["list"], "secrets": ["X_*"] })).expect(201);
    let seen = env.anonymous("GET", "/vault").bearer(reader["token"].as_str().unwrap()).send().expect(200);
    assert!(seen.get("lost").is_none(), "{seen}");
    fs::remove_dir(env.credentials()).unwrap();
    wait_until("all is well", &env, || lost().is_null());
    assert!(env.stop().success());
    assert!(fs::read_dir(env.runtime_dir()).unwrap().next().is_none(), "something is left behind");
}

#[test]
fn a_socket_of_systemd_is_not_bound_again_but_named() {
    let mut env = Env::new(programs!());
    env.private_dir("run/secretsd");
    env.start_as(activated(&env, &[("api", &env.socket())]));
    fs::remove_file(env.socket()).unwrap();
    wait_until("the log says what to do", &env, || {
        env.log().contains("systemctl --user restart secretsd.socket")
    });
    assert!(!env.socket().exists());
}

#[test]
fn another_session_is_told_where_the_daemon_listens() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    let other = env.private_dir("other run");
    let begin = Instant::now();
    let output = env.ctl(["list"]).env("XDG_RUNTIME_DIR", &other).run();
    output.assert_code(8);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    let (socket, pid) = (env.socket().display().to_string(), format!("pid {}", env.pid()));
    assert!(
        output.err().contains(&pid) && output.err().contains(&format!("--socket {socket}")),
        "{}",
        output.err()
    );
    let doctor = env.ctl(["doctor", "--json"]).env("XDG_RUNTIME_DIR", &other).run();
    assert!(!doctor.out().contains("kill"), "{}", doctor.out());
    assert!(doctor.out().contains(&format!("export SECRETSD_SOCKET={socket}")), "{}", doctor.out());
    env.ctl(["--socket", &socket, "list"]).env("XDG_RUNTIME_DIR", &other).expect(0);
    // Written in another way it is the same socket.
    let odd = env.path("run/../run/secretsd/secretsd.sock");
    env.ctl(["--socket", odd.to_str().unwrap(), "doctor"]).expect(0);
}

/// Who is in another container has a process id that is somebody else's here.
#[test]
fn the_process_id_of_another_container_is_never_to_be_killed() {
    let env = Env::new(programs!());
    env.private_dir("data/secretsd");
    let own = std::process::id();
    let noted = format!("{own}\nin 0 pid:[1]\nsocket /run/there/secretsd.sock\n");
    let lock = File::options()
        .read(true)
        .write(true)
        .open(env.private_file("data/secretsd/vault.lock", noted))
        .unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_untouchable(&env, own);
    drop(lock);
    env.ctl(["doctor"]).expect(0);
    env.ctl(["status"]).expect(0);
}

#[test]
fn a_daemon_in_a_pid_namespace_is_seen_to_be_in_one() {
    let mut env = Env::new(programs!());
    let unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let able =
        env.command("unshare").args(&unshare[1..]).arg("true").status().is_ok_and(|status| status.success());
    if !able {
        return skip("a_daemon_in_a_pid_namespace_is_seen_to_be_in_one", "a PID namespace needs root");
    }
    // A shell is the namespace's init, so that the daemon has an id that some process has here, too.
    let words: Vec<&str> = unshare.into_iter().chain(["sh", "-c", "\"$@\" & wait", "sh"]).collect();
    env.start_as(behind(&env, &words));
    // From here its socket can be reached: it is a session without that directory which cannot.
    let other = env.private_dir("other");
    let output = env.ctl(["list"]).env("XDG_RUNTIME_DIR", &other).run();
    output.assert_code(8);
    assert!(output.err().contains("another container"), "{}", output.err());
    let doctor = env.ctl(["doctor"]).env("XDG_RUNTIME_DIR", &other).run();
    assert!(doctor.code == Some(1) && !doctor.out().contains("kill"), "{}", doctor.out());
}

#[track_caller]
fn assert_untouchable(env: &Env, pid: u32) {
    let begin = Instant::now();
    let list = env.ctl(["list"]).run();
    list.assert_code(8);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert!(list.err().contains("another container") && list.err().contains("/run/there"), "{}", list.err());
    let doctor = env.ctl(["doctor"]).run();
    assert_eq!(doctor.code, Some(1), "{}", doctor.out());
    assert!(doctor.out().contains("another container"), "{}", doctor.out());
    let backup = env.private_file("backup", "x");
    let restore = env.ctl(["restore-vault", "--passphrase-file", "/dev/null"]).run();
    let restored = env.ctl(["restore-vault", backup.to_str().unwrap()]).run();
    for said in [list.err(), doctor.out(), restore.err(), restored.err()] {
        assert!(!said.contains("kill") && !said.contains(&pid.to_string()), "{said}");
    }
    let (status, said) = env.fail_to_start(env.daemon_command());
    assert_eq!(status.code(), Some(3));
    assert!(said.contains("another container") && !said.contains(&format!("pid {pid}")), "{said}");
}

#[test]
fn a_path_that_is_too_long_for_a_socket_is_told_at_once() {
    let env = Env::new(programs!());
    let long = env.path("x".repeat(120));
    let output = env.ctl(["--socket", long.to_str().unwrap(), "init"]).run();
    output.assert_code(8);
    assert!(output.err().contains("longer than the 107 bytes"), "{}", output.err());
}
