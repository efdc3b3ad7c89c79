//! Sessions with names: they outlast the program that begins them, and programs come into them by a name, by variables or
//! by a socket.

use std::fs;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Instant;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Signal;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::process::{self, DEADLINE};
use serde_json::{Value, json};

use crate::world::{VALUE, World};

/// A world with a session that is called `build`. It is ended with the test.
pub struct Named {
    pub world: World,
}

impl Drop for Named {
    fn drop(&mut self) {
        // The broker outlives everything else.
        self.world.env.ctl(["proxy", "stop", "build"]).run();
    }
}

impl Named {
    pub fn new(test: &str) -> Option<Self> {
        let world = World::new(test)?;
        world.rule(&["--host", &world.host()]);
        let named = Self { world };
        named.start();
        Some(named)
    }

    #[track_caller]
    fn start(&self) {
        let output = self.world.proxy(&["start", "build", "-s", "KEY", "--ttl", "1h"]);
        assert_eq!(output.code, Some(0), "{}", output.err());
        assert!(output.err().contains("secretctl proxy attach build -- CMD"), "{}", output.err());
    }

    pub fn dir(&self) -> PathBuf {
        self.world.env.runtime_dir().join("proxy/build")
    }

    pub fn control(&self) -> PathBuf {
        self.dir().join("control.sock")
    }

    /// What `list --json` says of the one session.
    pub fn listed(&self) -> Value {
        let list = self.world.env.ctl(["proxy", "list", "--json"]).expect(0);
        let list: Value = serde_json::from_str(&list).unwrap();
        list["sessions"][0].clone()
    }

    /// A shell's words that ask the host with the placeholder.
    pub fn curl(&self) -> String {
        let url = self.world.url("/v1/echo");
        format!(
            "curl -sS -w '%{{http_code}} %header{{x-secretsd-denied}}\\n' -H \"Authorization: Bearer $KEY\" {url}"
        )
    }

    fn unlock(&self) {
        self.world.env.post("/vault/unlock", &json!({"passphrase": PASSPHRASE})).expect(200);
    }

    fn token(&self) -> bool {
        let id = self.listed()["session"].as_str().map(str::to_owned);
        let tokens = self.world.env.get("/tokens").expect(200).to_string();
        id.is_some_and(|id| tokens.contains(&id))
    }
}

#[track_caller]
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The processes of this name whose environment names this world.
fn brokers(world: &World) -> Vec<u32> {
    let own = world.env.path("").display().to_string();
    let own = own.trim_end_matches('/').as_bytes();
    let is_it = |pid: &u32| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let environ = read("environ");
        read("comm").trim_ascii() == b"secretsd-broker"
            && environ.windows(own.len()).any(|window| window == own)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).filter(is_it).collect()
}

#[test]
fn a_session_with_a_name_serves_programs_until_it_is_stopped() {
    let Some(named) = Named::new("a_session_with_a_name_serves_programs_until_it_is_stopped") else { return };
    let world = &named.world;
    let script = format!("echo $$ $PPID; {}; exit 7", named.curl());
    let output = world.proxy(&["attach", "build", "--", "sh", "-c", &script]);
    assert_eq!(output.code, Some(7), "{}", output.err());
    assert_eq!(
        output.out().lines().next().unwrap().split(' ').next().unwrap(),
        output.pid.to_string(),
        "same process"
    );
    assert!(output.out().contains("200 \n"), "{}", output.out());
    assert_eq!(world.origin.last().header("authorization"), Some(format!("Bearer {VALUE}").as_str()));
    world.assert_nowhere(&output);

    // Another program, and a shell that has the variables.
    let client = world.env.programs().client;
    let script = format!("eval \"$({client} proxy env build)\"; echo $KEY; {}", named.curl());
    let output = world.with_names(&["sh", "-c", &script]);
    assert!(
        output.out().starts_with("sk-proj-ssdph") && output.out().contains("200 \n"),
        "{}{}",
        output.out(),
        output.err()
    );
    world.assert_nowhere(&output);
    assert_eq!(world.origin.seen().len(), 2);

    let listed = named.listed();
    assert_eq!((&listed["name"], &listed["secrets"]), (&json!("build"), &json!(["KEY"])));
    assert_eq!((&listed["state"], &listed["uses"]), (&json!("running"), &json!(2)));
    assert_eq!(listed["control"], json!(named.control()));
    let table = world.env.ctl(["proxy", "list"]).expect(0);
    assert!(table.contains("build") && table.contains("KEY") && table.contains("running"), "{table}");

    assert!(named.token());
    let output = world.env.ctl(["proxy", "stop", "build"]).run();
    assert_eq!(output.code, Some(0), "{}", output.err());
    assert!(!world.env.get("/tokens").expect(200).to_string().contains(listed["session"].as_str().unwrap()));
    assert!(!named.dir().exists() && named.listed().is_null());
    assert_eq!(fs::read_dir(world.env.runtime_dir().join("brokers")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(world.env.runtime_dir().join("run")).unwrap().count(), 0);
    if rustix::process::geteuid().is_root() {
        wait_until("the broker's end", || brokers(world).is_empty());
    }
    let audit = world.env.ctl(["audit", "--json"]).expect(0);
    assert!(
        audit.contains("\"use_begin\"") && audit.contains("\"use_end\"") && audit.contains("proxy-start"),
        "{audit}"
    );
    world.proxy(&["attach", "build", "--", "true"]).assert_code(125);
    world.env.ctl(["proxy", "stop", "build"]).expect(4);
    world.env.ctl(["proxy", "env", "build"]).expect(4);
}

#[test]
fn a_name_is_taken_until_its_session_has_ended() {
    let Some(named) = Named::new("a_name_is_taken_until_its_session_has_ended") else { return };
    let world = &named.world;
    let output = world.proxy(&["start", "build", "-s", "KEY"]);
    output.assert_code(6);
    assert!(output.err().contains("secretctl proxy stop build"), "{}", output.err());
    for bad in ["", "a/b", "..", "a.b", "-a", &"x".repeat(33)] {
        let words = ["proxy", "start", "-s", "KEY", "--", bad];
        let output = world.env.ctl(words).run();
        assert!(matches!(output.code, Some(2 | 7)), "{bad}: {:?} {}", output.code, output.err());
    }
    // What keeps a session from beginning leaves nothing of it.
    world.proxy(&["start", "other", "-s", "ABSENT"]).assert_code(4);
    world.proxy(&["start", "other", "-s", "KEY", "--allow", "not a host"]).assert_code(1);
    assert_eq!(fs::read_dir(world.env.runtime_dir().join("proxy")).unwrap().count(), 1);
    let sessions = world.env.get("/tokens").expect(200).to_string().matches("session ").count();
    assert_eq!(sessions, 1);
}

#[test]
fn only_its_user_reaches_a_session() {
    let Some(named) = Named::new("only_its_user_reaches_a_session") else { return };
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let runtime = named.world.env.runtime_dir();
    for dir in [runtime.join("proxy"), named.dir(), runtime.join("brokers")] {
        assert_eq!(mode(dir.clone()), 0o700, "{}", dir.display());
    }
    for file in [named.control(), runtime.join("brokers/build.sock"), runtime.join("brokers/build.json")] {
        assert_eq!(mode(file.clone()), 0o600, "{}", file.display());
    }
    let inside: Vec<_> = fs::read_dir(named.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(inside, ["control.sock"], "what is mounted holds the socket alone");
    let note = fs::read_to_string(runtime.join("brokers/build.json")).unwrap();
    assert!(!note.contains("ssd_"), "{note}");
}

#[test]
fn a_broker_that_was_killed_is_listed_as_ended_and_cleaned_up() {
    let Some(named) = Named::new("a_broker_that_was_killed_is_listed_as_ended_and_cleaned_up") else {
        return;
    };
    if !rustix::process::geteuid().is_root() {
        return secretsd_tests::harness::skip(
            "a_broker_that_was_killed_is_listed_as_ended_and_cleaned_up",
            "needs root",
        );
    }
    let world = &named.world;
    let kill = || {
        let pid = brokers(world)[0];
        process::signal(pid, Signal::KILL);
        wait_until("the broker's end", || UnixStream::connect(named.control()).is_err());
    };
    kill();
    assert_eq!(named.listed()["state"], "ended");
    assert!(world.env.ctl(["proxy", "list"]).expect(0).contains("ended"));
    let output = world.proxy(&["attach", "build", "--", "true"]);
    output.assert_code(125);
    assert!(output.err().contains("has ended"), "{}", output.err());
    // A new one takes its place.
    named.start();
    assert_eq!(named.listed()["state"], "running");
    kill();
    assert!(named.token());
    world.env.ctl(["proxy", "stop", "build"]).expect(0);
    assert!(named.listed().is_null() && !named.dir().exists());
    // The killed one's token was ended, too.
    let sessions = world.env.get("/tokens").expect(200).to_string();
    assert_eq!(sessions.matches("session ").count(), 1, "{sessions}");
}

#[test]
fn a_session_outlasts_locks_and_the_daemon() {
    let Some(mut named) = Named::new("a_session_outlasts_locks_and_the_daemon") else { return };
    let curl = named.curl();
    let answer = |named: &Named| named.world.proxy(&["attach", "build", "--", "sh", "-c", &curl]).out();
    assert!(answer(&named).contains("200 \n"));
    named.world.env.ctl(["lock"]).expect(0);
    assert_eq!(named.listed()["state"], "paused");
    let refused = answer(&named);
    assert!(refused.contains("403 ") && refused.contains("vault_locked_error"), "{refused}");
    named.unlock();
    assert!(answer(&named).contains("200 \n"));
    named.world.env.stop();
    let refused = answer(&named);
    assert!(refused.contains("502 "), "{refused}");
    named.world.env.start();
    assert_eq!(named.listed()["state"], "paused");
    named.unlock();
    assert!(answer(&named).contains("200 \n"));
    assert_eq!(named.listed()["state"], "running");
}

/// While the vault is locked nobody can end a session in the daemon: it is ended when the vault is unlocked.
#[test]
fn a_session_that_is_stopped_while_the_vault_is_locked_ends_at_the_next_unlock() {
    let test = "a_session_that_is_stopped_while_the_vault_is_locked_ends_at_the_next_unlock";
    let Some(named) = Named::new(test) else { return };
    let env = &named.world.env;
    let id = named.listed()["session"].as_str().unwrap().to_owned();
    let has_token = || env.get("/tokens").expect(200).to_string().contains(&id);
    assert!(has_token());
    env.ctl(["lock"]).expect(0);
    env.ctl(["proxy", "stop", "build"]).expect(0);
    let left = env.runtime_dir().join(format!("brokers/{id}.ended"));
    assert!(left.exists());
    env.ctl(["unlock", "--passphrase-file", "-"]).stdin(PASSPHRASE).expect(0);
    assert!(!has_token() && !left.exists());
    // And there is a word for who asks for it afterwards.
    let output = env.ctl(["proxy", "env", "build"]).run();
    output.assert_code(4);
    assert!(
        output.err().contains("no session build runs: it was stopped, or never started"),
        "{}",
        output.err()
    );
}

/// A message with descriptors, as programs send it to a control socket.
fn send(stream: &UnixStream, message: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    assert!(with.push(SendAncillaryMessage::ScmRights(descriptors)));
    sendmsg(stream, &[IoSlice::new(&length)], &mut with, SendFlags::empty()).unwrap();
    (&*stream).write_all(message).unwrap();
}

/// A descriptor that is no process would never tell that its program has ended, or tell it at once.
#[test]
fn only_a_pidfd_stands_for_a_program() {
    let Some(named) = Named::new("only_a_pidfd_stands_for_a_program") else { return };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ask = |program: BorrowedFd<'_>| {
        let stream = UnixStream::connect(named.control()).unwrap();
        let message = json!({"attach": {"port": port, "files_in": null}}).to_string();
        send(&stream, message.as_bytes(), &[listener.as_fd(), program]);
        let mut told = Vec::new();
        (&stream).read_to_end(&mut told).unwrap();
        String::from_utf8(told[4..].to_vec()).unwrap()
    };
    let null = fs::File::open("/dev/null").unwrap();
    let (one, other) = std::io::pipe().unwrap();
    for wrong in [null.as_fd(), one.as_fd(), other.as_fd(), listener.as_fd()] {
        let told = ask(wrong);
        assert!(told.contains("a pidfd of the program is expected"), "{told}");
    }
    let own = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
    let told = ask(own.unwrap().as_fd());
    assert!(told.contains("\"listens\":true"), "{told}");
}

#[test]
fn a_session_that_was_revoked_or_is_over_leaves_nothing() {
    let Some(named) = Named::new("a_session_that_was_revoked_or_is_over_leaves_nothing") else { return };
    let world = &named.world;
    let id = named.listed()["session"].as_str().unwrap().to_owned();
    world.env.ctl(["token", "revoke", &id]).expect(0);
    let output = world.proxy(&["attach", "build", "--", "sh", "-c", &named.curl()]);
    assert!(output.out().contains("401 "), "{}", output.out());
    wait_until("the end of a session that was revoked", || !named.dir().exists() && named.listed().is_null());

    let output = world.proxy(&["start", "build", "-s", "KEY", "--ttl", "2s"]);
    assert_eq!(output.code, Some(0), "{}", output.err());
    wait_until("the end of a session whose time is over", || {
        !named.dir().exists() && named.listed().is_null()
    });
}
