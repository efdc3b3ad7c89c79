//! What is staged: each file of git's index that differs from the last commit, as it would be committed. The work tree is
//! not looked at.

use std::collections::HashMap;
use std::io::{self, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::thread;

use crate::failure::Failure;
use crate::files::in_name;
use crate::git::{Git, Kind, Next, Objects};
use crate::report::{Place, Report};
use crate::stream::Scanner;
use crate::values::Sought;

/// A submodule's commit is no object of this repository.
const SUBMODULE: &[u8] = b"160000";

/// The paths of each object.
type Staged = HashMap<String, Vec<Vec<u8>>>;

/// Scans it. `is_hook` says that git has started us before a commit, which may have an index of its own.
pub(crate) fn scan(is_hook: bool, sought: &Arc<Sought>, report: &Report) -> Result<(), Failure> {
    let git = Git::of_hook(is_hook);
    let staged = staged(&git)?;
    let mut scanner = Scanner::new(sought);
    for path in staged.values().flatten() {
        let hits = in_name(path, &mut scanner);
        if !hits.is_empty() {
            report.hits(&Place::Staged(path), &hits);
        }
    }
    let mut running = git.start(&["cat-file", "--batch", "--buffer"], Stdio::piped())?;
    let (stdin, stdout) = (running.stdin(), running.stdout()?);
    let mut ids: Vec<&str> = staged.keys().map(String::as_str).collect();
    ids.sort_unstable();
    let asked: String = ids.iter().flat_map(|id| [*id, "\n"]).collect();
    let looked = thread::scope(|scope| {
        // git answers while it is still asked.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(asked.as_bytes())));
        look(&mut Objects::new(stdout), &staged, &mut scanner, report)
    });
    match looked {
        Ok(seen) if running.ended_well() && seen == staged.len() => {}
        Ok(_) => report.incomplete("the index", "git has not shown all of it"),
        Err(error) => report.incomplete("the index", &error.to_string()),
    }
    Ok(())
}

fn look(objects: &mut Objects, staged: &Staged, scanner: &mut Scanner, report: &Report) -> io::Result<usize> {
    let mut seen = 0;
    while let Some(next) = objects.next()? {
        let object = match next {
            Next::There(object) => object,
            Next::Missing(id) => {
                seen += 1;
                report.incomplete(&format!("object {id}"), "it is not in this repository");
                continue;
            }
        };
        let hits = scanner.hits(&mut objects.content(&object))?;
        objects.leave()?;
        seen += 1;
        for path in staged.get(&object.id).into_iter().flatten().filter(|_| object.kind == Kind::Blob) {
            report.hits(&Place::Staged(path), &hits);
        }
    }
    Ok(seen)
}

/// What is in the index and not in the last commit; all of it if there is none.
fn staged(git: &Git) -> Result<Staged, Failure> {
    // Says what is wrong where there is no repository.
    git.output(&["rev-parse", "--git-dir"])?;
    let mut staged = Staged::new();
    let has_commit = git.agrees(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?;
    if has_commit {
        let raw = git.output(&[
            "diff-index",
            "--cached",
            "--raw",
            "-z",
            "--no-renames",
            "--no-abbrev",
            "HEAD",
            "--",
        ])?;
        let mut fields = raw.split(|byte| *byte == 0);
        while let (Some(record), Some(path)) = (fields.next(), fields.next()) {
            // `:100644 100644 ID ID M`
            let mut words = record.split(|byte| *byte == b' ').skip(1);
            if let (Some(mode), Some(_), Some(id)) = (words.next(), words.next(), words.next()) {
                add(&mut staged, mode, id, path);
            }
        }
    }
    // What is not merged yet is in no such list, and before the first commit everything is new.
    let which = if has_commit { "--unmerged" } else { "--stage" };
    for entry in git.output(&["ls-files", "-z", which, "--full-name", ":/"])?.split(|byte| *byte == 0) {
        // `100644 ID 0\tPATH`
        let Some(tab) = entry.iter().position(|byte| *byte == b'\t') else { continue };
        let (head, path) = entry.split_at(tab);
        let mut words = head.split(|byte| *byte == b' ');
        if let (Some(mode), Some(id), Some(path)) = (words.next(), words.next(), path.get(1..)) {
            add(&mut staged, mode, id, path);
        }
    }
    Ok(staged)
}

fn add(staged: &mut Staged, mode: &[u8], id: &[u8], path: &[u8]) {
    // What is removed has an id of zeros.
    if mode != SUBMODULE && id.iter().any(|digit| *digit != b'0') {
        staged.entry(String::from_utf8_lossy(id).into_owned()).or_default().push(path.to_vec());
    }
}
