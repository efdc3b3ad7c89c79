//! `secretctl`'s commands on the vault as a whole and on what becomes of secrets over time, on the real daemon: each
//! does what it says, and refuses with its exit code and nothing changed.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

const LONG: &str = "sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYz012789";

/// A vault with a passphrase and a recovery key, and files that hold them.
struct Keys {
    passphrase: String,
    recovery: String,
}

fn unlocked() -> (Env, Keys) {
    let env = Env::started(programs!());
    let recovery = env.init();
    let keys = Keys {
        passphrase: text(&env.private_file("passphrase", PASSPHRASE)),
        recovery: text(&env.private_file("recovery", recovery)),
    };
    (env, keys)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Makes a backup and gives its path.
fn backup(env: &Env, name: &str) -> String {
    let path = text(&env.path(name));
    env.ctl(["backup", &path]).expect(0);
    path
}

/// What is in the vault's directory, but for the lock.
fn data_files(env: &Env) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(env.data_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "vault.lock")
        .collect();
    names.sort();
    names
}

fn key_ids(env: &Env, kind: &str) -> Vec<String> {
    let list = env.ctl(["key", "list", "--json"]).run().json();
    let keys = list["keys"].as_array().unwrap();
    keys.iter().filter(|key| key["kind"] == kind).map(|key| key["id"].as_str().unwrap().to_owned()).collect()
}

/// `secretctl` on a terminal of its own.
struct Terminal {
    child: Child,
    output: Receiver<u8>,
    seen: String,
}

impl Terminal {
    fn run(env: &Env, arguments: &str) -> Self {
        let mut command = env.command("script");
        let line = format!("{} {arguments}", env.programs().client);
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            let mut byte = [0];
            while stdout.read(&mut byte).is_ok_and(|count| count == 1) && sender.send(byte[0]).is_ok() {}
        });
        Self { child, output, seen: String::new() }
    }

    /// Waits for a question and answers it.
    fn read_to(&mut self, text: &str) {
        while !self.seen.ends_with(text) {
            let byte = self.output.recv_timeout(DEADLINE);
            let byte = byte.unwrap_or_else(|_| panic!("{text:?} is not asked: {}", self.seen));
            self.seen.push(char::from(byte));
        }
    }

    fn answer(&mut self, question: &str, answer: &str) {
        self.read_to(question);
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(format!("{answer}\n").as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// The exit code, and all that was shown.
    fn end(mut self) -> (Option<i32>, String) {
        while let Ok(byte) = self.output.recv_timeout(DEADLINE) {
            self.seen.push(char::from(byte));
        }
        (process::wait(&mut self.child, DEADLINE).code(), self.seen)
    }
}

#[test]
fn stop_ends_the_daemon_and_the_next_command_finds_the_vault_locked() {
    let env = Env::new(programs!());
    assert_eq!(env.ctl(["stop"]).run().err(), "secretctl: secretsd is not running\n");
    assert_eq!(env.listener(), None);
    let passphrase = text(&env.private_file("passphrase", PASSPHRASE));
    env.ctl(["init", "--passphrase-file", &passphrase]).expect(0);
    let pid = env.listener().unwrap();
    // Another daemon's socket is none of this one's.
    let other = env.ctl(["--socket", "/nowhere/s.sock", "stop"]).run();
    other.assert_code(6);
    assert!(other.err().contains(&format!("--socket {} stop", text(&env.socket()))), "{}", other.err());
    assert_eq!(env.listener(), Some(pid));
    env.ctl(["stop"]).expect(0);
    assert!(!Path::new(&format!("/proc/{pid}/exe")).exists());
    env.ctl(["list", "--no-spawn"]).expect(8);
    env.ctl(["list"]).expect(3);
    env.stop_listener();
}

#[test]
fn a_vault_has_at_most_64_keys() {
    let (env, _) = unlocked();
    let fresh = json!({ "recovery": true });
    let mut newest = json!(null);
    for _ in 2..64 {
        newest = env.post("/vault/keys", &fresh).expect(201);
    }
    env.post("/vault/keys", &fresh).expect_error(409, "conflict_error");
    let refused = env.ctl(["key", "add", "--recovery"]).run();
    refused.assert_code(6);
    assert!(refused.err().contains("at most 64 keys"));
    let replaced =
        env.post("/vault/keys", &json!({ "recovery": true, "replaces": newest["id"] })).expect(201);
    env.post("/vault/lock", &json!({})).expect(200);
    let replaced_key = json!({ "recovery_key": replaced["recovery_key"] });
    assert_eq!(env.post("/vault/unlock", &replaced_key).expect(200)["keys"], 64);
}

#[test]
fn keys_are_listed_added_and_removed_but_never_the_last() {
    let (env, keys) = unlocked();
    let table = env.ctl(["key", "list"]).expect(0);
    assert!(table.contains("passphrase") && table.contains("recovery key"), "{table}");
    assert_eq!(
        env.ctl(["key", "list", "--json"]).run().json(),
        env.get("/vault/keys").expect(200),
        "--json is the API's own"
    );

    let second = text(&env.private_file("second", "another passphrase\n"));
    env.ctl(["key", "add", "--passphrase", "--passphrase-file", &second]).expect(0);
    let file = text(&env.path("home/new/key"));
    env.ctl(["key", "add", "--key-file", &file]).expect(0);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let recovery = env.ctl(["key", "add", "--recovery"]).expect(0);
    assert_eq!(recovery.trim().len(), 69, "stdout is the recovery key alone");
    let recovery = text(&env.private_file("recovery-2", recovery));
    for key in [
        ["--passphrase-file", &second],
        ["--key-file", &file],
        ["--recovery-key-file", &recovery],
        ["--recovery-key-file", &keys.recovery],
    ] {
        env.ctl(["lock"]).expect(0);
        env.ctl([&["unlock"], &key[..]].concat()).expect(0);
    }

    let id = key_ids(&env, "key_file").remove(0);
    env.ctl(["key", "remove", &id]).expect(2);
    env.ctl(["key", "remove", &id, "--yes"]).expect(0);
    env.ctl(["unlock", "--key-file", &file]).expect(5);
    env.ctl(["key", "remove", &id, "--yes"]).expect(4);
    env.ctl(["key", "remove", "not-an-id", "--yes"]).expect(7);
    let mut left = key_ids(&env, "recovery");
    left.extend(key_ids(&env, "passphrase"));
    let last = left.pop().unwrap();
    for id in left {
        env.ctl(["key", "remove", &id, "--yes"]).expect(0);
    }
    env.ctl(["key", "remove", &last, "--yes"]).expect(6);
    assert_eq!(key_ids(&env, "passphrase"), [last]);
}

#[test]
fn key_add_wants_exactly_one_kind_and_leaves_no_key_file_behind() {
    let (env, _) = unlocked();
    let file = text(&env.path("home/key"));
    env.ctl(["key", "add"]).expect(2);
    env.ctl(["key", "add", "--recovery", "--key-file", &file]).expect(2);
    env.ctl(["key", "add", "--passphrase", "--recovery"]).expect(2);
    env.ctl(["key"]).expect(2);
    env.ctl(["key", "add", "--passphrase"]).expect(3);
    let empty = text(&env.private_file("empty", ""));
    env.ctl(["key", "add", "--passphrase-file", &empty]).expect(7);
    let short = text(&env.private_file("home/short", "too short"));
    env.ctl(["key", "add", "--key-file", &short]).expect(7);
    assert!(Path::new(&short).exists(), "a file that was there is the user's");
    env.ctl(["lock"]).expect(0);
    env.ctl(["key", "add", "--key-file", &file]).expect(3);
    assert!(!Path::new(&file).exists(), "a key that opens nothing was left behind");
    env.ctl(["key", "list"]).expect(3);
}

#[test]
fn removing_a_key_asks_on_a_terminal() {
    let (env, _) = unlocked();
    let id = key_ids(&env, "recovery").remove(0);
    let mut terminal = Terminal::run(&env, &format!("key remove {id}"));
    terminal.answer("[y/N] ", "no");
    assert_eq!(terminal.end().0, Some(1));
    assert_eq!(key_ids(&env, "recovery"), [id.as_str()]);
    let mut terminal = Terminal::run(&env, &format!("key remove {id}"));
    terminal.answer("[y/N] ", "y");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(key_ids(&env, "recovery").is_empty());
}

#[test]
fn passwd_takes_the_old_passphrase_and_puts_the_new_one_in_its_place() {
    let (env, keys) = unlocked();
    let new = text(&env.private_file("new", "a new passphrase"));
    let wrong = text(&env.private_file("wrong", "wrong"));
    let passwd = |old: &str, more: &[&str]| {
        let files = ["passwd", "--old-passphrase-file", old, "--new-passphrase-file", &new];
        env.ctl([&files[..], more].concat()).run().code
    };
    assert_eq!(passwd(&wrong, &[]), Some(5), "the vault is open, and still the old one is checked");
    assert_eq!(passwd(&keys.passphrase, &["--id", "x"]), Some(7));
    assert_eq!(passwd(&keys.passphrase, &["--id", &key_ids(&env, "recovery")[0]]), Some(4));
    assert_eq!(passwd("-", &[]), Some(7), "nothing on stdin");
    env.ctl(["passwd", "--old-passphrase-file", "-", "--new-passphrase-file", "-"]).expect(2);
    env.ctl(["passwd"]).expect(3);
    env.ctl(["unlock", "--passphrase-file", &keys.passphrase]).expect(0);

    env.ctl(["lock"]).expect(0);
    assert_eq!(passwd(&keys.passphrase, &[]), Some(0), "a locked vault is opened by it");
    env.ctl(["unlock", "--passphrase-file", &keys.passphrase]).expect(5);
    env.ctl(["lock"]).expect(0);
    env.ctl(["unlock", "--passphrase-file", &new]).expect(0);
    assert_eq!(key_ids(&env, "passphrase").len(), 1);
    env.ctl(["unlock", "--recovery-key-file", &keys.recovery]).expect(0);

    let again = text(&env.private_file("again", "a third passphrase"));
    env.ctl(["key", "add", "--passphrase-file", &again]).expect(0);
    assert_eq!(passwd(&new, &[]), Some(2), "which of the two?");
    let second = key_ids(&env, "passphrase").pop().unwrap();
    assert_eq!(passwd(&new, &["--id", &second]), Some(0));
    env.ctl(["unlock", "--passphrase-file", &again]).expect(5);
    env.ctl(["key", "remove", "--yes", &key_ids(&env, "passphrase")[0]]).expect(0);
    env.ctl(["key", "remove", "--yes", &key_ids(&env, "passphrase")[0]]).expect(0);
    assert_eq!(passwd(&new, &[]), Some(5), "no passphrase opens it any more");
}

#[test]
fn passwd_asks_on_a_terminal_and_shows_nothing_typed() {
    let (env, keys) = unlocked();
    let mut terminal = Terminal::run(&env, "passwd");
    terminal.answer("present passphrase: ", PASSPHRASE);
    for _ in 0..3 {
        terminal.answer("new passphrase: ", "typed by hand");
        terminal.answer("repeat it: ", "typed otherwise");
    }
    assert_eq!(terminal.end().0, Some(7));
    env.ctl(["unlock", "--passphrase-file", &keys.passphrase]).expect(0);

    env.ctl(["key", "add", "--passphrase-file", "-"]).stdin("second").expect(0);
    let mut terminal = Terminal::run(&env, "passwd");
    terminal.answer("present passphrase: ", PASSPHRASE);
    terminal.read_to("2) added ");
    terminal.answer(": ", "1");
    terminal.answer("new passphrase: ", "typed by hand");
    terminal.answer("repeat it: ", "typed by hand");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("typed") && !shown.contains(PASSPHRASE), "{shown}");
    env.ctl(["unlock", "--passphrase-file", "-"]).stdin("typed by hand").expect(0);
    env.ctl(["unlock", "--passphrase-file", "-"]).stdin("second").expect(0);
    env.ctl(["unlock", "--passphrase-file", &keys.passphrase]).expect(5);
}

#[test]
fn rotate_voids_every_other_key_and_prints_a_new_recovery_key() {
    let (env, keys) = unlocked();
    env.store("A", LONG);
    env.ctl(["key", "add", "--passphrase-file", "-"]).stdin("second").expect(0);
    let wrong = text(&env.private_file("wrong", "wrong"));
    env.ctl(["rotate", "--passphrase-file", &wrong]).expect(5);
    env.ctl(["rotate"]).expect(3);
    env.ctl(["unlock", "--recovery-key-file", &keys.recovery]).expect(0);

    env.ctl(["lock"]).expect(0);
    let output = env.ctl(["rotate", "--passphrase-file", &keys.passphrase]).run();
    output.assert_code(0);
    assert!(output.err().contains("1 other key was removed"), "{}", output.err());
    assert_eq!(output.out().trim().len(), 69, "stdout is the recovery key alone");
    let recovery = text(&env.private_file("recovery-2", output.out()));
    env.ctl(["unlock", "--recovery-key-file", &keys.recovery]).expect(5);
    env.ctl(["unlock", "--passphrase-file", "-"]).stdin("second").expect(5);
    for key in [["--passphrase-file", &keys.passphrase], ["--recovery-key-file", &recovery]] {
        env.ctl(["lock"]).expect(0);
        env.ctl([&["unlock"], &key[..]].concat()).expect(0);
        assert_eq!(env.value("A"), LONG);
    }

    let mut terminal = Terminal::run(&env, "rotate --yes");
    terminal.answer("passphrase of the vault: ", PASSPHRASE);
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("only your passphrase and a new recovery key will open it"), "{shown}");
    assert!(!shown.contains(PASSPHRASE));
    let reply = env.ctl(["rotate", "--json", "--passphrase-file", &keys.passphrase]).run().json();
    assert_eq!(reply["keys_removed"], 0);
}

#[test]
fn a_key_file_rotates_too() {
    let env = Env::started(programs!());
    let file = text(&env.path("home/key"));
    env.ctl(["init", "--key-file", &file]).expect(0);
    env.store("A", "x");
    env.ctl(["rotate", "--key-file", &file]).expect(0);
    env.ctl(["rotate", "--key-file", &file, "--passphrase-file", "-"]).stdin("x").expect(2);
    env.ctl(["lock"]).expect(0);
    env.ctl(["unlock", "--key-file", &file]).expect(0);
    assert_eq!(env.value("A"), "x");
}

#[test]
fn a_backup_is_a_private_verified_file_that_replaces_nothing() {
    let (env, _) = unlocked();
    env.store("A", "canary-value-in-a-backup");
    let path = PathBuf::from(backup(&env, "home/copy"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let content = fs::read(&path).unwrap();
    assert!(content.starts_with(b"SQLite format 3\0") && &content[68..72] == b"SecD");
    assert!(secretsd_tests::canary::find(&content, "canary-value-in-a-backup").is_none());

    let name = text(&path);
    env.ctl(["backup", &name]).expect(6);
    assert_eq!(fs::read(&path).unwrap(), content, "the file that was there was touched");
    let before = fs::metadata(&path).unwrap().ino();
    let output = env.ctl(["backup", "--force", &name]).run();
    output.assert_code(0);
    let metadata = fs::metadata(&path).unwrap();
    assert_ne!(metadata.ino(), before);
    assert!(output.err().contains(&format!("{} bytes", metadata.len())), "{}", output.err());
    env.ctl(["backup", "/nonexistent/copy"]).expect(1);
    env.ctl(["backup", "-"]).expect(2);
    env.ctl(["backup", "--force", &text(&env.data_dir().join("vault.db"))]).expect(7);
    let link = env.path("link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    env.ctl(["backup", "--force", &text(&link)]).expect(1);
    assert!(link.is_symlink());
    env.ctl(["lock"]).expect(0);
    env.ctl(["backup", &text(&env.path("home/other"))]).expect(3);
    let left: Vec<_> = fs::read_dir(env.path("home")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [path], "a draft was left");
}

#[test]
fn a_backup_of_many_blocks_is_whole() {
    let (mut env, keys) = unlocked();
    let value = "v".repeat(65_536);
    for index in 0..40 {
        env.store(&format!("A_{index}"), &value);
    }
    let copy = backup(&env, "home/copy");
    assert!(fs::metadata(&copy).unwrap().len() > 40 * 65_536);
    env.stop();
    env.ctl(["restore-vault", &copy, "--passphrase-file", &keys.passphrase]).expect(0);
    assert_eq!(env.value("A_39"), value);
}

#[test]
fn a_destroyed_vault_comes_back_with_every_value() {
    let (mut env, keys) = unlocked();
    let values = [("A", LONG), ("B", "two\nlines\n"), ("C", "🦀")];
    for (name, value) in values {
        env.store(name, value);
    }
    let copy = backup(&env, "home/copy");
    env.ctl(["restore-vault", &copy, "--passphrase-file", &keys.passphrase]).expect(6);
    assert_eq!(env.value("A"), LONG, "the running daemon keeps its vault");
    env.stop();
    fs::remove_dir_all(env.data_dir()).unwrap();
    fs::remove_dir_all(env.state_dir()).unwrap();

    let counts = env.ctl(["restore-vault", &copy, "--passphrase-file", &keys.passphrase]).expect(0);
    assert!(counts.lines().any(|line| line.split_whitespace().eq(["secrets", "3"])), "{counts}");
    for (name, value) in values {
        assert_eq!(env.ctl(["get", name]).expect(0), value);
    }
    env.ctl(["set", "D"]).stdin("writing goes on").expect(0);
    assert_eq!(fs::metadata(env.data_dir()).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(data_files(&env).iter().filter(|name| name.contains("restore")).count(), 0);
}

#[test]
fn a_restore_that_was_interrupted_is_told_and_no_vault_is_said_to_be_missing() {
    let (mut env, _) = unlocked();
    env.store("A", "x");
    env.stop();
    let aside = env.data_dir().join("vault.db.before-restore-20260415T120000Z");
    fs::rename(env.data_dir().join("vault.db"), &aside).unwrap();
    env.start();
    for arguments in [&["list"][..], &["status"], &["doctor"]] {
        let output = env.ctl(arguments.iter().copied()).run();
        let all = format!("{}{}", output.out(), output.err());
        assert!(
            all.contains("a restore was interrupted") && all.contains("before-restore"),
            "{arguments:?}: {all}"
        );
        assert!(
            !all.contains("create it with: secretctl init") || arguments == ["status"],
            "{arguments:?}: {all}"
        );
    }
    env.stop();
    fs::rename(&aside, env.data_dir().join("vault.db")).unwrap();
    env.start();
    assert!(env.ctl(["status"]).expect(0).contains("locked"));
}

#[test]
fn an_old_backup_restored_over_a_newer_vault_is_accepted() {
    let (mut env, keys) = unlocked();
    env.store("A", "old");
    let copy = backup(&env, "home/copy");
    env.request(
        "PUT",
        &format!("/user/secrets/{}", env.get("/user/secrets").json()["secrets"][0]["id"].as_str().unwrap()),
    )
    .json(&json!({ "value": "new" }))
    .send()
    .expect(200);
    env.store("B", "newer");
    // Without a clean end there is a log beside the vault, which must not meet the restored one.
    env.kill();
    assert!(data_files(&env).contains(&"vault.db-wal".to_owned()));
    let reply = env.ctl(["restore-vault", "--json", &copy, "--recovery-key-file", &keys.recovery]).run();
    reply.assert_code(0);
    assert_eq!(reply.json()["secrets"], 1);
    assert_eq!(env.value("A"), "old");
    let status = env.ctl(["status", "--json"]).run().json();
    assert!(status.get("rolled_back").is_none(), "{status}");
    env.ctl(["set", "C"]).stdin("x").expect(0);
    env.ctl(["lock"]).expect(0);
    env.ctl(["unlock", "--passphrase-file", &keys.passphrase]).expect(0);
    env.ctl(["set", "D"]).stdin("x").expect(0);

    // The newer vault is kept, whole: put back as it was, it opens with what it had last.
    let kept: Vec<String> =
        data_files(&env).into_iter().filter(|name| name.contains("before-restore")).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    env.stop_listener();
    let vault = env.data_dir().join("vault.db");
    fs::rename(env.data_dir().join(&kept[0]), &vault).unwrap();
    fs::rename(env.data_dir().join(&kept[1]), env.data_dir().join("vault.db-wal")).unwrap();
    env.start();
    // To the guard of the restored vault it is the foreign one now.
    env.ctl(["unlock", "--passphrase-file", &keys.passphrase]).expect(9);
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 2);
}

#[test]
fn a_restore_that_fails_leaves_the_old_vault_in_place() {
    let (mut env, keys) = unlocked();
    env.store("A", "old");
    let copy = backup(&env, "home/copy");
    env.store("B", "newer");
    env.kill();
    let before = data_files(&env);
    let vault = fs::read(env.data_dir().join("vault.db")).unwrap();
    let log = fs::read(env.data_dir().join("vault.db-wal")).unwrap();

    let mut damaged = fs::read(&copy).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 4096].fill(0x55);
    let damaged = text(&env.private_file("home/damaged", damaged));
    let wrong = text(&env.private_file("wrong", "wrong"));
    for (backup, key, code) in [(&copy, &wrong, 5), (&damaged, &keys.passphrase, 9)] {
        let output = env.ctl(["restore-vault", backup, "--passphrase-file", key]).run();
        output.assert_code(code);
        assert!(output.err().contains("back in place"), "{}", output.err());
        assert!(env.listener().is_none(), "the daemon that was started still runs");
        assert_eq!(data_files(&env), before);
        assert_eq!(fs::read(env.data_dir().join("vault.db")).unwrap(), vault);
        assert_eq!(fs::read(env.data_dir().join("vault.db-wal")).unwrap(), log);
    }
    env.start();
    env.ctl(["unlock", "--passphrase-file", &keys.passphrase]).expect(0);
    assert_eq!(env.value("B"), "newer");
    env.store("C", "still writable");
}

#[test]
fn restore_vault_refuses_before_it_changes_anything() {
    let (mut env, keys) = unlocked();
    let copy = backup(&env, "home/copy");
    let key = ["--passphrase-file", keys.passphrase.as_str()];
    let restore = |env: &Env, file: &str| env.ctl([&["restore-vault", file], &key[..]].concat()).run();
    let running = restore(&env, &copy);
    running.assert_code(6);
    assert!(running.err().contains("stop the daemon first"), "{}", running.err());
    env.ctl(["lock"]).expect(0);
    restore(&env, &copy).assert_code(6);
    env.stop();
    let before = data_files(&env);
    let text_file = text(&env.private_file("home/text", "SQLite format 3\0 and no more"));
    restore(&env, &text_file).assert_code(7);
    restore(&env, &text(&env.path("home"))).assert_code(7);
    restore(&env, &text(&env.path("home/none"))).assert_code(4);
    restore(&env, &text(&env.data_dir().join("vault.db"))).assert_code(7);
    env.ctl(["restore-vault", &copy]).expect(3);
    env.ctl(["restore-vault", &copy, "--passphrase-file", &text(&env.path("home/none"))]).expect(1);
    assert_eq!(data_files(&env), before);
    assert!(env.listener().is_none());
    fs::set_permissions(env.data_dir(), fs::Permissions::from_mode(0o755)).unwrap();
    restore(&env, &copy).assert_code(5);
}

#[test]
fn a_backup_that_is_not_as_long_as_it_says_is_refused_and_takes_no_room() {
    let (mut env, keys) = unlocked();
    env.store("A", LONG);
    let copy = backup(&env, "home/copy");
    env.stop();
    let before = data_files(&env);
    let good = fs::read(&copy).unwrap();
    let restore = |env: &Env| env.ctl(["restore-vault", &copy, "--passphrase-file", &keys.passphrase]).run();
    let file = || fs::OpenOptions::new().write(true).open(&copy).unwrap();
    for length in [3 << 30, good.len() as u64 + 1, good.len() as u64 + 4_096, good.len() as u64 - 4_096] {
        file().set_len(length).unwrap();
        let output = restore(&env);
        output.assert_code(7);
        let what = if length > good.len() as u64 { "longer" } else { "shorter" };
        assert!(output.err().contains(what), "{}", output.err());
        assert_eq!(data_files(&env), before);
        fs::write(&copy, &good).unwrap();
    }
    // Another tool can give it pages of another size: then it is another file.
    let database = rusqlite::Connection::open(&copy).unwrap();
    database.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA page_size = 8192; VACUUM;").unwrap();
    drop(database);
    assert_ne!(fs::read(&copy).unwrap()[16..18], good[16..18]);
    restore(&env).assert_code(7);
    // If it is the vault, its backup is as others are.
    fs::copy(&copy, env.data_dir().join("vault.db")).unwrap();
    env.start();
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    env.post("/vault/verify", &json!({ "accept_restore": true })).expect(200);
    fs::remove_file(&copy).unwrap();
    backup(&env, "home/copy");
    env.stop();
    restore(&env).assert_code(0);
    assert_eq!(env.value("A"), LONG);
}

#[test]
fn what_was_added_behind_a_vault_is_gone_soon_after_it_is_open() {
    let (mut env, _keys) = unlocked();
    env.store("A", LONG);
    env.stop();
    let vault = env.data_dir().join("vault.db");
    let length = fs::metadata(&vault).unwrap().len();
    fs::OpenOptions::new().write(true).open(&vault).unwrap().set_len(3 << 30).unwrap();
    env.start();
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    let end = Instant::now() + DEADLINE;
    while fs::metadata(&vault).unwrap().len() > 2 * length {
        assert!(Instant::now() < end, "it is {} bytes long", fs::metadata(&vault).unwrap().len());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(env.value("A"), LONG);
    env.post("/vault/verify", &json!({})).expect(200);
}

#[test]
fn a_vault_that_a_restore_has_put_aside_is_named_where_it_undoes_what_is_done() {
    let (mut env, keys) = unlocked();
    env.store("LEAK", LONG);
    let copy = backup(&env, "home/copy");
    for name in ["OTHER", "MORE"] {
        env.store(name, "x");
    }
    let purge = |env: &Env, name: &str| {
        let output = env.ctl(["rm", "--purge", "--yes", name]).run();
        output.assert_code(0);
        output.err()
    };
    assert!(!purge(&env, "MORE").contains("restore"), "there is nothing to be named");
    env.stop();
    env.ctl(["restore-vault", &copy, "--passphrase-file", &keys.passphrase]).expect(0);
    let kept: Vec<PathBuf> = data_files(&env)
        .into_iter()
        .filter(|name| name.contains("before-restore"))
        .map(|name| env.data_dir().join(name))
        .collect();
    let kept = text(&kept[0]);
    let named = |said: &str| {
        let (_, command) = said.split_once("if you no longer need it: ").unwrap_or_else(|| panic!("{said}"));
        command.lines().next().unwrap().to_owned()
    };
    assert_eq!(named(&purge(&env, "LEAK")), format!("rm {kept}"));
    assert!(fs::read(&kept).unwrap().len() > 4_096, "it was removed, and nobody had said so");
    let new = text(&env.private_file("new", "another passphrase"));
    env.ctl(["key", "add", "--passphrase-file", &new]).expect(0);
    let added = key_ids(&env, "passphrase").pop().unwrap();
    let passwd = [
        "passwd",
        "--id",
        &added,
        "--old-passphrase-file",
        &keys.passphrase,
        "--new-passphrase-file",
        &keys.passphrase,
    ];
    named(&env.ctl(passwd).run().err());
    let last = key_ids(&env, "passphrase").pop().unwrap();
    named(&env.ctl(["key", "remove", "--yes", &last]).run().err());
    let rotated = env.ctl(["rotate", "--passphrase-file", &keys.passphrase]).run();
    rotated.assert_code(0);
    let command = named(&rotated.err());

    // Run as it is printed, it ends that.
    let (_, output) = process::run(env.command("sh").args(["-c", &command]), b"");
    assert!(output.status.success());
    assert!(!data_files(&env).iter().any(|name| name.contains("before-restore")));
    env.store("LEAK", "x");
    assert!(!purge(&env, "LEAK").contains("restore"));
    env.stop_listener();
}

#[test]
fn what_is_left_of_a_copy_goes_with_the_next_start() {
    let (mut env, _keys) = unlocked();
    env.kill();
    for name in ["vault.db.copy", "vault.db.copy-wal", "vault.db.new", "vault.db.restore", "vault.db.rotated"]
    {
        env.private_file(&format!("data/secretsd/{name}"), "a copy");
    }
    env.start();
    let files = data_files(&env);
    assert!(
        files.iter().all(|name| ["vault.db", "vault.db-wal", "ballast"].contains(&name.as_str())),
        "{files:?}"
    );
}

#[test]
fn a_daemon_without_a_vault_makes_way_for_a_restored_one() {
    let (source, keys) = unlocked();
    source.store("A", LONG);
    let copy = backup(&source, "home/copy");
    let env = Env::new(programs!());
    env.ctl(["status"]).expect(0);
    let first = env.listener().expect("no daemon was started");
    env.ctl(["restore-vault", &copy, "--passphrase-file", &keys.passphrase]).expect(0);
    assert_ne!(env.listener(), Some(first));
    assert_eq!(env.value("A"), LONG);

    // A wrong key leaves nothing behind where there was nothing.
    let other = Env::new(programs!());
    let wrong = text(&other.private_file("wrong", "wrong"));
    let output = other.ctl(["restore-vault", &copy, "--passphrase-file", &wrong]).run();
    output.assert_code(5);
    assert!(data_files(&other).is_empty(), "{:?}", data_files(&other));
    assert_eq!(other.ctl(["status", "--json"]).run().json()["state"], "uninitialized");
}

#[test]
fn restore_vault_asks_for_the_passphrase_on_a_terminal_and_takes_another_directory() {
    let (env, _) = unlocked();
    env.store("A", LONG);
    let copy = backup(&env, "home/copy");
    let other = env.path("other");
    // The daemon that runs serves another vault: nothing may come of it.
    let arguments = format!("restore-vault {copy} --data-dir {}", other.display());
    let mut terminal = Terminal::run(&env, &arguments);
    terminal.answer("passphrase of the backup: ", PASSPHRASE);
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(6), "{shown}");
    assert!(!other.join("vault.db").exists());
    assert_eq!(env.value("A"), LONG);

    let arguments = format!("{arguments} --socket {}", env.path("run/other.sock").display());
    let mut terminal = Terminal::run(&env, &arguments);
    terminal.answer("passphrase of the backup: ", PASSPHRASE);
    let (code, shown) = terminal.end();
    let lock = fs::read_to_string(other.join("vault.lock")).unwrap();
    let pid = lock.lines().next().unwrap().parse().unwrap();
    process::signal(pid, rustix::process::Signal::TERM);
    assert!(process::wait_gone(pid, DEADLINE));
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains(PASSPHRASE));
    assert!(other.join("vault.db").exists());
}

#[test]
fn a_restore_waits_for_a_daemon_that_was_just_told_to_stop() {
    let (env, keys) = unlocked();
    env.store("A", LONG);
    let copy = backup(&env, "home/copy");
    process::signal(env.pid(), rustix::process::Signal::TERM);
    env.ctl(["restore-vault", &copy, "--passphrase-file", &keys.passphrase]).expect(0);
    assert_eq!(env.value("A"), LONG);
    env.stop_listener();
}

#[test]
fn restore_vault_finds_the_directory_as_the_daemon_does() {
    let (source, keys) = unlocked();
    source.store("A", LONG);
    let copy = backup(&source, "home/copy");
    let env = Env::new(programs!());
    let other = env.path("other");
    let restore = env.ctl(["restore-vault", &copy, "--passphrase-file", &keys.passphrase]);
    restore.env("SECRETSD_DATA_DIR", &other).expect(0);
    assert!(other.join("vault.db").exists() && !env.data_dir().exists());
    assert_eq!(env.value("A"), LONG);
}

#[test]
fn a_daemon_whose_files_were_removed_does_not_get_the_restored_vault() {
    let (env, keys) = unlocked();
    let copy = backup(&env, "home/copy");
    fs::remove_dir_all(env.data_dir()).unwrap();
    let output = env.ctl(["restore-vault", &copy, "--passphrase-file", &keys.passphrase]).run();
    output.assert_code(6);
    assert!(output.err().contains("stop it"), "{}", output.err());
    assert!(data_files(&env).is_empty());
}

#[test]
fn verify_counts_what_it_read_and_finds_damage() {
    let (mut env, keys) = unlocked();
    env.store("A", "x");
    env.store("B", "x");
    env.ctl(["rm", "B"]).expect(0);
    let counts = env.ctl(["verify", "--json"]).run().json();
    assert_eq!((&counts["secrets"], &counts["trashed"]), (&json!(1), &json!(1)));
    assert_eq!(counts["values"], 2);
    let table = env.ctl(["verify"]).expect(0);
    assert!(table.lines().any(|line| line.starts_with("audit entries")), "{table}");
    env.ctl(["lock"]).expect(0);
    env.ctl(["verify"]).expect(3);
    env.ctl(["unlock", "--passphrase-file", &keys.passphrase]).expect(0);

    // One audit entry is changed under the daemon's eyes: unlocking does not read it, verifying does.
    env.stop();
    let file = rusqlite::Connection::open(env.data_dir().join("vault.db")).unwrap();
    file.execute("UPDATE audit SET sealed = zeroblob(length(sealed)) WHERE sequence = 1", ()).unwrap();
    drop(file);
    env.start();
    env.ctl(["unlock", "--passphrase-file", &keys.passphrase]).expect(0);
    let output = env.ctl(["verify"]).run();
    output.assert_code(9);
    assert!(output.err().contains("broken at entry 1"), "{}", output.err());
}

#[test]
fn a_vault_put_back_by_hand_is_loud_until_it_is_accepted() {
    let (mut env, keys) = unlocked();
    env.store("A", "x");
    let copy = backup(&env, "home/copy");
    env.store("B", "x");
    env.stop();
    fs::copy(&copy, env.data_dir().join("vault.db")).unwrap();
    env.start();
    let output = env.ctl(["unlock", "--passphrase-file", &keys.passphrase]).run();
    output.assert_code(9);
    assert!(output.err().contains("ROLLBACK DETECTED"), "{}", output.err());
    let output = env.ctl(["status"]).run();
    output.assert_code(0);
    assert!(output.out().contains("ROLLBACK DETECTED"), "{}", output.out());
    assert!(output.err().contains("verify --accept-restore"), "{}", output.err());
    assert_eq!(env.ctl(["status", "--json"]).run().json()["rolled_back"], true);
    env.ctl(["set", "C"]).stdin("x").expect(9);
    let output = env.ctl(["verify"]).run();
    output.assert_code(9);
    assert!(output.err().contains("--accept-restore"), "{}", output.err());
    env.ctl(["verify", "--accept-restore"]).expect(0);
    assert!(!env.ctl(["status"]).run().out().contains("ROLLBACK"));
    env.ctl(["set", "C"]).stdin("x").expect(0);
}

#[test]
fn history_shows_masks_and_rollback_brings_a_value_back() {
    let (env, _) = unlocked();
    env.ctl(["set", "A"]).stdin("first-value-of-the-secret-a").expect(0);
    env.ctl(["set", "A"]).stdin("second-value-of-the-secret-a").expect(0);
    let history = env.ctl(["history", "a"]).expect(0);
    let lines: Vec<&str> = history.lines().collect();
    assert!(lines[1].contains("second") && lines[1].ends_with("current"), "{history}");
    assert!(lines[2].contains("first-••••t-a") && !lines[2].contains("current"), "{history}");
    let versions = env.ctl(["history", "A", "--json"]).run().json();
    let first = versions["versions"][1]["version"].as_u64().unwrap().to_string();

    env.ctl(["rollback", "A", &first]).expect(0);
    assert_eq!(env.value("A"), "first-value-of-the-secret-a");
    let shown = env.ctl(["show", "A"]).expect(0);
    assert_eq!(shown.lines().filter(|line| line.starts_with("stored")).count(), 3, "{shown}");
    let json = env.ctl(["show", "A", "--json"]).run().json();
    assert_eq!((&json["name"], json["versions"].as_array().unwrap().len()), (&json!("A"), 3));

    env.ctl(["history", "NOPE"]).expect(4);
    env.ctl(["rollback", "NOPE", "1"]).expect(4);
    let output = env.ctl(["rollback", "A", "99"]).run();
    output.assert_code(4);
    assert!(output.err().contains("no version 99"), "{}", output.err());
    env.ctl(["rollback", "A", "-1"]).expect(2);
    env.ctl(["rollback", "A", "one"]).expect(7);
    env.ctl(["rollback", "A"]).expect(2);
    env.ctl(["lock"]).expect(0);
    env.ctl(["history", "A"]).expect(3);
    env.ctl(["rollback", "A", "1"]).expect(3);
}

#[test]
fn an_earlier_value_is_destroyed_and_leaves_the_file() {
    let (env, _) = unlocked();
    for value in ["canary-first-value-of-a", "second-value-of-the-secret-a"] {
        env.ctl(["set", "A"]).stdin(value).expect(0);
    }
    let drop = |version: &str| env.ctl(["history", "A", "--drop", version, "--yes"]).run();
    let output = env.ctl(["history", "A", "--drop", "1"]).run();
    output.assert_code(2);
    assert!(output.err().contains("--yes"), "{}", output.err());
    drop("2").assert_code(6);
    drop("9").assert_code(4);
    drop("x").assert_code(7);
    let output = drop("1");
    output.assert_code(0);
    assert_eq!(output.err(), "secretctl: dropped version 1 of A\n");
    drop("1").assert_code(4);
    let versions = env.ctl(["history", "A", "--json"]).run().json();
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1);
    env.ctl(["rollback", "A", "1"]).expect(4);
    assert_eq!(env.value("A"), "second-value-of-the-secret-a");
    let audit = env.ctl(["audit", "--name", "A", "--json"]).expect(0);
    assert!(audit.contains("\"version_drop\""), "{audit}");
    env.ctl(["verify"]).expect(0);
}

#[test]
fn the_trash_lists_and_gives_back_the_newest_of_a_name() {
    let (env, _) = unlocked();
    let empty = env.ctl(["trash"]).run();
    empty.assert_code(0);
    assert!(empty.out().is_empty() && empty.err().contains("empty"));
    for value in ["older", "newer"] {
        env.ctl(["set", "A"]).stdin(value).expect(0);
        env.ctl(["rm", "A"]).expect(0);
        // Times in the trash have whole seconds, and the newest is wanted.
        thread::sleep(Duration::from_millis(1_100));
    }
    let table = env.ctl(["trash"]).expect(0);
    assert_eq!(table.lines().count(), 3, "{table}");
    let trash = env.ctl(["trash", "--json"]).run().json();
    assert_eq!(trash, env.get("/user/secrets/trash").expect(200));
    let older = trash["secrets"][1]["id"].as_str().unwrap();

    let output = env.ctl(["restore", "a"]).run();
    output.assert_code(0);
    assert!(output.err().contains("1 older"), "{}", output.err());
    assert_eq!(env.value("A"), "newer");
    env.ctl(["restore", older]).expect(6);
    env.ctl(["rename", "A", "NEWER"]).expect(0);
    env.ctl(["restore", older]).expect(0);
    assert_eq!(env.value("A"), "older");
    env.ctl(["restore", "A"]).expect(4);
    env.ctl(["restore", "A*"]).expect(7);
    env.ctl(["lock"]).expect(0);
    env.ctl(["trash"]).expect(3);
    env.ctl(["restore", "A"]).expect(3);
}

#[test]
fn rename_keeps_the_secret_and_takes_no_taken_name() {
    let (env, _) = unlocked();
    let id = env.store("A", LONG)["id"].clone();
    env.store("B", "x");
    env.ctl(["rename", "A", "c"]).expect(0);
    assert_eq!(env.value("C"), LONG);
    assert_eq!(env.ctl(["show", "C", "--json"]).run().json()["id"], id);
    env.ctl(["rename", "C", "B"]).expect(6);
    env.ctl(["rename", "A", "D"]).expect(4);
    env.ctl(["rename", "C", "9"]).expect(7);
    let output = env.ctl(["rename", "C", "ghp_canarycanarycanary"]).run();
    output.assert_code(2);
    assert!(!output.err().contains("canary"));
    let json = env.ctl(["rename", "C", "E", "--json"]).run().json();
    assert_eq!(json["name"], "E");
}

#[test]
fn set_keeps_notes_and_expiry_and_what_expires_soon_is_said() {
    let (env, _) = unlocked();
    let notes = ["--note", "from the console", "--expires", "90d"];
    env.ctl([&["set", "FAR"], &notes[..]].concat()).stdin("x").expect(0);
    let json = env.ctl(["show", "FAR", "--json"]).run().json();
    assert_eq!(json["note"], "from the console");
    assert!(json["expires_at"].as_str().unwrap().ends_with('Z'), "{json}");
    assert!(env.ctl(["list"]).run().err().is_empty());

    env.ctl(["add", "SOON", "--expires", "3d"]).stdin("x").expect(0);
    for command in ["list", "status"] {
        let output = env.ctl([command]).run();
        output.assert_code(0);
        assert!(output.err().contains("SOON expires"), "{}", output.err());
        assert!(!output.err().contains("FAR"), "{}", output.err());
    }
    assert!(env.ctl(["list", "--names"]).run().err().is_empty(), "scripts are not told");
    assert_eq!(env.ctl(["list", "--json"]).run().json(), env.get("/user/secrets").expect(200));
    env.ctl(["update", "SOON", "--expires", "never", "--note", ""]).stdin("y").expect(0);
    assert_eq!(env.value("SOON"), "y");
    assert_eq!(env.ctl(["show", "SOON", "--json"]).run().json()["expires_at"], Value::Null);
    env.ctl(["set", "FAR"]).stdin("z").expect(0);
    assert_eq!(
        env.ctl(["show", "FAR", "--json"]).run().json()["note"],
        "from the console",
        "a new value keeps it"
    );

    for bad in [["--expires", "soon"], ["--expires", "2020-01-01"], ["--note", "two\nlines"]] {
        env.ctl([&["set", "NEW"], &bad[..]].concat()).stdin("x").expect(7);
    }
    let output = env.ctl(["set", "NEW", "--note", "was ghp_canarycanarycanary"]).stdin("x").run();
    output.assert_code(2);
    assert!(!output.err().contains("canary"));
    env.ctl(["show", "NEW"]).expect(4);
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let env = Env::new(programs!());
    for command in [
        &["key"][..],
        &["key", "list"],
        &["key", "add"],
        &["key", "remove"],
        &["passwd"],
        &["rotate"],
        &["backup"],
        &["restore-vault"],
        &["verify"],
        &["history"],
        &["rollback"],
        &["restore"],
        &["rename"],
        &["trash"],
    ] {
        let help = env.ctl([command, &["--help"]].concat()).expect(0);
        assert!(help.contains("Example:\n  secretctl"), "{help}");
    }
    assert!(env.listener().is_none());
}
