//! That docs/clients.md has them all.

use std::collections::BTreeSet;
use std::fs;

use secretsd_tests::source::repository;

/// The modules whose tests are rows.
const MODULES: [&str; 7] = ["node", "others", "packages", "python", "repositories", "sockets", "tools"];

#[test]
fn each_client_is_a_row_and_each_row_says_by_what() {
    let document = fs::read_to_string(repository().join("docs/clients.md")).unwrap();
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| ")).collect();
    let mut missing = BTreeSet::new();
    for module in MODULES.iter().chain(&["unsupported"]) {
        let path = repository().join(format!("tests/tests/clients/{module}.rs"));
        let source = fs::read_to_string(path).unwrap();
        for test in source.split("#[test]\nfn ").skip(1) {
            let name = format!("`clients::{module}::{}`", test.split('(').next().unwrap());
            if !rows.iter().any(|row| row.contains(&name)) {
                missing.insert(name);
            }
        }
    }
    assert!(missing.is_empty(), "docs/clients.md has no row for {missing:?}");
    let header = "| client | works | with what, or what to do instead | test |";
    let rows: Vec<&&str> = rows.iter().filter(|row| !row.starts_with("| ---") && **row != header).collect();
    assert!(rows.len() > 30, "{}", rows.len());
    for row in rows {
        let test = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        assert!(test.contains("`clients::") || test.starts_with("untested"), "by what is this known? {row}");
    }
}
