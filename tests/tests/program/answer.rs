//! What goes to stdout, and what becomes of it when nobody reads.

use std::fs;
use std::process::Stdio;

use crate::daemon::{Daemon, VALUE, list};
use crate::text;

#[test]
fn get_writes_the_bytes_and_nothing_else() {
    let output = Daemon::start().run(&["get", "a_key"]);
    assert_eq!((text(&output.stdout), output.status.code()), (VALUE.to_owned(), Some(0)));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn list_passes_the_apis_json_on_unchanged() {
    let daemon = Daemon::start();
    assert_eq!(text(&daemon.run(&["list", "--json"]).stdout), format!("{}\n", list()));
    assert_eq!(text(&daemon.run(&["--json", "ls"]).stdout), format!("{}\n", list()));
    assert_eq!(text(&daemon.run(&["list", "--names"]).stdout), "A_KEY\n");
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let daemon = Daemon::start();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = daemon.command(&["list"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn a_full_disk_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = Daemon::start().command(&["list"]).stdout(full).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}
