//! Where a program finds the daemon and its own token. It reads no environment itself; who calls it looks variables up.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use secrets_local::places::{self, Base};
use secrets_proto::SensitiveString;

use crate::token::TokenSource;

/// Where the daemon is and what proves that one may ask it.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The socket, absolute.
    pub socket: PathBuf,
    /// Whether it is the one that is used when nobody says anything.
    pub socket_is_default: bool,
    /// The token.
    pub token: TokenSource,
}

/// Why it is not known where the daemon is.
#[derive(Debug, thiserror::Error)]
pub enum NoPaths {
    /// No socket is named, and there is no directory for the usual one.
    #[error("XDG_RUNTIME_DIR is not set; set it, or name the daemon's socket")]
    NoRuntimeDir,
    /// The socket's path is relative, and there is no working directory.
    #[error("a path cannot be used: {0}")]
    Unusable(#[source] io::Error),
}

impl Paths {
    /// By these two paths if they are given, otherwise by these variables, otherwise in the usual places, as `secretctl`
    /// does: the socket by `SECRETSD_SOCKET` or in `$XDG_RUNTIME_DIR/secretsd`; the token in the file that
    /// `SECRETSD_TOKEN_FILE` names, in `SECRETSD_TOKEN` itself, or in the file beside the socket. An empty variable is an
    /// unset one. It looks at no file.
    pub fn find(
        socket: Option<PathBuf>,
        token_file: Option<PathBuf>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, NoPaths> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let default = Base::Runtime.ours(variable).map(|dir| dir.join(places::SOCKET));
        let chosen = socket.or_else(|| variable("SECRETSD_SOCKET").map(PathBuf::from));
        let socket = chosen.or_else(|| default.clone()).ok_or(NoPaths::NoRuntimeDir)?;
        let socket = std::path::absolute(socket).map_err(NoPaths::Unusable)?;
        let socket_is_default = default.as_ref() == Some(&socket);
        let file = token_file.or_else(|| variable("SECRETSD_TOKEN_FILE").map(PathBuf::from));
        let token = match (file, variable("SECRETSD_TOKEN")) {
            (Some(path), _) => TokenSource::File(path),
            (None, Some(token)) => {
                // What is no UTF-8 is no token either; it is refused as malformed when it is read.
                TokenSource::Given(SensitiveString::new(token.into_string().unwrap_or_default()))
            }
            (None, None) => TokenSource::File(socket.with_file_name(places::TOKEN)),
        };
        Ok(Self { socket, socket_is_default, token })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const RUNTIME: (&str, &str) = ("XDG_RUNTIME_DIR", "/run/user/1");

    fn find(socket: Option<&str>, token_file: Option<&str>, variables: &[(&str, &str)]) -> Paths {
        let look = |name: &str| {
            variables.iter().chain([&RUNTIME]).find(|(key, _)| *key == name).map(|(_, v)| v.into())
        };
        Paths::find(socket.map(PathBuf::from), token_file.map(PathBuf::from), look).unwrap()
    }

    fn file_of(paths: &Paths) -> &Path {
        match &paths.token {
            TokenSource::File(path) => path,
            TokenSource::Given(_) => panic!("a file is expected"),
        }
    }

    #[test]
    fn what_is_given_beats_its_variable_which_beats_the_default() {
        let default = find(None, None, &[("SECRETSD_SOCKET", "")]);
        assert_eq!(default.socket, Path::new("/run/user/1/secretsd/secretsd.sock"));
        assert!(default.socket_is_default);
        assert_eq!(file_of(&default), Path::new("/run/user/1/secretsd/token"));

        let variable = find(None, None, &[("SECRETSD_SOCKET", "/a/b.sock")]);
        assert_eq!(variable.socket, Path::new("/a/b.sock"));
        assert!(!variable.socket_is_default);
        assert_eq!(file_of(&variable), Path::new("/a/token"));

        let given = find(Some("/c/d.sock"), None, &[("SECRETSD_SOCKET", "/a/b.sock")]);
        assert_eq!(given.socket, Path::new("/c/d.sock"));
    }

    #[test]
    fn a_token_file_beats_a_token_and_a_given_one_beats_both() {
        let both = [("SECRETSD_TOKEN", "t0ken"), ("SECRETSD_TOKEN_FILE", "/t/file")];
        assert_eq!(file_of(&find(None, None, &both)), Path::new("/t/file"));
        let given = find(None, None, &both[..1]);
        assert!(matches!(&given.token, TokenSource::Given(token) if token.expose() == "t0ken"));
        assert!(!format!("{given:?}").contains("t0ken"));
        assert_eq!(file_of(&find(None, Some("/f"), &both)), Path::new("/f"));
    }

    #[test]
    fn no_runtime_directory_is_no_reason_to_guess() {
        assert!(matches!(Paths::find(None, None, |_| None), Err(NoPaths::NoRuntimeDir)));
    }
}
