//! The hook before a commit, run by git.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use secretsd_tests::process;

use crate::{Tree, VALUE};

/// How a commit ended, and what was said. As by a program with windows: without a terminal, and with few variables.
pub(crate) fn commit(tree: &Tree, more: &[&str]) -> (bool, String) {
    let mut command = Command::new("setsid");
    command.args(["git", "commit", "--quiet", "-m", "x"]).args(more).current_dir(&tree.dir);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", tree.env.path("home")).env("XDG_RUNTIME_DIR", tree.env.path("run"));
    let (_, output) = process::run(&mut command, b"");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("canary"), "{said}");
    (output.status.success(), said)
}

pub(crate) fn install(tree: &Tree) -> String {
    let output = tree.ctl(&["scan", "--install-hook"]).run();
    output.assert_code(0);
    output.err()
}

fn executable(tree: &Tree, path: &str, text: &str) {
    tree.write(path, text);
    fs::set_permissions(tree.dir.join(path), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_commit_with_a_value_is_stopped_with_its_name_and_place() {
    let Some(tree) = Tree::repository("a_commit_with_a_value_is_stopped_with_its_name_and_place") else {
        return;
    };
    install(&tree);
    tree.write("clean", "x\n");
    tree.git(&["add", "clean"]);
    let (went, said) = commit(&tree, &[]);
    assert!(went, "{said}");
    tree.write("config.py", format!("\nkey = '{VALUE}'\n"));
    tree.git(&["add", "config.py"]);
    tree.write("config.py", "clean\n");
    let (went, said) = commit(&tree, &[]);
    assert!(!went && said.contains("config.py:2:8 API_KEY clear (staged)\n"), "{said}");
    assert!(
        said.contains("a value of the vault is staged") && said.contains("git commit --no-verify"),
        "{said}"
    );
    assert_eq!(tree.git(&["rev-list", "--count", "HEAD"]), "1");
    // git makes an index of its own for these.
    tree.git(&["reset", "--quiet"]);
    tree.write("clean", VALUE);
    for more in [&["-a"][..], &["clean"], &["--include", "clean"]] {
        let (went, said) = commit(&tree, more);
        assert!(!went && said.contains("clean:1:1 API_KEY clear (staged)"), "{more:?}: {said}");
    }
    // In a work tree beside it.
    let beside = tree.env.path("beside").display().to_string();
    tree.git(&["worktree", "add", "--quiet", &beside]);
    fs::write(tree.env.path("beside/new"), VALUE).unwrap();
    let other = Tree { env: tree.env, dir: beside.into() };
    other.git(&["add", "new"]);
    let (went, said) = commit(&other, &[]);
    assert!(!went && said.contains("new:1:1 API_KEY clear (staged)"), "{said}");
    let (went, said) = commit(&other, &["--no-verify"]);
    assert!(went, "{said}");
}

#[test]
fn while_the_vault_is_locked_or_secretctl_is_gone_no_commit_goes_through() {
    let test = "while_the_vault_is_locked_or_secretctl_is_gone_no_commit_goes_through";
    let Some(mut tree) = Tree::repository(test) else { return };
    install(&tree);
    tree.write("clean", "x\n");
    tree.git(&["add", "clean"]);
    tree.env.ctl(["lock"]).expect(0);
    let (went, said) = commit(&tree, &[]);
    assert!(!went && said.contains("the vault is locked, so nothing was looked for"), "{said}");
    assert!(said.contains("fix: secretctl unlock, then commit again"), "{said}");
    // No daemon, and none can be started.
    tree.env.kill();
    let hook = tree.dir.join(".git/hooks/pre-commit");
    let text = fs::read_to_string(&hook).unwrap();
    fs::write(&hook, text.replace("scan --staged", "--no-spawn scan --staged")).unwrap();
    let (went, said) = commit(&tree, &[]);
    assert!(!went && said.contains("the commit was stopped"), "{said}");
    let client = tree.env.programs().client;
    fs::write(&hook, text.replace(client, "/nonexistent/secretctl").replace("command -v secretctl", "false"))
        .unwrap();
    let (went, said) = commit(&tree, &[]);
    assert!(!went && said.contains("secretctl is gone"), "{said}");
}

#[test]
fn a_hook_that_is_there_is_kept_and_comes_back() {
    let Some(tree) = Tree::repository("a_hook_that_is_there_is_kept_and_comes_back") else { return };
    let before = "#!/bin/sh\necho before \"$@\"\n[ ! -e refuse ] || exit 7\n";
    executable(&tree, ".git/hooks/pre-commit", before);
    assert!(install(&tree).contains("pre-commit.before-secretctl"));
    install(&tree);
    tree.write("file", "x");
    tree.git(&["add", "file"]);
    tree.write("refuse", "");
    let (went, said) = commit(&tree, &[]);
    assert!(!went && said.contains("before"), "{said}");
    fs::remove_file(tree.dir.join("refuse")).unwrap();
    let (went, said) = commit(&tree, &[]);
    assert!(went && said.contains("before"), "{said}");
    tree.write("file", VALUE);
    tree.git(&["add", "file"]);
    assert!(!commit(&tree, &[]).0);
    tree.ctl(&["scan", "--uninstall-hook"]).expect(0);
    assert_eq!(fs::read_to_string(tree.dir.join(".git/hooks/pre-commit")).unwrap(), before);
    assert!(!tree.dir.join(".git/hooks/pre-commit.before-secretctl").exists());
    assert!(commit(&tree, &[]).0);
    // What is not ours is not removed.
    tree.ctl(&["scan", "--uninstall-hook"]).expect(4);
    assert_eq!(fs::read_to_string(tree.dir.join(".git/hooks/pre-commit")).unwrap(), before);
    // Put over ours by another tool: neither is lost.
    install(&tree);
    executable(&tree, ".git/hooks/pre-commit", "#!/bin/sh\n# another\n");
    tree.ctl(&["scan", "--install-hook"]).expect(6);
    assert_eq!(fs::read_to_string(tree.dir.join(".git/hooks/pre-commit.before-secretctl")).unwrap(), before);
}

#[test]
fn where_the_hooks_are_elsewhere_it_is_put_there() {
    let Some(tree) = Tree::repository("where_the_hooks_are_elsewhere_it_is_put_there") else { return };
    tree.git(&["config", "core.hooksPath", "it's hooks"]);
    let said = install(&tree);
    assert!(said.contains("core.hooksPath is set"), "{said}");
    assert!(
        tree.dir.join("it's hooks/pre-commit").exists() && !tree.dir.join(".git/hooks/pre-commit").exists()
    );
    tree.write("file", VALUE);
    tree.git(&["add", "file"]);
    let (went, said) = commit(&tree, &[]);
    assert!(!went && said.contains("file:1:1 API_KEY clear (staged)"), "{said}");
    tree.ctl(&["scan", "--uninstall-hook"]).expect(0);
    assert!(!tree.dir.join("it's hooks/pre-commit").exists());
}
