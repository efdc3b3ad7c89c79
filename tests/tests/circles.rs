//! No file of any crate is in a circle of files that need each other.

use std::collections::BTreeSet;

use secretsd_tests::imports::circles;
use secretsd_tests::source::{Source, repository, sources};

/// Files that still are in a circle, to be opened. A file that is in none any more must leave the list.
const STILL_IN_A_CIRCLE: &[&str] = &[
    "ctl/src/call.rs",
    "ctl/src/cli.rs",
    "ctl/src/cli/alone.rs",
    "ctl/src/cli/shell.rs",
    "ctl/src/client.rs",
    "ctl/src/command/run/mod.rs",
    "ctl/src/command/run/selection.rs",
    "ctl/src/command/run/start.rs",
    "ctl/src/completion/mod.rs",
    "ctl/src/environment.rs",
    "ctl/src/handover.rs",
    "ctl/src/lookup.rs",
    "ctl/src/output.rs",
    "ctl/src/output/waiting.rs",
    "ctl/src/prompt.rs",
    "ctl/src/session.rs",
    "ctl/src/spawn.rs",
    "ctl/src/terminal.rs",
    "ctl/src/variables.rs",
];

/// The workspace's packages, by directory.
fn packages() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let members = text.split_once("members = [").unwrap().1.split(']').next().unwrap();
    let quoted = members.split('"').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// Circles with a file that is not on the list, and listed files that are in no circle.
fn findings(crates: &[Vec<Source>], listed: &[&str]) -> Vec<String> {
    let all: Vec<Vec<String>> = crates.iter().flat_map(|sources| circles(sources)).collect();
    let is_listed = |path: &String| listed.contains(&path.as_str());
    let mut findings: Vec<String> = all
        .iter()
        .filter(|circle| !circle.iter().all(is_listed))
        .map(|circle| format!("a circle: {}", circle.join(" ")))
        .collect();
    let in_one: BTreeSet<&str> = all.iter().flatten().map(String::as_str).collect();
    let gone = listed.iter().filter(|path| !in_one.contains(**path));
    findings.extend(gone.map(|path| format!("{path} is in no circle any more: take it off the list")));
    findings
}

#[test]
fn no_files_need_each_other() {
    let packages = packages();
    assert!(packages.len() >= 5, "{packages:?}");
    let crates: Vec<_> = packages.iter().map(|package| sources(&format!("{package}/src"))).collect();
    let found = findings(&crates, STILL_IN_A_CIRCLE);
    assert!(found.is_empty(), "files in a circle:\n  {}", found.join("\n  "));
}

#[test]
fn a_circle_that_is_put_in_is_found_in_the_real_sources() {
    let mut daemon = sources("daemon/src");
    let seal = daemon.iter_mut().find(|source| source.path == "daemon/src/crypto/seal.rs").unwrap();
    seal.code.push_str("\nfn seeded() { crate::crypto::slot::seeded() }\n");
    let slot = daemon.iter_mut().find(|source| source.path == "daemon/src/crypto/slot.rs").unwrap();
    slot.code.push_str("\nfn seeded() { super::seal::seeded() }\n");
    let found = findings(&[daemon], &[]).join("\n");
    assert!(found.contains("daemon/src/crypto/seal.rs daemon/src/crypto/slot.rs"), "{found}");
}

#[test]
fn a_listed_file_that_is_in_no_circle_is_found() {
    let file = |path, code| Source::new(path, code);
    let one = [vec![file("x/src/a.rs", "use crate::b::B;"), file("x/src/b.rs", "use crate::a::A;")]];
    assert!(findings(&one, &["x/src/a.rs", "x/src/b.rs"]).is_empty());
    assert_eq!(findings(&one, &["x/src/a.rs"]).len(), 1);
    assert_eq!(findings(&one, &["x/src/a.rs", "x/src/b.rs", "x/src/c.rs"]).len(), 1);
}
