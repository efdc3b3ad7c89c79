//! A tree of files: their names, what they hold, and what links lead to. No link is followed, and nothing is opened that is
//! no file: what is in a tree may be another's.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use ignore::{DirEntry, WalkBuilder, WalkState};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use crate::git::Git;
use crate::hits::{Hits, hit};
use crate::report::{Place, Report};
use crate::stream::Scanner;
use crate::values::Sought;

const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY)
    // Opening a FIFO that was put there in the meantime must not wait for its other end.
    .union(OFlags::NONBLOCK);

/// Scans the working directory as git sees it: what is ignored is left out, unless git has it all the same.
pub(crate) fn here(sought: &Arc<Sought>, report: &Report) {
    let mut builder = WalkBuilder::new(".");
    // Files of ripgrep's own would hide what git has.
    builder
        .ignore(false)
        .hidden(false)
        .filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git");
    walk(&builder, sought, report);
    let mut scanner = Scanner::new(sought);
    match Git::here().tracked_and_ignored() {
        Ok(paths) => paths.iter().for_each(|path| tracked(path, &mut scanner, report)),
        Err(failure) => report.incomplete("what git has although it ignores it", &failure.message),
    }
}

/// Scans these files and all below these directories, ignored or not.
pub(crate) fn named(paths: &[PathBuf], sought: &Arc<Sought>, report: &Report) {
    let mut paths = paths.iter();
    let Some(first) = paths.next() else { return };
    let mut builder = WalkBuilder::new(first);
    paths.for_each(|path| {
        builder.add(path);
    });
    builder.standard_filters(false).filter_entry(|entry| !is_objects_of_git(entry.path()));
    walk(&builder, sought, report);
}

/// What git keeps compressed, in which nothing can be found: `--history` looks into it.
fn is_objects_of_git(path: &Path) -> bool {
    let is_git = |dir: &Path| {
        dir.components().any(|part| part == Component::Normal(".git".as_ref())) && dir.join("HEAD").is_file()
    };
    path.file_name().is_some_and(|name| name == "objects") && path.parent().is_some_and(is_git)
}

fn walk(builder: &WalkBuilder, sought: &Arc<Sought>, report: &Report) {
    builder.build_parallel().run(|| {
        let mut scanner = Scanner::new(sought);
        Box::new(move |entry| {
            match entry {
                Ok(entry) => visit(&entry, &mut scanner, report),
                Err(error) => {
                    let path = path_of(&error).unwrap_or_default();
                    let why =
                        error.io_error().map_or_else(|| "it cannot be read".to_owned(), io::Error::to_string);
                    report.incomplete(&path.to_string_lossy(), &why);
                }
            }
            WalkState::Continue
        })
    });
}

fn path_of(error: &ignore::Error) -> Option<PathBuf> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path.clone()),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
        ignore::Error::Loop { child, .. } => Some(child.clone()),
        ignore::Error::Partial(errors) => errors.iter().find_map(path_of),
        ignore::Error::Io(_)
        | ignore::Error::Glob { .. }
        | ignore::Error::UnrecognizedFileType(_)
        | ignore::Error::InvalidDefinition => None,
    }
}

fn visit(entry: &DirEntry, scanner: &mut Scanner, report: &Report) {
    let path = entry.path();
    let path = path.strip_prefix("./").ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(path);
    if entry.depth() > 0 {
        name(path, scanner, report);
    }
    // A path that was named is followed where it leads.
    let is_named = entry.depth() == 0;
    let kind =
        if is_named { fs::metadata(path).map(|data| data.file_type()).ok() } else { entry.file_type() };
    let Some(kind) = kind else { return report.incomplete(&path.to_string_lossy(), "it is gone") };
    if kind.is_dir() {
        return;
    }
    if kind.is_symlink() {
        return link(path, scanner, report);
    }
    if !kind.is_file() {
        return report.skipped(path, what(kind));
    }
    let flags = if is_named { FLAGS } else { FLAGS | OFlags::NOFOLLOW };
    read(path, openat(CWD, path, flags, Mode::empty()), scanner, report);
}

/// A file that git has although it ignores it. No part of its path is followed.
fn tracked(path: &Path, scanner: &mut Scanner, report: &Report) {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    match openat2(CWD, path, FLAGS, Mode::empty(), resolve) {
        // It is not in the work tree, or a link.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {}
        opened => {
            name(path, scanner, report);
            read(path, opened, scanner, report);
        }
    }
}

fn read(
    path: &Path,
    opened: Result<std::os::fd::OwnedFd, rustix::io::Errno>,
    scanner: &mut Scanner,
    report: &Report,
) {
    let looked = opened.map_err(io::Error::from).and_then(|opened| {
        let mut file = File::from(opened);
        let kind = file.metadata()?.file_type();
        if kind.is_file() { scanner.hits(&mut file).map(Ok) } else { Ok(Err(kind)) }
    });
    match looked {
        Ok(Ok(hits)) => report.hits(&Place::File(path), &hits),
        Ok(Err(kind)) => report.skipped(path, what(kind)),
        Err(error) => report.incomplete(&path.to_string_lossy(), &error.to_string()),
    }
}

/// What of a path its last part has, or completes.
fn name(path: &Path, scanner: &mut Scanner, report: &Report) {
    let bytes = path.as_os_str().as_bytes();
    let hits = in_name(bytes, scanner);
    if !hits.is_empty() {
        report.hits(&Place::Name(path), &hits);
    }
}

/// The values in the last part of a path, or that end in it, in line 0.
pub(crate) fn in_name(path: &[u8], scanner: &mut Scanner) -> Hits {
    let last = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let mut hits = Hits::default();
    scanner.found_after(path, last, |found| {
        hits.push(hit(&found, 0, found.start as u64 + 1, found.start as u64, false));
    });
    hits
}

fn link(path: &Path, scanner: &mut Scanner, report: &Report) {
    match fs::read_link(path) {
        Ok(target) => report.hits(&Place::Link(path), &scanner.hits_in(&target.into_os_string().into_vec())),
        Err(error) => report.incomplete(&path.to_string_lossy(), &error.to_string()),
    }
}

fn what(kind: fs::FileType) -> &'static str {
    if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_dir() {
        "a directory"
    } else {
        "a device"
    }
}
