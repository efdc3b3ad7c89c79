//! What git obeys outside is not the command's to change, in every kind of checkout; and git works inside.

use std::fs;
use std::os::unix::fs::symlink;

use crate::place::{Place, run};

/// Attempts at what git outside would obey; each is to fail.
const ATTEMPTS: &str = r#"
try() { if "$@" 2>/dev/null; then echo "OUT $*"; fi; }
put() { mkdir -p "$(dirname "$1")" && echo x >>"$1"; }
"#;

#[test]
fn git_works_inside_and_its_settings_stay() {
    let Some(place) = Place::new("git_works_inside_and_its_settings_stay") else { return };
    place.git(&["init", "-q"]);
    place.git(&["commit", "-q", "--allow-empty", "-m", "first"]);
    fs::remove_dir_all(place.project.join(".git/hooks")).unwrap();
    let script = format!(
        "{ATTEMPTS}
        set -e
        echo text >file; git add file
        git -c user.name=a -c user.email=a@example.com commit -qm second
        git checkout -qb topic; git mv file moved; git stash -q; git stash pop -q; git reset -q --hard; git gc -q
        git status --short
        set +e
        try put .git/hooks/post-commit
        try git config core.fsmonitor evil
        try put .git/commondir
        try mv .git away
        try ln -s / .git/hooks"
    );
    let output = place.run(&["sh", "-c", &script]);
    assert_eq!(output.out(), "", "{}", output.err());
    assert_eq!(place.git(&["log", "--format=%s"]), "second\nfirst\n");
    assert_eq!(place.git(&["status", "--short"]), "");
    assert!(!place.project.join(".git/commondir").exists() && !place.project.join(".git/hooks").exists());
}

/// Where `.git` is none any more, git takes the directory itself for a repository.
#[test]
fn a_checkout_that_was_made_a_repository_itself_is_told() {
    let Some(place) = Place::new("a_checkout_that_was_made_a_repository_itself_is_told") else { return };
    place.git(&["init", "-q"]);
    let output = place.run(&["sh", "-c", "rm .git/HEAD; git init -q --bare x; mv x/HEAD x/objects x/refs ."]);
    assert!(output.err().contains("was made a repository itself"), "{}", output.err());
}

/// What one fence keeps free, another does, too, when the first ends.
#[test]
fn two_fences_in_one_checkout_keep_it_both() {
    let Some(place) = Place::new("two_fences_in_one_checkout_keep_it_both") else { return };
    place.git(&["init", "-q"]);
    fs::remove_dir_all(place.project.join(".git/hooks")).unwrap();
    let mut first = place.command(&[], &["sh", "-c", "touch first; until [ -e second ]; do :; done"]);
    let mut first = first.spawn().unwrap();
    while !place.project.join("first").exists() {
        std::thread::yield_now();
    }
    let script = "touch second; until [ -e third ]; do :; done; touch .git/hooks/pre-commit && echo OUT";
    let mut second = place.command(&[], &["sh", "-c", script]);
    let mut second = second.stdout(std::process::Stdio::piped()).spawn().unwrap();
    first.wait().unwrap();
    fs::write(place.project.join("third"), "").unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(second.stdout.as_mut().unwrap(), &mut text).unwrap();
    second.wait().unwrap();
    assert_eq!(text, "");
}

/// What is left behind when the command ends has no moment in which nothing keeps it from a repository's place.
#[test]
fn the_end_of_a_fence_is_no_way_out() {
    let Some(place) = Place::new("the_end_of_a_fence_is_no_way_out") else { return };
    let script = "mkdir -p e/.git; for n in $(seq 20); do (while :; do mv -T e/.git .git && break; done) 2>/dev/null & done; exit 0";
    for _ in 0..5 {
        place.run(&["sh", "-c", script]);
        assert!(!place.project.join(".git").exists(), "something outlived the fence");
    }
}

#[test]
fn no_repository_is_made_around_the_user() {
    let Some(place) = Place::new("no_repository_is_made_around_the_user") else { return };
    let sub = place.project.join("sub");
    fs::create_dir(&sub).unwrap();
    let script = format!(
        "{ATTEMPTS} try git init -q; try put .git/config; try rmdir .git; try ln -s / .git; git init -q below && echo made"
    );
    for (dir, is_in_checkout) in [(&place.project, false), (&sub, true)] {
        if is_in_checkout {
            place.git(&["init", "-q"]);
            place.git(&["commit", "-q", "--allow-empty", "-m", "first"]);
        }
        let mut command = place.command(&[], &["sh", "-c", &script]);
        let output = run(command.current_dir(dir));
        assert_eq!(output.out(), "made\n", "{}", output.err());
        assert!(!dir.join(".git").exists() || dir == &place.project && is_in_checkout);
    }
    // From below its top, a checkout is read.
    let mut command = place.command(&[], &["sh", "-c", "git log --format=%s; git rev-parse --show-prefix"]);
    assert_eq!(run(command.current_dir(&sub)).out(), "first\nsub/\n");
}

#[test]
fn submodules_work_trees_and_named_hooks_are_kept_too() {
    let Some(place) = Place::new("submodules_work_trees_and_named_hooks_are_kept_too") else { return };
    let env = &place.world.env;
    let other = env.private_dir("home/other");
    for dir in [&other, &place.project] {
        let dir = dir.to_str().unwrap();
        place.git(&["-C", dir, "init", "-q"]);
        place.git(&["-C", dir, "commit", "-q", "--allow-empty", "-m", "first"]);
    }
    place.git(&["submodule", "--quiet", "add", other.to_str().unwrap(), "parts/sub"]);
    place.git(&["commit", "-qm", "with a submodule"]);
    let tree = env.path("home/tree");
    place.git(&["worktree", "add", "-q", tree.to_str().unwrap()]);
    place.git(&["config", "core.hooksPath", "tools/../hooks"]);
    place.git(&["config", "include.path", "../included"]);
    place.git(&["config", "extensions.worktreeConfig", "true"]);
    place.write("included", "");
    place.write("hooks/pre-commit", "");
    let script = format!(
        "{ATTEMPTS}
        try put .git/modules/parts/sub/config
        try put .git/modules/parts/sub/hooks/post-checkout
        try mv .git/modules/parts .git/modules/away
        try put parts/sub/.git
        try mv parts away
        try put .git/worktrees/tree/commondir
        try put .git/worktrees/tree/gitdir
        try put .git/config.worktree
        try put .git/worktrees/tree/config.worktree
        try put hooks/pre-commit
        try put hooks/post-commit
        try mv hooks away
        try put included
        try mv included away"
    );
    let output = place.run(&["sh", "-c", &script]);
    assert_eq!((output.out().as_str(), output.code), ("", Some(0)), "{}", output.err());

    // From a work tree, the repository elsewhere is read only, unless it is named; then its settings stay all the same.
    let repository = place.project.join(".git");
    let script = format!(
        "{ATTEMPTS} git log -1 --format=%s; try put .git; try mv .git away; try put {0}/HEAD.new; try put {0}/hooks/x; try put {0}/config",
        repository.display()
    );
    let mut command = place.command(&[], &["sh", "-c", &script]);
    let output = run(command.current_dir(&tree));
    assert_eq!(output.out(), "with a submodule\n", "{}", output.err());
    let mut command = place.command(&["--write", repository.to_str().unwrap()], &["sh", "-c", &script]);
    let output = run(command.current_dir(&tree));
    assert_eq!(
        output.out(),
        format!("with a submodule\nOUT put {}/HEAD.new\n", repository.display()),
        "{}",
        output.err()
    );
}

#[test]
fn a_link_in_the_place_of_gits_settings_is_refused() {
    let Some(place) = Place::new("a_link_in_the_place_of_gits_settings_is_refused") else { return };
    place.git(&["init", "-q"]);
    fs::remove_dir_all(place.project.join(".git/hooks")).unwrap();
    fs::create_dir(place.project.join("githooks")).unwrap();
    symlink("../githooks", place.project.join(".git/hooks")).unwrap();
    let output = place.run(&["touch", "ran"]);
    assert_eq!(output.code, Some(125));
    assert!(output.err().contains("symbolic link"), "{}", output.err());
    assert!(!place.project.join("ran").exists());
}

#[test]
fn settings_that_are_replaced_from_outside_meanwhile_are_told() {
    let Some(place) = Place::new("settings_that_are_replaced_from_outside_meanwhile_are_told") else {
        return;
    };
    place.git(&["init", "-q"]);
    let mut command = place.command(&[], &["sh", "-c", "echo ready >ready; until [ -e go ]; do :; done"]);
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let end = std::time::Instant::now() + secretsd_tests::process::DEADLINE;
    while !place.project.join("ready").exists() {
        assert!(std::time::Instant::now() < end, "the command does not start");
        std::thread::yield_now();
    }
    place.git(&["config", "user.name", "me"]);
    place.write("go", "");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains(".git/config was replaced from outside"), "{said}");
}

/// Checkouts below the working directory are somebody's, too, and settings can lead on to others more than once.
#[test]
fn checkouts_below_and_what_settings_include_stay_as_they_are() {
    let Some(place) = Place::new("checkouts_below_and_what_settings_include_stay_as_they_are") else {
        return;
    };
    let nested = place.project.join("vendor/lib");
    fs::create_dir_all(&nested).unwrap();
    for dir in [&place.project, &nested] {
        let dir = dir.to_str().unwrap();
        place.git(&["-C", dir, "init", "-q"]);
        place.git(&["-C", dir, "commit", "-q", "--allow-empty", "-m", "first"]);
    }
    place.git(&["init", "-q", "--bare", "vendor/bare"]);
    place.git(&["config", "include.path", "../one"]);
    let outside = place.world.env.path("home/two");
    place.write("one", &format!("[include]\n\tpath = {} # on\n", outside.display()));
    let three = place.project.join("three");
    fs::write(&outside, format!("[include]\n\tpath = \"{}\"\n", three.display())).unwrap();
    place.write("three", "");
    let script = format!(
        "{ATTEMPTS}
        try put vendor/lib/.git/config
        try put vendor/lib/.git/hooks/post-checkout
        try put vendor/lib/.git/commondir
        try mv vendor/lib/.git vendor/lib/away
        try mv vendor away
        try put vendor/bare/config
        try put vendor/bare/hooks/post-receive
        try put one
        try put three
        try mv three away
        git -C vendor/lib log --format=%s
        echo text >vendor/lib/file && git -C vendor/lib add file && git -C vendor/lib -c user.name=a -c user.email=a@example.com commit -qm second
        git init -q made && git -C made config core.pager x && echo made"
    );
    let output = place.run(&["sh", "-c", &script]);
    assert_eq!(output.out(), "first\nmade\n", "{}", output.err());
    assert_eq!(place.git(&["-C", nested.to_str().unwrap(), "log", "--format=%s"]), "second\nfirst\n");
    // What was kept free is free again.
    assert!(!nested.join(".git/commondir").exists());
}

/// What a fence that was killed has left in the way is gone with the next one.
#[test]
fn what_a_killed_fence_left_goes_with_the_next() {
    let Some(place) = Place::new("what_a_killed_fence_left_goes_with_the_next") else { return };
    place.git(&["init", "-q"]);
    fs::remove_dir_all(place.project.join(".git/hooks")).unwrap();
    let left = [".git/hooks", ".git/commondir"].map(|name| place.project.join(name));
    let mut command = place.command(&[], &["sh", "-c", "touch ready; while :; do :; done"]);
    let mut child = command.spawn().unwrap();
    let end = std::time::Instant::now() + secretsd_tests::process::DEADLINE;
    while !place.project.join("ready").exists() {
        assert!(std::time::Instant::now() < end, "the command does not start");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(left.iter().all(|path| path.exists()));
    let output = place.run(&["true"]);
    assert_eq!(output.code, Some(0), "{}", output.err());
    assert!(left.iter().all(|path| !path.exists()), "{left:?}");
}
