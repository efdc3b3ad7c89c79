//! A day's work with data and state on each file system.

use std::fs;
use std::path::{Path, PathBuf};

use secretsd_tests::ctl::CtlOutput;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::skip;
use secretsd_tests::{Env, programs};

use super::mounts::{ALL, Kind, Mount, UNFIT};

/// A user whose home is on this file system. Dropping it ends the daemon, then unmounts.
struct World {
    mount: Option<Mount>,
    at: PathBuf,
    env: Env,
}

impl Drop for World {
    fn drop(&mut self) {
        self.env.stop_listener();
        self.mount = None;
    }
}

impl World {
    fn on(kind: &Kind) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip(kind.name, "to mount takes root");
            return None;
        }
        let env = Env::new(programs!());
        let Some((mount, at)) = kind.mount(&env.path("")) else {
            skip(kind.name, "it cannot be mounted here");
            return None;
        };
        env.private_file("pass", PASSPHRASE);
        Some(Self { mount: Some(mount), at, env })
    }

    fn ctl(&self, words: &[&str], input: &str) -> CtlOutput {
        let ctl = self.env.ctl(words).stdin(input).dir(&self.at);
        let ctl = ctl.env("XDG_DATA_HOME", self.at.join("data")).env("XDG_STATE_HOME", self.at.join("state"));
        let output = ctl.run();
        assert!(!output.err().contains("disk is full"), "{words:?}: {}", output.err());
        output
    }

    #[track_caller]
    fn good(&self, words: &[&str], input: &str) -> String {
        let output = self.ctl(words, input);
        output.assert_code(0);
        output.out()
    }

    fn path(&self, name: &str) -> String {
        self.at.join(name).to_str().unwrap().to_owned()
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.at.join(directory)) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// What is done, in the order of the columns in `docs/filesystems.md`.
const STEPS: [&str; 9] =
    ["init", "set", "rm", "unlock", "rotate", "backup", "restore-vault", "inject", "import"];

/// The row of the document's table that says this.
fn assert_told(kind: &Kind, cells: &[&str]) {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/filesystems.md");
    let row = format!("| {} | {} |", kind.name, cells.join(" | "));
    let document = fs::read_to_string(document).unwrap();
    assert!(document.lines().any(|line| line == row), "docs/filesystems.md lacks: {row}");
}

/// Init, set, rm, lock, unlock, rotate, backup, restore, inject, import.
fn work(world: &World) {
    let pass = world.env.path("pass");
    let pass = pass.to_str().unwrap();
    world.good(&["init", "--passphrase-file", pass], "");
    world.good(&["set", "A"], "value-a");
    world.good(&["set", "B"], "value-b");
    world.good(&["rm", "B", "--yes"], "");
    world.good(&["lock"], "");
    world.good(&["unlock", "--passphrase-file", pass], "");
    assert_eq!(world.good(&["get", "A"], "").trim_end(), "value-a");
    world.good(&["rotate", "--passphrase-file", pass], "");

    let backup = world.path("the.backup");
    world.good(&["backup", &backup], "");
    assert_eq!(world.ctl(&["backup", &backup], "").code, Some(6), "it is there already");
    world.good(&["backup", "--force", &backup], "");
    world.good(&["set", "C"], "value-c");
    world.env.stop_listener();
    world.good(&["restore-vault", &backup, "--passphrase-file", pass], "");
    assert_eq!(world.good(&["get", "A"], "").trim_end(), "value-a");
    assert_eq!(world.ctl(&["get", "C"], "").code, Some(4));

    fs::write(world.path("template"), "a = {{ secret:A }}\n").unwrap();
    for _ in 0..2 {
        let (template, out) = (world.path("template"), world.path("out"));
        world.good(&["inject", "-i", &template, "-o", &out], "");
        assert_eq!(fs::read_to_string(&out).unwrap(), "a = value-a\n");
    }
    fs::write(world.path("vars"), "IMPORTED=value-i\n").unwrap();
    world.good(&["import", &world.path("vars"), "--delete-source"], "");
    assert!(!Path::new(&world.path("vars")).exists());
    assert_eq!(world.good(&["get", "IMPORTED"], "").trim_end(), "value-i");
    assert!(world.ctl(&["doctor"], "").code.is_some());
    assert_clean(world);
}

/// Nothing half done is left.
fn assert_clean(world: &World) {
    for directory in ["", "data/secretsd", "state/secretsd"] {
        let names = world.names(directory);
        let left = |name: &&String| {
            [".new", ".copy", ".restore", "-journal"].iter().any(|end| name.ends_with(end))
                || name.starts_with(".secretctl-draft")
        };
        assert_eq!(names.iter().find(left), None, "{directory}: {names:?}");
    }
}

#[test]
fn a_days_work_is_done_on_every_file_system() {
    for kind in &ALL {
        let Some(world) = World::on(kind) else { continue };
        println!("--- {}", kind.name);
        work(&world);
        assert_told(kind, &STEPS.map(|_| "yes"));
    }
}

#[test]
fn a_file_system_that_cannot_hold_a_vault_is_named_at_init() {
    for kind in &UNFIT {
        let Some(world) = World::on(kind) else { continue };
        let pass = world.env.path("pass");
        let output = world.ctl(&["init", "--passphrase-file", pass.to_str().unwrap()], "");
        println!("--- {}: {:?} {}", kind.name, output.code, output.err());
        assert_ne!(output.code, Some(0), "{}", kind.name);
        let word = kind.name.split([' ', '(']).next().unwrap();
        let program =
            if kind.name.contains("-fuse") || kind.name.contains("ntfs-3g") { "fuse" } else { word };
        let said = output.err().to_lowercase();
        assert!(said.contains(&program.to_lowercase()) || said.contains(&word.to_lowercase()), "{said}");
        assert_clean(&world);
        assert_told(kind, &STEPS.map(|step| if step == "init" { "refused" } else { "-" }));
    }
}
