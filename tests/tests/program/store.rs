//! Storing and removing: which requests a command becomes.

use std::fs;

use crate::daemon::Daemon;
use crate::text;

#[test]
fn a_value_in_argv_is_refused_and_never_shown() {
    let daemon = Daemon::start();
    for line in [
        &["set", "A_KEY", "sk-canary-canary"][..],
        &["set", "A_KEY=sk-canary-canary"],
        &["set", "A_KEY", "--", "-canary"],
        &["add", "A_KEY", "-canary"],
        &["preset", "openai", "canary"],
    ] {
        let output = daemon.run(line);
        assert_eq!(output.status.code(), Some(2), "{line:?}");
        let message = text(&output.stderr);
        assert!(message.contains("cannot be an argument"), "{message}");
        assert!(!message.contains("canary") && output.stdout.is_empty(), "{message}");
    }
}

const SECRET: &str = "/user/secrets/2489e9ad-2ee2-4e00-8ec9-32d5f69181c0";

/// Whether a new name is like one that exists.
const LIST: &str = "GET /user/secrets ";

#[test]
fn set_creates_or_updates_and_keeps_every_byte() {
    let daemon = Daemon::start();
    let output = daemon.feed(&["set", "new"], b" x\n\n");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), String::new()));
    assert_eq!(daemon.feed(&["set", "a_key", "--provider", "x"], "é$".as_bytes()).status.code(), Some(0));
    assert_eq!(
        daemon.requests(),
        [
            r#"POST /user/secrets {"name":"NEW","value":" x\n\n"}"#.to_owned(),
            LIST.to_owned(),
            r#"POST /user/secrets {"name":"A_KEY","value":"é$","provider":"x"}"#.to_owned(),
            "GET /user/secrets?view=full&name=A_KEY ".to_owned(),
            format!(r#"PUT {SECRET} {{"value":"é$"}}"#),
            format!(r#"PATCH {SECRET} {{"provider":"x"}}"#),
            // Whether another machine's secret has the name of one that is kept on this machine.
            "GET /fleet ".to_owned(),
        ]
    );
}

#[test]
fn add_and_update_insist_on_what_they_expect() {
    let daemon = Daemon::start();
    assert_eq!(daemon.feed(&["add", "A_KEY"], b"x").status.code(), Some(6));
    assert_eq!(daemon.feed(&["update", "NONE"], b"x").status.code(), Some(4));
    assert_eq!(daemon.feed(&["add", "NEW"], b"x").status.code(), Some(0));
    assert_eq!(daemon.feed(&["update", "A_KEY"], b"x").status.code(), Some(0));
    let writes: Vec<String> = daemon.requests().into_iter().filter(|line| line.starts_with("PUT")).collect();
    assert_eq!(writes, [format!(r#"PUT {SECRET} {{"value":"x"}}"#)]);
}

#[test]
fn a_well_known_prefix_names_the_provider_aloud() {
    let daemon = Daemon::start();
    let output = daemon.feed(&["set", "NEW"], b"ghp_canary");
    assert_eq!(
        daemon.requests(),
        [r#"POST /user/secrets {"name":"NEW","value":"ghp_canary","provider":"github"}"#, LIST]
    );
    let said = text(&output.stderr);
    assert!(said.contains("github") && !said.contains("canary"), "{said}");
}

#[test]
fn what_is_no_value_is_not_sent() {
    let daemon = Daemon::start();
    for bad in [&b""[..], &[b'x'; 65_537], &[0xff], b"a\0b"] {
        assert_eq!(daemon.feed(&["set", "NEW"], bad).status.code(), Some(7));
    }
    let file = daemon.dir.path().join("value");
    fs::write(&file, "from a file\n").unwrap();
    assert_eq!(daemon.run(&["set", "NEW", "--value-file", file.to_str().unwrap()]).status.code(), Some(0));
    assert_eq!(daemon.requests(), [r#"POST /user/secrets {"name":"NEW","value":"from a file\n"}"#, LIST]);
}

#[test]
fn rm_removes_all_or_nothing_and_destroys_only_when_told_to() {
    let daemon = Daemon::start();
    let deletes = || -> Vec<String> {
        daemon.requests().into_iter().filter(|line| line.starts_with("DELETE")).collect()
    };
    assert_eq!(daemon.run(&["rm", "A_KEY", "NONE"]).status.code(), Some(4));
    assert_eq!(daemon.run(&["rm", "A_KEY", "--yes", "A*"]).status.code(), Some(7));
    assert!(deletes().is_empty());
    assert_eq!(daemon.run(&["rm", "A_KEY", "a_key"]).status.code(), Some(0));
    assert_eq!(daemon.run(&["rm", "--purge", "--yes", "A_KEY"]).status.code(), Some(0));
    assert_eq!(deletes(), [format!("DELETE {SECRET} "), format!("DELETE {SECRET}?purge=true ")]);
}
