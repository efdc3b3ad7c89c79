//! `install.sh`, which is what `make install` and `make uninstall` run: below a directory that becomes a package, and
//! for a user of the lab.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use secretsd_tests::{process, programs};

use crate::support::{PROGRAMS, SOURCE, init, installed, main_pid, repository, settings, state};

/// Runs the script outside the lab.
fn script(destdir: &Path, prefix: &str, home: &Path, arguments: &[&str]) {
    let mut command = Command::new(repository().join("install.sh"));
    command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", home).env("DESTDIR", destdir).env("PREFIX", prefix);
    let (_, output) = process::run(&mut command, b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Who makes a package needs no advice, and may have an output of their own.
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Every file below a directory.
fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { _ = found.insert(path) }
    }
    found
}

/// The directory with the programs that are tested.
fn built() -> &'static str {
    Path::new(programs!().daemon).parent().unwrap().to_str().unwrap()
}

#[test]
fn with_destdir_everything_goes_there_and_comes_away() {
    let dir = tempfile::tempdir().unwrap();
    for (prefix, units) in [
        ("/usr", "/usr/lib/systemd/user"),
        ("/opt/a+b%c", "/opt/a+b%c/lib/systemd/user"),
        ("/home/me/.local", "/home/me/.local/share/systemd/user"),
    ] {
        let destdir = dir.path().join("package");
        fs::create_dir(&destdir).unwrap();
        script(&destdir, prefix, "/home/me".as_ref(), &["install", built()]);
        let at = |path: &str| destdir.join(path.strip_prefix('/').unwrap());
        let mode = |path: &str| fs::metadata(at(path)).unwrap().permissions().mode() & 0o7777;
        for program in PROGRAMS {
            assert_eq!(mode(&format!("{prefix}/bin/{program}")), 0o755);
        }
        for unit in fs::read_dir(repository().join("systemd/user")).unwrap() {
            let name = unit.unwrap().file_name().into_string().unwrap();
            assert_eq!(mode(&format!("{units}/{name}")), 0o644);
        }
        for (link, said) in [
            ("docker-credential-secretctl", "docker and podman run this"),
            ("cargo-credential-secretctl", "cargo runs this"),
            ("secretctl-vault-client", "ansible runs this"),
        ] {
            let path = at(&format!("{prefix}/bin/{link}"));
            assert_eq!(fs::read_link(&path).unwrap(), Path::new("secretctl"));
            let help = Command::new(&path).arg("--help").output().unwrap();
            let help = String::from_utf8(help.stdout).unwrap().to_lowercase();
            assert!(help.contains(said), "{help}");
            assert_eq!(mode(&format!("{prefix}/share/man/man1/{link}.1")), 0o644);
        }
        assert!(!at(&format!("{prefix}/bin/keyring")).exists(), "Python's own command is hidden");
        for page in ["secretsd.1", "secretctl.1", "secretsd-broker.1", "secretsd-bus.1"] {
            assert_eq!(mode(&format!("{prefix}/share/man/man1/{page}")), 0o644);
        }
        let service = fs::read_to_string(at(&format!("{units}/secretsd.service"))).unwrap();
        let start = format!("ExecStart={}/bin/secretsd", prefix.replace('%', "%%"));
        assert!(service.lines().any(|line| line == start), "{service}");

        // What is not ours stays.
        fs::write(at(&format!("{prefix}/bin/other")), "").unwrap();
        script(&destdir, prefix, "/home/me".as_ref(), &["uninstall"]);
        assert_eq!(files(&destdir), BTreeSet::from([at(&format!("{prefix}/bin/other"))]));
        fs::remove_dir_all(&destdir).unwrap();
    }
}

#[test]
fn what_is_made_is_for_its_owner_to_replace_whatever_the_umask() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for (umask, prefix) in [("0", "/home/me/.local"), ("002", "/home/me/.local"), ("077", "/usr")] {
        let dir = tempfile::tempdir().unwrap();
        let destdir = dir.path().join("package");
        let bin = destdir.join(prefix.strip_prefix('/').unwrap()).join("bin");
        fs::create_dir_all(&bin).unwrap();
        let before: Vec<(PathBuf, u32)> = bin
            .ancestors()
            .take_while(|path| path.starts_with(&destdir))
            .map(|path| (path.into(), 0o711))
            .collect();
        for (path, mode) in &before {
            fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        let mut command = Command::new("sh");
        command.args(["-c", "umask $0; exec \"$@\"", umask]).arg(repository().join("install.sh"));
        command
            .args(["install", built()])
            .env("DESTDIR", &destdir)
            .env("PREFIX", prefix)
            .env("HOME", "/home/me");
        let (_, output) = process::run(&mut command, b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut made = 0;
        let mut todo = vec![destdir];
        while let Some(directory) = todo.pop() {
            match before.iter().find(|(path, _)| *path == directory) {
                Some((path, before)) => assert_eq!(mode(path), *before, "{} was there", path.display()),
                None => {
                    made += 1;
                    assert_eq!(mode(&directory), 0o755, "umask {umask}: {}", directory.display());
                }
            }
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    todo.push(path);
                } else {
                    let wanted = if path.starts_with(&bin) { 0o755 } else { 0o644 };
                    assert_eq!(mode(&path), wanted, "umask {umask}: {}", path.display());
                }
            }
        }
        assert!(made > 8, "{made}");
    }
}

#[test]
fn a_prefix_that_would_spoil_a_unit_is_refused() {
    for prefix in ["/usr local", "usr", "/usr\"", "/usr|x", "/usr\nX=1"] {
        let mut command = Command::new(repository().join("install.sh"));
        let (_, output) = process::run(command.args(["install", built()]).env("PREFIX", prefix), b"");
        assert_eq!(output.status.code(), Some(2), "{prefix}");
    }
}

#[test]
fn a_user_installs_uses_upgrades_and_uninstalls() {
    let Some(lab) = installed("a_user_installs_uses_upgrades_and_uninstalls") else { return };
    let user = lab.user("owner");
    settings(&user, "");
    let run = |arguments: &[&str]| user.run(&format!("{SOURCE}/install.sh"), arguments);
    let programs = format!("{SOURCE}/programs");
    let own = format!("{}/.local/bin/secretctl", user.home());

    // A daemon that the client has started keeps its vault and its socket.
    user.run("secretctl", &["--socket", &format!("{}/other/s.sock", user.runtime_dir()), "status"]);
    let said = run(&["install", &programs]);
    assert!(said.contains("a daemon that systemd did not start has the vault"), "{said}");
    assert_ne!(user.property("secretsd.socket", "ActiveState"), "active");
    let pid = user.run("head", &["-n", "1", ".local/share/secretsd/vault.lock"]);
    assert!(said.contains(&format!("kill {} && systemctl", pid.trim())), "{said}");
    user.run("kill", &[pid.trim()]);
    lab.until("it has ended", || {
        !user.command("kill").args(["-0", pid.trim()]).output().unwrap().status.success()
    });

    let said = run(&["install", &programs]);
    assert!(said.contains("/.local/bin is not in PATH"), "{said}");
    assert_eq!(user.property("secretsd.socket", "ActiveState"), "active");
    assert_eq!(user.property("secretsd.socket", "UnitFileState"), "enabled");
    init(&user);
    user.run(&own, &["status"]);
    let pid = main_pid(&user);
    let program = lab.run("readlink", &[&format!("/proc/{pid}/exe")]);
    assert_eq!(program.trim(), format!("{}/.local/bin/secretsd", user.home()));

    let said = run(&["install", &programs]);
    assert!(said.contains("secretsd runs on as it was"), "{said}");
    assert_eq!((main_pid(&user), state(&user).as_str()), (pid, "unlocked"));

    let said = run(&["uninstall"]);
    assert!(
        said.contains(&format!("your vault is kept in {}/.local/share/secretsd\n", user.home())),
        "{said}"
    );
    assert!(!lab.path(format!("/proc/{pid}")).exists(), "the daemon still runs");
    let gone = PROGRAMS.map(|name| format!(".local/bin/{name}"));
    for gone in gone.iter().map(String::as_str).chain([".local/share/systemd/user/secretsd.socket"]) {
        assert!(!lab.path(user.home()).join(gone).exists(), "{gone}");
    }
    let wants = lab.path(user.home()).join(".config/systemd/user/sockets.target.wants/secretsd.socket");
    assert!(fs::symlink_metadata(wants).is_err(), "it is still enabled");
    assert!(lab.path(user.home()).join(".local/share/secretsd/vault.db").exists(), "the vault is gone");
}

#[test]
fn a_manager_that_hangs_does_not_hold_up_the_files() {
    let Some(lab) = installed("a_manager_that_hangs_does_not_hold_up_the_files") else { return };
    let user = lab.user("hanging");
    let hang = "[Socket]\nExecStartPre=/bin/sleep infinity\nTimeoutSec=infinity\n";
    user.write(".config/systemd/user/secretsd.socket.d/hang.conf", 0o644, hang);
    let run = |arguments: &[&str]| user.run(&format!("{SOURCE}/install.sh"), arguments);
    let said = run(&["install", &format!("{SOURCE}/programs")]);
    assert!(said.contains("the socket is not started yet"), "{said}");

    let hang = "[Socket]\nExecStopPost=/bin/sleep infinity\nTimeoutSec=infinity\n";
    user.write(".config/systemd/user/secretsd.socket.d/hang.conf", 0o644, hang);
    user.systemctl(&["daemon-reload"]);
    let said = run(&["uninstall"]);
    assert!(said.contains("has not stopped everything"), "{said}");
    assert!(!lab.path(user.home()).join(".local/bin/secretsd").exists());
}
