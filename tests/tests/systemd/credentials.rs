//! Units that load secrets by `LoadCredential=` from the daemon's socket: a user manager's, and the system's.

use std::fs;

use secretsd_tests::lab::{Lab, User};
use secretsd_tests::unit::REFUSAL;
use serde_json::Value;

use crate::support::{drop_in, init, installed, main_pid, repository, settings, state, user};

/// How systemd says that a unit got no credential.
const CREDENTIALS: &str = "243";

/// A user with an open vault.
fn with_vault(lab: &'static Lab, name: &str) -> User<'static> {
    let user = user(lab, name);
    init(&user);
    user
}

fn store(user: &User<'_>, name: &str, value: &str) {
    user.write("value", 0o600, value);
    user.run("secretctl", &["set", name, "--value-file", "value"]);
}

/// A unit of this user's that copies the credentials of these names below its home.
fn unit(user: &User<'_>, name: &str, credentials: &[&str], more: &str) {
    let mut text = "[Service]\nType=oneshot\n".to_owned();
    for credential in credentials {
        text += &format!("LoadCredential={credential}:%t/secretsd/credentials.sock\n");
        text += &format!("ExecStart=/bin/cp -f ${{CREDENTIALS_DIRECTORY}}/{credential} %h/%n.{credential}\n");
    }
    user.write(&format!(".config/systemd/user/{name}"), 0o644, text + more);
    user.systemctl(&["daemon-reload"]);
}

/// What the unit copied.
fn copied(user: &User<'_>, unit: &str, credential: &str) -> Vec<u8> {
    fs::read(user.lab().path(format!("{}/{unit}.{credential}", user.home()))).unwrap()
}

/// Starts a unit that must not get its credential.
#[track_caller]
fn assert_fails(user: &User<'_>, unit: &str) {
    let output = user.command("systemctl").args(["--user", "start", unit]).output().unwrap();
    assert!(!output.status.success(), "{unit} starts");
    // The first line that runs something fails, which need not be the main one.
    let lines = ["ExecStartPre", "ExecStart"].map(|lines| user.property(unit, lines));
    let failed = lines.iter().any(|line| line.contains(&format!("status={CREDENTIALS}")));
    assert!(failed, "{lines:?}\n{}", user.journal(unit));
    assert_eq!(user.property(unit, "Result"), "exit-code");
    user.systemctl(&["reset-failed", unit]);
}

fn loads(user: &User<'_>) -> Vec<Value> {
    let lines = user.run("secretctl", &["audit", "--json"]);
    let entries = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    entries.filter(|entry| entry["action"] == "credential_load" && entry["outcome"] == "ok").collect()
}

#[test]
fn a_unit_loads_what_it_was_granted_and_nothing_else() {
    let Some(lab) = installed("a_unit_loads_what_it_was_granted_and_nothing_else") else { return };
    let user = with_vault(lab, "loader");
    let exact: String = ('\u{1}'..='\u{ff}').chain(['\r', '\n', '\u{feff}', '\u{10ffff}', '\n']).collect();
    let largest = "0123456789abcdef".repeat(4_096);
    store(&user, "EXACT", &exact);
    store(&user, "LARGEST", &largest);
    store(&user, "OTHER", "not for it");

    // Two credentials and four lines that run something: each line asks for both.
    unit(&user, "web.service", &["EXACT", "LARGEST"], "ExecStartPre=/bin/true\nExecStartPost=/bin/true\n");
    assert_fails(&user, "web.service");
    user.run("secretctl", &["credential", "allow", "web.service", "EXACT", "LARGEST"]);
    user.systemctl(&["start", "web.service"]);
    assert_eq!(copied(&user, "web.service", "EXACT"), exact.as_bytes());
    assert_eq!(copied(&user, "web.service", "LARGEST"), largest.as_bytes());
    let loads = loads(&user);
    // systemd decides how many of the lines ask again.
    assert!(loads.len() >= 2 && loads.len().is_multiple_of(2), "{loads:?}");
    for load in &loads {
        assert_eq!(
            (&load["command"], &load["caller"]["unit"]),
            (&load["caller"]["unit"], &"web.service".into())
        );
    }

    unit(&user, "greedy.service", &["OTHER"], "");
    assert_fails(&user, "greedy.service");
    unit(&user, "lost.service", &["NO_SUCH"], "");
    assert_fails(&user, "lost.service");

    user.run("secretctl", &["credential", "revoke", "web.service", "LARGEST"]);
    assert_fails(&user, "web.service");
    user.run("secretctl", &["credential", "allow", "web.service", "LARGEST"]);
    user.systemctl(&["start", "web.service"]);
    user.run("secretctl", &["rm", "LARGEST"]);
    assert_fails(&user, "web.service");
}

#[test]
fn instances_load_what_their_template_was_granted() {
    let Some(lab) = installed("instances_load_what_their_template_was_granted") else { return };
    let user = with_vault(lab, "foreman");
    store(&user, "TOOL", "hammer");
    store(&user, "OWN", "chisel");
    user.run("secretctl", &["credential", "allow", "worker@.service", "TOOL"]);
    user.run("secretctl", &["credential", "allow", r"worker@a\x2db.service", "OWN"]);
    unit(&user, "worker@.service", &["TOOL"], "");
    unit(&user, "special@.service", &["TOOL"], "");
    for instance in ["worker@one.service", r"worker@a\x2db.service"] {
        user.systemctl(&["start", instance]);
        assert_eq!(copied(&user, instance, "TOOL"), b"hammer");
    }
    assert_fails(&user, "special@one.service");
    unit(&user, "worker@.service", &["TOOL", "OWN"], "");
    user.systemctl(&["start", r"worker@a\x2db.service"]);
    assert_eq!(copied(&user, r"worker@a\x2db.service", "OWN"), b"chisel");
    assert_fails(&user, "worker@one.service");
}

#[test]
fn a_locked_vault_and_a_daemon_that_does_not_run_yet_fail_the_unit_at_once() {
    let Some(lab) = installed("a_locked_vault_and_a_daemon_that_does_not_run_yet") else { return };
    let user = with_vault(lab, "sleeper");
    store(&user, "A", "value-of-a");
    user.run("secretctl", &["credential", "allow", "web.service", "A"]);
    unit(&user, "web.service", &["A"], "");
    user.systemctl(&["start", "web.service"]);
    user.run("secretctl", &["lock"]);
    assert_fails(&user, "web.service");
    user.systemctl(&["stop", "secretsd.service"]);
    assert_eq!(main_pid(&user), 0);
    // Asking starts the daemon, whose vault is locked. What waits is answered, and not with nothing.
    assert_fails(&user, "web.service");
    assert_ne!(main_pid(&user), 0);
    user.run("secretctl", &["unlock", "--key-file", "key"]);
    user.systemctl(&["start", "web.service"]);
    assert_eq!(copied(&user, "web.service", "A"), b"value-of-a");
    assert!(user.journal("secretsd.service").contains("the vault is locked"));
}

#[test]
fn the_daemon_goes_on_without_the_socket_that_units_load_from() {
    let Some(lab) = installed("the_daemon_goes_on_without_the_socket_that_units_load_from") else { return };
    let user = with_vault(lab, "minimal");
    let pid = main_pid(&user);
    user.systemctl(&["stop", "secretsd-credentials.socket"]);
    assert_eq!((main_pid(&user), state(&user).as_str()), (pid, "unlocked"));
    assert!(!lab.path(user.runtime_dir()).join("secretsd/credentials.sock").exists());
    store(&user, "A", "value-of-a");
    user.run("secretctl", &["credential", "allow", "web.service", "A"]);
    unit(&user, "web.service", &["A"], "");
    assert_fails(&user, "web.service");
    // From the next start on there is one again.
    user.systemctl(&["restart", "secretsd.service"]);
    user.run("secretctl", &["unlock", "--key-file", "key"]);
    user.systemctl(&["start", "web.service"]);
    assert_eq!(copied(&user, "web.service", "A"), b"value-of-a");
}

#[test]
fn another_unit_cannot_pass_itself_off_by_its_address() {
    let Some(lab) = installed("another_unit_cannot_pass_itself_off_by_its_address") else { return };
    let user = with_vault(lab, "mallory");
    store(&user, "A", "value-of-a");
    user.run("secretctl", &["credential", "allow", "web.service", "A"]);
    let spoof = "import os, socket
s = socket.socket(socket.AF_UNIX)
s.bind(b'\\0' + b'1f/unit/web.service/A')
s.connect(os.environ['XDG_RUNTIME_DIR'] + '/secretsd/credentials.sock')
s.shutdown(socket.SHUT_WR)
got = b''
while chunk := s.recv(1 << 16): got += chunk
print(len(got), got[:10])
";
    user.write("spoof.py", 0o644, spoof);
    let run = |unit: &str| {
        let unit = format!("--unit={unit}");
        user.run("systemd-run", &["--user", "--quiet", "--pipe", "--wait", &unit, "python3", "spoof.py"])
    };
    let refusal = format!("{REFUSAL} b'{}'\n", r"\x00".repeat(10));
    assert_eq!(run("evil.service"), refusal);
    assert_eq!(user.run("python3", &["spoof.py"]), refusal, "in no unit's group");
    // What the address says counts for the unit that it says.
    assert_eq!(run("web.service"), "10 b'value-of-a'\n");
}

/// The drop-in of the units' README, without which root is nobody inside the service's user namespace.
fn documented_drop_in() -> String {
    let text = fs::read_to_string(repository().join("systemd/README.md")).unwrap();
    let (_, text) = text.split_once("```ini\n# For system_manager").unwrap();
    let (text, _) = text.split_once("```").unwrap();
    text.split_once('\n').unwrap().1.to_owned()
}

#[test]
fn the_systems_manager_loads_from_a_users_daemon_with_the_documented_drop_in() {
    let name = "the_systems_manager_loads_from_a_users_daemon_with_the_documented_drop_in";
    let Some(lab) = installed(name) else { return };
    let user = user(lab, "lender");
    settings(&user, "[credentials]\nsystem_manager = true");
    init(&user);
    store(&user, "A", "value-of-a");
    user.run("secretctl", &["credential", "allow", "borrower.service", "A"]);
    let socket = format!("{}/secretsd/credentials.sock", user.runtime_dir());
    let unit = format!(
        "[Service]\nType=oneshot\nLoadCredential=A:{socket}\nExecStart=/bin/cp ${{CREDENTIALS_DIRECTORY}}/A /root/borrowed\n"
    );
    fs::write(lab.path("/etc/systemd/system/borrower.service"), unit).unwrap();
    lab.run("systemctl", &["daemon-reload"]);
    let starts =
        || lab.command("systemctl").args(["start", "borrower.service"]).output().unwrap().status.success();
    let doctor = || {
        let output = user.command("secretctl").arg("doctor").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    const WARNING: &str = "system_manager is on, and secretsd runs in a user namespace";
    assert!(!starts(), "nobody is root in the namespace");
    assert!(doctor().contains(WARNING), "{}", doctor());

    drop_in(&user, "outside", &documented_drop_in());
    user.systemctl(&["restart", "secretsd.service"]);
    user.run("secretctl", &["unlock", "--key-file", "key"]);
    assert!(starts(), "{}", user.journal("secretsd.service"));
    assert_eq!(fs::read(lab.path("/root/borrowed")).unwrap(), b"value-of-a");
    assert!(!doctor().contains(WARNING), "{}", doctor());
    // The rest of the sandbox stays.
    let status = lab.run("cat", &[&format!("/proc/{}/status", main_pid(&user))]);
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{status}");
    }
}

#[test]
fn the_systems_own_manager_loads_from_its_own_daemon() {
    let Some(lab) = installed("the_systems_own_manager_loads_from_its_own_daemon") else { return };
    let own = "[Service]
Type=notify
Environment=HOME=/root XDG_RUNTIME_DIR=/run/vault
RuntimeDirectory=vault
RuntimeDirectoryMode=0700
ExecStart=/usr/bin/secretsd
";
    fs::write(lab.path("/etc/systemd/system/vault.service"), own).unwrap();
    let web = "[Service]
Type=oneshot
LoadCredential=A:/run/vault/secretsd/credentials.sock
ExecStart=/bin/cp ${CREDENTIALS_DIRECTORY}/A /root/copied
";
    fs::write(lab.path("/etc/systemd/system/web.service"), web).unwrap();
    lab.run("systemctl", &["daemon-reload"]);
    lab.run("systemctl", &["start", "vault.service"]);
    let ctl = |arguments: &[&str]| {
        let socket = ["--socket", "/run/vault/secretsd/secretsd.sock", "--no-spawn"];
        lab.run("secretctl", &[&socket, arguments].concat());
    };
    ctl(&["init", "--key-file", "/root/key"]);
    fs::write(lab.path("/root/value"), "value-of-a\n").unwrap();
    ctl(&["set", "A", "--value-file", "/root/value"]);
    let start = || lab.command("systemctl").args(["start", "web.service"]).output().unwrap().status.success();
    assert!(!start(), "it is not granted yet");
    let status = lab.run("systemctl", &["show", "--value", "--property=ExecMainStatus", "web.service"]);
    assert_eq!(status.trim(), CREDENTIALS);
    ctl(&["credential", "allow", "web.service", "A"]);
    assert!(start());
    assert_eq!(fs::read(lab.path("/root/copied")).unwrap(), b"value-of-a\n");
}
