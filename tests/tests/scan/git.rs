//! git's index and history, also in repositories that mean harm.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use secretsd_tests::process;

use crate::{PHRASE, Tree, VALUE};

#[test]
fn the_index_is_looked_at_and_the_work_tree_is_not() {
    let Some(tree) = Tree::repository("the_index_is_looked_at_and_the_work_tree_is_not") else { return };
    let line = format!("\n KEY={VALUE}\n");
    // Before the first commit, too.
    tree.write("first", &line);
    tree.git(&["add", "first"]);
    tree.write("first", "clean");
    assert_eq!(tree.scan(&["--staged"], 10), ["first:2:6 API_KEY clear (staged)"]);
    tree.git(&["add", "first"]);
    tree.write("first", &line);
    assert_eq!(tree.scan(&["--staged"], 0), [""; 0]);
    tree.git(&["commit", "--quiet", "-m", "one"]);
    fs::create_dir(tree.dir.join("sub")).unwrap();
    tree.write("sub/b", &line);
    tree.write(format!("sub/{PHRASE}"), "x");
    tree.write("sub/left-out", &line);
    tree.git(&["add", "sub/b", &format!("sub/{PHRASE}")]);
    fs::remove_file(tree.dir.join("sub/b")).unwrap();
    let expected = ["sub/b:2:6 API_KEY clear (staged)", "sub/••••:0:5 PHRASE clear (name, staged)"];
    assert_eq!(tree.scan(&["--staged"], 10), expected);
    // From below, by the same paths.
    let output = tree.env.ctl(["scan", "--staged"]).dir(&tree.dir.join("sub")).run();
    assert_eq!(crate::told(&output, 10), expected);
    tree.git(&["commit", "--quiet", "-m", "two"]);
    assert_eq!(tree.scan(&["--staged"], 0), [""; 0]);
    // What is removed is no longer there.
    tree.git(&["rm", "--quiet", "--cached", "sub/b"]);
    assert_eq!(tree.scan(&["--staged"], 0), [""; 0]);
}

#[test]
fn what_is_not_merged_yet_is_looked_at() {
    let Some(tree) = Tree::repository("what_is_not_merged_yet_is_looked_at") else { return };
    tree.write("file", "one\n");
    tree.git(&["add", "file"]);
    tree.git(&["commit", "--quiet", "-m", "base"]);
    for (branch, text) in [("other", VALUE), ("main", "two\n")] {
        tree.git(&["checkout", "--quiet", "-B", branch]);
        tree.git(&["checkout", "--quiet", "main"]);
        tree.git(&["checkout", "--quiet", branch]);
        tree.write("file", text);
        tree.git(&["commit", "--quiet", "-a", "-m", branch]);
        tree.git(&["checkout", "--quiet", "main"]);
    }
    let (_, merge) = process::run(&mut tree.git_command(&["merge", "other"]), b"");
    assert!(!merge.status.success(), "the merge has no conflict");
    assert_eq!(tree.scan(&["--staged"], 10), ["file:1:1 API_KEY clear (staged)"]);
}

#[test]
fn all_of_history_is_looked_at_and_each_place_named() {
    let Some(tree) = Tree::repository("all_of_history_is_looked_at_and_each_place_named") else { return };
    let commit = |message: &str| {
        tree.git(&["add", "--all"]);
        tree.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        tree.git(&["rev-parse", "HEAD"])[..12].to_owned()
    };
    tree.write("a/file", format!("\nKEY={VALUE}\n"));
    tree.write("b/copy", format!("\nKEY={VALUE}\n"));
    tree.write(format!("dir-{PHRASE}/x"), "x");
    let first = commit("first");
    tree.git(&["rm", "-r", "--quiet", "."]);
    commit("second");
    let message = commit(&format!("third\n\nwith {VALUE} in it"));
    // On a branch, merged; in a stash; under a tag.
    tree.git(&["checkout", "--quiet", "-b", &PHRASE.replace(' ', "-")]);
    tree.write("branch", format!("{}{VALUE}", "x\n".repeat(9)));
    let branch = commit("branch");
    tree.git(&["checkout", "--quiet", "main"]);
    tree.git(&["merge", "--quiet", "--no-ff", "-m", "merge", "-"]);
    tree.git(&["tag", "-a", "v1", "-m", &format!("{PHRASE}!")]);
    let tag = tree.git(&["rev-parse", "v1"])[..12].to_owned();
    tree.env.store("BRANCH", &PHRASE.replace(' ', "-"));
    // Of no commit.
    tree.write("lost", format!("lost {VALUE}"));
    let lost = tree.git(&["hash-object", "-w", "lost"])[..12].to_owned();
    fs::remove_file(tree.dir.join("lost")).unwrap();
    let mut expected = vec![
        format!("a/file:2:5 API_KEY clear (commit {first})"),
        format!("b/copy:2:5 API_KEY clear (commit {first})"),
        format!("branch:10:1 API_KEY clear (commit {branch})"),
        format!("commit {message}:3:6 API_KEY clear"),
        format!("dir-••••:0:5 PHRASE clear (name, commit {first})"),
        format!("object {lost}:1:6 API_KEY clear (in no commit of a branch or tag)"),
        "refs/heads/••••:0:12 BRANCH clear (name)".to_owned(),
        format!("tag {tag}:1:1 PHRASE clear"),
    ];
    expected.sort();
    assert_eq!(tree.scan(&["--history"], 10), expected);
    // Packed it is the same.
    tree.git(&["gc", "--quiet", "--prune=all"]);
    expected.retain(|line| !line.starts_with("object"));
    assert_eq!(tree.scan(&["--history"], 10), expected);
}

#[test]
fn a_repository_that_means_harm_runs_nothing_and_hides_nothing() {
    let Some(tree) = Tree::repository("a_repository_that_means_harm_runs_nothing_and_hides_nothing") else {
        return;
    };
    tree.write("file", format!("KEY={VALUE}\n"));
    tree.write("-c\nodd\x1b]0;x\x07", VALUE);
    tree.write(".gitattributes", "* diff=evil filter=evil -text\n*.x export-ignore\n");
    tree.git(&["add", "--all"]);
    tree.git(&["commit", "--quiet", "-m", "one"]);
    let commit = tree.git(&["rev-parse", "HEAD"]);
    // A clean object in the place of the file's, and history that begins later.
    let blob = tree.git(&["rev-parse", "HEAD:file"]);
    tree.env.private_file("clean", "clean\n");
    let clean = tree.git(&["hash-object", "-w", &tree.env.path("clean").display().to_string()]);
    tree.git(&["replace", &blob, &clean]);
    tree.write("staged", format!("x {VALUE}"));
    tree.git(&["add", "staged"]);
    let id = tree.git(&["rev-parse", ":staged"]);
    // Everything that git could be told to run leaves a mark.
    let mark = tree.env.path("mark");
    let evil =
        tree.env.private_file("evil", format!("#!/bin/sh\necho \"$0 $*\" >>{}\ncat\n", mark.display()));
    fs::set_permissions(&evil, fs::Permissions::from_mode(0o700)).unwrap();
    let evil = evil.display().to_string();
    for setting in [
        "core.fsmonitor",
        "diff.external",
        "diff.evil.textconv",
        "diff.evil.command",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "gpg.program",
        "core.pager",
        "core.sshCommand",
        "core.alternateRefsCommand",
        "core.askPass",
        "core.editor",
        "core.gitProxy",
        "credential.helper",
        "remote.origin.uploadpack",
        "pager.diff-index",
        "pager.cat-file",
        "pager.rev-list",
        "uploadpack.packObjectsHook",
        "trace2.eventTarget",
        "alias.cat-file",
        "alias.ls-files",
    ] {
        tree.git(&["config", setting, &evil]);
    }
    for (setting, value) in
        [("log.showSignature", "true"), ("protocol.allow", "always"), ("diff.orderFile", "/dev/null")]
    {
        tree.git(&["config", setting, value]);
    }
    for hook in
        ["post-index-change", "pre-commit", "reference-transaction", "post-checkout", "fsmonitor-watchman"]
    {
        let path = tree.dir.join(".git/hooks").join(hook);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(&evil, path).unwrap();
    }
    fs::write(tree.dir.join(".git/info/grafts"), format!("{commit}\n")).unwrap();
    let short = &commit[..12];
    let odd = "-c\u{fffd}odd\u{fffd}]0;x\u{fffd}";
    let variables = [
        ("GIT_DIR", "/nonexistent"),
        ("GIT_INDEX_FILE", "/nonexistent"),
        ("GIT_EXTERNAL_DIFF", evil.as_str()),
        ("GIT_PAGER", &evil),
        ("GIT_TRACE", &evil),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "core.fsmonitor"),
        ("GIT_CONFIG_VALUE_0", &evil),
        ("GIT_REPLACE_REF_BASE", "refs/replace/"),
        ("GIT_SSH_COMMAND", &evil),
        ("GIT_OBJECT_DIRECTORY", "/nonexistent"),
    ];
    let scan = |arguments: &[&str]| {
        let mut ctl = tree.ctl(arguments);
        for (name, value) in variables {
            ctl = ctl.env(name, value);
        }
        crate::told(&ctl.run(), 10)
    };
    assert_eq!(scan(&["scan", "--staged"]), ["staged:1:3 API_KEY clear (staged)"]);
    let history = scan(&["scan", "--history"]);
    for line in [
        format!("file:1:5 API_KEY clear (commit {short})"),
        format!("{odd}:1:1 API_KEY clear (commit {short})"),
    ] {
        assert!(history.contains(&line), "{line:?}: {history:#?}");
    }
    let files = scan(&["scan"]);
    assert!(files.contains(&"file:1:5 API_KEY clear".to_owned()), "{files:?}");
    // An object that is not here is not fetched.
    tree.git(&["config", "extensions.partialClone", "origin"]);
    tree.git(&["config", "remote.origin.promisor", "true"]);
    for address in
        [format!("ext::{evil}"), tree.dir.display().to_string(), "ssh://example.invalid/x".to_owned()]
    {
        tree.git(&["config", "remote.origin.url", &address]);
        let object = tree.dir.join(".git/objects").join(&id[..2]).join(&id[2..]);
        let aside = tree.env.path("aside");
        fs::rename(&object, &aside).unwrap();
        let output = tree.ctl(&["scan", "--staged"]).run();
        assert_eq!(output.code, Some(1), "{}", output.err());
        assert!(output.err().contains("not everything could be looked at"), "{}", output.err());
        fs::rename(&aside, &object).unwrap();
    }
    assert!(!mark.exists(), "{}", fs::read_to_string(&mark).unwrap());
}

#[test]
fn without_a_repository_that_is_said() {
    let tree = Tree::new();
    for what in ["--staged", "--history"] {
        let output = tree.ctl(&["scan", what]).run();
        assert_eq!(output.code, Some(1));
        assert!(output.err().contains("not a git repository"), "{}", output.err());
    }
}

#[test]
fn a_damaged_history_is_not_taken_for_a_whole_one() {
    let Some(tree) = Tree::repository("a_damaged_history_is_not_taken_for_a_whole_one") else { return };
    tree.write("file", "x".repeat(5_000));
    tree.git(&["add", "file"]);
    tree.git(&["commit", "--quiet", "-m", "one"]);
    assert_eq!(tree.scan(&["--history"], 0), [""; 0]);
    let id = tree.git(&["rev-parse", "HEAD:file"]);
    let object = tree.dir.join(".git/objects").join(&id[..2]).join(&id[2..]);
    fs::set_permissions(&object, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&object, "damaged").unwrap();
    assert_eq!(tree.scan(&["--history"], 1), [""; 0]);
}
