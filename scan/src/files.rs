//! A tree of files: their names, what they hold, and what links lead to. No link is followed, and nothing is opened that is
//! no file: what is in a tree may be another's.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ignore::{DirEntry, WalkBuilder, WalkState};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat};
use rustix::io::Errno;

use crate::hits::{Hits, hit};
use crate::report::{Place, Report};
use crate::stream::Scanner;
use crate::values::Sought;

const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY)
    // Opening a FIFO that was put there in the meantime must not wait for its other end.
    .union(OFlags::NONBLOCK);

/// The paths that a walk came by.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashSet<PathBuf>>);

impl Seen {
    /// All of them.
    pub(crate) fn paths(self) -> HashSet<PathBuf> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one thread came by. It is added when the thread ends: threads do not wait for each other at each file.
struct Own<'a> {
    paths: Vec<PathBuf>,
    all: Option<&'a Seen>,
}

impl Own<'_> {
    fn push(&mut self, path: &Path) {
        if self.all.is_some() {
            self.paths.push(path.to_owned());
        }
    }
}

impl Drop for Own<'_> {
    fn drop(&mut self) {
        if let Some(all) = self.all {
            all.0.lock().unwrap_or_else(PoisonError::into_inner).extend(self.paths.drain(..));
        }
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
    walk(&builder, sought, report, None);
}

/// What git keeps compressed, in which nothing can be found: `--history` looks into it.
fn is_objects_of_git(path: &Path) -> bool {
    let is_git = |dir: &Path| {
        dir.components().any(|part| part == Component::Normal(".git".as_ref())) && dir.join("HEAD").is_file()
    };
    path.file_name().is_some_and(|name| name == "objects") && path.parent().is_some_and(is_git)
}

/// Looks at all that a walk comes by, and notes it.
pub(crate) fn walk(builder: &WalkBuilder, sought: &Arc<Sought>, report: &Report, seen: Option<&Seen>) {
    builder.build_parallel().run(|| {
        let mut scanner = Scanner::new(sought);
        let mut own = Own { paths: Vec::new(), all: seen };
        Box::new(move |entry| {
            match entry {
                Ok(entry) => own.push(visit(&entry, &mut scanner, report)),
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

/// Looks at it; returns its path as it is shown.
fn visit<'e>(entry: &'e DirEntry, scanner: &mut Scanner, report: &Report) -> &'e Path {
    let path = entry.path();
    let path = path.strip_prefix("./").ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(path);
    if entry.depth() > 0 {
        name(path, scanner, report);
    }
    // A path that was named is followed where it leads.
    let is_named = entry.depth() == 0;
    let kind =
        if is_named { fs::metadata(path).map(|data| data.file_type()).ok() } else { entry.file_type() };
    match kind {
        None => report.incomplete(&path.to_string_lossy(), "it is gone"),
        Some(kind) if kind.is_dir() => {}
        Some(kind) if kind.is_symlink() => link(path, fs::read_link(path), scanner, report),
        Some(kind) if !kind.is_file() => report.skipped(path, what(kind)),
        Some(_) => {
            let flags = if is_named { FLAGS } else { FLAGS | OFlags::NOFOLLOW };
            read(path, openat(CWD, path, flags, Mode::empty()), scanner, report);
        }
    }
    path
}

/// Looks at what git names in the working directory: a file, or a link as text. No part of its path is followed. Returns
/// whether it is there: what git has need not be in the work tree, nor be reached without a link.
pub(crate) fn listed(path: &Path, scanner: &mut Scanner, report: &Report) -> bool {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let found = match openat2(CWD, path, FLAGS | OFlags::NOFOLLOW, Mode::empty(), resolve) {
        Err(Errno::LOOP) => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat2(CWD, path, flags, Mode::empty(), resolve).map(|opened| (opened, true))
        }
        opened => opened.map(|opened| (opened, false)),
    };
    match found {
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => return false,
        Ok((opened, true)) => {
            let target = readlinkat(opened, "", Vec::new());
            let target = target.map(|target| OsString::from_vec(target.into_bytes()).into());
            link(path, target.map_err(io::Error::from), scanner, report);
        }
        Ok((opened, false)) => {
            let is_dir = fstat(&opened).is_ok_and(|data| FileType::from_raw_mode(data.st_mode).is_dir());
            if !is_dir {
                read(path, Ok(opened), scanner, report);
            }
        }
        Err(error) => read(path, Err(error), scanner, report),
    }
    true
}

fn read(path: &Path, opened: Result<OwnedFd, Errno>, scanner: &mut Scanner, report: &Report) {
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
pub(crate) fn name(path: &Path, scanner: &mut Scanner, report: &Report) {
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

fn link(path: &Path, target: io::Result<PathBuf>, scanner: &mut Scanner, report: &Report) {
    match target {
        Ok(target) => report.hits(&Place::Link(path), &scanner.hits_in(target.as_os_str().as_bytes())),
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
