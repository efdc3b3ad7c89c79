//! `secretsd-sync.timer`, `.path` and `.service` under a real systemd, with a real store.

use std::fs;
use std::process::Stdio;

use secretsd_tests::harness::lacks;
use secretsd_tests::process;

use crate::support::{init, installed, repository, user};

const STORE: &str = "/opt/store";

#[test]
fn the_units_move_what_is_new_and_see_nothing_else_of_the_home() {
    const TEST: &str = "the_units_move_what_is_new_and_see_nothing_else_of_the_home";
    if lacks(TEST, &["rclone"]) {
        return;
    }
    let Some(lab) = installed(TEST) else { return };
    let user = user(lab, "mover");
    init(&user);
    lab.run("mkdir", &["-p", STORE]);
    let mut rclone = lab.command("rclone");
    rclone.args(["serve", "webdav", "--addr", "127.0.0.1:5640", "--user", "u", "--pass", "p", STORE]);
    let mut rclone = rclone.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let answers = || user.command("curl").args(["-s", "http://127.0.0.1:5640/"]).status().unwrap().success();
    lab.until("the store listens", answers);
    for (name, value) in [("DAV_USER", "u"), ("DAV_PASSWORD", "p")] {
        user.run("sh", &["-c", &format!("printf {value} | secretctl set {name}")]);
    }
    let place = "http://127.0.0.1:5640/fleet";
    let credential = "WEBDAV_USER=DAV_USER,WEBDAV_PASSWORD=DAV_PASSWORD";
    let words = ["machine", "init", "--store", place, "--name", "laptop", "--credential", credential];
    let said = user.command("secretctl").args(words).output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("moved by itself"), "{said}");
    for unit in ["secretsd-sync.timer", "secretsd-sync.path"] {
        let state = (user.property(unit, "ActiveState"), user.property(unit, "UnitFileState"));
        assert_eq!(state, ("active".into(), "enabled".into()), "{unit}");
    }
    assert!(user.run("secretctl", &["doctor"]).contains("secretsd-sync.timer moves what is new by itself"));
    // The daemon says that there is something to move; the rest happens by itself.
    let count = || fs::read_dir(lab.path(format!("{STORE}/fleet"))).unwrap().count();
    let before = count();
    user.run("sh", &["-c", "printf value | secretctl set KEY"]);
    let merge = "curl -sf --unix-socket $XDG_RUNTIME_DIR/secretsd/secretsd.sock -X POST -H \"Authorization: Bearer $(cat $XDG_RUNTIME_DIR/secretsd/token)\" http://localhost/api/v1/fleet/merge";
    user.run("sh", &["-c", merge]);
    lab.until("it is moved", || count() > before);
    // Locked, the vault does not give the store's credential, and that is said.
    user.run("secretctl", &["lock"]);
    let started =
        user.command("systemctl").args(["--user", "start", "secretsd-sync.service"]).output().unwrap();
    assert!(!started.status.success());
    assert!(user.journal("secretsd-sync.service").contains("the store's credential is in the vault"));
    // What the service sees of the home, and may write there.
    let seen = ".local/share/secretsd/exchange/seen";
    let look = format!(
        "[Service]\nExecStart=\nExecStart=sh -c 'ls -A %h %h/.local/share/secretsd > %h/{seen}; touch %h/x || echo refused >> %h/{seen}'\n"
    );
    user.write(".config/systemd/user/secretsd-sync.service.d/look.conf", 0o644, look);
    user.systemctl(&["daemon-reload"]);
    user.systemctl(&["start", "secretsd-sync.service"]);
    let text =
        fs::read_to_string(lab.path(format!("{}/{seen}", user.home()).trim_start_matches('/'))).unwrap();
    assert!(!text.contains("vault.db") && !text.contains("key\n") && text.contains("exchange\n"), "{text}");
    assert!(fs::metadata(lab.path(format!("{}/x", user.home()).trim_start_matches('/'))).is_err(), "{text}");
    process::end(rclone.id());
    let _ = rclone.wait();
}

/// The commands of `docs/machines.md` with which the daemon may write to a directory that other programs share.
fn documented() -> String {
    let text = fs::read_to_string(repository().join("docs/machines.md")).unwrap();
    let block = text.split("```sh\n").find(|block| block.contains("ReadWritePaths=")).unwrap();
    block.split("```").next().unwrap().to_owned()
}

#[test]
fn a_shared_directory_takes_the_lines_that_are_documented() {
    let Some(lab) = installed("a_shared_directory_takes_the_lines_that_are_documented") else { return };
    let user = user(lab, "sharer");
    init(&user);
    user.run("mkdir", &["-p", "Sync/secrets"]);
    let directory = format!("{}/Sync/secrets", user.home());
    let store = format!("dir:{directory}");
    let words = ["machine", "init", "--store", &store, "--name", "laptop"];
    let refused = user.command("secretctl").args(words).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("ReadWritePaths="), "{said}");
    let files = || fs::read_dir(lab.path(directory.trim_start_matches('/'))).unwrap().count();
    assert_eq!(files(), 0);

    user.run("sh", &["-ec", &documented()]);
    // The restart has locked it. What waited is moved by itself.
    user.run("secretctl", &["unlock", "--key-file", "key"]);
    lab.until("what is new is in the directory", || files() > 0);
    let before = files();
    user.run("sh", &["-c", "printf value | secretctl set KEY"]);
    lab.until("a change is in the directory", || files() > before);
}
