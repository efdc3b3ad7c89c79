//! Root with the variables of a user, as `sudo -E` and `su` leave them, and users with those of another: nothing is made
//! in somebody else's directories.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use secretsd_tests::harness::skip;
use secretsd_tests::process;
use secretsd_tests::{Env, programs};

const USER: u32 = 12_345;
const OTHER: u32 = 12_346;

fn all(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(all(&entry.path()));
        }
        found.push(entry.path());
    }
    found.sort();
    found
}

/// An environment with a directory of another user.
fn with_foreign() -> (Env, PathBuf) {
    let env = Env::new(programs!());
    let theirs = env.private_dir("theirs");
    chown(&theirs, Some(USER), Some(USER)).unwrap();
    (env, theirs)
}

fn programs_in<'a>(env: &'a Env, client: &'a [&'a str]) -> [(Command, i32); 2] {
    let mut ctl = env.command(env.programs().client);
    ctl.args(client);
    [(env.daemon_command(), 1), (ctl, 5)]
}

#[test]
fn root_makes_nothing_in_the_directories_of_a_user() {
    if !rustix::process::geteuid().is_root() {
        return skip("root_makes_nothing_in_the_directories_of_a_user", "giving directories away needs root");
    }
    let below_home = &["XDG_DATA_HOME", "XDG_STATE_HOME"][..];
    let cases: [(&str, &[&str], &str); 6] = [
        ("XDG_RUNTIME_DIR", &[], ""),
        ("XDG_DATA_HOME", &[], ""),
        ("XDG_STATE_HOME", &[], ""),
        ("HOME", below_home, ""),
        ("SECRETSD_DATA_DIR", &[], "deep/er"),
        ("SECRETSD_SOCKET", &[], "s.sock"),
    ];
    for (variable, unset, below) in cases {
        for client in [&["status"][..], &["init", "--passphrase-file", "/dev/null"]] {
            let (env, theirs) = with_foreign();
            let before = all(&env.path(""));
            for (mut command, code) in programs_in(&env, client) {
                for name in unset {
                    command.env_remove(name);
                }
                command.env(variable, if below.is_empty() { theirs.clone() } else { theirs.join(below) });
                let (_, output) = process::run(&mut command, b"");
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(output.status.code(), Some(code), "{variable}: {said}");
                let owner = format!("{} belongs to uid {USER}", theirs.display());
                assert!(said.contains(&owner) && said.contains("sudo -i"), "{variable}: {said}");
                assert_eq!(all(&env.path("")), before, "{variable}");
            }
        }
    }
}

#[test]
fn a_user_is_told_whose_directory_it_is() {
    if !rustix::process::geteuid().is_root() {
        return skip("a_user_is_told_whose_directory_it_is", "becoming a user needs root");
    }
    let (env, theirs) = with_foreign();
    for dir in
        ["", "home", "data", "state", "config", "config/secretsd", "config/secretsd/config.toml", "run"]
    {
        chown(env.path(dir), Some(OTHER), Some(OTHER)).unwrap();
    }
    let bin = env.path("bin");
    fs::create_dir(&bin).unwrap();
    for program in [env.programs().daemon, env.programs().client] {
        fs::copy(program, bin.join(Path::new(program).file_name().unwrap())).unwrap();
    }
    for (program, arguments) in
        [("secretsd", &[][..]), ("secretctl", &["status"]), ("secretctl", &["doctor"])]
    {
        let mut command = env.command("setpriv");
        let ids = [format!("--reuid={OTHER}"), format!("--regid={OTHER}"), "--clear-groups".to_owned()];
        command.args(ids).arg(bin.join(program)).args(arguments).env("XDG_RUNTIME_DIR", &theirs);
        let (_, output) = process::run(&mut command, b"");
        let said = String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into_owned();
        assert!(
            said.contains(&format!("belongs to uid {USER}")) && said.contains("su -"),
            "{program}: {said}"
        );
        assert!(!said.contains("chown"), "{said}");
    }
    assert_eq!(fs::metadata(&theirs).unwrap().uid(), USER);
    assert_eq!(fs::read_dir(&theirs).unwrap().count(), 0);
    assert_eq!(all(&env.path("data")).len() + all(&env.path("state")).len(), 0, "something was made");
}
