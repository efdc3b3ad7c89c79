//! Directories and files that must be the user's alone: kind, owner, mode, and who could replace them from
//! above. The daemon refuses the same things at its start.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use secrets_local::files;

use super::report::{Report, as_root, quoted};
use super::setup::Setup;

/// What a path should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Socket,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::File => "a regular file",
            Self::Socket => "a socket",
        }
    }

    const fn mode(self) -> u32 {
        match self {
            Self::Directory => 0o700,
            Self::File | Self::Socket => 0o600,
        }
    }

    fn is(self, metadata: &Metadata) -> bool {
        match self {
            Self::Directory => metadata.is_dir(),
            Self::File => metadata.is_file(),
            Self::Socket => metadata.file_type().is_socket(),
        }
    }
}

pub(super) fn check(report: &mut Report, setup: &Setup) {
    for (check, path) in
        [("data-dir", &setup.data_dir), ("state-dir", &setup.state_dir), ("runtime-dir", &setup.runtime_dir)]
    {
        let before = report.len();
        if let Err(ref error @ files::Error::ForeignPlace { path: ref place, .. }) = files::check_place(path)
            && place != path
        {
            let why = "what you keep there is another user's to replace, and in that user's way; nothing is created there";
            report.fault(check, error.to_string(), why, None);
            continue;
        }
        let exists = private(report, check, path, Kind::Directory);
        above(report, check, path);
        if report.len() == before {
            let state = if exists { "is yours alone" } else { "does not exist yet; the daemon creates it" };
            report.ok(check, format!("{} {state}", path.display()));
        }
    }
}

/// Looks at one path; whether it exists.
pub(super) fn private(report: &mut Report, check: &'static str, path: &Path, kind: Kind) -> bool {
    let shown = path.display();
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
        Err(error) => {
            report.fault(check, format!("cannot inspect {shown}: {error}"), "the daemon needs it", None);
            return true;
        }
    };
    let word = quoted(path);
    if metadata.is_symlink() {
        let fix = match (path.canonicalize(), kind) {
            (Ok(target), Kind::Directory) => format!("rm {word} && mv {} {word}", quoted(&target)),
            (Ok(target), _) => format!("mv {} {word}", quoted(&target)),
            (Err(_), _) => format!("rm {word}"),
        };
        let why = "someone who can change its target could replace what the daemon trusts; the daemon does not start";
        report.fault(check, format!("{shown} is a symbolic link"), why, Some(fix));
        return true;
    }
    if !kind.is(&metadata) {
        let what = format!("{shown} is not {}", kind.name());
        let fix = format!("mv {word} {word}.aside");
        report.fault(
            check,
            what,
            "the daemon needs that name and does not touch what it did not create",
            Some(fix),
        );
        return true;
    }
    let uid = rustix::process::geteuid().as_raw();
    if metadata.uid() != uid {
        let what = format!("{shown} belongs to uid {}", metadata.uid());
        let fix = as_root(&format!("chown {uid} {word}"));
        report.fault(
            check,
            what,
            "its owner could read or replace its content; the daemon does not start",
            Some(fix),
        );
    }
    if metadata.mode() & 0o077 != 0 {
        let what = format!("{shown} has mode {:04o}", metadata.mode() & 0o7777);
        let fix = format!("chmod {:04o} {word}", kind.mode());
        report.fault(check, what, "others could access it; the daemon does not start", Some(fix));
    }
    true
}

/// Anyone who can write to a directory above can put another one in the path's place.
fn above(report: &mut Report, check: &'static str, path: &Path) {
    for parent in path.ancestors().skip(1) {
        let Ok(metadata) = fs::metadata(parent) else { continue };
        let is_sticky = metadata.mode() & 0o1000 != 0;
        if metadata.mode() & 0o002 == 0 || is_sticky {
            continue;
        }
        let mine = metadata.uid() == rustix::process::geteuid().as_raw();
        let command = format!("chmod o-w {}", quoted(parent));
        let what = format!("anybody can write to {}", parent.display());
        let why = "so anybody can replace your directory by another";
        report.fault(check, what, why, Some(if mine { command } else { as_root(&command) }));
    }
}
