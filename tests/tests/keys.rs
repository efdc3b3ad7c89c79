//! Keys that are only named: a key provider command in the settings, and a credential from systemd.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::env::{CHEAP_KDF, Env, PASSPHRASE};
use secretsd_tests::harness::skip;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Answer, process, programs};
use serde_json::{Value, json};

/// An environment whose settings know key providers that work, fail and hang.
fn with_providers() -> Env {
    let mut env = Env::new(programs!());
    let key = env.private_file("provided", [b'k'; 40]);
    env.settings(&format!(
        "{CHEAP_KDF}
[key_providers.good]
argv = [\"/bin/cat\", \"{}\"]
[key_providers.failing]
argv = [\"/bin/sh\", \"-c\", \"head -c 40 /dev/zero; echo not told >&2; exit 3\"]
[key_providers.telling]
argv = [\"/bin/sh\", \"-c\", \"echo no device is there >&2; kill -9 $$\"]
stderr = \"log\"
[key_providers.absent]
argv = [\"/nonexistent/program\"]
[key_providers.short]
argv = [\"/bin/echo\", \"short\"]
[key_providers.hanging]
argv = [\"/usr/bin/tail\", \"-f\", \"/dev/null\"]
seconds = 2
",
        key.display()
    ));
    env.start();
    env
}

#[test]
fn a_provider_command_opens_its_slot() {
    let env = with_providers();
    env.post("/vault/init", &json!({ "key_provider": "good" })).expect(201);
    env.store("A", "one");
    env.post("/vault/lock", &json!({})).expect(200);
    env.post("/vault/unlock", &json!({ "key_provider": "good" })).expect(200);
    assert_eq!(env.value("A"), "one");
    let kinds: Vec<_> = env.get("/vault/keys").expect(200)["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kind"].as_str().unwrap().to_owned())
        .collect();
    assert!(kinds.contains(&"key_provider".to_owned()), "{kinds:?}");
    let named = |env: &Env| {
        let list = env.ctl(["key", "list", "--json"]).run().json();
        let keys = list["keys"].as_array().unwrap().clone();
        keys.into_iter().filter(|key| key["key_provider"] == "good").count()
    };
    assert_eq!(named(&env), 1);
    let added = env.ctl(["key", "add", "--key-provider", "good"]).run();
    assert!(added.err().contains("added a key provider good; its id is "), "{}", added.err());
    assert_eq!(named(&env), 2);
    let shown = env.ctl(["key", "list"]).run().out();
    assert_eq!(shown.matches("  key provider good  ").count(), 2, "{shown}");
    env.post("/vault/rotate", &json!({ "key_provider": "good" })).expect(200);
    assert_eq!(named(&env), 1);

    // Another key of the same length is a wrong key.
    env.private_file("provided", [b'x'; 40]);
    env.post("/vault/lock", &json!({})).expect(200);
    env.post("/vault/unlock", &json!({ "key_provider": "good" })).expect_error(403, "wrong_key_error");
}

#[test]
fn a_provider_command_that_prints_another_key_each_time_gets_no_slot() {
    let mut env = Env::new(programs!());
    env.settings(&format!(
        "{CHEAP_KDF}[key_providers.fresh]\nargv = [\"/usr/bin/head\", \"-c\", \"32\", \"/dev/urandom\"]\n"
    ));
    env.start();
    let fresh = json!({ "key_provider": "fresh" });
    env.post("/vault/init", &fresh).expect_invalid(&json!(["body", "key_provider"]), "value_error");
    assert_eq!(env.state(), "uninitialized");
    env.init();
    let before = env.get("/vault/keys").expect(200);
    env.post("/vault/keys", &fresh).expect_invalid(&json!(["body", "key_provider"]), "value_error");
    let replaced = json!({ "key_provider": "fresh", "replaces": before["keys"][0]["id"] });
    env.post("/vault/keys", &replaced).expect_invalid(&json!(["body", "key_provider"]), "value_error");
    assert_eq!(env.get("/vault/keys").expect(200), before);
}

#[test]
fn what_looks_like_no_key_is_added_with_a_warning() {
    let mut env = Env::new(programs!());
    let mut settings = CHEAP_KDF.to_owned();
    let cases: [(&str, &[u8], Value); 6] = [
        ("zeros", &[0; 32], json!("one_byte")),
        ("listing", "Folder\n├── one entry\n└── another\n".as_bytes(), json!("text")),
        ("prompt", b"please touch the device that blinks\n", json!("text")),
        ("hex", b"00112233445566778899aabbccddeeff\n", Value::Null),
        ("lines", b"c2VjcmV0IG1hdGVyaWFs\nIG9mIHNldmVyYWwgbGluZXM=\n", Value::Null),
        ("bytes", b"\xff some bytes that are not UTF-8, with spaces", Value::Null),
    ];
    for (name, printed, _) in &cases {
        let file = env.private_file(name, printed);
        settings
            .push_str(&format!("[key_providers.{name}]\nargv = [\"/bin/cat\", \"{}\"]\n", file.display()));
    }
    env.settings(&settings);
    env.start();
    env.init();
    for (name, _, doubt) in cases {
        let answer = env.post("/vault/keys", &json!({ "key_provider": name })).expect(201);
        assert_eq!(answer["doubt"], doubt, "{name}");
        let told = env.ctl(["key", "add", "--key-provider", name]).run().err();
        assert_eq!(told.contains("warning: the key provider printed "), !doubt.is_null(), "{told}");
        assert!(!told.contains("blinks") && !told.contains("entry"), "{told}");
    }
    // A key file is the user's own choice, as it was.
    let answer = env.post("/vault/keys", &json!({ "key_file": env.path("zeros") })).expect(201);
    assert!(answer.get("doubt").is_none());
}

#[test]
fn a_provider_command_that_fails_is_502() {
    let env = with_providers();
    for (name, why) in [
        ("failing", "it ended with exit status 3"),
        ("telling", "it was ended by signal 9"),
        ("short", "it printed 6 bytes, and a key has at least 32"),
        ("absent", "its program does not exist"),
    ] {
        let answer = env.post("/vault/init", &json!({ "key_provider": name }));
        answer.expect_error(502, "bad_gateway_error");
        let told = format!("he key provider `{name}` gave no key: {why}");
        assert!(answer.text().contains(&told), "{}", answer.text());
        assert!(env.log().contains(why), "{}", env.log());
    }
    // Only what was asked for.
    assert!(env.log().contains("no device is there") && !env.log().contains("not told"), "{}", env.log());
    assert_eq!(env.state(), "uninitialized");
    let unknown = env.post("/vault/init", &json!({ "key_provider": "CaNaRy" }));
    unknown.expect_invalid(&json!(["body", "key_provider"]), "enum");
    assert!(!unknown.text().contains("CaNaRy") && !env.log().contains("CaNaRy"));
}

#[test]
fn a_provider_command_that_hangs_is_504_and_is_ended() {
    let env = with_providers();
    let answer = env.post("/vault/init", &json!({ "key_provider": "hanging" }));
    answer.expect_error(504, "gateway_timeout_error");
    assert!(
        answer.text().contains("`hanging` gave no key: it did not end within 2 seconds"),
        "{}",
        answer.text()
    );
    let running = || {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", env.pid())).unwrap();
        let state = |child: &str| fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        // One that was killed is at most still to be reaped.
        children.split_whitespace().any(|child| !state(child).is_empty() && !state(child).contains(") Z "))
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while running() {
        assert!(Instant::now() < deadline, "the command still runs");
        thread::yield_now();
    }
    env.get("/vault").expect(200);
}

#[test]
fn a_person_is_told_which_key_provider_is_waited_for() {
    let mut env = Env::new(programs!());
    let (key, touched) = (env.private_file("provided", [b'k'; 40]), env.path("touched"));
    let script = format!("until test -e {}; do sleep 0.02; done; cat {}", touched.display(), key.display());
    env.settings(&format!("{CHEAP_KDF}[key_providers.yubi]\nargv = [\"/bin/sh\", \"-c\", \"{script}\"]\n"));
    env.start();
    env.init();
    let note = "waiting for key provider yubi; touch it if it blinks";
    let mut terminal = Terminal::ctl(&env, &["key", "add", "--key-provider", "yubi"]);
    terminal.wait_for(&format!("{note}, and touch it again when asked again…"));
    fs::write(&touched, "").unwrap();
    terminal.expect(0, "added a key provider yubi; its id is ");
    fs::remove_file(&touched).unwrap();
    env.post("/vault/lock", &json!({})).expect(200);
    let mut terminal = Terminal::ctl(&env, &["unlock", "--key-provider", "yubi"]);
    terminal.wait_for(&format!("{note}…"));
    fs::write(&touched, "").unwrap();
    terminal.expect(0, "vault unlocked");
}

#[test]
fn a_credential_unlocks_at_start_but_not_after_a_lock() {
    let mut env = Env::new(programs!());
    let directory = env.private_dir("credentials");
    fs::write(directory.join("secretsd.key"), [7; 32]).unwrap();
    fs::set_permissions(directory.join("secretsd.key"), Permissions::from_mode(0o400)).unwrap();
    let start = |env: &mut Env| {
        let mut command = env.daemon_command();
        command.env("CREDENTIALS_DIRECTORY", &directory);
        env.start_as(command);
    };
    start(&mut env);
    env.post("/vault/init", &json!({ "credential": true })).expect(201);
    env.store("A", "one");
    env.stop();

    start(&mut env);
    assert_eq!(env.state(), "unlocked");
    assert_eq!(env.value("A"), "one");
    env.post("/vault/lock", &json!({})).expect(200);
    assert_eq!(env.state(), "locked");
    env.post("/vault/unlock", &json!({ "credential": true })).expect(200);
    env.stop();

    // Without the credential it stays locked, and says what is missing.
    env.start();
    assert_eq!(env.state(), "locked");
    let answer = env.post("/vault/unlock", &json!({ "credential": true }));
    answer.expect_invalid(&json!(["body", "credential"]), "value_error");
}

#[test]
fn a_key_file_from_the_settings_unlocks_at_start_but_not_after_a_lock() {
    let mut env = Env::new(programs!());
    let key = env.private_file("key", [7; 32]);
    env.settings(&format!("{CHEAP_KDF}[unlock_at_start]\nkey_file = \"{}\"\n", key.display()));
    env.start();
    env.post("/vault/init", &json!({ "key_file": key })).expect(201);
    env.store("A", "one");
    env.stop();
    env.start();
    assert_eq!(env.value("A"), "one");
    env.post("/vault/lock", &json!({})).expect(200);
    assert_eq!(env.state(), "locked");
    env.stop();

    // A key that cannot be read does not keep the daemon from serving.
    fs::remove_file(&key).unwrap();
    env.start();
    assert_eq!(env.state(), "locked");
    assert!(env.log().contains("the key for unlocking at start does not open the vault"));
    let status = env.get("/vault").expect(200);
    assert!(status["start_failure"].as_str().unwrap().starts_with("the key file: "), "{status:?}");
}

#[test]
fn a_start_that_could_not_unlock_is_told_until_the_vault_is_open() {
    let mut env = Env::new(programs!());
    let start = |argv: &str| {
        format!(
            "{CHEAP_KDF}[key_providers.tpm]\nargv = [{argv}]\n[unlock_at_start]\nkey_provider = \"tpm\"\n"
        )
    };
    env.settings(&start("\"/bin/sh\", \"-c\", \"exit 1\""));
    env.start();
    assert!(env.get("/vault").expect(200).get("start_failure").is_none(), "there is no vault to open");
    env.init();
    env.stop();
    for (argv, why) in [
        (
            "\"/bin/sh\", \"-c\", \"exit 1\"",
            "the key provider `tpm` gave no key: it ended with exit status 1",
        ),
        ("\"/usr/bin/printf\", \"%040d\", \"1\"", "the key provider `tpm`: the key does not open the vault"),
    ] {
        env.settings(&start(argv));
        env.start();
        let status = env.get("/vault").expect(200);
        assert_eq!(status["start_failure"], why);
        let shown = env.ctl(["status"]).run();
        assert!(shown.out().contains(&format!("not unlocked: {why}")), "{}", shown.out());
        let found = env.ctl(["doctor"]).run().out();
        assert!(found.contains(&format!("did not unlock the vault when it started: {why}")), "{found}");
        env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
        assert!(env.get("/vault").expect(200).get("start_failure").is_none());
        // The daemon that goes on after a lock has not tried.
        env.post("/vault/lock", &json!({})).expect(200);
        assert!(env.get("/vault").expect(200).get("start_failure").is_none());
        env.stop();
    }
}

/// sops-nix and agenix link to their files, shells give pipes.
#[test]
fn a_key_file_may_be_a_link_or_a_pipe() {
    let env = Env::started(programs!());
    let key = [0x5a; 32];
    let file = env.private_file("real-key", key);
    fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
    fs::create_dir(env.path("generation-1")).unwrap();
    fs::rename(&file, env.path("generation-1/key")).unwrap();
    symlink("generation-1", env.path("current")).unwrap();
    symlink("current/key", env.path("link")).unwrap();
    let bash = |script: &str| {
        let mut command = env.command("bash");
        command.args(["-c", script, env.programs().client]);
        let (_, output) = process::run(&mut command, b"");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let works = |script: &str| {
        let (code, said) = bash(script);
        assert_eq!(code, Some(0), "{script}: {said}");
    };
    works("\"$0\" init --key-file <(cat link) > recovery");
    for open in [
        "--key-file link",
        "--key-file <(sleep 0.2; cat link)",
        "--key-file /dev/stdin < link",
        "--key-file current/key",
        "--key-file pipe & cat link > pipe; wait $!",
    ] {
        works("rm -f pipe; mkfifo -m 600 pipe; \"$0\" lock");
        works(&format!("\"$0\" unlock {open}"));
        assert_eq!(env.state(), "unlocked", "{open}");
    }
    works("\"$0\" rotate --key-file <(cat link) > recovery");
    works("\"$0\" lock; \"$0\" rotate --key-file <(cat link) > recovery");
    works("\"$0\" key add --key-file <(head -c 32 /dev/zero)");
    // Nothing of what was passed on is left.
    let left = fs::read_dir(env.runtime_dir().join("run")).unwrap().count();
    assert_eq!(left, 0, "a passed key is left");
    works("\"$0\" lock");
    for (harm, named) in [
        ("chmod 0440 generation-1/key; \"$0\" unlock --key-file link", "closed to others"),
        ("mkfifo -m 644 wide; \"$0\" unlock --key-file wide", "closed to others"),
        ("\"$0\" unlock --key-file /dev/zero", "file or pipe"),
        ("\"$0\" unlock --key-file .", "file or pipe"),
        ("\"$0\" unlock --key-file <(echo short)", "at least 32 bytes"),
        ("\"$0\" unlock --key-file <(head -c 5000 /dev/zero)", "4096"),
    ] {
        let (code, said) = bash(harm);
        assert!(code == Some(7) && said.contains(named), "{harm}: {code:?} {said}");
        assert_eq!(env.state(), "locked");
    }
    if rustix::process::geteuid().is_root() {
        let file = env.path("generation-1/key");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        chown(file, Some(12_345), None).unwrap();
        let (code, said) = bash("\"$0\" unlock --key-file link");
        assert!(code == Some(7) && said.contains("of yours"), "{said}");
    }
}

/// A control group of the test's own with a limit on memory, removed when dropped.
struct Group(PathBuf);

impl Group {
    /// `Err` says why there is none here.
    fn of_mib(mib: u64) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let mount = mounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            match fields[..] {
                [_, path, "cgroup2", ..] => {
                    let enabled = fs::read_to_string(Path::new(path).join("cgroup.subtree_control"));
                    let has_memory =
                        enabled.is_ok_and(|list| list.split_whitespace().any(|one| one == "memory"));
                    has_memory.then(|| (PathBuf::from(path), "memory.max"))
                }
                [_, path, "cgroup", options, ..] if options.split(',').any(|option| option == "memory") => {
                    Some((PathBuf::from(path), "memory.limit_in_bytes"))
                }
                _ => None,
            }
        });
        let (mount, limit) = mount.ok_or("no control groups for memory")?;
        let dir = mount.join(format!("secretsd-test-{}", std::process::id()));
        fs::create_dir(&dir).map_err(|error| format!("no control group can be made: {error}"))?;
        let group = Self(dir);
        fs::write(group.0.join(limit), (mib << 20).to_string()).map_err(|error| error.to_string())?;
        Ok(group)
    }

    /// This command, in the group.
    fn command(&self, env: &Env) -> Command {
        let daemon = env.daemon_command();
        let mut command = env.command("sh");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs"));
        command.arg(daemon.get_program()).args(daemon.get_args());
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let end = Instant::now() + process::DEADLINE;
        // Once the last process of it is gone.
        while fs::remove_dir(&self.0).is_err() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What is refused, with how much is needed and there; and the daemon that goes on.
fn assert_short_of_memory(env: &Env, answer: &Answer, limit: &str) {
    answer.expect_error(500, "storage_error");
    let told = answer.text();
    assert!(told.contains("takes 66 MiB") || told.contains("takes 1026 MiB"), "{told}");
    assert!(told.contains(limit) && told.contains("nothing was changed"), "{told}");
    let client = env.ctl(["status"]).run();
    client.assert_code(0);
}

#[test]
fn a_derivation_that_a_memory_limit_has_no_room_for_is_refused_and_the_daemon_goes_on() {
    let group = match Group::of_mib(48) {
        Ok(group) => group,
        Err(reason) => return skip("a derivation in a control group of 48 MiB", &reason),
    };
    let phrase = json!({ "passphrase": PASSPHRASE });
    {
        let mut env = Env::new(programs!());
        env.settings("");
        env.start_as(group.command(&env));
        let pid = env.pid();
        assert_short_of_memory(&env, &env.post("/vault/init", &phrase), "control group");
        assert!(!env.data_dir().join("vault.db").exists());
        let said = env.private_file("phrase", PASSPHRASE);
        let refused = env.ctl(["init", "--passphrase-file", said.to_str().unwrap()]).run();
        refused.assert_code(9);
        assert!(
            refused.err().contains("66 MiB") && refused.err().contains("memory_kib"),
            "{}",
            refused.err()
        );
        assert_eq!(env.pid(), pid);
        env.stop();

        // A vault from elsewhere, whose slot takes that much.
        env.start();
        env.post("/vault/init", &phrase).expect(201);
        env.stop();
        env.start_as(group.command(&env));
        for _ in 0..3 {
            assert_short_of_memory(&env, &env.post("/vault/unlock", &phrase), "control group");
        }
        assert_eq!(env.state(), "locked");
        env.stop();
    }
    // What fits goes through, again and again.
    let mut env = Env::new(programs!());
    env.start_as(group.command(&env));
    env.post("/vault/init", &phrase).expect(201);
    for _ in 0..5 {
        env.post("/vault/lock", &json!({})).expect(200);
        env.post("/vault/unlock", &phrase).expect(200);
    }
    env.post("/vault/rotate", &phrase).expect(200);
    env.stop();
}

#[test]
fn a_derivation_beyond_the_limit_on_the_address_space_is_refused() {
    let mut env = Env::new(programs!());
    env.settings("[kdf]\nmemory_kib = 1048576\npasses = 2\n");
    let daemon = env.daemon_command();
    let mut command = env.command("prlimit");
    command.arg("--as=900000000").arg(daemon.get_program()).args(daemon.get_args());
    env.start_as(command);
    let answer = env.post("/vault/init", &json!({ "passphrase": PASSPHRASE }));
    assert_short_of_memory(&env, &answer, "address space");
}
