//! What a command gets of an allowed project.

use std::fs;

use secretsd_tests::{Env, programs};

use crate::{allow, checkout, manifest, printed, shop, write};

#[test]
fn what_a_scope_leaves_out_is_not_inherited_either() {
    let text = "A = { description = \"a\", default = \"x\" }\nB = { description = \"b\", default = \"x\" }\n[profiles.p]\nC = { description = \"c\", default = \"x\" }\n[scopes.web]\nsecrets = [\"A\"]";
    let (env, dir) = shop(text);
    env.store("Z", "z");
    let script = "echo ${A-no} ${B-no} ${C-no} ${Z-no}";
    let run = |flags: &[&str]| {
        let line = [&["run"], flags, &["--", "sh", "-c", script]].concat();
        env.ctl(line).dir(&dir).env("B", "inherited").env("C", "inherited").expect(0)
    };
    assert_eq!(run(&[]), "x x inherited no\n");
    assert_eq!(run(&["--scope", "web"]), "x no no no\n");
    assert_eq!(run(&["--scope", "web", "-s", "Z"]), "x no no z\n");
    assert_eq!(run(&["--no-manifest", "-s", "Z"]), "no inherited inherited z\n");
    let line = ["run", "--", "sh", "-c", script];
    assert_eq!(
        env.ctl(line).dir(&dir).env("SECRETSPEC_SCOPE", "web").env("B", "i").expect(0),
        "x no no no\n"
    );
    env.ctl(["run", "--scope", "none", "--", "true"]).dir(&dir).run().assert_code(125);
}

#[test]
fn profiles_come_from_the_flag_or_the_variable() {
    let (env, dir) =
        shop("A = { description = \"a\", default = \"default\" }\n[profiles.p]\nA = { default = \"p\" }");
    let run = |variable: &str| {
        env.ctl(["run", "--", "sh", "-c", "echo $A"]).dir(&dir).env("SECRETSPEC_PROFILE", variable).run()
    };
    for (variable, expected) in [("", "default\n"), (" ", "default\n"), ("p", "p\n"), ("p\n", "p\n")] {
        assert_eq!(run(variable).out(), expected, "{variable:?}");
    }
    let output = run("none");
    output.assert_code(125);
    assert!(output.err().contains("there are: default, p"), "{}", output.err());
    assert_eq!(printed(&env, &dir, &["--profile", "p"], "echo $A"), "p\n");
    env.ctl(["run", "--profile", "", "--", "true"]).dir(&dir).run().assert_code(125);
}

#[test]
fn names_that_clash_start_nothing() {
    let (env, dir) = shop("A = { description = \"a\" }");
    env.store("A", "shared");
    env.store("SHOP__A", "own");
    assert_eq!(printed(&env, &dir, &[], "echo $A"), "own\n");
    let output = env.ctl(["run", "-s", "A", "--", "true"]).dir(&dir).run();
    output.assert_code(125);
    assert!(output.err().contains("A would be set twice"), "{}", output.err());
    env.ctl(["rm", "SHOP__A"]).expect(0);
    allow(&env, &dir);
    // The same secret by both ways is one.
    assert_eq!(printed(&env, &dir, &["-s", "A"], "echo $A"), "shared\n");
}

/// The manifest is somebody else's, and what its names steer is ours.
#[test]
fn a_manifest_does_not_choose_what_programs_obey() {
    let (env, dir) = shop(
        "LD_PRELOAD = { description = \"a\", default = \"x\" }\nPATH = { description = \"b\", default = \"x\" }",
    );
    let output = env.ctl(["run", "--", "true"]).dir(&dir).run();
    output.assert_code(2);
    assert!(output.err().contains("LD_PRELOAD, PATH"), "{}", output.err());
    env.ctl(["export"]).dir(&dir).run().assert_code(2);
    let allowed = ["run", "--allow-name", "LD_PRELOAD,PATH", "--", "/bin/true"];
    env.ctl(allowed).dir(&dir).expect(0);
}

#[test]
fn files_are_there_while_the_command_runs_and_masks_hide_all() {
    let text = "CERT = { description = \"c\", as_path = true, encoding = \"hex\" }\nURL = { description = \"u\", composed = \"file:${CERT}?${KEY}\" }\nKEY = { description = \"k\" }";
    let (env, dir) = shop(text);
    env.store("SHOP__CERT", "00ff0a");
    env.store("SHOP__KEY", "canary-canary");
    let shown = printed(&env, &dir, &[], "od -An -tx1 $CERT; stat -c %a $CERT; echo $URL; echo $CERT");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!((lines[0], lines[1]), (" 00 ff 0a", "400"));
    assert_eq!(lines[2], format!("file:{}?canary-canary", lines[3]));
    assert!(!fs::exists(lines[3]).unwrap());
    let masked = printed(&env, &dir, &["--mask"], "echo $KEY; echo $URL");
    assert!(!masked.contains("canary"), "{masked}");
    // What becomes a file has no place in a text.
    env.ctl(["export"]).dir(&dir).run().assert_code(7);
    env.ctl(["get", "URL", "--project"]).dir(&dir).run().assert_code(7);
    env.ctl(["get", "KEY", "--project"]).dir(&dir).expect(0);
}

#[test]
fn locked_absent_and_limited_fail_as_they_do_elsewhere() {
    let (env, dir) = shop("A = { description = \"a\" }\nB = { description = \"b\" }");
    env.store("SHOP__A", "own");
    env.store("B", "shared");
    env.store("OTHER__A", "canary");
    allow(&env, &dir);
    let script = ["run", "--", "sh", "-c", "echo $A ${B-no}"];
    assert_eq!(env.ctl(script).dir(&dir).expect(0), "own shared\n");
    let token = |flags: &[&str]| {
        let line = [&["token", "create", "--name", flags[1]], flags].concat();
        env.ctl(line).expect(0).trim().to_owned()
    };
    let with = |token: &str, line: &[&str]| env.ctl(line).dir(&dir).env("SECRETSD_TOKEN", token).run();
    let bound = token(&["--scope", "list,reveal", "--secret", "SHOP__*"]);
    // It sees the project's names, and not the shared one.
    let checked = with(&bound, &["check", "--json"]);
    assert_eq!(checked.code, Some(4));
    let report = checked.json();
    let statuses: Vec<&str> = report["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| secret["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["resolved", "missing_required"]);
    with(&bound, &script).assert_code(125);
    env.ctl(["set", "B", "--project"]).dir(&dir).stdin("own").expect(0);
    assert_eq!(with(&bound, &script).out(), "own own\n");
    // One that may not list finds out by asking.
    let blind = token(&["--scope", "reveal", "--secret", "SHOP__*"]);
    assert_eq!(with(&blind, &script).out(), "own own\n");
    with(&blind, &["check"]).assert_code(5);
    // One of another project sees nothing of this one.
    let other = token(&["--scope", "reveal,list,write", "--secret", "OTHER__*"]);
    with(&other, &script).assert_code(125);
    env.ctl(["lock"]).expect(0);
    env.ctl(["check"]).dir(&dir).run().assert_code(3);
    let output = env.ctl(script).dir(&dir).run();
    output.assert_code(125);
    assert!(output.err().contains("secretctl unlock"), "{}", output.err());
}

#[test]
fn a_ci_that_sets_the_variables_needs_no_vault() {
    let env = Env::new(programs!());
    let text = "A = { description = \"a\" }\nB = { description = \"b\", composed = \"<${A}>\" }";
    let dir = checkout(&env, "shop", &manifest("shop", text));
    let line = ["run", "--or-env", "--no-spawn", "--", "sh", "-c", "echo $A $B"];
    // It must be allowed there, too.
    env.ctl(line).dir(&dir).env("A", "ci").run().assert_code(125);
    env.ctl(["project", "allow", "--yes", "--no-spawn"]).dir(&dir).expect(0);
    assert_eq!(env.ctl(line).dir(&dir).env("A", "ci").expect(0), "ci <ci>\n");
    assert_eq!(env.ctl(line).dir(&dir).env("A", "ci").env("B", "ci").expect(0), "ci ci\n");
    assert_eq!(env.listener(), None);
    let output = env.ctl(line).dir(&dir).run();
    output.assert_code(125);
    assert!(output.err().contains("missing: A, B"), "{}", output.err());
    // What may be left out is, without a vault.
    write(
        &dir,
        "secretspec.toml",
        &manifest("shop", "A = { description = \"a\" }\nC = { description = \"c\", required = false }"),
    );
    env.ctl(["project", "allow", "--yes", "--no-spawn"]).dir(&dir).expect(0);
    assert_eq!(env.ctl(line).dir(&dir).env("A", "ci").expect(0), "ci\n");
}

#[test]
fn a_reason_is_asked_for_where_the_manifest_wants_one() {
    let env = Env::unlocked(programs!());
    for (policy, variable, code) in [
        ("true", "X", 2),
        ("false", "CLAUDECODE", 0),
        ("\"agents\"", "X", 0),
        ("\"agents\"", "CLAUDECODE", 2),
        ("\"agents\"", "SECRETSPEC_AGENT", 2),
    ] {
        let text = manifest("shop", "A = { description = \"a\", default = \"x\" }");
        let dir = checkout(
            &env,
            "shop",
            &text.replace("revision", &format!("require_reason = {policy}\nrevision")),
        );
        allow(&env, &dir);
        let run = |line: &[&str]| env.ctl(line).dir(&dir).env(variable, "1").run();
        run(&["run", "--", "true"]).assert_code(code);
        run(&["run", "--reason", " ", "--", "true"]).assert_code(code);
        run(&["run", "--reason", "tests", "--", "true"]).assert_code(0);
        run(&["export"]).assert_code(code);
        run(&["get", "A", "--project"]).assert_code(code);
        run(&["check"]).assert_code(0);
    }
}

#[test]
fn export_and_inject_know_the_manifest() {
    let (env, dir) = shop(
        "A = { description = \"a\" }\nB = { description = \"b\", composed = \"<${A}>\" }\n[scopes.s]\nsecrets = [\"B\"]",
    );
    env.store("SHOP__A", "own");
    env.store("A", "of the vault");
    env.store("Z", "z");
    assert_eq!(env.ctl(["export"]).dir(&dir).expect(0), "A='own'\nB='<own>'\n");
    assert_eq!(env.ctl(["export", "--scope", "s", "-s", "Z"]).dir(&dir).expect(0), "Z='z'\nB='<own>'\n");
    // Without a word of a project it means what it always meant.
    assert_eq!(env.ctl(["export", "-s", "A"]).dir(&dir).expect(0), "A='of the vault'\n");
    let inject = |flags: &[&str]| {
        let line = [&["inject"], flags].concat();
        env.ctl(line).dir(&dir).stdin("{{ secret:A }} {{ secret:B }} {{ secret:Z }}").run()
    };
    assert_eq!(inject(&["--profile", "default"]).out(), "own <own> z");
    inject(&[]).assert_code(4);
    env.ctl(["export"]).dir(&env.path("home")).run().assert_code(2);
    let scoped = env.ctl(["inject", "--scope", "s"]).dir(&dir).stdin("{{ secret:A }} {{ secret:B }}");
    assert_eq!(scoped.expect(0), "of the vault <own>");
}
