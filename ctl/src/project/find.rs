//! The manifest's file: where it is, and how far it may reach. It is looked for from the working directory up to the
//! root of the git work tree, a mount point or the user's home, whichever comes first. What it extends must lie in
//! the same work tree, also by way of links.
//!
//! Each file is opened once, by a descriptor that reads nothing, so that what is checked is what is read: a link, a FIFO
//! or a device that takes its place in between leads nowhere.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags, open, statx};
use rustix::process::geteuid;
use secrets_local::files;
use secrets_project::{FILE, LIMIT, Source};

use crate::environment;
use crate::failure::{Exit, Failure};

/// A manifest's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located {
    /// The file, as it was found.
    pub(crate) file: PathBuf,
    /// The directory that it must not reach out of.
    pub(crate) root: PathBuf,
}

/// The manifest that is named, or the nearest one; none if there is none.
pub(crate) fn locate(named: Option<&Path>) -> Result<Option<Located>, Failure> {
    let start = match named {
        None => std::env::current_dir(),
        Some(file) => {
            let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
            parent.unwrap_or(Path::new(".")).canonicalize()
        }
    };
    let start = start.map_err(|error| {
        Failure::new(
            Exit::Other,
            format!("cannot look for a manifest: its directory cannot be used: {error}"),
        )
    })?;
    let file = match named {
        None => nearest(&start),
        // A name alone, as its directory may be written in another way.
        Some(file) => file.file_name().map(|name| start.join(name)),
    };
    Ok(file.map(|file| {
        let dir = file.parent().unwrap_or(&start).to_owned();
        Located { root: root(&dir), file }
    }))
}

/// The nearest manifest from this directory up.
fn nearest(start: &Path) -> Option<PathBuf> {
    for dir in start.ancestors() {
        let file = dir.join(FILE);
        if fs::symlink_metadata(&file).is_ok() {
            return Some(file);
        }
        if is_root(dir) || is_edge(dir) {
            return None;
        }
    }
    None
}

/// The root of the work tree that a directory is in, or the directory itself if it is in none.
fn root(dir: &Path) -> PathBuf {
    for above in dir.ancestors() {
        if is_root(above) {
            return above.to_owned();
        }
        if is_edge(above) {
            break;
        }
    }
    dir.to_owned()
}

/// Whether a directory is the root of a work tree, also of a submodule or one of several work trees, which have a file
/// `.git`; or a repository without a work tree, which has what git keeps there (gitrepository-layout(5)).
fn is_root(dir: &Path) -> bool {
    let has = |name: &str| fs::symlink_metadata(dir.join(name)).is_ok();
    has(".git") || has("HEAD") && has("objects") && has("refs")
}

/// Whether nothing above a directory counts: it is the user's home or a mount point.
fn is_edge(dir: &Path) -> bool {
    let identity = |dir: &Path| fs::metadata(dir).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let is_home =
        environment::home().is_some_and(|home| home.is_absolute() && identity(&home) == identity(dir));
    let Some(above) = dir.parent() else { return true };
    is_home
        || is_mount_point(dir)
            .unwrap_or_else(|| identity(above).map(|id| id.0) != identity(dir).map(|id| id.0))
}

/// Whether something is mounted there, if the kernel tells (5.8 and newer).
fn is_mount_point(dir: &Path) -> Option<bool> {
    let found = statx(CWD, dir, AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS).ok()?;
    let tells = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    tells.then(|| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Reads a manifest; the error says why in a few words.
pub(crate) fn read(path: &Path, root: &Path) -> Result<Source, String> {
    let told = |error: io::Error| {
        let is_absent = error.kind() == io::ErrorKind::NotFound;
        if is_absent { "there is no such file".to_owned() } else { format!("cannot be read: {error}") }
    };
    let place = File::from(
        open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| told(errno.into()))?,
    );
    let metadata = place.metadata().map_err(told)?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if files::is_anothers(metadata.uid(), geteuid().as_raw()) {
        return Err(format!("it belongs to uid {}, not to you", metadata.uid()));
    }
    let by_descriptor = format!("/proc/self/fd/{}", place.as_raw_fd());
    let file = fs::read_link(&by_descriptor).map_err(told)?;
    if !file.starts_with(root) {
        return Err("it lies outside of the work tree".to_owned());
    }
    if metadata.len() > LIMIT as u64 {
        return Err(format!("it has more than {LIMIT} bytes"));
    }
    let mut text = Vec::new();
    File::open(&by_descriptor)
        .and_then(|file| file.take(LIMIT as u64 + 1).read_to_end(&mut text))
        .map_err(told)?;
    if text.len() > LIMIT {
        return Err(format!("it has more than {LIMIT} bytes"));
    }
    let dir = path.parent().unwrap_or(root).to_owned();
    Ok(Source { file, dir, text })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        fs::create_dir_all(path.join("work/.git")).unwrap();
        fs::create_dir_all(path.join("work/a/b")).unwrap();
        (dir, path)
    }

    #[test]
    fn nothing_above_the_work_tree_is_found() {
        let (_dir, path) = tree();
        fs::write(path.join(FILE), "").unwrap();
        assert_eq!(nearest(&path.join("work/a/b")), None);
        fs::write(path.join("work").join(FILE), "").unwrap();
        assert_eq!(nearest(&path.join("work/a/b")), Some(path.join("work").join(FILE)));
        // A submodule, or one of several work trees, has a file in the place of the directory.
        fs::write(path.join("work/a/.git"), "gitdir: x").unwrap();
        assert_eq!(nearest(&path.join("work/a/b")), None);
        assert_eq!(root(&path.join("work/a/b")), path.join("work/a"));
        fs::remove_file(path.join("work/a/.git")).unwrap();
        for name in ["HEAD", "objects", "refs"] {
            fs::create_dir(path.join("work/a").join(name)).unwrap();
        }
        assert_eq!(nearest(&path.join("work/a/b")), None);
        assert_eq!(root(&path), path);
    }

    #[test]
    fn only_files_of_the_work_tree_are_read() {
        let (_dir, path) = tree();
        let work = path.join("work");
        fs::write(path.join("outside"), "x").unwrap();
        fs::write(work.join("inside"), "x").unwrap();
        symlink("../outside", work.join("out")).unwrap();
        symlink("inside", work.join("in")).unwrap();
        symlink("/dev/zero", work.join("device")).unwrap();
        symlink("loop", work.join("loop")).unwrap();
        rustix::fs::mknodat(CWD, work.join("fifo"), rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        fs::write(work.join("large"), vec![b'#'; LIMIT + 1]).unwrap();
        for bad in ["out", "device", "loop", "fifo", "large", "a", "none", "../outside"] {
            assert!(read(&work.join(bad), &work).is_err(), "{bad}");
        }
        let source = read(&work.join("in"), &work).unwrap();
        assert_eq!(
            (source.file, source.dir, source.text),
            (work.join("inside"), work.clone(), b"x".to_vec())
        );
    }
}
