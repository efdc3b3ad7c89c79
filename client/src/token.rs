//! The bearer token: where it comes from, and reading it only from a file that nobody else can write
//! or read. It is never printed.

use std::io;
use std::path::{Path, PathBuf};

use secrets_local::files;
use secrets_proto::SensitiveString;
use secrets_proto::token::{is_meant, is_well_formed};

/// Longer than any token.
const LIMIT: u64 = 4096;

/// Where the token comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// A file, read again for each request: the owner's token is new at each start of the daemon, and an access token may
    /// be replaced.
    File(PathBuf),
    /// The token itself, from the environment.
    Given(SensitiveString),
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file does not exist (yet).
    #[error("there is no token file {}; start secretsd, or name the file with --token-file", shown(.0))]
    Absent(PathBuf),
    /// The token file is not a private file.
    #[error("the token file {0} {1}; make it a regular file of yours with mode 0600")]
    NotPrivate(PathBuf, &'static str),
    /// The token file cannot be read.
    #[error("cannot read the token file {}: {}", shown(.0), .1)]
    Io(PathBuf, #[source] io::Error),
    /// What the file or the variable holds cannot be a token.
    #[error("not a token; check the token file or SECRETSD_TOKEN")]
    Malformed,
    /// The token begins as an access token does, and its checksum is wrong.
    #[error("this access token is incomplete or mistyped (wrong checksum); copy it again")]
    Mistyped,
}

impl TokenSource {
    /// Whether it is meant as an access token, not the owner's.
    pub fn is_access_token(&self) -> bool {
        match self {
            Self::File(path) => read_file(path).is_ok_and(|token| is_meant(token.expose().as_bytes())),
            Self::Given(token) => is_meant(token.expose().as_bytes()),
        }
    }

    /// The token as it is now.
    pub fn read(&self) -> Result<SensitiveString, Error> {
        let token = match self {
            Self::File(path) => read_file(path)?,
            Self::Given(token) => token.clone(),
        };
        let well_formed = !token.expose().is_empty() && token.expose().bytes().all(|b| b.is_ascii_graphic());
        if !well_formed {
            return Err(Error::Malformed);
        }
        let bytes = token.expose().as_bytes();
        if is_meant(bytes) && !is_well_formed(bytes) { Err(Error::Mistyped) } else { Ok(token) }
    }
}

/// A token's file that may not exist, as it may be shown: what was named instead may be the token itself.
pub fn shown(path: &Path) -> String {
    let directory = path.parent().filter(|parent| parent.components().count() > 0);
    match directory {
        Some(directory) if directory.is_dir() => path.display().to_string(),
        _ if path.exists() => path.display().to_string(),
        _ => "with the given name".to_owned(),
    }
}

fn read_file(path: &Path) -> Result<SensitiveString, Error> {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let bytes = files::read_private(&whole, LIMIT).map_err(|error| not_read(path, error))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::Malformed)?;
    Ok(SensitiveString::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn not_read(path: &Path, error: files::Error) -> Error {
    let why = match error {
        files::Error::Io(_, error) if error.kind() != io::ErrorKind::NotFound => {
            return Error::Io(path.to_owned(), error);
        }
        files::Error::Io(..) | files::Error::Relative(_) => return Error::Absent(path.to_owned()),
        files::Error::TooLarge(..) => return Error::Malformed,
        files::Error::Symlink(_) => "is a symbolic link",
        files::Error::WrongKind(..) => "is not a regular file",
        files::Error::ForeignOwner(..) | files::Error::ForeignPlace { .. } => "belongs to another user",
        files::Error::TooOpen { .. } => "is open to others",
        files::Error::Unfit(..) => "is on a file system that cannot keep it",
    };
    Error::NotPrivate(path.to_owned(), why)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file_with(content: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn reads_a_private_file_and_its_last_newline_does_not_count() {
        let (_dir, path) = file_with("abc_123-x\n", 0o600);
        assert_eq!(TokenSource::File(path).read().unwrap().expose(), "abc_123-x");
    }

    #[test]
    fn refuses_what_others_could_read_or_replace() {
        for mode in [0o640, 0o604, 0o620, 0o666] {
            let (_dir, path) = file_with("abc", mode);
            assert!(matches!(TokenSource::File(path).read(), Err(Error::NotPrivate(..))), "{mode:o}");
        }
        let (dir, path) = file_with("abc", 0o600);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(TokenSource::File(link).read(), Err(Error::NotPrivate(..))));
        assert!(matches!(TokenSource::File(dir.path().to_owned()).read(), Err(Error::NotPrivate(..))));
        assert!(matches!(TokenSource::File(dir.path().join("none")).read(), Err(Error::Absent(_))));
    }

    #[test]
    fn a_token_in_the_place_of_its_file_is_not_shown() {
        for given in ["ssd_canary".to_owned(), "canary/x".to_owned(), "canary".repeat(100)] {
            let error = TokenSource::File(given.clone().into()).read().unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
        }
        let (dir, _) = file_with("", 0o600);
        let error = TokenSource::File(dir.path().join("none")).read().unwrap_err().to_string();
        assert!(error.contains("/none"), "{error}");
    }

    #[test]
    fn a_mistyped_access_token_is_not_sent() {
        let (start, sum) = ("ssd_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg", |body: &str| {
            String::from_utf8(secrets_proto::token::checksum(body.as_bytes()).to_vec()).unwrap()
        });
        let good = format!("{start}{}", sum(start));
        let read = |text: &str| TokenSource::Given(SensitiveString::new(text.into())).read();
        assert_eq!(read(&good).unwrap().expose(), good);
        for bad in [start, "ssd_", &good.replace("012", "021")] {
            assert!(matches!(read(bad), Err(Error::Mistyped)), "{bad}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_a_token_without_quoting_it() {
        for bad in ["", "two words", "line\nline", "\u{e9}"] {
            let error = TokenSource::Given(SensitiveString::new(bad.into())).read().unwrap_err();
            assert!(matches!(error, Error::Malformed));
            assert!(bad.is_empty() || !error.to_string().contains(bad));
        }
    }
}
