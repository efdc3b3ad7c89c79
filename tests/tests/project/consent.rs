//! Consent: what was allowed, and nothing else. Everything that reads values asks for it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use secretsd_tests::harness::skip;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, programs};

use crate::{allow, checkout, manifest, printed, shop, write};

const A: &str = "A = { description = \"a\" }";

#[test]
fn nothing_is_given_before_the_owner_has_said_so() {
    let env = Env::unlocked(programs!());
    env.store("SHOP__A", "canary");
    env.store("A", "canary");
    let dir = checkout(&env, "shop", &manifest("shop", A));
    for (code, line) in [
        (125, &["run", "--", "env"][..]),
        (125, &["run", "--profile", "default", "-s", "A", "--", "env"]),
        (5, &["get", "A", "--project"]),
        (5, &["export"]),
        (5, &["export", "-s", "A", "--profile", "default"]),
        (5, &["inject", "--profile", "default"]),
        (5, &["set", "B", "--project"]),
        (5, &["rm", "A", "--project"]),
        (5, &["list", "--project"]),
        (5, &["history", "A", "--project"]),
        (5, &["import", "secretspec.toml", "--project"]),
        (5, &["check", "--fill"]),
    ] {
        let output = env.ctl(line).dir(&dir).stdin("{{ secret:A }}").run();
        output.assert_code(code);
        assert!(output.err().contains("secretctl project allow"), "{line:?}: {}", output.err());
    }
    // What is there may be known; with the shared name it would be, too, if that had been allowed.
    let checked = env.ctl(["check"]).dir(&dir).run();
    checked.assert_code(0);
    assert!(checked.err().contains("not allowed"), "{}", checked.err());
    let lacking = checkout(&env, "lacking", &manifest("lacking", "X = { description = \"x\" }"));
    let checked = env.ctl(["check"]).dir(&lacking).run();
    assert_eq!(checked.code, Some(4));
    assert!(
        checked.err().contains("missing: X; allow it with: secretctl project allow"),
        "{}",
        checked.err()
    );
    assert_eq!(checked.err().matches("secretctl project allow").count(), 1, "{}", checked.err());
    // Nobody is there to ask, and nothing is allowed by that.
    env.ctl(["project", "allow"]).dir(&dir).run();
    env.ctl(["run", "--", "env"]).dir(&dir).run().assert_code(125);
    allow(&env, &dir);
    assert_eq!(printed(&env, &dir, &[], "echo $A"), "canary\n");
}

#[test]
fn a_changed_manifest_gets_nothing_until_it_is_allowed_again() {
    let (env, dir) =
        shop("A = { description = \"a\", required = false }\nB = { description = \"b\", default = \"x\" }");
    let run = |code: i32| {
        let output = env.ctl(["run", "--", "true"]).dir(&dir).run();
        output.assert_code(code);
        output.err()
    };
    run(0);
    let change = |secrets: &str| write(&dir, "secretspec.toml", &manifest("shop", secrets));
    change(
        "# so\nA = { required = false, description = \"something else\" }\nB = { description = \"b\", default = \"x\" }",
    );
    run(0);
    for (secrets, difference) in [
        (
            "A = { description = \"a\", required = false }\nB = { description = \"b\", default = \"y\" }",
            "changed: B",
        ),
        ("A = { description = \"a\", required = false }", "gone: B"),
        (
            "A = { description = \"a\", required = false }\nB = { description = \"b\", default = \"x\" }\nC = { description = \"c\", default = \"x\" }",
            "new: C",
        ),
        (
            "A = { description = \"a\", required = false }\nB = { description = \"b\", default = \"x\" }\n[profiles.p]\nC = { description = \"c\", default = \"x\" }",
            "C (p)",
        ),
    ] {
        change(secrets);
        assert!(run(125).contains(difference), "{secrets}: {}", run(125));
        // Also where the command line names secrets of its own.
        env.store("Z", "z");
        env.ctl(["run", "-s", "Z", "--", "true"]).dir(&dir).run().assert_code(125);
        env.ctl(["run", "-s", "Z", "--no-manifest", "--", "true"]).dir(&dir).expect(0);
        env.ctl(["rm", "Z"]).expect(0);
    }
    write(&dir, "secretspec.toml", &manifest("other", "A = { description = \"a\", required = false }"));
    assert!(run(125).contains("its names are OTHER__*, and were SHOP__*"));
    allow(&env, &dir);
    run(0);
}

#[test]
fn what_a_manifest_extends_is_part_of_it() {
    let env = Env::unlocked(programs!());
    let text = manifest("shop", "B = { description = \"b\", default = \"x\" }")
        .replace("revision", "extends = [\"shared\"]\nrevision");
    let dir = checkout(&env, "shop", &text);
    write(&dir, "shared/secretspec.toml", &manifest("s", "A = { description = \"a\", default = \"x\" }"));
    allow(&env, &dir);
    assert_eq!(printed(&env, &dir, &[], "echo $A$B"), "xx\n");
    write(&dir, "shared/secretspec.toml", &manifest("s", "A = { description = \"a\", default = \"y\" }"));
    let output = env.ctl(["run", "--", "true"]).dir(&dir).run();
    output.assert_code(125);
    assert!(output.err().contains("changed: A"), "{}", output.err());
}

#[test]
fn a_checkout_that_was_moved_or_copied_is_another_one() {
    let (env, dir) = shop("A = { description = \"a\", default = \"x\" }");
    let link = env.path("home/link");
    symlink(&dir, &link).unwrap();
    // By another way to the same place it is the same.
    assert_eq!(printed(&env, &link, &[], "echo $A"), "x\n");
    let copy = checkout(&env, "copy", &fs::read_to_string(dir.join("secretspec.toml")).unwrap());
    env.ctl(["run", "--", "true"]).dir(&copy).run().assert_code(125);
    let moved = env.path("home/moved");
    fs::rename(&dir, &moved).unwrap();
    let output = env.ctl(["run", "--", "true"]).dir(&moved).run();
    output.assert_code(125);
    assert!(output.err().contains("only where it was before, in"), "{}", output.err());
    // Something else in the old place.
    fs::rename(&moved, &dir).unwrap();
    fs::remove_file(dir.join("secretspec.toml")).unwrap();
    symlink(copy.join("secretspec.toml"), dir.join("secretspec.toml")).unwrap();
    let output = env.ctl(["run", "--", "true"]).dir(&dir).run();
    output.assert_code(125);
    assert!(output.err().contains("outside of the work tree"), "{}", output.err());
}

#[test]
fn what_was_shown_is_what_is_allowed() {
    let env = Env::unlocked(programs!());
    let dir = checkout(&env, "shop", &manifest("shop", "A = { description = \"a\", default = \"x\" }"));
    let file = dir.join("secretspec.toml");
    let mut terminal = Terminal::ctl(&env, &["project", "allow", "--manifest", file.to_str().unwrap()]);
    terminal.wait_for("SHOP__*?");
    write(&dir, "secretspec.toml", &manifest("shop", "EVIL = { description = \"e\", default = \"x\" }"));
    terminal.type_keys("y\n");
    terminal.expect(0, "allowed shop");
    let output = env.ctl(["run", "--", "true"]).dir(&dir).run();
    output.assert_code(125);
    assert!(output.err().contains("new: EVIL"), "{}", output.err());
}

#[test]
fn a_manifest_of_another_user_is_none() {
    let (env, dir) = shop("A = { description = \"a\", default = \"x\" }");
    let file = dir.join("secretspec.toml");
    if std::os::unix::fs::chown(&file, Some(65_534), None).is_err() {
        return skip("a_manifest_of_another_user_is_none", "only root can give a file away");
    }
    for line in [&["run", "--", "true"][..], &["check"], &["project", "allow", "--yes"]] {
        let output = env.ctl(line).dir(&dir).run();
        assert!(matches!(output.code, Some(5 | 125)), "{line:?}");
        assert!(output.err().contains("belongs to uid 65534"), "{}", output.err());
    }
}

#[test]
fn nothing_in_environment_or_repository_stands_for_consent() {
    let (env, dir) = shop("A = { description = \"a\", default = \"x\" }");
    let book = fs::read_to_string(env.state_dir().join("projects.json")).unwrap();
    env.ctl(["project", "forget"]).dir(&dir).expect(0);
    for variable in ["SECRETSPEC_ALLOW", "SECRETSD_ALLOW", "SECRETCTL_YES", "CI", "SECRETSPEC_AGENT"] {
        env.ctl(["run", "--", "true"]).dir(&dir).env(variable, "1").run().assert_code(125);
    }
    // A repository that brings a state directory of its own, with the modes that a umask of 077 gives it.
    let state = dir.join("state/secretsd");
    fs::create_dir_all(&state).unwrap();
    fs::write(state.join("projects.json"), book).unwrap();
    for (path, mode) in
        [(dir.join("state"), 0o700), (state.clone(), 0o700), (state.join("projects.json"), 0o600)]
    {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    for (variable, path) in [("XDG_STATE_HOME", dir.join("state")), ("SECRETSD_STATE_DIR", state)] {
        let output = env.ctl(["run", "--", "true"]).dir(&dir).env(variable, path).run();
        output.assert_code(125);
        assert!(output.err().contains("lies in the project"), "{}", output.err());
    }
}

#[test]
fn a_record_that_is_damaged_or_open_allows_nothing() {
    let (env, dir) = shop("A = { description = \"a\", default = \"x\" }");
    let file = env.state_dir().join("projects.json");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    let good = fs::read_to_string(&file).unwrap();
    let run = || {
        let output = env.ctl(["run", "--", "true"]).dir(&dir).run();
        output.assert_code(125);
        output.err()
    };
    for bad in
        ["", "{}", "[", &good.replace("\"version\": 1", "\"version\": 2"), &good.replace("sha256", "sha")]
    {
        fs::write(&file, bad).unwrap();
        assert!(run().contains("projects.json is damaged"), "{bad}: {}", run());
        // It is not written over.
        env.ctl(["project", "allow", "--yes"]).dir(&dir).run();
        assert_eq!(fs::read_to_string(&file).unwrap(), bad);
    }
    fs::write(&file, &good).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert!(run().contains("mode 0644"), "{}", run());
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(printed(&env, &dir, &[], "echo $A"), "x\n");
}

#[test]
fn a_manifest_that_was_never_allowed_does_not_stand_in_the_way() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    for text in [manifest("shop", "B = { description = \"b\" }"), "not TOML".to_owned()] {
        let dir = checkout(&env, "shop", &text);
        assert_eq!(printed(&env, &dir, &["-s", "A"], "echo $A"), "x\n");
        env.ctl(["get", "A"]).dir(&dir).expect(0);
        env.ctl(["list"]).dir(&dir).expect(0);
    }
}

#[test]
fn shared_names_are_allowed_one_by_one_and_none_by_itself() {
    let env = Env::unlocked(programs!());
    env.store("A", "shared");
    let dir =
        checkout(&env, "shop", &manifest("shop", "A = { description = \"a\" }\nB = { description = \"b\" }"));
    let shown = env.ctl(["project", "allow", "--yes"]).dir(&dir).expect(0);
    assert!(shown.contains("SHOP__*") && shown.contains("shared    A\n"), "{shown}");
    env.store("B", "shared, but later");
    let output = env.ctl(["run", "--", "true"]).dir(&dir).run();
    assert!(output.err().contains("missing: B;"), "{}", output.err());
    env.ctl(["set", "B", "--project"]).dir(&dir).stdin("own").expect(0);
    assert_eq!(printed(&env, &dir, &[], "echo $A $B"), "shared own\n");
    env.ctl(["set", "A", "--project"]).dir(&dir).stdin("own").expect(0);
    assert_eq!(printed(&env, &dir, &[], "echo $A $B"), "own own\n");
    env.ctl(["project", "allow", "--yes", "--no-shared"]).dir(&dir).expect(0);
    env.ctl(["rm", "A", "--project"]).dir(&dir).expect(0);
    env.ctl(["run", "--", "true"]).dir(&dir).run().assert_code(125);
}

#[test]
fn no_project_gets_the_logins_of_the_helpers() {
    let env = Env::unlocked(programs!());
    for (name, secret) in [
        ("docker", "DOCKER__REGISTRY_EXAMPLE"),
        ("Cargo", "CARGO__CRATES_IO"),
        ("key-ring", "KEY_RING__PYPI_ORG"),
        ("keyring", "KEYRING__PYPI_ORG"),
        ("ansible", "ANSIBLE__PROD"),
    ] {
        env.store(secret, "canary");
        let (_, key) = secret.split_once("__").unwrap();
        let dir = checkout(&env, name, &manifest(name, &format!("{key} = {{ description = \"x\" }}")));
        let output = env.ctl(["project", "allow", "--yes"]).dir(&dir).run();
        if name == "key-ring" {
            // Not theirs; but what is there already is shown before it is given.
            output.assert_code(0);
            assert!(output.out().contains("has now   KEY_RING__PYPI_ORG\n"), "{}", output.out());
            continue;
        }
        output.assert_code(5);
        assert!(output.err().contains("credential helpers"), "{}", output.err());
        env.ctl(["run", "--", "env"]).dir(&dir).run().assert_code(125);
    }
}

#[test]
fn projects_with_the_same_names_are_told_and_listed() {
    let (env, dir) = shop("A = { description = \"a\", default = \"x\" }");
    let other = checkout(&env, "other", &manifest("Shop", "A = { description = \"a\", default = \"x\" }"));
    let shown = env.ctl(["project", "allow", "--yes"]).dir(&other).expect(0);
    assert!(shown.contains(dir.join("secretspec.toml").to_str().unwrap()), "{shown}");
    fs::remove_file(dir.join("secretspec.toml")).unwrap();
    write(&other, "secretspec.toml", "not TOML");
    let list = env.ctl(["project", "list", "--json"]).run().json();
    let told: Vec<(&str, &str)> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|project| (project["project"].as_str().unwrap(), project["state"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("Shop", "unusable"), ("shop", "gone")]);
    env.ctl(["project", "forget", dir.to_str().unwrap()]).expect(0);
    env.ctl(["project", "forget", dir.to_str().unwrap()]).run().assert_code(4);
    env.ctl(["project", "forget"]).dir(&other).expect(0);
    assert_eq!(env.ctl(["project", "list"]).expect(0), "");
}

/// The project's own names need no look into the vault; what is shared does.
#[test]
fn a_project_is_allowed_without_a_daemon() {
    let env = Env::new(programs!());
    let dir = checkout(&env, "shop", &manifest("shop", A));
    let output = env.ctl(["project", "allow", "--yes", "--no-spawn"]).dir(&dir).run();
    output.assert_code(0);
    assert!(output.err().contains("no name is shared"), "{}", output.err());
    env.ctl(["check", "--no-spawn"]).dir(&dir).run().assert_code(8);
    env.ctl(["run", "--no-spawn", "--", "true"]).dir(&dir).run().assert_code(125);
    assert_eq!(env.ctl(["uses", "SHOP__A", "--json"]).run().json()[0]["key"], "A");
}
