//! The Debian package: built from the programs under test, read by lintian, and in a lab of its own installed, upgraded
//! while a vault is in use, removed and purged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use secretsd_tests::harness::skip;
use secretsd_tests::lab::{Lab, User};
use secretsd_tests::process::DEADLINE;
use secretsd_tests::{process, programs};

use crate::support::{PROGRAMS, init, main_pid, repository, settings, state};

/// Why no package can be built here, if so.
fn no_package() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let needed = ["dpkg-deb", "dpkg-shlibdeps", "strip", "lintian"];
    let missing = needed.iter().find(|name| !std::env::split_paths(&path).any(|dir| dir.join(name).exists()));
    missing.map(|name| format!("{name} is not installed"))
}

/// Builds a package of this version from the programs in a directory.
fn package(programs: &Path, to: &Path, version: &str) -> PathBuf {
    let mut command = Command::new(repository().join("deb/build.sh"));
    command.arg(programs).arg(to).env("DEB_VERSION", version).env("DPKG_DEB_COMPRESSOR_LEVEL", "0");
    // Without a deadline: it takes as long as the machine needs.
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}

#[test]
fn a_package_installs_upgrades_and_goes_and_never_takes_a_vault() {
    const TEST: &str = "a_package_installs_upgrades_and_goes_and_never_takes_a_vault";
    if let Some(reason) = no_package() {
        return skip(TEST, &reason);
    }
    // Of its own: the package's files are where other tests have installed.
    let lab = match Lab::boot() {
        Ok(lab) => lab,
        Err(reason) => return skip(TEST, &reason),
    };
    let dir = tempfile::tempdir().unwrap();
    let programs = Path::new(programs!().daemon).parent().unwrap();
    let first = package(programs, dir.path(), "0.1.0-1");
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error"]).arg(&first);
    let found = lintian.output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stdout));

    // A newer program, by the number that is built in.
    let newer = dir.path().join("newer");
    fs::create_dir(&newer).unwrap();
    for name in PROGRAMS {
        let (_, output) =
            process::run(Command::new("sed").arg(r"s/0\.1\.0/9.9.9/g").arg(programs.join(name)), b"");
        fs::write(newer.join(name), output.stdout).unwrap();
        fs::set_permissions(newer.join(name), fs::metadata(programs.join(name)).unwrap().permissions())
            .unwrap();
    }
    let second = package(&newer, dir.path(), "9.9.9-1");
    lab.copy(&first, "/root/first.deb", 0o644);
    lab.copy(&second, "/root/second.deb", 0o644);
    let version = |user: &User<'_>| {
        let status: serde_json::Value =
            serde_json::from_str(&user.run("secretctl", &["status", "--json"])).unwrap();
        status["version"].as_str().unwrap().to_owned()
    };

    // For a user who is logged in and for one who comes later, by the preset.
    let early = lab.user("early");
    settings(&early, "");
    lab.run("dpkg", &["--install", "/root/first.deb"]);
    assert_eq!(early.property("secretsd.socket", "ActiveState"), "active");
    let late = lab.user("late");
    settings(&late, "");
    assert_eq!(late.property("secretsd.socket", "ActiveState"), "active");
    init(&early);
    init(&late);
    assert_eq!(version(&early), "0.1.0");

    // The daemon that runs goes on, and its vault stays open.
    let pid = main_pid(&early);
    lab.run("dpkg", &["--install", "/root/second.deb"]);
    assert_eq!((main_pid(&early), state(&early).as_str()), (pid, "unlocked"));
    assert_eq!(version(&early), "0.1.0");
    early.systemctl(&["restart", "secretsd.service"]);
    assert_eq!((version(&early).as_str(), state(&early).as_str()), ("9.9.9", "locked"));
    early.run("secretctl", &["unlock", "--key-file", "key"]);

    // What the administrator has decided outlives an upgrade.
    lab.run("systemctl", &["--global", "--quiet", "disable", "secretsd.socket"]);
    lab.run("dpkg", &["--install", "/root/second.deb"]);
    let enabled =
        lab.command("systemctl").args(["--global", "is-enabled", "secretsd.socket"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&enabled.stdout), "disabled\n");
    lab.run("systemctl", &["--global", "--quiet", "enable", "secretsd.socket"]);

    let pid = main_pid(&early);
    lab.run("dpkg", &["--remove", "secretsd"]);
    assert!(!lab.path(format!("/proc/{pid}")).exists(), "a daemon without a program still runs");
    lab.run("dpkg", &["--purge", "secretsd"]);
    let wants = lab.path("/etc/systemd/user/sockets.target.wants/secretsd.socket");
    assert!(fs::symlink_metadata(wants).is_err(), "it is still enabled");
    for user in [&early, &late] {
        assert!(lab.path(user.home()).join(".local/share/secretsd/vault.db").exists(), "the vault is gone");
    }
    for gone in [
        "/usr/bin/secretsd",
        "/usr/bin/secretsd-broker",
        "/usr/bin/secretctl-mcp",
        "/usr/bin/secretctl-ui",
        "/usr/bin/secretctl-approve",
        "/usr/bin/secretsd-bus",
        "/usr/lib/systemd/user/secretsd-approve.service",
        "/usr/bin/secretctl-import",
        "/usr/bin/secretctl-scan",
        "/usr/bin/docker-credential-secretctl",
        "/usr/lib/systemd/user/secretsd.socket",
        "/usr/share/doc/secretsd",
    ] {
        assert!(!lab.path(gone).exists(), "{gone}");
    }
}

/// A manager's user decides how long it takes, and a machine's upgrades must not wait for that.
#[test]
fn no_users_manager_holds_up_the_package() {
    const TEST: &str = "no_users_manager_holds_up_the_package";
    if let Some(reason) = no_package() {
        return skip(TEST, &reason);
    }
    let lab = match Lab::boot() {
        Ok(lab) => lab,
        Err(reason) => return skip(TEST, &reason),
    };
    let dir = tempfile::tempdir().unwrap();
    let built = package(Path::new(programs!().daemon).parent().unwrap(), dir.path(), "0.1.0-1");
    lab.copy(&built, "/root/secretsd.deb", 0o644);
    let dpkg = |argument: &str, operand: &str| {
        let mut dpkg = lab.command("dpkg").args([argument, operand]).spawn().unwrap();
        assert!(process::wait(&mut dpkg, 2 * DEADLINE).success(), "dpkg {argument}");
        lab.run("dpkg-query", &["--show", "--showformat=${db:Status-Status}", "secretsd"])
    };
    let hang = |user: &User<'_>, unit: &str, text: &str| {
        user.write(&format!(".config/systemd/user/{unit}.d/hang.conf"), 0o644, text);
    };
    let signal = |user: &User<'_>, signal: &str| {
        let unit = format!("user@{}.service", user.uid());
        let pid = lab.run("systemctl", &["show", "--value", "--property=MainPID", &unit]);
        lab.run("kill", &[signal, pid.trim()]);
    };

    // The well-behaved ones are the first and the last that are asked.
    let (first, starts, stops, stopped) =
        (lab.user("first"), lab.user("starts"), lab.user("stops"), lab.user("stopped"));
    let last = lab.user("last");
    hang(&starts, "secretsd.socket", "[Socket]\nExecStartPre=/bin/sleep infinity\nTimeoutSec=infinity\n");
    hang(&stops, "secretsd.socket", "[Socket]\nExecStopPre=/bin/sleep infinity\nTimeoutSec=infinity\n");
    hang(
        &stops,
        "secretsd.service",
        "[Service]\nExecStopPost=/bin/sleep infinity\nTimeoutStopSec=infinity\n",
    );
    signal(&stopped, "-STOP");

    assert_eq!(dpkg("--install", "/root/secretsd.deb"), "installed");
    for user in [&first, &stops, &last] {
        lab.until("the socket is active", || user.property("secretsd.socket", "ActiveState") == "active");
        settings(user, "");
        init(user);
    }
    let daemons = [main_pid(&first), main_pid(&last)];

    assert_eq!(dpkg("--install", "/root/secretsd.deb"), "installed");
    assert_eq!(dpkg("--remove", "secretsd"), "config-files");
    for pid in daemons {
        assert!(!lab.path(format!("/proc/{pid}")).exists(), "a daemon without a program still runs");
    }
    assert!(!lab.path("/usr/bin/secretsd").exists());
    signal(&stopped, "-CONT");
    lab.until("the manager goes on", || {
        stopped.command("systemctl").args(["--user", "is-system-running"]).output().unwrap().stdout
            == b"running\n"
    });
}
