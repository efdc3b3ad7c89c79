//! `secretctl` from end to end: what it prints, what it exits with, and what a program that it runs sees.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::skip;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

const LONG: &str = "sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYz012789";

/// The variables that a program sees which `run` starts with these arguments.
fn variables(env: &Env, arguments: &[&str]) -> BTreeMap<String, String> {
    let output = env
        .ctl([arguments, &["--", "env", "-0"]].concat())
        .env("SECRETSD_TOKEN", env.token())
        .env("OTHER", "inherited")
        .run();
    output.assert_code(0);
    output
        .out()
        .split_terminator('\0')
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn init_prints_the_recovery_key_once_and_leaves_the_vault_open() {
    let env = Env::started(programs!());
    assert_eq!(env.ctl(["status", "--json"]).run().json()["state"], "uninitialized");
    let out = env.ctl(["init", "--passphrase-file", "-"]).stdin(PASSPHRASE).expect(0);
    let is_key = |word: &&str| word.len() == 69 && word.matches('-').count() == 13;
    assert_eq!(out.split_whitespace().filter(is_key).count(), 1, "{out}");
    assert_eq!(env.ctl(["status", "--json"]).run().json()["state"], "unlocked");
    env.ctl(["init", "--passphrase-file", "-"]).stdin("other").expect(6);
}

#[test]
fn init_makes_a_key_file_that_opens() {
    let env = Env::started(programs!());
    let key = env.path("home/vault.key");
    env.ctl(["init", "--key-file", key.to_str().unwrap()]).expect(0);
    let metadata = fs::metadata(&key).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert!(metadata.len() >= 32);
    env.ctl(["lock"]).expect(0);
    for told in ["vault unlocked", "the vault was unlocked already"] {
        let unlocked = env.ctl(["unlock", "--key-file", key.to_str().unwrap()]).run();
        assert_eq!((unlocked.code, unlocked.err()), (Some(0), format!("secretctl: {told}\n")));
    }
    assert_eq!(env.state(), "unlocked");
}

#[test]
fn unlock_takes_passphrase_and_recovery_key_from_files() {
    let env = Env::started(programs!());
    let recovery = env.init();
    let recovery = env.private_file("recovery", format!("{recovery}\n"));
    env.ctl(["lock"]).expect(0);
    assert_eq!(env.state(), "locked");
    env.ctl(["unlock", "--passphrase-file", "-"]).stdin("wrong").expect(5);
    env.ctl(["unlock", "--passphrase-file", "-"]).stdin(PASSPHRASE).expect(0);
    env.ctl(["lock"]).expect(0);
    // One newline at the end is the editor's, not the passphrase's.
    let file = env.private_file("passphrase", format!("{PASSPHRASE}\n"));
    env.ctl(["unlock", "--passphrase-file", file.to_str().unwrap()]).expect(0);
    env.ctl(["lock"]).expect(0);
    env.ctl(["unlock", "--recovery-key-file", recovery.to_str().unwrap()]).expect(0);
    assert_eq!(env.state(), "unlocked");
}

#[test]
fn locked_without_a_terminal_is_3() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    env.ctl(["lock"]).expect(0);
    env.ctl(["list"]).expect(3);
    env.ctl(["get", "A"]).expect(3);
    env.ctl(["set", "A"]).stdin("y").expect(3);
    env.ctl(["status"]).expect(0);
    let output = env.ctl(["run", "-s", "A", "--", "echo", "ran"]).run();
    assert!([Some(3), Some(125)].contains(&output.code), "{output:?}");
    assert!(output.stdout.is_empty());
}

#[test]
fn list_shows_masks_and_json_is_the_apis_own() {
    let env = Env::unlocked(programs!());
    env.ctl(["set", "openai_api_key", "--provider", "openai"]).stdin(LONG).expect(0);
    env.ctl(["set", "AWS_KEY"]).stdin("short").expect(0);
    let table = env.ctl(["list"]).expect(0);
    let lines: Vec<&str> = table.lines().collect();
    for word in ["NAME", "PROVIDER", "MASKED", "UPDATED"] {
        assert!(lines[0].contains(word), "{table}");
    }
    assert!(lines[1].contains("AWS_KEY") && lines[1].contains("••••"), "{table}");
    assert!(
        lines[2].contains("OPENAI_API_KEY")
            && lines[2].contains("openai")
            && lines[2].contains("sk-pro••••789"),
        "{table}"
    );
    assert!(!table.contains('\u{1b}') && !table.contains(LONG));
    assert_eq!(env.ctl(["ls"]).expect(0), table);
    assert_eq!(env.ctl(["list", "--json"]).run().json(), env.get("/user/secrets").expect(200));
    assert_eq!(env.ctl(["list", "--names"]).expect(0), "AWS_KEY\nOPENAI_API_KEY\n");
    assert_eq!(env.ctl(["list", "--names", "aws*"]).expect(0), "AWS_KEY\n");
    assert_eq!(env.ctl(["list", "--names", "--provider", "openai"]).expect(0), "OPENAI_API_KEY\n");
}

#[test]
fn set_and_get_keep_every_byte() {
    let env = Env::unlocked(programs!());
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIH\n-----END PRIVATE KEY-----\n";
    for (index, value) in [
        "trailing newline\n",
        " spaces ",
        "$2a$10$N9qo8uLOickgx2ZMRZoMye",
        pem,
        "🦀é\u{feff}",
        "\r\n",
        "`$(id)`'\"",
    ]
    .iter()
    .enumerate()
    {
        let name = format!("V{index}");
        env.ctl(["set", &name, "--exact"]).stdin(value).expect(0);
        assert_eq!(env.ctl(["get", &name]).expect(0), *value);
        let file = env.private_file("value", value);
        env.ctl(["set", &name, "--value-file", file.to_str().unwrap()]).expect(0);
        assert_eq!(env.ctl(["get", &name.to_lowercase()]).expect(0), *value);
    }
}

#[test]
fn a_value_on_the_command_line_is_2_and_not_repeated() {
    let env = Env::unlocked(programs!());
    for arguments in [
        ["set", "A", "canary-value-in-argv"],
        ["add", "A", "canary-value-in-argv"],
        ["update", "A", "canary-value-in-argv"],
    ] {
        let output = env.ctl(arguments).stdin("x").run();
        output.assert_code(2);
        assert!(!output.err().contains("canary"), "{}", output.err());
    }
    let output = env.ctl(["preset", "openai", "canary-value-in-argv"]).stdin("x").run();
    output.assert_code(2);
    assert!(!output.err().contains("canary"), "{}", output.err());
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 0);
}

#[test]
fn set_creates_or_updates_add_only_creates_update_only_updates() {
    let env = Env::unlocked(programs!());
    env.ctl(["update", "A"]).stdin("x").expect(4);
    env.ctl(["add", "A"]).stdin("one").expect(0);
    env.ctl(["add", "A"]).stdin("two").expect(6);
    assert_eq!(env.value("A"), "one");
    env.ctl(["update", "A"]).stdin("three").expect(0);
    assert_eq!(env.value("A"), "three");
    env.ctl(["set", "A"]).stdin("four").expect(0);
    assert_eq!(env.value("A"), "four");
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 1);
}

#[test]
fn a_well_known_prefix_names_the_provider_aloud() {
    let env = Env::unlocked(programs!());
    let output = env.ctl(["set", "SOME_KEY"]).stdin("sk-ant-api03-0123456789abcdefghij").run();
    output.assert_code(0);
    assert!(output.err().contains("anthropic"), "{}", output.err());
    assert_eq!(env.get("/user/secrets").expect(200)["secrets"][0]["provider"], "anthropic");
}

#[test]
fn presets_store_under_their_variable() {
    let env = Env::unlocked(programs!());
    env.ctl(["preset", "anthropic"]).stdin(LONG).expect(0);
    assert_eq!(env.value("ANTHROPIC_API_KEY"), LONG);
    let presets = env.ctl(["presets"]).expect(0);
    let line = presets.lines().find(|line| line.contains("anthropic")).unwrap();
    assert!(line.contains("ANTHROPIC_API_KEY"), "{presets}");
    env.ctl(["preset", "nobody"]).stdin("x").expect(7);
    env.ctl(["preset", "anthropic"]).stdin("x").expect(6);
}

#[test]
fn show_tells_everything_but_the_value() {
    let env = Env::unlocked(programs!());
    env.ctl(["set", "A", "--provider", "openai"]).stdin(LONG).expect(0);
    let shown = env.ctl(["show", "a"]).expect(0);
    assert!(shown.contains('A') && shown.contains("sk-pro••••789") && shown.contains("openai"), "{shown}");
    assert!(!shown.contains(LONG));
    let json = env.ctl(["show", "A", "--json"]).run().json();
    assert_eq!((&json["name"], &json["masked_value"]), (&json!("A"), &json!("sk-pro••••789")));
    env.ctl(["show", "NOPE"]).expect(4);
}

#[test]
fn rm_removes_and_says_what_is_missing() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    env.store("B", "x");
    env.ctl(["rm", "--yes", "A", "b"]).expect(0);
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 0);
    env.ctl(["rm", "--yes", "A"]).expect(4);
    env.ctl(["get", "A"]).expect(4);
}

#[test]
fn invalid_input_is_7() {
    let env = Env::unlocked(programs!());
    env.ctl(["set", "A"]).stdin("").expect(7);
    env.ctl(["set", "A"]).stdin("a\0b").expect(7);
    env.ctl(["set", "A"]).stdin([0xff, 0xfe]).expect(7);
    env.ctl(["set", "A"]).stdin("x".repeat(65_537)).expect(7);
    env.ctl(["set", "9A"]).stdin("x").expect(7);
    env.ctl(["set", "A-B"]).stdin("x").expect(7);
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 0);
}

#[test]
fn usage_errors_are_2() {
    let env = Env::unlocked(programs!());
    for arguments in [
        &["nonsense"][..],
        &["list", "--nonsense"],
        &["get"],
        &["run", "--", "true"],
        &["run", "-s", "A"],
        &[],
    ] {
        env.ctl(arguments).expect(2);
    }
}

#[test]
fn a_bad_token_is_5() {
    let env = Env::unlocked(programs!());
    env.ctl(["list"]).env("SECRETSD_TOKEN", "wrong").expect(5);
    env.ctl(["list"]).env("SECRETSD_TOKEN", env.token()).expect(0);
    let file = env.private_file("token-copy", env.token());
    env.ctl(["--token-file", file.to_str().unwrap(), "list"]).expect(0);
    env.ctl(["list", "--token-file", file.to_str().unwrap()]).expect(0);
}

#[test]
fn no_daemon_is_8() {
    let env = Env::new(programs!());
    for arguments in [&["--no-spawn", "status"][..], &["list", "--no-spawn"], &["--no-spawn", "get", "A"]] {
        env.ctl(arguments).expect(8);
    }
    assert!(env.listener().is_none());
}

#[test]
fn a_daemon_is_started_when_none_runs() {
    let env = Env::new(programs!());
    let status = env.ctl(["status", "--json"]).run();
    status.assert_code(0);
    assert_eq!(status.json()["state"], "uninitialized");
    let pid = env.listener().expect("no daemon was left running");
    let lock = fs::read_to_string(env.data_dir().join("vault.lock")).unwrap();
    assert_eq!(lock.lines().next(), Some(pid.to_string().as_str()));
    // Detached: its own session, and nothing of the caller's terminal.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session: u32 = stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().parse().unwrap();
    assert_ne!(session, status.pid, "the daemon shares the caller's session");
    env.ctl(["init", "--passphrase-file", "-"]).stdin(PASSPHRASE).expect(0);
    assert_eq!(env.listener(), Some(pid), "a second daemon was started");
    env.stop_listener();
    assert!(env.listener().is_none());
}

#[test]
fn run_puts_the_secrets_into_the_programs_environment() {
    let env = Env::unlocked(programs!());
    env.store("A", "value of a\n");
    env.store("AWS_ID", "id");
    env.store("AWS_KEY", "key");
    env.store("UNUSED", "canary-unused");
    let seen = variables(&env, &["run", "-s", "a", "-s", "AWS_*"]);
    for (name, value) in [("A", "value of a\n"), ("AWS_ID", "id"), ("AWS_KEY", "key"), ("OTHER", "inherited")]
    {
        assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!seen.contains_key("UNUSED"));
    assert!(!seen.keys().any(|name| name.starts_with("SECRETSD_TOKEN")), "the token was handed on");
    assert_eq!(variables(&env, &["run", "-s", "A,AWS_ID"]).get("AWS_ID").map(String::as_str), Some("id"));
    assert!(variables(&env, &["run", "--all"]).contains_key("UNUSED"));
}

#[test]
fn a_secret_wins_over_an_inherited_variable() {
    let env = Env::unlocked(programs!());
    env.store("OTHER", "from the vault");
    assert_eq!(
        variables(&env, &["run", "-s", "OTHER"]).get("OTHER").map(String::as_str),
        Some("from the vault")
    );
}

#[test]
fn a_clean_environment_has_seven_variables_and_the_secrets() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    let seen = variables(&env, &["run", "--clean-env", "-s", "A"]);
    assert_eq!(seen.get("A").map(String::as_str), Some("x"));
    for name in seen.keys().filter(|name| *name != "A") {
        assert!(["PATH", "HOME", "USER", "LANG", "TERM", "TZ", "SHELL"].contains(&name.as_str()), "{name}");
    }
    assert!(seen.contains_key("PATH") && seen.contains_key("HOME"));
}

#[test]
fn run_becomes_the_program() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    let output = env.ctl(["run", "-s", "A", "--", "sh", "-c", "echo $$; cat; exit 42"]).stdin("input").run();
    assert_eq!(output.code, Some(42));
    assert_eq!(output.out(), format!("{}\ninput", output.pid));
    let output = env.ctl(["run", "-s", "A", "--", "sh", "-c", "kill -9 $$"]).run();
    assert_eq!(output.code, None, "the signal is the program's own");
}

#[test]
fn run_fails_before_anything_starts() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    let marker = env.path("home/ran");
    let touch = marker.to_str().unwrap();
    for selectors in [&["-s", "NOPE"][..], &["-s", "A", "-s", "NOPE"], &["-s", "NOPE_*"], &["-s", "9-"]] {
        let output = env.ctl([&["run"], selectors, &["--", "touch", touch]].concat()).run();
        assert_eq!(output.code, Some(125), "{selectors:?}: {}", output.err());
    }
    let output = env.ctl(["run", "-s", "NOPE,NEITHER", "--", "touch", touch]).run();
    assert!(
        output.err().contains("NOPE") && output.err().contains("NEITHER"),
        "all problems at once: {}",
        output.err()
    );
    assert_eq!(env.ctl(["run", "-s", "A", "--", "no-such-program-anywhere"]).run().code, Some(127));
    let file = env.private_file("home/not-executable", "#!/bin/sh\n");
    assert_eq!(env.ctl(["run", "-s", "A", "--", file.to_str().unwrap()]).run().code, Some(126));
    assert!(!marker.exists());
}

#[test]
fn run_works_when_the_daemon_is_gone_afterwards_and_leaves_an_audit_entry() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    env.ctl(["run", "-s", "A", "--", "true"]).expect(0);
    env.ctl(["get", "A", "--reason", "to look"]).expect(0);
    let log = env.ctl(["audit", "--json"]).expect(0);
    let entries: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reveals: Vec<&Value> = entries.iter().filter(|entry| entry["action"] == "reveal").collect();
    assert_eq!(reveals.len(), 2, "{log}");
    assert_eq!((&reveals[0]["purpose"], &reveals[0]["command"]), (&json!("run"), &json!("true")));
    assert_eq!((&reveals[1]["purpose"], &reveals[1]["reason"]), (&json!("get"), &json!("to look")));
    assert!(reveals.iter().all(|entry| entry["names"] == json!(["A"])));
    let table = env.ctl(["audit"]).expect(0);
    assert!(table.contains("reveal") && table.contains('A'), "{table}");
    let other = env.ctl(["audit", "--json", "--name", "OTHER"]).expect(0);
    assert!(other.is_empty(), "{other}");
}

#[test]
fn status_names_versions_and_paths() {
    let env = Env::unlocked(programs!());
    let status = env.ctl(["status"]).expect(0);
    assert!(status.contains("unlocked") && status.contains(env.socket().to_str().unwrap()), "{status}");
    let json = env.ctl(["status", "--json"]).run().json();
    let api = env.get("/vault").expect(200);
    for field in api.as_object().unwrap().keys().filter(|field| *field != "auto_lock") {
        assert_eq!(json[field], api[field], "{field}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let env = Env::unlocked(programs!());
    for index in 0..200 {
        env.store(&format!("NAME_{index}"), "x");
    }
    let mut command = env.command("bash");
    let script = format!("set -o pipefail; '{}' list | head -n 1", env.programs().client);
    let (_, output) = secretsd_tests::process::run(command.args(["-c", &script]), b"");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_in_the_trash_can_be_destroyed() {
    let env = Env::unlocked(programs!());
    let id = env.store("A", "x")["id"].as_str().unwrap().to_owned();
    env.store("B", "x");
    let output = env.ctl(["rm", "a"]).run();
    output.assert_code(0);
    let expected = "moved A to the trash for 30 days; undo with: secretctl restore A";
    assert!(output.err().contains(expected), "{}", output.err());
    env.ctl(["rm", "--purge", "A"]).expect(2);
    assert_eq!(env.get("/user/secrets/trash").expect(200)["total"], 1);
    env.ctl(["rm", "--purge", "--yes", "A", "NOPE"]).expect(4);
    env.ctl(["rm", "--purge", "--yes", "A", &id, "B"]).expect(0);
    assert_eq!(env.get("/user/secrets/trash").expect(200)["total"], 0);
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 0);
    env.ctl(["rm", "--purge", "--yes", "A"]).expect(4);
}

#[test]
fn messages_say_what_happened_and_what_to_do() {
    let env = Env::unlocked(programs!());
    env.store("PATH", "/nowhere");
    let says = |arguments: &[&str], stdin: &[u8], code: i32, text: &str| {
        let output = env.ctl(arguments).stdin(stdin).run();
        assert_eq!(output.code, Some(code), "{arguments:?}: {}", output.err());
        assert!(output.err().contains(text), "{arguments:?}: {}", output.err());
    };
    says(&["set", "A"], b"x", 0, "stored A (new): ••••, fewer than 12 characters");
    says(&["set", "a"], b"y", 0, "replaced A: •••• → ••••, fewer than 12 characters");
    says(&["set", "B"], b"\xff", 7, "encode it first: base64 < FILE | secretctl set NAME");
    says(&["set", "B"], b"a\0b", 7, "encode it first: base64 < FILE | secretctl set NAME");
    says(
        &["set", "B"],
        b"sk-proj-0123456789abcdef",
        0,
        "recognised provider openai from the prefix sk-proj-; change it with --provider",
    );
    says(&["set", "A", "word"], b"", 2, "it is in your shell's history");
    says(&["set", "LD_PRELOAD"], b"x", 0, "LD_PRELOAD: it steers what programs run");
    says(&["run", "-s", "", "--", "true"], b"", 2, "empty selector; use -s NAME");
    says(&["run", "-s", "PATH", "--", "true"], b"", 127, "PATH comes from the vault");
    says(&["unlock", "--recovery-key-file", "-"], b"AAAA", 7, "secretctl: a recovery key has 56 letters");
    says(&["lsit"], b"", 2, "did you mean list?");
    let missing = env.path("home/missing");
    let missing = missing.to_str().unwrap();
    says(&["set", "C", "--value-file", missing], b"", 1, missing);
    let output = env.ctl(["set", "C", "--value-file", "canary/canary"]).run();
    assert!(!output.err().contains("canary"), "{}", output.err());
    let output = env.ctl(["list"]).env("SECRETSD_TOKEN", "t0ken").run();
    output.assert_code(5);
    assert!(output.err().contains("SECRETSD_TOKEN is not this daemon's token; unset it"), "{}", output.err());
    let socket = env.path("none.sock");
    let output = env.ctl(["list", "--no-spawn", "--socket", socket.to_str().unwrap()]).run();
    output.assert_code(8);
    let expected = format!("start it with: secretctl --socket {} unlock\n", socket.display());
    assert!(output.err().ends_with(&expected), "{}", output.err());
    // What is said is what helps.
    let line = ["--socket", socket.to_str().unwrap(), "unlock", "--passphrase-file", "-"];
    let elsewhere = Env::new(programs!());
    let output = elsewhere.ctl(["list", "--no-spawn"]).run();
    output.assert_code(8);
    assert_eq!(output.err(), "secretctl: secretsd is not running; start it with: secretctl unlock\n");
    elsewhere.ctl(line).stdin("x").expect(3);
    elsewhere.ctl([&line[..2], &["list"]].concat()).expect(3);
    elsewhere.ctl([&line[..2], &["stop"]].concat()).expect(0);
}

#[test]
fn a_short_passphrase_from_a_file_is_noted() {
    let env = Env::started(programs!());
    let output = env.ctl(["init", "--passphrase-file", "-"]).stdin("short").run();
    output.assert_code(0);
    assert!(output.err().contains("anyone with the vault file could guess it"), "{}", output.err());
}

#[test]
fn a_daemon_that_cannot_start_is_quoted_and_its_log_named() {
    let env = Env::new(programs!());
    env.settings("nonsense = 1\n");
    let output = env.ctl(["status"]).run();
    output.assert_code(8);
    let log = env.state_dir().join("secretsd.log");
    let said = fs::read_to_string(&log).unwrap();
    let said = said.lines().last().unwrap().strip_prefix("secretsd: ").unwrap();
    assert!(output.err().contains(said), "{}", output.err());
    assert!(output.err().contains(log.to_str().unwrap()), "{}", output.err());
}

#[test]
fn another_client_that_starts_a_daemon_leaves_the_first_ones_log() {
    use std::os::unix::fs::MetadataExt;
    let env = Env::new(programs!());
    env.ctl(["status"]).expect(0);
    let log = env.state_dir().join("secretsd.log");
    let before = fs::metadata(&log).unwrap();
    let other = env.private_dir("other").join("s.sock");
    // The vault is taken, so that the second daemon ends, with its reason in the same log.
    let output = env.ctl(["status", "--socket", other.to_str().unwrap()]).run();
    output.assert_code(8);
    assert_eq!(fs::metadata(&log).unwrap().ino(), before.ino());
    assert!(output.err().contains(&env.listener().unwrap().to_string()), "{}", output.err());
}

/// `make build` links it statically where it can, and such a program could ask them only with the very C library that it
/// was built with.
#[test]
fn the_client_asks_no_name_services_and_loads_no_libraries() {
    const TEST: &str = "the_client_asks_no_name_services_and_loads_no_libraries";
    let programs = programs!();
    let imports = |program: &str| {
        let output = Command::new("nm").args(["--dynamic", "--undefined-only", program]).output().ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let Some(client) = imports(programs.client) else { return skip(TEST, "nm is not installed") };
    let asks = |symbol: &&str| {
        [
            "getpw",
            "getgr",
            "getaddrinfo",
            "gethostby",
            "getserv",
            "getnameinfo",
            "initgroups",
            "iconv",
            "dlopen",
        ]
        .iter()
        .any(|start| symbol.starts_with(start))
    };
    let symbols = |imports: &str| -> Vec<String> {
        imports.split_whitespace().filter(asks).map(str::to_owned).collect()
    };
    assert_eq!(symbols(&client), [""; 0]);
    // The daemon has some from the libraries under it, which shows that they would be found.
    assert!(!symbols(&imports(programs.daemon).unwrap()).is_empty());
}

#[test]
fn without_a_home_nobody_looks_for_the_vault_elsewhere() {
    let env = Env::new(programs!());
    let elsewhere = || env.ctl(["status"]).env("HOME", "").env("XDG_DATA_HOME", "").env("XDG_STATE_HOME", "");
    let said = elsewhere().run();
    assert!(said.code == Some(8) && said.err().contains("cannot start secretsd"), "{}", said.err());
    let mut command = env.command(env.programs().daemon);
    command.env_remove("HOME").env_remove("XDG_DATA_HOME").env_remove("XDG_STATE_HOME");
    assert!(env.fail_to_start(command).1.contains("HOME"));
    assert!(env.listener().is_none(), "a daemon was started, which has its vault in another place");
    // Where its directories are named, it needs none.
    let (data, state) = (env.private_dir("named-data"), env.private_dir("named-state"));
    elsewhere().env("XDG_DATA_HOME", data).env("XDG_STATE_HOME", state).expect(0);
    assert!(env.path("named-data/secretsd/vault.lock").exists());
    env.stop_listener();
}

/// The standard library opens `/dev/null` in its place, which takes everything.
#[test]
fn a_closed_stdout_is_an_error_of_whatever_prints() {
    let env = Env::unlocked(programs!());
    env.store("A", "canary-value");
    let client = env.programs().client;
    let run = |line: &str| {
        let script = format!("exec \"$0\" {line}");
        let mut command = env.command("setsid");
        let (_, output) =
            secretsd_tests::process::run(command.args(["sh", "-c", &script, client]), b"{{ secret:A }}");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for line in [
        "get A",
        "export -s A",
        "inject",
        "list",
        "list --json",
        "show A",
        "status",
        "history A",
        "audit",
        "presets",
        "key list",
        "verify",
        "doctor --json",
        "completions bash",
        "man",
        "--help",
        "--version",
        "list --help",
        "token create --name t --scope list",
        "token list",
        "key add --recovery",
    ] {
        let (code, said) = run(&format!("{line} >&-"));
        assert_eq!(code, Some(1), "{line}: {said}");
        assert!(said.contains("cannot write to stdout"), "{line}: {said}");
        // Thrown away on purpose, by those who open it for reading too.
        assert!(
            !matches!(run(&format!("{line} 1<>/dev/null")).0, Some(1)) || line.starts_with("doctor"),
            "{line}"
        );
    }
    // What is shown once was not made.
    let key = env.private_file("key", "correct horse battery staple");
    let before = env.ctl(["key", "list", "--json"]).expect(0);
    assert_eq!(run(&format!("rotate --passphrase-file {} >&-", key.display())).0, Some(1));
    assert_eq!(env.ctl(["key", "list", "--json"]).expect(0), before);
    assert_eq!(env.ctl(["token", "list", "--json"]).run().json()["tokens"].as_array().unwrap().len(), 1);
    // What prints nothing needs none.
    assert_eq!(run("lock >&-").0, Some(0));
}

#[test]
fn what_is_shown_once_and_cannot_be_written_comes_with_a_way_out() {
    let env = Env::started(programs!());
    let key = env.private_file("key", PASSPHRASE);
    let key = key.display();
    let run = |line: &str| {
        let mut command: Command = env.command("bash");
        let line = format!("'{}' {line}", env.programs().client);
        let output = command.args(["-c", &line]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    // What can be known before is, and nothing is done.
    let gone = "| (exec 0<&-; sleep 1); exit ${PIPESTATUS[0]}";
    let (code, said) = run(&format!("init --passphrase-file {key} {gone}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing was done") || said.contains("key add --recovery"), "{said}");
    if env.state() == "uninitialized" {
        env.init();
    }
    for (line, advice) in [
        (format!("rotate --passphrase-file {key}"), "create one with: secretctl key add --recovery"),
        ("key add --recovery".to_owned(), "remove it and add another: secretctl key list"),
        (
            "token create --name t$$ --scope list".to_owned(),
            "revoke it and create another: secretctl token list",
        ),
    ] {
        for to in [gone.to_owned(), format!("--json {gone}")] {
            let (code, said) = run(&format!("{line} {to}"));
            assert_eq!(code, Some(1), "{line}: {said}");
            // The reader may go before it is looked at, or after.
            assert!(said.contains("nothing was done") || said.contains(advice), "{line}: {said}");
        }
        // A file that may not become so large.
        let mut command: Command = env.command("bash");
        let line = format!("ulimit -f 0; '{}' {line} > large", env.programs().client);
        let output = command.args(["-c", &line]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert!(said.contains(advice), "{line}: {said}");
    }
}
