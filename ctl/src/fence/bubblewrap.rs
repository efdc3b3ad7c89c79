//! bubblewrap: where it is, and whether it can be trusted with building a fence.

use std::fmt;
use std::fs::{Metadata, metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest version that a fence can be built with: the first that can forbid user namespaces.
pub(crate) const OLDEST: (u32, u32) = (0, 8);

/// Why a program is not used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// There is none.
    Absent,
    /// Others can change it, or the command of an earlier fence could have put it there.
    Untrusted(PathBuf),
    /// It runs with root's rights.
    Setuid(PathBuf),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => {
                f.write_str("bubblewrap is not installed; secretctl doctor says how to install it")
            }
            Self::Untrusted(path) => write!(
                f,
                "{} could have been put there by others; remove its directory from PATH",
                path.display()
            ),
            Self::Setuid(path) => {
                write!(f, "{} runs with root's rights; install it without its setuid bit", path.display())
            }
        }
    }
}

/// The first `bwrap` of these directories. One that others could have put there is not passed over: that could hide what is
/// wrong.
///
/// # Errors
/// If there is none, or one that is not to be trusted.
pub(crate) fn find(dirs: &[PathBuf], writable: &[PathBuf]) -> Result<PathBuf, Unfit> {
    let found = dirs.iter().map(|dir| dir.join("bwrap")).find(|path| path.is_file());
    let path = found.ok_or(Unfit::Absent)?;
    let real = path.canonicalize().map_err(|_| Unfit::Absent)?;
    let of_fence = [&path, &real].iter().any(|path| writable.iter().any(|dir| path.starts_with(dir)));
    let places = [Some(real.as_path()), real.parent(), path.parent()];
    if of_fence
        || !places.into_iter().flatten().all(|place| metadata(place).is_ok_and(|place| is_closed(&place)))
    {
        return Err(Unfit::Untrusted(path));
    }
    if metadata(&real).is_ok_and(|file| file.mode() & 0o6000 != 0) {
        return Err(Unfit::Setuid(path));
    }
    Ok(real)
}

/// Whether only root and this user can change it.
fn is_closed(place: &Metadata) -> bool {
    let own = rustix::process::geteuid().as_raw();
    [0, own].contains(&place.uid()) && place.permissions().mode() & 0o022 == 0
}

/// Its version, as far as two numbers go, and as it says it.
pub(crate) fn version(program: &Path) -> Option<((u32, u32), String)> {
    let output =
        Command::new(program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    parse(&String::from_utf8(output.stdout).ok()?)
}

fn parse(text: &str) -> Option<((u32, u32), String)> {
    let version = text.trim().strip_prefix("bubblewrap ")?;
    let mut numbers = version.split('.').map(str::parse);
    Some(((numbers.next()?.ok()?, numbers.next()?.ok()?), version.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn a_program_that_others_could_have_put_there_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().canonicalize().unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let dirs = [dir.clone()];
        assert_eq!(find(&dirs, &[]), Err(Unfit::Absent));
        let program = dir.join("bwrap");
        fs::write(&program, "").unwrap();
        mode(&program, 0o755);
        assert_eq!(find(&dirs, &[]), Ok(program.clone()));
        let untrusted = Err(Unfit::Untrusted(program.clone()));
        assert_eq!(find(&dirs, &dirs), untrusted);
        mode(&program, 0o775);
        assert_eq!(find(&dirs, &[]), untrusted);
        mode(&program, 0o4755);
        assert_eq!(find(&dirs, &[]), Err(Unfit::Setuid(program.clone())));
        mode(&program, 0o755);
        mode(&dir, 0o777);
        assert_eq!(find(&dirs, &[]), untrusted);
    }

    #[test]
    fn a_version_is_read() {
        assert_eq!(parse("bubblewrap 0.8.0\n"), Some(((0, 8), "0.8.0".to_owned())));
        assert_eq!(parse("bubblewrap 0.11.0"), Some(((0, 11), "0.11.0".to_owned())));
        assert_eq!(parse("something 1.2"), None);
        assert_eq!(parse(""), None);
    }
}
