//! Where a manifest is looked for, and what is no manifest.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use secretsd_tests::{Env, programs};

use crate::{allow, checkout, manifest, printed, shop, write};

/// A secret that needs no vault.
const A: &str = "A = { description = \"a\", default = \"x\" }";

#[test]
fn a_manifest_is_found_above_up_to_the_work_tree_and_no_further() {
    let (env, dir) = shop(A);
    fs::create_dir_all(dir.join("a/b")).unwrap();
    assert_eq!(printed(&env, &dir.join("a/b"), &[], "echo $A"), "x\n");
    // A submodule, or a work tree of its own, has a file in the place of the directory.
    write(&dir, "a/.git", "gitdir: ../.git/modules/a");
    env.ctl(["run", "--", "true"]).dir(&dir.join("a/b")).run().assert_code(2);
    fs::remove_file(dir.join("a/.git")).unwrap();
    for name in ["HEAD", "objects/x", "refs/x"] {
        write(&dir, &format!("a/{name}"), "");
    }
    env.ctl(["run", "--", "true"]).dir(&dir.join("a/b")).run().assert_code(2);
    // Not beyond the user's home, and in it also where it is a work tree itself.
    let home = env.path("home");
    fs::create_dir_all(home.join("plain/deep")).unwrap();
    fs::write(env.path("secretspec.toml"), manifest("above", A)).unwrap();
    env.ctl(["check"]).dir(&home.join("plain")).run().assert_code(2);
    write(&home, "secretspec.toml", &manifest("dotfiles", A));
    fs::create_dir(home.join(".git")).unwrap();
    allow(&env, &home.join("plain"));
    assert_eq!(printed(&env, &home.join("plain/deep"), &[], "echo $A"), "x\n");
}

#[test]
fn gits_own_work_trees_and_submodules_are_boundaries() {
    let env = Env::unlocked(programs!());
    let git = |dir: &std::path::Path, arguments: &[&str]| {
        let mut command: Command = env.command("git");
        command.args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@localhost",
            "-c",
            "protocol.file.allow=always",
        ]);
        let output = command.args(arguments).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let home = env.path("home");
    let dir = home.join("shop");
    fs::create_dir(&dir).unwrap();
    git(&dir, &["init", "-q"]);
    write(&dir, "secretspec.toml", &manifest("shop", A));
    git(&dir, &["add", "."]);
    git(&dir, &["commit", "-qm", "x"]);
    git(&dir, &["worktree", "add", "-q", "../second"]);
    git(&dir, &["worktree", "add", "-q", "inside"]);
    fs::remove_file(dir.join("inside/secretspec.toml")).unwrap();
    allow(&env, &dir);
    assert_eq!(printed(&env, &dir, &[], "echo $A"), "x\n");
    // Another work tree is another place, which is allowed by itself; one without a manifest has not that of the one around.
    env.ctl(["run", "--", "true"]).dir(&home.join("second")).run().assert_code(125);
    env.ctl(["run", "--", "true"]).dir(&dir.join("inside")).run().assert_code(2);
    fs::create_dir(home.join("part")).unwrap();
    git(&home.join("part"), &["init", "-q"]);
    write(&home.join("part"), "x", "");
    git(&home.join("part"), &["add", "."]);
    git(&home.join("part"), &["commit", "-qm", "x"]);
    git(&dir, &["submodule", "--quiet", "add", "../part", "part"]);
    env.ctl(["run", "--", "true"]).dir(&dir.join("part")).run().assert_code(2);
}

#[test]
fn what_is_no_file_of_the_work_tree_is_no_manifest() {
    let env = Env::unlocked(programs!());
    let dir = checkout(&env, "shop", "");
    let file = dir.join("secretspec.toml");
    fs::write(env.path("home/outside.toml"), manifest("outside", A)).unwrap();
    let replace: [(&str, &dyn Fn()); 5] = [
        ("outside of the work tree", &|| symlink("../outside.toml", &file).unwrap()),
        ("not a regular file", &|| symlink("/dev/zero", &file).unwrap()),
        ("not a regular file", &|| fs::create_dir(&file).unwrap()),
        ("not a regular file", &|| {
            assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        }),
        ("more than 1048576 bytes", &|| fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap()),
    ];
    for (reason, make) in replace {
        if file.is_dir() && !file.is_symlink() {
            fs::remove_dir(&file).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }
        make();
        for line in [&["check"][..], &["project", "allow", "--yes"], &["run", "--", "true"]] {
            let output = env.ctl(line).dir(&dir).run();
            assert!(matches!(output.code, Some(5 | 125)), "{line:?}: {}", output.err());
            assert!(output.err().contains(reason), "{reason}: {}", output.err());
        }
    }
}

#[test]
fn nothing_outside_is_extended() {
    let env = Env::unlocked(programs!());
    let home = env.path("home");
    write(&home, "outside/secretspec.toml", &manifest("outside", "B = { description = \"b\" }"));
    let dir = checkout(&env, "shop", "");
    symlink("../outside", dir.join("way-out")).unwrap();
    symlink("loop", dir.join("loop")).unwrap();
    let absolute = home.join("outside");
    for entry in
        ["../outside", "way-out", absolute.to_str().unwrap(), "loop", "/dev/zero/x.toml", "none", "a\\u0000b"]
    {
        let text = manifest("shop", A).replace("revision", &format!("extends = [\"{entry}\"]\nrevision"));
        write(&dir, "secretspec.toml", &text);
        let output = env.ctl(["check"]).dir(&dir).run();
        output.assert_code(7);
        assert!(output.err().contains("secretspec.toml:3: project.extends: entry 1: "), "{}", output.err());
    }
}

#[test]
fn faults_are_told_by_file_line_and_key_and_no_value_is() {
    let env = Env::unlocked(programs!());
    let dir = checkout(&env, "shop", "");
    for (text, expected) in [
        (
            format!("{A}\nB = {{ description = \"b\", requierd = \"canary\" }}"),
            ":7: profiles.default.B.requierd: no such key",
        ),
        (format!("{A}\n[providers.x]\nurl = \"canary\"\n[extra]"), ":9: extra: no such key"),
        (format!("{A}\nB = \"canary\""), ":7: profiles.default.B: must be a table"),
        (
            format!("{A}\nB = {{ description = \"b\", ref = {{ item = \"canary\" }} }}"),
            ":7: profiles.default.B.ref: ",
        ),
        (format!("{A}\nsk-proj-canarycanarycanary = \"x\""), ":7: must be a table"),
        (format!("{A}\nB = canary"), ":7: not TOML: "),
    ] {
        write(&dir, "secretspec.toml", &manifest("shop", &text));
        let output = env.ctl(["check"]).dir(&dir).run();
        output.assert_code(7);
        assert!(output.err().contains(&format!("secretspec.toml{expected}")), "{expected}: {}", output.err());
        assert!(!output.err().contains("canary"), "{}", output.err());
    }
    fs::write(dir.join("secretspec.toml"), b"[project]\n\xff").unwrap();
    let output = env.ctl(["check"]).dir(&dir).run();
    output.assert_code(7);
    assert!(output.err().contains("secretspec.toml:2: not UTF-8 text"), "{}", output.err());
}

#[test]
fn a_manifest_may_be_named_and_left_out() {
    let (env, dir) = shop(A);
    let elsewhere = env.path("home");
    let file = dir.join("secretspec.toml");
    let named = ["--manifest", file.to_str().unwrap()];
    assert_eq!(printed(&env, &elsewhere, &named, "echo $A"), "x\n");
    env.ctl(["run", "--no-manifest", "--", "true"]).dir(&dir).run().assert_code(2);
    env.ctl(["check"]).dir(&elsewhere).run().assert_code(2);
    env.ctl(["check", "--manifest", "none.toml"]).dir(&elsewhere).run().assert_code(5);
    env.ctl(["run", "--manifest", "x", "--no-manifest", "--", "true"]).run().assert_code(2);
}
