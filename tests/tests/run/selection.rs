//! Which secrets a command gets, and that nothing starts, and nothing is revealed, while something is wrong.

use secretsd_tests::{Env, programs};

#[test]
fn names_lose_their_prefix() {
    let env = Env::unlocked(programs!());
    env.store("PROD_URL", "u");
    env.store("OTHER", "o");
    let script = "echo $URL $OTHER ${PROD_URL-unset}";
    let line = ["run", "-s", "PROD_*,OTHER", "--prefix-strip", "prod_", "--", "sh", "-c", script];
    assert_eq!(env.ctl(line).expect(0), "u o unset\n");
}

/// A name beside --all would not be looked at, and its absence not told.
#[test]
fn all_does_not_go_with_names() {
    let env = Env::unlocked(programs!());
    env.store("A", "canary");
    env.ctl(["run", "--all", "-s", "NOPE", "--", "true"]).expect(2);
    assert_eq!(env.ctl(["run", "--all", "--file", "A", "--", "sh", "-c", "cat $A"]).expect(0), "canary");
}

#[test]
fn all_problems_are_named_at_once_before_a_value_leaves() {
    let env = Env::unlocked(programs!());
    for name in ["P_", "P_9", "P_A", "A"] {
        env.store(name, "canary");
    }
    let marker = env.path("home/ran");
    let touch = ["--", "touch", marker.to_str().unwrap()];
    for (line, parts) in [
        (
            &["-s", "P_*,A,NOPE", "--file", "NEITHER", "--prefix-strip", "P_"][..],
            &["P_ without", "P_9 without", "P_A would both become A", "NOPE, NEITHER"][..],
        ),
        (&["-s", "A,NOPE,a-b"], &["selector 3: ", "no such secret: NOPE"]),
        (&["-s", "A", "--prefix-strip", "Q_"], &["no selected secret begins with the prefix"]),
        (&["-s", "A", "--file", "NOPE"], &["no such secret: NOPE"]),
    ] {
        let output = env.ctl([&["run"], line, &touch].concat()).run();
        output.assert_code(125);
        for part in parts {
            assert!(output.err().contains(part), "{line:?} {part}: {}", output.err());
        }
        assert_eq!(output.err().lines().count(), 1, "{}", output.err());
    }
    assert!(!marker.exists());
    let audit = env.ctl(["audit", "--json"]).expect(0);
    let revealed = audit.lines().filter(|line| line.contains("\"reveal\"") && line.contains("\"ok\""));
    assert_eq!(revealed.count(), 0, "{audit}");
}

#[test]
fn the_codes_are_the_same_whether_it_stays_or_not() {
    let env = Env::unlocked(programs!());
    env.store("A", "12345678");
    let script = env.private_file("home/not-executable", "#!/bin/sh\n");
    for way in [&["-s", "A"][..], &["--file", "A"], &["-s", "A", "--mask"], &["--file", "A", "--mask"]] {
        let run = |command: &[&str]| env.ctl([&["run"], way, &["--"], command].concat()).run().code;
        assert_eq!(run(&["sh", "-c", "exit 3"]), Some(3), "{way:?}");
        assert_eq!(run(&["no-such-program-anywhere"]), Some(127), "{way:?}");
        assert_eq!(run(&[script.to_str().unwrap()]), Some(126), "{way:?}");
        let killed = if way.len() == 2 && way[0] == "-s" { None } else { Some(128 + 9) };
        assert_eq!(run(&["sh", "-c", "kill -9 $$"]), killed, "{way:?}");
    }
    assert_eq!(env.ctl(["run", "--mask", "--", "true"]).run().code, Some(2));
}

#[test]
fn the_environment_can_be_clean_whatever_else_is_asked_for() {
    let env = Env::unlocked(programs!());
    env.store("A", "12345678");
    for way in [&["-s", "A"][..], &["--file", "A"], &["-s", "A", "--mask"]] {
        let line = [&["run", "--clean-env"], way, &["--", "env"]].concat();
        let shown = env.ctl(line).env("OTHER", "x").env("SECRETSD_TOKEN_X", "x").expect(0);
        assert!(shown.contains("A=") && shown.contains("HOME="), "{shown}");
        assert!(!shown.contains("OTHER") && !shown.contains("SECRETSD"), "{shown}");
    }
}
