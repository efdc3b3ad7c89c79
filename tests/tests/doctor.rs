//! `secretctl doctor`: each fault is planted for real, one at a time; it must be found and named, and the command
//! that is printed as its fix, run as it is printed, must make it go away.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use secretsd_tests::env::{CHEAP_KDF, PASSPHRASE};
use secretsd_tests::harness::skip;
use secretsd_tests::origin::TestAuthority;
use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::source::repository;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

/// What depends on the machine that the tests run on; none of it is a fault.
const MACHINE: [&str; 6] =
    ["swap", "runtime-in-memory", "memory-lock", "file-system", "authorities", "fence"];

/// A setup as it should be.
fn healthy() -> Env {
    let env = Env::unlocked(programs!());
    env.store("A", "canary-value");
    // The anchor follows the vault within a second.
    let end = Instant::now() + DEADLINE;
    while !env.state_dir().join("anchor").exists() {
        assert!(Instant::now() < end, "there is no anchor");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(findings(&env), [] as [Value; 0]);
    env
}

/// What the doctor finds wrong, apart from the machine's own.
fn findings(env: &Env) -> Vec<Value> {
    let output = env.ctl(["doctor", "--json"]).run();
    let report = output.json();
    let of_level = |level: &str| -> Vec<Value> {
        let all = report["findings"].as_array().unwrap().iter();
        all.filter(|finding| finding["level"] == level).cloned().collect()
    };
    let (faults, warnings) = (of_level("fault"), of_level("warning"));
    assert_eq!(report["faults"], faults.len());
    assert_eq!(report["warnings"], warnings.len());
    assert_eq!(output.code, Some(i32::from(!faults.is_empty())), "{}", output.err());
    assert!(!output.out().contains("canary"), "{}", output.out());
    let of_machine = |finding: &Value| MACHINE.contains(&finding["check"].as_str().unwrap());
    faults.into_iter().chain(warnings.into_iter().filter(|finding| !of_machine(finding))).collect()
}

/// A command of a fix in the user's shell, with the programs where a shell finds them.
fn shell(env: &Env, script: &str) -> Command {
    let mut command = env.command("sh");
    let own = Path::new(env.programs().client).parent().unwrap();
    let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap());
    command.args(["-c", script]).env("PATH", path);
    command
}

/// The one finding there must be.
#[track_caller]
fn only(env: &Env, level: &str, check: &str, named: &str) -> Value {
    let found = findings(env);
    assert_eq!(found.len(), 1, "{check}: {found:?}");
    let finding = &found[0];
    assert_eq!(
        (finding["level"].as_str(), finding["check"].as_str()),
        (Some(level), Some(check)),
        "{finding}"
    );
    assert!(finding["what"].as_str().unwrap().contains(named), "{finding}");
    assert!(!finding["why"].as_str().unwrap().is_empty(), "{finding}");
    // A person sees the same.
    let shown = env.ctl(["doctor"]).run().out();
    let what = shown.lines().find(|line| line.starts_with(level)).unwrap_or_else(|| panic!("{shown}"));
    assert!(what.contains(named) || level == "warning", "{what}");
    finding.clone()
}

#[track_caller]
fn wait_until_healthy(env: &Env) {
    let end = Instant::now() + DEADLINE;
    loop {
        let found = findings(env);
        if found.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "the fix does not mend it: {found:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn run_fix(env: &Env, finding: &Value) {
    let fix = finding["fix"].as_str().unwrap();
    let (_, output) = process::run(&mut shell(env, fix), b"");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || fix.contains("systemctl"), "{fix}: {said}");
}

/// Finds it, runs its fix as it is printed, and finds it no more.
#[track_caller]
fn found_and_mended(env: &Env, level: &str, check: &str, named: &str) {
    let finding = only(env, level, check, named);
    run_fix(env, &finding);
    wait_until_healthy(env);
}

fn chmod(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_setup_as_it_should_be_has_no_fault_with_and_without_a_daemon() {
    let mut env = healthy();
    env.post("/vault/lock", &json!({})).expect(200);
    assert_eq!(findings(&env), [] as [Value; 0]);
    env.stop();
    assert_eq!(findings(&env), [] as [Value; 0]);
    assert!(env.listener().is_none(), "the doctor starts a daemon");
    // Before anything was made.
    let new = Env::new(programs!());
    assert_eq!(findings(&new), [] as [Value; 0]);
    assert!(!new.data_dir().exists() && !new.state_dir().exists() && !new.runtime_dir().exists());
    let output = new.ctl(["doctor"]).run();
    assert_eq!(output.code, Some(0));
    assert!(output.err().starts_with("secretctl: no faults"), "{}", output.err());
}

/// Root sees more than others, and less of what is wrong for them.
#[test]
fn an_ordinary_user_has_no_fault_either() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    const USER: u32 = 12_345;
    let env = Env::new(programs!());
    env.private_dir("bin");
    for program in [env.programs().client, env.programs().daemon] {
        fs::copy(program, env.path("bin").join(Path::new(program).file_name().unwrap())).unwrap();
    }
    let (_, output) = process::run(env.command("chown").args(["-R", "12345:12345"]).arg(env.path("")), b"");
    assert!(output.status.success());
    let id = USER.to_string();
    let script = "secretctl init --key-file key >recovery && secretctl doctor --json; kill \"$(head -n 1 data/secretsd/vault.lock)\"";
    let mut command = env.command("setpriv");
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "sh", "-c", script]);
    command.env("PATH", format!("{}:/usr/bin:/bin", env.path("bin").display()));
    let (_, output) = process::run(&mut command, b"");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["check"] == "cores"), "{findings:?}");
    assert_eq!(report["faults"], 0, "{findings:?}");
}

#[test]
fn what_others_could_get_into() {
    let env = healthy();
    for (check, path, mode) in [
        ("data-dir", env.data_dir(), 0o755),
        ("state-dir", env.state_dir(), 0o710),
        ("runtime-dir", env.runtime_dir(), 0o701),
        ("vault", env.data_dir().join("vault.db"), 0o644),
        ("lock", env.data_dir().join("vault.lock"), 0o606),
        ("anchor", env.state_dir().join("anchor"), 0o640),
        ("socket", env.socket(), 0o666),
        ("token", env.runtime_dir().join("token"), 0o604),
    ] {
        chmod(&path, mode);
        found_and_mended(&env, "fault", check, &format!("{} has mode {mode:04o}", path.display()));
    }
    chmod(env.path("state"), 0o777);
    found_and_mended(&env, "fault", "state-dir", "anybody can write to ");
}

#[test]
fn what_belongs_to_somebody_else() {
    if !rustix::process::geteuid().is_root() {
        return skip("what_belongs_to_somebody_else", "giving files away needs root");
    }
    let mut env = healthy();
    env.stop();
    for (check, path) in [
        ("data-dir", env.data_dir()),
        ("vault", env.data_dir().join("vault.db")),
        ("anchor", env.state_dir().join("anchor")),
    ] {
        chown(&path, Some(12_345), None).unwrap();
        found_and_mended(&env, "fault", check, "belongs to uid 12345");
    }
}

#[test]
fn links_and_other_things_in_the_place_of_ours() {
    let mut env = healthy();
    env.stop();
    let (data, elsewhere) = (env.data_dir(), env.path("else where"));
    fs::rename(&data, &elsewhere).unwrap();
    symlink(&elsewhere, &data).unwrap();
    found_and_mended(&env, "fault", "data-dir", "is a symbolic link");
    assert!(data.join("vault.db").is_file());

    symlink("/nonexistent", env.runtime_dir().join("token")).unwrap();
    found_and_mended(&env, "fault", "token", "is a symbolic link");

    env.private_file("run/secretsd/secretsd.sock", "");
    found_and_mended(&env, "fault", "socket", "is not a socket");
    env.start();
    wait_until_healthy(&env);
}

#[test]
fn what_a_killed_daemon_leaves() {
    let mut env = healthy();
    env.kill();
    let found = findings(&env);
    let checks: Vec<&str> = found.iter().map(|finding| finding["check"].as_str().unwrap()).collect();
    let log = fs::read(env.data_dir().join("vault.db-wal")).unwrap_or_default();
    let wal = log.iter().take(32).any(|byte| *byte != 0);
    let expected: &[&str] = if wal { &["socket", "token", "vault"] } else { &["socket", "token"] };
    assert_eq!(checks, expected, "{found:?}");
    for finding in found.iter().filter(|finding| finding["check"] != "vault") {
        assert!(
            finding["what"].as_str().unwrap().contains("left over from a daemon that has ended"),
            "{finding}"
        );
        run_fix(&env, finding);
    }
    assert!(findings(&env).iter().all(|finding| finding["check"] == "vault"));
    let Some(left) = found.iter().find(|finding| finding["check"] == "vault") else { return };
    assert_eq!(left["fix"], "secretctl unlock");
    env.start();
    with_passphrase(&env, "secretctl unlock");
    wait_until_healthy(&env);
}

/// Runs a fix that asks for the passphrase, at a terminal.
fn with_passphrase(env: &Env, fix: &str) {
    let own = Path::new(env.programs().client).parent().unwrap();
    let path = format!("PATH={}:{}", own.display(), std::env::var("PATH").unwrap());
    let mut terminal = Terminal::run(env, &["env", &path, "sh", "-c", fix]);
    terminal.wait_for("passphrase of the vault: ");
    terminal.type_keys(&format!("{PASSPHRASE}\r"));
    assert!(terminal.wait().success(), "{}", terminal.shown());
}

#[test]
fn a_guard_that_is_damaged_or_gone() {
    let mut env = healthy();
    env.stop();
    let anchor = env.state_dir().join("anchor");
    let whole = fs::read(&anchor).unwrap();
    fs::write(&anchor, &whole[..79]).unwrap();
    let finding = only(&env, "fault", "anchor", "is damaged");
    run_fix(&env, &finding);
    assert!(!anchor.exists());
    // For a moment after a write there need not be one yet.
    let end = Instant::now() + DEADLINE;
    while findings(&env).is_empty() {
        assert!(Instant::now() < end, "nobody misses the guard");
        thread::sleep(Duration::from_millis(50));
    }
    let finding = only(&env, "warning", "anchor", "there is no guard");
    env.start();
    with_passphrase(&env, finding["fix"].as_str().unwrap());
    wait_until_healthy(&env);
    assert!(anchor.exists());
}

#[test]
fn a_token_that_is_not_the_daemons() {
    let mut env = healthy();
    let token = env.runtime_dir().join("token");
    // The daemon writes it again each second. A directory that is in the way keeps it from that.
    let in_the_way = || env.private_dir("run/secretsd/token.new");
    for (plant, named) in [("gone", "there is no token file"), ("other", "is not this daemon's token")] {
        let in_the_way = in_the_way();
        match plant {
            "gone" => fs::remove_file(&token).unwrap(),
            _ => fs::write(&token, "x".repeat(43)).unwrap(),
        }
        let finding = only(&env, "fault", "token", named);
        assert_eq!(finding["fix"], format!("kill {}", env.pid()));
        // Whatever else is in the file's place by now is not the daemon's own, which it goes on telling.
        fs::remove_dir(&in_the_way).unwrap();
        wait_until_healthy(&env);
    }
    let in_the_way = in_the_way();
    fs::write(&token, "").unwrap();
    let finding = only(&env, "fault", "token", "is empty");
    assert_eq!(finding["fix"], format!("kill {}", env.pid()));
    run_fix(&env, &finding);
    env.stop();
    fs::remove_dir(&in_the_way).unwrap();
    // What the daemon did not write it does not remove.
    if token.exists() {
        let left = only(&env, "warning", "token", "left over from a daemon that has ended");
        run_fix(&env, &left);
    }
    wait_until_healthy(&env);
}

#[test]
fn a_token_in_the_environment() {
    let env = healthy();
    let doctor = |token: &str, fix: &str| {
        let mut command = shell(&env, &format!("{fix}; secretctl doctor --json"));
        let (_, output) = process::run(command.env("SECRETSD_TOKEN", token), b"");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("0123456789"), "the token is shown");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let bad: Vec<Value> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| {
                finding["level"] != "ok" && !MACHINE.contains(&finding["check"].as_str().unwrap())
            })
            .cloned()
            .collect();
        bad
    };
    let found = doctor(&env.token(), ":");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["check"], "token-variable");
    assert!(doctor(&env.token(), found[0]["fix"].as_str().unwrap()).is_empty());
    let wrong = "0123456789".repeat(4);
    let found = doctor(&wrong, ":");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0]["what"].as_str().unwrap().contains("SECRETSD_TOKEN is not this daemon's"), "{found:?}");
    assert!(doctor(&wrong, found[0]["fix"].as_str().unwrap()).is_empty());
}

/// What is wrong with a token that a tool was given is mended by its owner, never by ending a daemon that others use.
#[test]
fn an_access_token_that_is_not_served() {
    let env = healthy();
    let made = |body: Value| env.post("/tokens", &body).expect(201)["token"].as_str().unwrap().to_owned();
    let good = made(json!({ "name": "good", "scopes": ["list"] }));
    let short = made(json!({ "name": "short", "scopes": ["list"], "ttl_seconds": 1 }));
    let revoked = made(json!({ "name": "revoked", "scopes": ["list"] }));
    env.ctl(["token", "revoke", "revoked"]).expect(0);
    let doctor = |token: &str| {
        let file = env.path("given.token");
        let _ = fs::remove_file(&file);
        env.private_file("given.token", token);
        let ask = |name: &str, value: &std::ffi::OsStr| {
            let mut command = env.command(env.programs().client);
            let (_, output) = process::run(command.args(["doctor", "--json"]).env(name, value), b"");
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(!text.contains(token) && !text.contains("kill"), "{text}");
            let report: Value = serde_json::from_str(&text).unwrap();
            let of_token = |finding: &&Value| finding["check"] == "token";
            let found = report["findings"].as_array().unwrap().iter().find(of_token).cloned();
            (report["faults"].as_u64().unwrap(), found.unwrap_or_else(|| panic!("{text}")))
        };
        let (faults, found) = ask("SECRETSD_TOKEN", token.as_ref());
        let (same, by_file) = ask("SECRETSD_TOKEN_FILE", file.as_os_str());
        assert_eq!((faults, &found["level"]), (same, &by_file["level"]), "{found} {by_file}");
        for (finding, name) in [(&found, "SECRETSD_TOKEN"), (&by_file, "SECRETSD_TOKEN_FILE")] {
            let fix = finding["fix"].as_str();
            assert!(faults == 0 || fix == Some(&format!("unset {name}")), "{finding}");
        }
        (faults, found["what"].as_str().unwrap().to_owned())
    };
    let told = |token: &str, faults: u64, what: &str| {
        let (found, said) = doctor(token);
        assert!(found == faults && said.contains(what), "{found} {said}");
    };
    told(&good, 0, "with its limited rights");
    told(&revoked, 1, "unknown or revoked");
    told(&good.replace("ssd_", "ssd_x"), 1, "mistyped");
    let end = Instant::now() + DEADLINE;
    while env.ctl(["list"]).env("SECRETSD_TOKEN", &short).run().code == Some(0) {
        assert!(Instant::now() < end, "it does not expire");
    }
    told(&short, 1, "has expired");
    env.post("/vault/lock", &json!({})).expect(200);
    told(&good, 0, "while the vault is locked");
}

#[test]
fn a_socket_for_units_that_is_gone() {
    let mut env = healthy();
    chmod(env.credentials(), 0o666);
    found_and_mended(&env, "fault", "credentials", "has mode 0666");
    env.stop();
    env.settings(&format!("{CHEAP_KDF}\n[credentials]\nsocket = false\n"));
    env.start();
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    assert_eq!(findings(&env), [] as [Value; 0]);
    env.ctl(["credential", "allow", "web.service", "A"]).expect(0);
    env.settings(CHEAP_KDF);
    let finding = only(&env, "warning", "credentials", "there is no socket");
    run_fix(&env, &finding);
    env.stop();
    wait_until_healthy(&env);
}

#[test]
fn no_runtime_directory() {
    let env = Env::new(programs!());
    let mut command = env.command(env.programs().client);
    command.args(["doctor", "--json"]).env_remove("XDG_RUNTIME_DIR");
    let (_, output) = process::run(&mut command, b"");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["faults"]), (Some(1), &json!(1)));
    assert!(
        report["findings"][0]["what"].as_str().unwrap().contains("XDG_RUNTIME_DIR is not set"),
        "{report}"
    );
    // Where the system has made one, the fix names it.
    if let Some(fix) = report["findings"][0]["fix"].as_str() {
        let mut command = shell(&env, &format!("{fix}; secretctl doctor --json"));
        let (_, output) = process::run(command.env_remove("XDG_RUNTIME_DIR"), b"");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("XDG_RUNTIME_DIR is not set"));
    }
}

#[test]
fn settings_that_are_broken() {
    let env = healthy();
    let editor = env.private_file("editor", "#!/bin/sh\nexec sed -i \"${1#+}d\" \"$2\"\n");
    chmod(&editor, 0o700);
    for line in ["idle_secnds = 3", "max_seconds = -1", "= ="] {
        env.settings(&format!("[auto_lock]\n{line}\n"));
        let finding = only(&env, "fault", "settings", "line 2");
        let mut fix = shell(&env, finding["fix"].as_str().unwrap());
        assert!(process::run(fix.env("EDITOR", &editor), b"").1.status.success());
        wait_until_healthy(&env);
    }
}

#[test]
fn a_key_provider_whose_program_cannot_be_run() {
    let env = healthy();
    let script = env.private_file("no-script", "");
    for (program, why) in [
        (Path::new("/nonexistent/program"), "its program does not exist"),
        (&script, "its program may not be run"),
        (env.data_dir().as_path(), "its program may not be run"),
    ] {
        env.settings(&format!(
            "[key_providers.fine]\nargv = [\"/bin/cat\"]\n[key_providers.tpm]\nargv = [\"{}\"]\n",
            program.display()
        ));
        only(&env, "warning", "settings", &format!("the key provider `tpm` cannot work: {why}"));
        // What keeps no daemon from starting is no fault.
        let mut check = env.command(env.programs().daemon);
        let (_, output) = process::run(check.arg("--check-config"), b"");
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && told.contains("warning: the key provider `tpm`"), "{told}");
        assert!(told.ends_with("the settings are correct\n") && !told.contains("`fine`"), "{told}");
    }
}

/// A program of an older version: the same, with another number in it.
fn old_program(program: impl AsRef<Path>, path: &Path) {
    let mut bytes = fs::read(program).unwrap();
    let (new, old) = (env!("CARGO_PKG_VERSION").as_bytes(), b"0.0.9");
    assert_eq!(new.len(), old.len());
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(new.len()).position(|window| window == new) {
        bytes[at + found..][..old.len()].copy_from_slice(old);
        at += found + old.len();
    }
    fs::write(path, bytes).unwrap();
    chmod(path, 0o700);
}

#[test]
fn a_daemon_of_another_version_or_from_before_an_update() {
    let mut env = Env::new(programs!());
    let program = env.path("old-secretsd");
    old_program(env.programs().daemon, &program);
    let command = env.command(&program);
    env.start_as(command);
    env.init();
    let finding = only(&env, "fault", "daemon", "the running daemon has version 0.0.9");
    run_fix(&env, &finding);
    env.stop();
    wait_until_healthy(&env);

    // The same version again, under a daemon that runs.
    let program = env.path("secretsd");
    fs::copy(env.programs().daemon, &program).unwrap();
    let command = env.command(&program);
    env.start_as(command);
    assert_eq!(findings(&env), [] as [Value; 0]);
    fs::copy(env.programs().daemon, env.path("new")).unwrap();
    fs::rename(env.path("new"), &program).unwrap();
    let finding = only(&env, "warning", "daemon", "was replaced since the daemon started");
    run_fix(&env, &finding);
    env.stop();
    wait_until_healthy(&env);
}

#[test]
fn programs_that_do_not_belong_together() {
    let env = Env::new(programs!());
    let bin = env.private_dir("bin");
    let client = bin.join("secretctl");
    fs::copy(env.programs().client, &client).unwrap();
    let doctor = || {
        let mut command = env.command(&client);
        command.args(["doctor", "--json"]).env("PATH", "/usr/bin:/bin");
        let report: Value = serde_json::from_slice(&process::run(&mut command, b"").1.stdout).unwrap();
        let all = report["findings"].as_array().unwrap();
        all.iter().find(|finding| finding["check"] == "program").unwrap().clone()
    };
    let named = |finding: &Value, text: &str| {
        assert_eq!(finding["level"], "fault");
        assert!(finding["what"].as_str().unwrap().contains(text), "{finding}");
    };
    named(&doctor(), "secretsd is neither next to secretctl nor in PATH");
    old_program(env.programs().daemon, &bin.join("secretsd"));
    named(&doctor(), "has version 0.0.9");
    fs::write(bin.join("secretsd"), "#!/bin/sh\nexit 1\n").unwrap();
    named(&doctor(), "does not print its version");
    fs::remove_file(bin.join("secretsd")).unwrap();
    fs::copy(env.programs().daemon, bin.join("secretsd")).unwrap();
    assert_eq!(doctor()["level"], "ok");
}

#[test]
fn a_program_that_a_command_becomes_of_another_version() {
    let env = Env::new(programs!());
    let bin = env.private_dir("bin");
    let client = bin.join("secretctl");
    fs::copy(env.programs().client, &client).unwrap();
    let found = || {
        let mut command = env.command(&client);
        command.args(["doctor", "--json"]).env("PATH", "/usr/bin:/bin");
        let report: Value = serde_json::from_slice(&process::run(&mut command, b"").1.stdout).unwrap();
        report["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == "helper").cloned()
    };
    assert_eq!(found(), None);
    let built = Path::new(env.programs().daemon).with_file_name("secretctl-scan");
    old_program(&built, &bin.join("secretctl-scan"));
    let finding = found().unwrap();
    assert_eq!(finding["level"], "fault");
    assert!(finding["what"].as_str().unwrap().contains("secretctl-scan has version 0.0.9"), "{finding}");
    fs::remove_file(bin.join("secretctl-scan")).unwrap();
    fs::copy(&built, bin.join("secretctl-scan")).unwrap();
    assert_eq!(found(), None);
}

#[test]
fn what_a_broker_needs() {
    let env = Env::new(programs!());
    let bin = env.private_dir("bin");
    let (client, broker) = (bin.join("secretctl"), bin.join("secretsd-broker"));
    fs::copy(env.programs().client, &client).unwrap();
    let built = Path::new(env.programs().daemon).with_file_name("secretsd-broker");
    let finding_in = |check: &str, wrapper: &[&str], variables: &[(&str, &str)]| {
        let mut command = env.command(wrapper.first().map_or(client.as_os_str(), |name| name.as_ref()));
        command.args(wrapper.iter().skip(1)).args((!wrapper.is_empty()).then_some(&client));
        command.args(["doctor", "--json"]).env("PATH", "/usr/bin:/bin").envs(variables.iter().copied());
        let report: Value = serde_json::from_slice(&process::run(&mut command, b"").1.stdout).unwrap();
        report["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == check).cloned()
    };
    let named = |check: &str, variables: &[(&str, &str)], level: &str, text: &str| {
        // A program that was just written cannot be started while another test's child still has it open.
        let end = Instant::now() + DEADLINE;
        loop {
            let finding = finding_in(check, &[], variables).unwrap();
            if finding["level"] == level && finding["what"].as_str().unwrap().contains(text) {
                return finding;
            }
            assert!(Instant::now() < end, "{finding}");
        }
    };
    named("broker", &[], "warning", "secretsd-broker is neither next to secretctl nor in PATH");
    fs::write(&broker, "#!/bin/sh\nexit 1\n").unwrap();
    chmod(&broker, 0o700);
    named("broker", &[], "fault", "does not tell what it finds");
    old_program(&built, &broker);
    named("broker", &[], "fault", "has version 0.0.9");
    fs::remove_file(&broker).unwrap();
    fs::copy(&built, &broker).unwrap();
    named("broker", &[], "ok", "has version");
    named("loopback", &[], "ok", "no other user can");

    let none = named("authorities", &[("SSL_CERT_FILE", "/nowhere")], "warning", "no certificate authority");
    assert_eq!(none["fix"], "unset SSL_CERT_FILE SSL_CERT_DIR");
    let own = TestAuthority::new(&env.path(""));
    let variables = [("SSL_CERT_FILE", own.pem.to_str().unwrap())];
    named("authorities", &variables, "ok", "against 1 certificate authority, from SSL_CERT_FILE");

    // In a network of its own, whose interface is down.
    match finding_in("loopback", &["unshare", "--map-root-user", "--net"], &[]) {
        Some(finding) => {
            assert_eq!(finding["level"], "warning", "{finding}");
            assert!(finding["fix"].as_str().unwrap().ends_with("ip link set lo up"), "{finding}");
        }
        None => skip("what_a_broker_needs", "unshare is not permitted"),
    }
}

#[test]
fn units_that_lead_nowhere_or_are_not_in_effect() {
    let mut env = healthy();
    env.stop();
    env.private_dir("run/systemd");
    env.private_file("run/systemd/private", "");
    let units = env.private_dir("config/systemd/user");
    let unit = |name: &str| fs::copy(repository().join("systemd/user").join(name), units.join(name)).unwrap();
    unit("secretsd.service");
    let found = only(&env, "fault", "units", "secretsd.socket is missing");
    assert_eq!(found["fix"], "make install");
    unit("secretsd.socket");
    env.private_dir("home/.local/bin");
    symlink(env.programs().daemon, env.path("home/.local/bin/secretsd")).unwrap();
    for name in ["secretsd-credentials.socket", "secretsd-use.socket"] {
        let missing = format!("{name} is missing");
        assert!(findings(&env).iter().any(|finding| finding["what"] == missing.as_str()));
        unit(name);
    }

    let finding = only(&env, "warning", "units", "not enabled");
    assert_eq!(finding["fix"], "systemctl --user enable --now secretsd.socket");
    // There is no manager of units here; told so, the real systemctl enables them all the same.
    let enable = finding["fix"].as_str().unwrap();
    let (_, output) = process::run(shell(&env, enable).env("SYSTEMD_OFFLINE", "1"), b"");
    if !units.join("sockets.target.wants/secretsd.socket").exists() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        skip("units_that_lead_nowhere_or_are_not_in_effect", &format!("systemctl cannot enable: {said}"));
        fs::create_dir(units.join("sockets.target.wants")).unwrap();
        symlink(units.join("secretsd.socket"), units.join("sockets.target.wants/secretsd.socket")).unwrap();
    }
    wait_until_healthy(&env);

    fs::remove_file(env.path("home/.local/bin/secretsd")).unwrap();
    found_and_mended(&env, "fault", "units", "which cannot be executed");
    assert!(units.join("secretsd.service.d/zz-program.conf").is_file());
    fs::remove_dir_all(units.join("secretsd.service.d")).unwrap();

    fs::copy(env.programs().daemon, env.path("home/.local/bin/secretsd")).unwrap();
    found_and_mended(&env, "warning", "units", "and secretctl would start");
}

#[test]
fn a_vault_with_a_single_key() {
    let env = healthy();
    let keys = env.get("/vault/keys").expect(200);
    let recovery = keys["keys"].as_array().unwrap().iter().find(|key| key["kind"] == "recovery").unwrap();
    env.request("DELETE", &format!("/vault/keys/{}", recovery["id"].as_str().unwrap())).send();
    assert_eq!(env.get("/vault").expect(200)["keys"], 1);
    found_and_mended(&env, "warning", "keys", "a single key");
}

#[test]
fn a_vault_that_is_older_than_it_was() {
    let mut env = healthy();
    env.stop();
    fs::copy(env.data_dir().join("vault.db"), env.path("copy")).unwrap();
    env.start();
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    env.store("B", "v");
    env.stop();
    fs::copy(env.path("copy"), env.data_dir().join("vault.db")).unwrap();
    env.start();
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    found_and_mended(&env, "fault", "rollback", "ROLLBACK DETECTED");
}

#[test]
fn a_file_that_is_no_vault() {
    let mut env = healthy();
    env.stop();
    env.private_file("data/secretsd/vault.db", "not a vault at all");
    let finding = only(&env, "fault", "vault", "is not a vault of secretsd");
    assert_eq!(finding["fix"], "secretctl restore-vault BACKUP");
}

#[test]
fn a_daemon_that_does_not_answer() {
    let mut env = healthy();
    process::signal(env.pid(), Signal::STOP);
    let finding = only(&env, "fault", "socket", "does not answer");
    run_fix(&env, &finding);
    env.stop();
    let left = findings(&env);
    assert!(left.iter().all(|finding| finding["level"] == "warning"), "{left:?}");
}

#[test]
fn a_daemon_whose_cores_would_be_written() {
    if !rustix::process::geteuid().is_root() {
        return skip("a_daemon_whose_cores_would_be_written", "raising a hard limit needs root");
    }
    let env = healthy();
    let pid = env.pid().to_string();
    let raise = ["--pid", &pid, "--core=unlimited"];
    if !process::run(env.command("prlimit").args(raise), b"").1.status.success() {
        return skip("a_daemon_whose_cores_would_be_written", "prlimit cannot raise the limit here");
    }
    found_and_mended(&env, "fault", "cores", "the limit on core dumps of the daemon was raised");
}

/// systemd would start the daemon at any connection.
#[test]
fn the_doctor_does_not_knock_where_systemd_listens() {
    let env = Env::new(programs!());
    env.private_dir("run/secretsd");
    env.private_dir("run/systemd");
    env.private_file("run/systemd/private", "");
    env.private_dir("config/systemd/user");
    env.private_file("config/systemd/user/secretsd.socket", "");
    let listener = std::os::unix::net::UnixListener::bind(env.socket()).unwrap();
    chmod(env.socket(), 0o600);
    listener.set_nonblocking(true).unwrap();
    let output = env.ctl(["doctor"]).run();
    assert!(output.out().contains("systemd listens on "), "{}", output.out());
    assert!(listener.accept().is_err(), "the doctor connects, which starts the daemon");
}

#[test]
fn a_vault_that_a_restore_has_put_aside_is_named() {
    let env = healthy();
    let name = "vault.db.before-restore-20260415T120000Z";
    for suffix in ["", "-wal", "-2"] {
        env.private_file(&format!("data/secretsd/{name}{suffix}"), "an old vault");
    }
    let found = only(&env, "warning", "kept-vault", name);
    assert_eq!(found["fix"].as_str().unwrap().matches(name).count(), 3, "{found}");
    found_and_mended(&env, "warning", "kept-vault", name);
}

#[test]
fn an_owners_token_that_is_mounted_into_a_container_is_found() {
    let test = "an_owners_token_that_is_mounted_into_a_container_is_found";
    let env = healthy();
    // A container of the same file system: a mount and a process namespace, and what an engine leaves as its mark.
    let report = |mount: &str| {
        let script = format!(
            "mount -t proc proc /proc && mount -t tmpfs none /run && touch /run/.containerenv && {mount} && \
             exec \"$0\" doctor --json"
        );
        let mut command = env.command("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "sh", "-c", &script]);
        command.arg(env.programs().client).output().unwrap()
    };
    let of_container = |output: &std::process::Output| {
        let report: Value = serde_json::from_slice(&output.stdout).ok()?;
        let findings = report["findings"].as_array()?.clone();
        findings.into_iter().find(|finding| finding["check"] == "container")
    };
    let run = env.runtime_dir();
    let Some(found) = of_container(&report(&format!("mount --bind {0} {0}", run.display()))) else {
        return skip(test, "a mount namespace of its own is not allowed here");
    };
    assert_eq!(found["level"], "fault", "{found}");
    assert!(found["why"].as_str().unwrap().contains("/proxy/NAME:/s"), "{found}");
    let found =
        of_container(&report(&format!("mount --bind {0} {0}", run.parent().unwrap().display()))).unwrap();
    assert_eq!(found["level"], "fault", "{found}");
    // One that has the daemon's socket alone does not have the token.
    let hidden = format!(
        "touch /run/s && mount --bind {0} /run/s && mount -t tmpfs none {1}",
        env.socket().display(),
        run.display()
    );
    assert_eq!(of_container(&report(&hidden)).unwrap()["level"], "ok");
}
