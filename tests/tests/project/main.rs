//! Projects: their manifests, the owner's consent, and what a command gets because of them.

mod consent;
mod fill;
mod manifests;
mod names;
mod places;
mod running;

use std::fs;
use std::path::{Path, PathBuf};

use secretsd_tests::{Env, programs};

/// A manifest of this project with these secrets, below `[profiles.default]`.
fn manifest(name: &str, secrets: &str) -> String {
    format!("[project]\nname = \"{name}\"\nrevision = \"1.0\"\n\n[profiles.default]\n{secrets}\n")
}

/// A checkout of its own, with this manifest.
fn checkout(env: &Env, name: &str, manifest: &str) -> PathBuf {
    let dir = env.path("home").join(name);
    fs::create_dir_all(dir.join(".git")).unwrap();
    write(&dir, "secretspec.toml", manifest);
    dir
}

fn write(dir: &Path, name: &str, content: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// An open vault, and an allowed checkout of the project `shop` with these secrets.
fn shop(secrets: &str) -> (Env, PathBuf) {
    let env = Env::unlocked(programs!());
    let dir = checkout(&env, "shop", &manifest("shop", secrets));
    allow(&env, &dir);
    (env, dir)
}

#[track_caller]
fn allow(env: &Env, dir: &Path) {
    env.ctl(["project", "allow", "--yes"]).dir(dir).expect(0);
}

/// What a shell prints that is run in this directory.
#[track_caller]
fn printed(env: &Env, dir: &Path, flags: &[&str], script: &str) -> String {
    env.ctl([&["run"], flags, &["--", "sh", "-c", script]].concat()).dir(dir).expect(0)
}
