//! Programs that keep their passwords in the Secret Service, and the tests that its clients have of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::{lacks, skip};
use secretsd_tests::process::{self, DEADLINE, until};
use serde_json::{Value, json};

use crate::stage::Stage;

/// Runs one of the suites that `install.sh` has fetched, and gives what pytest says last.
fn suite(test: &str, directory: &str, arguments: &[&str]) -> Option<String> {
    let venv = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("secret-service");
    let python = venv.join("bin/python");
    if lacks(test, &["dbus-daemon"]) {
        return None;
    }
    if !python.exists() {
        skip(test, "tests/tests/bus/install.sh has not fetched it");
        return None;
    }
    let stage = Stage::new();
    let mut pytest = stage.command(python.to_str().unwrap());
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"]).args(arguments);
    pytest.current_dir(venv.join("sources").join(directory)).stdout(Stdio::piped());
    let (_, output) = process::run(&mut pytest, b"");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_default().to_owned();
    assert!(output.status.success(), "{text}");
    Some(last)
}

#[test]
fn the_tests_of_secretstorage_pass() {
    if let Some(last) = suite("the_tests_of_secretstorage_pass", "secretstorage-3.5.0", &["tests"]) {
        assert!(last.starts_with("21 passed, 6 skipped"), "{last}");
    }
}

#[test]
fn the_tests_of_keyring_pass() {
    let arguments = ["--noconftest", "tests/backends/test_SecretService.py"];
    if let Some(last) = suite("the_tests_of_keyring_pass", "keyring-25.7.0", &arguments) {
        assert!(last.starts_with("16 passed"), "{last}");
    }
}

#[test]
fn the_tests_of_the_crate_secret_service_pass_but_those_that_make_a_collection() {
    const TEST: &str = "the_tests_of_the_crate_secret_service_pass";
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("secret-service-crate/tests-of-5.2.0");
    if lacks(TEST, &["dbus-daemon"]) {
        return;
    }
    if !built.exists() {
        return skip(TEST, "tests/tests/bus/crate.sh has not built it");
    }
    let stage = Stage::new();
    let mut tests = stage.command(built.to_str().unwrap());
    let output = process::run(tests.arg("--test-threads=1").stdout(Stdio::piped()), b"").1;
    let text = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<&str> = text.lines().filter(|line| line.ends_with("... FAILED")).collect();
    assert!(text.contains("test result: FAILED. 54 passed; 2 failed; 8 ignored"), "{text}");
    assert!(failed.iter().all(|line| line.contains("create") && line.contains("collection")), "{failed:?}");
}

#[test]
fn docker_keeps_its_logins_there() {
    const TEST: &str = "docker_keeps_its_logins_there";
    if lacks(TEST, &["dbus-daemon", "docker-credential-secretservice"]) {
        return;
    }
    let stage = Stage::new();
    let run = |verb: &str, input: &str| {
        let mut command = stage.command("docker-credential-secretservice");
        process::run(command.arg(verb), input.as_bytes()).1
    };
    for (user, secret) in [("a", "first"), ("a", "second")] {
        let login = json!({ "ServerURL": "https://r.example", "Username": user, "Secret": secret });
        let stored = run("store", &login.to_string());
        assert!(stored.status.success(), "{}", String::from_utf8_lossy(&stored.stdout));
    }
    let got: Value = serde_json::from_slice(&run("get", "https://r.example").stdout).unwrap();
    assert_eq!((&got["Username"], &got["Secret"]), (&json!("a"), &json!("second")));
    let listed: Value = serde_json::from_slice(&run("list", "").stdout).unwrap();
    assert_eq!(listed, json!({ "https://r.example": "a" }));
    assert!(run("erase", "https://r.example").status.success());
    assert!(!run("get", "https://r.example").status.success());
}

#[test]
fn git_keeps_its_passwords_there() {
    const TEST: &str = "git_keeps_its_passwords_there";
    const SOURCE: &str = "/usr/share/doc/git/contrib/credential/libsecret/git-credential-libsecret.c";
    if lacks(TEST, &["dbus-daemon", "git", "cc", "pkg-config"]) {
        return;
    }
    let stage = Stage::new();
    let flags = process::run(stage.command("pkg-config").args(["--cflags", "--libs", "libsecret-1"]), b"").1;
    if !Path::new(SOURCE).exists() || !flags.status.success() {
        return skip(TEST, "the helper's source or libsecret's headers are not installed");
    }
    let flags = String::from_utf8(flags.stdout).unwrap();
    let helper = stage.env.path("git-credential-libsecret");
    let mut cc = stage.command("cc");
    cc.arg("-o").arg(&helper).arg(SOURCE).args(flags.split_whitespace());
    assert!(process::run(&mut cc, b"").1.status.success());
    let git = |verb: &str, input: &str| {
        let mut git = stage.command("git");
        git.arg("-c").arg(format!("credential.helper={}", helper.display())).env("GIT_TERMINAL_PROMPT", "0");
        let output = process::run(git.args(["credential", verb]), input.as_bytes()).1;
        String::from_utf8(output.stdout).unwrap()
    };
    let login = |user: &str, password: &str| {
        format!("protocol=https\nhost=git.example\nusername={user}\npassword={password}\n\n")
    };
    let asked = |user: &str| format!("protocol=https\nhost=git.example\nusername={user}\n\n");
    for (user, password) in [("ada", "first"), ("bob", "of-bob"), ("ada", "second")] {
        git("approve", &login(user, password));
    }
    assert!(git("fill", &asked("ada")).contains("password=second\n"));
    assert!(git("fill", &asked("bob")).contains("password=of-bob\n"));
    assert_eq!(stage.env.ctl(["items", "list", "--json"]).expect(0).matches("git.example").count() % 2, 0);
    git("reject", &login("ada", "second"));
    assert_eq!(git("fill", &asked("ada")), "");
    assert!(git("fill", &asked("bob")).contains("password=of-bob\n"));
}

#[test]
fn chromium_makes_one_key_and_no_second_while_the_vault_is_locked() {
    const TEST: &str = "chromium_makes_one_key_and_no_second_while_the_vault_is_locked";
    if lacks(TEST, &["dbus-daemon", "chromium", "Xvfb"]) {
        return;
    }
    let stage = Stage::new();
    let number = stage.env.path("display");
    let mut x = stage.command("sh");
    x.arg("-c")
        .arg(format!("exec Xvfb -displayfd 3 -screen 0 800x600x24 -nolisten tcp 3>'{}'", number.display()));
    let mut x = x.spawn().unwrap();
    let read = || fs::read_to_string(&number).unwrap_or_default();
    until("there is a display", || read().ends_with('\n'));
    let display = format!(":{}", read().trim());
    let visit = |is_enough: &dyn Fn() -> bool| {
        let mut browser = stage.command("chromium");
        let profile = format!("--user-data-dir={}", stage.env.path("profile").display());
        browser.args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        browser.args(["--password-store=gnome-libsecret", &profile, "about:blank"]).env("DISPLAY", &display);
        let mut browser = browser.spawn().unwrap();
        until("the browser has asked", is_enough);
        process::signal(browser.id(), rustix::process::Signal::TERM);
        process::wait(&mut browser, DEADLINE);
    };
    let keys = || {
        let listed: Value = stage.env.ctl(["items", "list", "--json"]).expect(0).parse().unwrap();
        listed["items"].as_array().unwrap().iter().map(|item| item["id"].to_string()).collect::<Vec<_>>()
    };
    let asked = || {
        let log: Value = stage.env.get("/audit").expect(200);
        log["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "reveal").count()
    };
    visit(&|| !keys().is_empty());
    let first = keys();
    stage.env.post("/vault/lock", &json!({})).expect(200);
    until("it is locked", || stage.env.state() == "locked");
    // It has searched, and been told that the key is locked.
    let asks = || stage.env.log().matches("method=POST route=\"/api/v1/approvals\"").count();
    visit(&|| asks() > 0);
    stage.env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    assert_eq!(keys(), first);
    let before = asked();
    visit(&|| asked() > before);
    assert_eq!(keys(), first);
    x.kill().unwrap();
    x.wait().unwrap();
}
