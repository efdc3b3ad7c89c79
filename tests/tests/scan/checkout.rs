//! What git has is looked at, whatever a repository does to hide it.

use std::fs;
use std::os::unix::fs::symlink;

use crate::{PHRASE, Tree, VALUE};

#[test]
fn what_git_has_is_found_though_other_readers_of_its_rules_would_hide_it() {
    let Some(tree) =
        Tree::repository("what_git_has_is_found_though_other_readers_of_its_rules_would_hide_it")
    else {
        return;
    };
    // git follows no link to such a file, and knows no braces.
    tree.write("rules", "*.linked\nlinked/\n");
    symlink("rules", tree.dir.join(".gitignore")).unwrap();
    tree.write("braces/.gitignore", "*.{one,two}\n[broken\n{three,four}/\n");
    for name in ["a.linked", "linked/deep/file", "braces/b.one", "braces/three/x"] {
        tree.write(name, format!("KEY={VALUE}\n"));
    }
    tree.write(format!("linked/{PHRASE}/file"), "x");
    symlink(format!("/nowhere/{PHRASE}"), tree.dir.join("c.linked")).unwrap();
    let expected = [
        "a.linked:1:5 API_KEY clear",
        "braces/b.one:1:5 API_KEY clear",
        "braces/three/x:1:5 API_KEY clear",
        "c.linked:1:10 PHRASE clear (link)",
        "linked/deep/file:1:5 API_KEY clear",
        "linked/••••:0:8 PHRASE clear (name)",
    ];
    // Untracked, then tracked; and from below.
    assert_eq!(tree.scan(&[], 10), expected);
    tree.git(&["add", "--all"]);
    assert_eq!(tree.scan(&[], 10), expected);
    tree.git(&["commit", "--quiet", "-m", "one"]);
    assert_eq!(tree.scan(&[], 10), expected);
    let below = Tree { dir: tree.dir.join("braces"), env: tree.env };
    assert_eq!(below.scan(&[], 10), ["b.one:1:5 API_KEY clear", "three/x:1:5 API_KEY clear"]);
    // A link in the place of a directory that git has leads nowhere.
    let tree = Tree { dir: below.dir.parent().unwrap().to_owned(), env: below.env };
    let outside = tree.env.private_dir("outside");
    fs::create_dir(outside.join("deep")).unwrap();
    fs::write(outside.join("deep/file"), VALUE).unwrap();
    fs::remove_dir_all(tree.dir.join("linked")).unwrap();
    symlink(&outside, tree.dir.join("linked")).unwrap();
    assert_eq!(tree.scan(&[], 10), expected[..4]);
}

#[test]
fn checkouts_below_are_looked_at_by_their_own_git() {
    let Some(tree) = Tree::repository("checkouts_below_are_looked_at_by_their_own_git") else { return };
    for dir in ["nested", "linked"] {
        fs::create_dir(tree.dir.join(dir)).unwrap();
        tree.git(&["init", "--quiet", dir]);
        tree.write(format!("{dir}/rules"), "*.hidden\n");
        symlink("rules", tree.dir.join(dir).join(".gitignore")).unwrap();
        tree.write(format!("{dir}/x.hidden"), VALUE);
        tree.write(format!("{dir}/.git/info/exclude"), "left-out\n");
        tree.write(format!("{dir}/left-out"), VALUE);
    }
    // What hides the second of them.
    tree.write("rules", "linked/\n");
    symlink("rules", tree.dir.join(".gitignore")).unwrap();
    let expected = ["linked/x.hidden:1:1 API_KEY clear", "nested/x.hidden:1:1 API_KEY clear"];
    assert_eq!(tree.scan(&[], 10), expected);
    // Also where nothing is around them.
    fs::remove_dir_all(tree.dir.join(".git")).unwrap();
    assert_eq!(tree.scan(&[], 10), expected);
}
