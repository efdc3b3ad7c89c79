//! Which secrets a command gets, and that nothing starts, and nothing is revealed, while something is wrong.

use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, programs};

use crate::stored;

#[test]
fn names_lose_their_prefix() {
    let env = Env::unlocked(programs!());
    env.store("PROD_URL", "u");
    env.store("OTHER", "o");
    let script = "echo $URL $OTHER ${PROD_URL-unset}";
    let line = ["run", "-s", "PROD_*,OTHER", "--prefix-strip", "prod_", "--", "sh", "-c", script];
    assert_eq!(env.ctl(line).expect(0), "u o unset\n");
}

#[test]
fn a_secret_that_has_expired_is_told_of_and_handed_over() {
    let env = Env::unlocked(programs!());
    for name in ["A", "B"] {
        let secret = env.store(name, "v");
        let path = format!("/user/secrets/{}", secret["id"].as_str().unwrap());
        let expires = if name == "A" { "2020-01-01T00:00:00Z" } else { "2999-01-01T00:00:00Z" };
        env.request("PATCH", &path).json(&serde_json::json!({ "expires_at": expires })).send().expect(200);
    }
    let output = env.ctl(["run", "-s", "A,B", "--", "sh", "-c", "echo $A $B"]).run();
    assert_eq!((output.code, output.out()), (Some(0), "v v\n".to_owned()));
    assert_eq!(output.err(), "secretctl: expired: A; replace with: secretctl set A --expires 90d\n");
    assert!(env.ctl(["show", "A"]).expect(0).contains("\nexpired    2020-01-01T00:00:00Z\n"));
    assert!(env.ctl(["show", "B"]).expect(0).contains("\nexpires    2999-01-01T00:00:00Z\n"));
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
        (&["-s", "A", "--prefix-strip", "Q_"], &["no selected secret has the prefix"]),
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
        assert_eq!(run(&["sh", "-c", "kill -9 $$"]), None, "{way:?}");
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

/// Who may only write chooses names, within the globs of a token; they are refused as the variables that they become.
#[test]
fn a_variable_that_steers_programs_is_set_only_if_it_was_named() {
    let env = Env::unlocked(programs!());
    let writer = env.path("writer");
    let token =
        env.ctl(["token", "create", "--name", "w", "--scope", "write", "--secret", "PROD_*"]).expect(0);
    std::fs::write(&writer, token).unwrap();
    let evil = env.private_file("evil", format!(": > {}\n", env.path("ran").display()));
    let steering = [
        "BASH_ENV",
        "LD_PRELOAD",
        "PATH",
        "HOME",
        "SECRETSD_SOCKET",
        "PS1",
        "GIT_ASKPASS",
        "SSL_CERT_FILE",
        "OPTIND",
    ];
    let token = std::fs::read_to_string(&writer).unwrap();
    for name in steering {
        let body = serde_json::json!({ "name": format!("PROD_{name}"), "value": evil });
        let asked = env.anonymous("POST", "/user/secrets").bearer(token.trim());
        asked.json(&body).send().expect(201);
    }
    env.store("PROD_KEY", "k");
    let script = "echo $KEY$PROD_KEY$ONE";
    let strip = ["--prefix-strip", "PROD_"];
    let command = ["--", "/bin/bash", "-c", script];
    for way in [&["-s", "PROD_*"][..], &["--all"], &["--file", "PROD_*"], &["-s", "PROD_*", "--mask"]] {
        let output = env.ctl([&["run"], way, &strip, &command].concat()).run();
        output.assert_code(2);
        for name in steering {
            assert!(output.err().contains(&format!("{name} (of PROD_{name})")), "{name}: {}", output.err());
        }
        assert!(output.stdout.is_empty() && !output.err().contains("KEY"), "{}", output.err());
    }
    // Named, but under another name.
    env.ctl([&["run", "-s", "PROD_PATH"], &strip[..], &command].concat()).expect(2);
    // As they are they mean nothing, and the others are set.
    assert_eq!(env.ctl([&["run", "-s", "PROD_*"], &command[..]].concat()).expect(0), "k\n");
    assert_eq!(env.ctl([&["run", "-s", "PROD_KEY"], &strip[..], &command].concat()).expect(0), "k\n");

    let one = env.store("BASH_ENV", "/dev/null");
    let id = one["id"].as_str().unwrap();
    for selector in ["*", "BASH_*", id, "[B]ASH_ENV"] {
        let output = env.ctl([&["run", "-s", selector], &command[..]].concat()).run();
        output.assert_code(2);
        assert!(output.err().contains("BASH_ENV"), "{}", output.err());
        env.ctl(["export", "-s", selector, "--format", "json"]).expect(2);
    }
    let shown = ["--", "printenv", "BASH_ENV"];
    for way in [&["-s", "BASH_ENV"][..], &["-s", "*,bash_env"], &["--all", "--allow-name", "BASH_ENV"]] {
        assert_eq!(env.ctl([&["run"], way, &shown].concat()).expect(0), "/dev/null\n", "{way:?}");
    }
    env.ctl(["export", "-s", "BASH_ENV", "--format", "json"]).expect(0);
    assert!(!env.path("ran").exists());
}

#[test]
fn a_script_without_an_interpreter_is_the_shells_in_every_mode() {
    let env = stored();
    let script = env.private_file("home/script", "echo \"$0 $1 ${A:+has-a}\"; exit ${2:-0}\n");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let path = script.to_str().unwrap();
    let other = env.private_file("home/empty", "");
    std::fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let search = format!("{}:/usr/bin:/bin", env.path("home").display());
    for way in [
        &["-s", "A"][..],
        &["--file", "A"],
        &["-s", "A", "--mask"],
        &["--file", "A", "--mask"],
        &["-s", "A", "--clean-env"],
    ] {
        for program in [path, "./home/script", "script"] {
            let output =
                env.ctl([&["run"], way, &["--", program, "x y"]].concat()).env("PATH", &search).run();
            output.assert_code(0);
            let name = if program == "script" { path } else { program };
            assert_eq!(output.out(), format!("{name} x y has-a\n"), "{way:?} {program}");
        }
        env.ctl([&["run"], way, &["--", other.to_str().unwrap()]].concat()).expect(0);
    }
    let mut terminal = Terminal::ctl(&env, &["run", "-s", "A", "--mask", "--", path, "x", "3"]);
    terminal.expect(3, "x has-a");
}
