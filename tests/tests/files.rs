//! What the daemon leaves on disk and in the process table, and what it refuses to start on.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::{Env, canary, programs};
use serde_json::json;

const NOBODY: u32 = 65_534;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o7777
}

/// Every path under a directory, itself included.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut paths = vec![directory.to_owned()];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { paths.extend(tree(&path)) } else { paths.push(path) }
    }
    paths
}

/// The daemon's command under this umask; the shell execs, so that the process id is the daemon's.
fn under_umask(env: &Env, umask: &str) -> Command {
    let mut command = env.command("sh");
    command.arg("-c").arg(format!("umask {umask}; exec \"$0\" \"$@\"")).arg(env.programs().daemon);
    command
}

#[test]
fn directories_are_0700_and_files_0600_whatever_the_umask() {
    for umask in ["0", "0077", "0777"] {
        let mut env = Env::new(programs!());
        let command = under_umask(&env, umask);
        env.start_as(command);
        env.init();
        let id = env.store("A", "x")["id"].as_str().unwrap().to_owned();
        env.request("DELETE", &format!("/user/secrets/{id}")).send();
        env.request("POST", "/vault/lock").send().expect(200);
        let mut files = 0;
        for path in [env.data_dir(), env.state_dir(), env.runtime_dir()].iter().flat_map(|path| tree(path)) {
            let wanted = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(&path), wanted, "umask {umask}: {}", path.display());
            files += usize::from(path.is_file());
        }
        assert!(files >= 4, "vault, lock, anchor and token are expected, {files} files found");
        assert!(fs::symlink_metadata(env.socket()).unwrap().file_type().is_socket());
    }
}

/// Starts on a directory that must be refused, and expects its name in the message.
#[track_caller]
fn assert_refused(env: &Env, path: &Path) {
    let (_, message) = env.fail_to_start(env.daemon_command());
    assert!(message.contains(path.to_str().unwrap()), "{} is not named in: {message}", path.display());
    assert!(!env.data_dir().join("vault.db").exists());
}

#[test]
fn a_directory_that_lets_others_in_is_refused_by_name() {
    for name in ["data/secretsd", "state/secretsd", "run/secretsd"] {
        let env = Env::new(programs!());
        let path = env.private_dir(name);
        for open in [0o750, 0o701, 0o777] {
            fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
            assert_refused(&env, &path);
            assert_eq!(mode(&path), open, "a refused directory is left as it was");
        }
    }
}

#[test]
fn a_symlinked_directory_is_refused_by_name() {
    for name in ["data/secretsd", "state/secretsd", "run/secretsd"] {
        let env = Env::new(programs!());
        let target = env.private_dir("elsewhere");
        symlink(&target, env.path(name)).unwrap();
        assert_refused(&env, &env.path(name));
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "something was written through the link");
    }
}

#[test]
fn a_foreign_directory_is_refused_by_name() {
    let env = Env::new(programs!());
    if rustix::process::geteuid().is_root() {
        let path = env.private_dir("data/secretsd");
        chown(&path, Some(NOBODY), None).unwrap();
        assert_refused(&env, &path);
    } else {
        let mut command = env.daemon_command();
        command.args(["--data-dir", "/usr"]);
        let (_, message) = env.fail_to_start(command);
        assert!(message.contains("/usr"), "{message}");
    }
}

#[test]
fn a_vault_file_that_others_can_read_or_that_is_a_link_is_refused() {
    let mut env = Env::unlocked(programs!());
    env.store("A", "x");
    env.stop();
    let vault = env.data_dir().join("vault.db");
    fs::set_permissions(&vault, Permissions::from_mode(0o640)).unwrap();
    // The daemon may refuse at once or when the vault is to be opened: it never serves from such a file.
    let refused = |env: &mut Env| {
        if env.try_start() {
            let answer = env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE }));
            assert!(answer.status >= 400, "{}", answer.status);
            env.stop();
        }
    };
    refused(&mut env);
    fs::set_permissions(&vault, Permissions::from_mode(0o600)).unwrap();
    fs::rename(&vault, env.data_dir().join("moved.db")).unwrap();
    symlink(env.data_dir().join("moved.db"), &vault).unwrap();
    refused(&mut env);
}

#[test]
fn a_stale_socket_is_replaced() {
    let mut env = Env::new(programs!());
    env.private_dir("run/secretsd");
    drop(UnixListener::bind(env.socket()).unwrap());
    assert!(env.socket().exists());
    env.start();
    assert_eq!(env.state(), "uninitialized");
    env.kill();
    assert!(env.socket().exists(), "a killed daemon cannot clean up");
    env.start();
    assert!(env.stop().success());
    assert!(
        !env.socket().exists() && !env.runtime_dir().join("token").exists(),
        "a stopped daemon cleans up"
    );
}

#[test]
fn what_is_not_a_stale_socket_is_left_alone() {
    let env = Env::new(programs!());
    env.private_dir("run/secretsd");
    env.private_file("run/secretsd/secretsd.sock", "precious");
    let (_, message) = env.fail_to_start(env.daemon_command());
    assert!(message.contains(env.socket().to_str().unwrap()), "{message}");
    assert_eq!(fs::read_to_string(env.socket()).unwrap(), "precious");

    fs::remove_file(env.socket()).unwrap();
    let listener = UnixListener::bind(env.socket()).unwrap();
    let inode = fs::symlink_metadata(env.socket()).unwrap().ino();
    env.fail_to_start(env.daemon_command());
    assert_eq!(
        fs::symlink_metadata(env.socket()).unwrap().ino(),
        inode,
        "somebody else's socket was replaced"
    );
    drop(listener);
    fs::remove_file(env.socket()).unwrap();
}

#[test]
fn a_second_daemon_exits_with_3_and_names_the_first() {
    let env = Env::unlocked(programs!());
    let pid = env.pid().to_string();
    let other = env.private_dir("run2");
    let mut elsewhere = env.daemon_command();
    elsewhere.env("XDG_RUNTIME_DIR", &other);
    for command in [env.daemon_command(), elsewhere] {
        let (status, message) = env.fail_to_start(command);
        assert_eq!(status.code(), Some(3), "{message}");
        assert!(message.contains(&pid), "{pid} is not named in: {message}");
    }
    assert_eq!(env.state(), "unlocked");
}

#[test]
fn without_a_runtime_directory_it_says_so() {
    let env = Env::new(programs!());
    for value in [None, Some(""), Some("relative")] {
        let mut command = env.daemon_command();
        match value {
            None => command.env_remove("XDG_RUNTIME_DIR"),
            Some(value) => command.env("XDG_RUNTIME_DIR", value),
        };
        let (_, message) = env.fail_to_start(command);
        assert!(message.contains("XDG_RUNTIME_DIR"), "{value:?}: {message}");
    }
}

#[test]
fn an_unknown_setting_is_refused_with_line_and_name() {
    let env = Env::new(programs!());
    env.settings("[kdf]\nmemory_kib = 19456\n\n[auto_lock]\nnonsense_key = 1\n");
    let (_, message) = env.fail_to_start(env.daemon_command());
    assert!(message.contains("nonsense_key") && message.contains('5'), "{message}");
    assert!(message.contains("config.toml"), "{message}");
    for bad in ["[kdf]\nmemory_kib = 1024\n", "[kdf]\npasses = 1\n", "[kdf]\npasses = \"two\"\n", "nonsense"]
    {
        env.settings(bad);
        env.fail_to_start(env.daemon_command());
    }
}

#[test]
fn the_process_is_not_dumpable_and_leaves_no_core() {
    let mut env = Env::new(programs!());
    let root = rustix::process::geteuid().is_root();
    if root {
        // /proc/<pid> of a root process belongs to root anyway, so that only another user's can tell. That user
        // may not be able to reach the build directory: so it gets a copy.
        let program = env.path("secretsd");
        fs::copy(env.programs().daemon, &program).unwrap();
        for path in tree(&env.path("")) {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut command = env.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        let mut child = command.spawn().unwrap();
        let pid = child.id();
        let end = std::time::Instant::now() + DEADLINE;
        while env.listener().is_none() {
            assert!(
                child.try_wait().unwrap().is_none() && std::time::Instant::now() < end,
                "it does not come up"
            );
            std::thread::yield_now();
        }
        let owner = fs::metadata(format!("/proc/{pid}/mem")).unwrap().uid();
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        process::signal(pid, rustix::process::Signal::TERM);
        process::wait(&mut child, DEADLINE);
        assert_eq!(owner, 0, "another process of the same user could read its memory");
        assert_no_core(&limits);
    } else {
        env.start();
        let pid = env.pid();
        assert_eq!(fs::metadata(format!("/proc/{pid}/mem")).unwrap().uid(), 0, "the process can be traced");
        assert!(fs::File::open(format!("/proc/{pid}/mem")).is_err());
        assert_no_core(&fs::read_to_string(format!("/proc/{pid}/limits")).unwrap());
    }
}

#[track_caller]
fn assert_no_core(limits: &str) {
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(line.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{line}");
}

#[test]
fn values_passphrases_and_tokens_are_in_no_file_and_no_log() {
    let mut env = Env::new(programs!());
    let mut command = env.daemon_command();
    command.env("RUST_LOG", "trace");
    env.start_as(command);
    let short = "canary-one-4711-QWERTZ".to_owned();
    let medium = format!("canary-two-{}", "4kB:".repeat(1_000));
    let large = format!("canary-three-{}", "64kB".repeat(16_000));
    let replaced = "canary-four-that-was-replaced".to_owned();
    let passphrase = "canary-five-a-passphrase";
    let recovery = env.post("/vault/init", &json!({ "passphrase": passphrase })).expect(201)["recovery_key"]
        .as_str()
        .unwrap()
        .to_owned();
    let token = env.token();
    let everything: Vec<&str> = [&short, &medium, &large, &replaced]
        .map(String::as_str)
        .into_iter()
        .chain([passphrase, &recovery, &token])
        .collect();
    let names = ["CANARY_NAME_ONE", "CANARY_NAME_TWO", "CANARY_NAME_THREE"];
    let absent = |env: &Env, when: &str| {
        for directory in [env.data_dir(), env.state_dir()] {
            canary::assert_absent(&directory, &everything);
            canary::assert_absent(&directory, &names);
        }
        let log = env.log();
        assert!(log.contains("answered"), "the detailed log is not there");
        for (index, value) in everything.iter().enumerate() {
            assert_eq!(canary::find(log.as_bytes(), value), None, "{when}: canary {index} is in the log");
        }
    };

    let id = env.store(names[0], &replaced)["id"].as_str().unwrap().to_owned();
    env.store(names[1], &medium);
    let third = env.store(names[2], &large)["id"].as_str().unwrap().to_owned();
    absent(&env, "after create");
    env.request("PUT", &format!("/user/secrets/{id}")).json(&json!({ "value": short })).send().expect(200);
    assert_eq!(env.value(names[0]), short);
    absent(&env, "after update and reveal");
    assert_eq!(env.request("DELETE", &format!("/user/secrets/{third}")).send().status, 204);
    absent(&env, "after delete");
    env.request("POST", "/vault/lock").send().expect(200);
    absent(&env, "after lock");
    env.post("/vault/unlock", &json!({ "passphrase": format!("{passphrase}-wrong") })).expect(403);
    env.post("/vault/unlock", &json!({ "recovery_key": recovery })).expect(200);
    assert_eq!(env.value(names[1]), medium);
    absent(&env, "after unlock");
    env.stop();
    absent(&env, "after stop");
    // The search can find: the same canary in a file of that directory is seen.
    let seeded = env.private_file("data/secretsd/seeded", format!("x{short}"));
    let found = std::panic::catch_unwind(|| canary::assert_absent(&env.data_dir(), &everything));
    assert!(found.is_err(), "the search is blind");
    fs::remove_file(seeded).unwrap();
}

#[test]
fn nothing_secret_is_in_argv_or_environment_of_the_daemon() {
    let env = Env::unlocked(programs!());
    env.store("A", "canary-value-in-the-process");
    for file in ["cmdline", "environ"] {
        // Not even readable, for anybody but root.
        let Ok(content) = fs::read(format!("/proc/{}/{file}", env.pid())) else { continue };
        for value in ["canary-value-in-the-process", PASSPHRASE, &env.token()] {
            assert_eq!(canary::find(&content, value), None, "{file}");
        }
    }
}

#[test]
fn a_stranger_to_sqlite_sees_no_name_and_no_value() {
    let mut env = Env::unlocked(programs!());
    env.post(
        "/user/secrets",
        &json!({ "name": "CANARY_NAME", "value": "canary-value", "provider": "canary-provider" }),
    )
    .expect(201);
    env.stop();
    let database = rusqlite::Connection::open(env.data_dir().join("vault.db")).unwrap();
    let schema: Vec<String> = database
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(!schema.is_empty());
    for statement in &schema {
        if statement.to_uppercase().starts_with("CREATE TABLE") {
            assert!(statement.to_uppercase().contains("STRICT"), "{statement}");
        }
    }
    canary::assert_absent(&env.data_dir(), &["CANARY_NAME", "canary-value", "canary-provider"]);
}

/// The sealed content of every record in a vault that nobody has open.
fn sealed_content(env: &Env) -> Vec<Vec<u8>> {
    let file = rusqlite::Connection::open(env.data_dir().join("vault.db")).unwrap();
    let mut statement = file.prepare("SELECT sealed FROM record").unwrap();
    statement.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// How many of these are still somewhere in the vault's files.
fn still_there(env: &Env, sealed: &[Vec<u8>]) -> usize {
    let files: Vec<Vec<u8>> =
        canary::files_under(&env.data_dir()).iter().map(|path| fs::read(path).unwrap()).collect();
    // The first bytes are the version and the random salt and nonce: enough to know it by.
    let is_there =
        |blob: &Vec<u8>| files.iter().any(|file| file.windows(29).any(|window| window == &blob[..29]));
    sealed.iter().filter(|blob| is_there(blob)).count()
}

#[test]
fn old_ciphertext_leaves_the_files() {
    let mut env = Env::new(programs!());
    let key = env.private_file("key", [7; 32]);
    env.start();
    env.post("/vault/init", &json!({ "key_file": key })).expect(201);
    let unlock = json!({ "key_file": key });
    let id = env.store("GONE", &"x".repeat(5_000))["id"].as_str().unwrap().to_owned();
    env.stop();
    let gone = sealed_content(&env);
    assert_eq!((gone.len(), still_there(&env, &gone)), (2, 2));

    // Purged: the answer says that it has left the disk.
    env.start();
    env.post("/vault/unlock", &unlock).expect(200);
    env.store("KEPT", "y");
    let purged = env.request("DELETE", &format!("/user/secrets/{id}?purge=true")).send();
    assert_eq!(purged.status, 204);
    assert_eq!(still_there(&env, &gone), 0);

    // Rotated: neither rows nor slots of the old epoch are left.
    env.stop();
    let old = sealed_content(&env);
    env.start();
    env.post("/vault/unlock", &unlock).expect(200);
    env.post("/vault/rotate", &unlock).expect(200);
    assert_eq!((old.len(), still_there(&env, &old)), (2, 0));
}

#[test]
fn a_journal_that_is_not_the_vaults_is_refused_and_does_no_harm() {
    let env = Env::unlocked(programs!());
    env.store("A", "the-value");
    env.post("/vault/lock", &json!({})).expect(200);
    let vault = fs::read(env.data_dir().join("vault.db")).unwrap();
    env.private_file("data/secretsd/vault.db-journal", [0xd9; 4_096]);
    let unlock = json!({ "passphrase": PASSPHRASE });
    env.post("/vault/unlock", &unlock).expect_error(500, "vault_corrupt_error");
    assert!(fs::read(env.data_dir().join("vault.db")).unwrap() == vault, "the vault's file was changed");
    fs::remove_file(env.data_dir().join("vault.db-journal")).unwrap();
    env.post("/vault/unlock", &unlock).expect(200);
    assert_eq!(env.value("A"), "the-value");
}
