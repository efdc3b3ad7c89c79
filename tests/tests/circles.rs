//! No file of any crate is in a circle of files that need each other.

use secretsd_tests::imports::circles;
use secretsd_tests::source::{Source, repository, sources};

/// The workspace's packages, by directory.
fn packages() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let members = text.split_once("members = [").unwrap().1.split(']').next().unwrap();
    let quoted = members.split('"').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// Each circle, as a line.
fn findings(crates: &[Vec<Source>]) -> Vec<String> {
    let all = crates.iter().flat_map(|sources| circles(sources));
    all.map(|circle| format!("a circle: {}", circle.join(" "))).collect()
}

#[test]
fn no_files_need_each_other() {
    let packages = packages();
    assert!(packages.len() >= 5, "{packages:?}");
    let crates: Vec<_> = packages.iter().map(|package| sources(&format!("{package}/src"))).collect();
    let found = findings(&crates);
    assert!(found.is_empty(), "files in a circle:\n  {}", found.join("\n  "));
}

#[test]
fn a_circle_that_is_put_in_is_found_in_the_real_sources() {
    let mut daemon = sources("daemon/src");
    let seal = daemon.iter_mut().find(|source| source.path == "daemon/src/crypto/seal.rs").unwrap();
    seal.code.push_str("\nfn seeded() { crate::crypto::slot::seeded() }\n");
    let slot = daemon.iter_mut().find(|source| source.path == "daemon/src/crypto/slot.rs").unwrap();
    slot.code.push_str("\nfn seeded() { super::seal::seeded() }\n");
    let found = findings(&[daemon]).join("\n");
    assert!(found.contains("daemon/src/crypto/seal.rs daemon/src/crypto/slot.rs"), "{found}");
}
