//! Where the programs' directories and files are: the rule of the XDG Base Directory Specification
//! (<https://specifications.freedesktop.org/basedir-spec/latest/>), and the names. It reads no environment itself;
//! who calls it looks variables up.
//!
//! Directories are found by variables alone. Whose home it is when `HOME` is not set would be asked of the C library's
//! name services, which a program that is linked statically must do without.

use std::ffi::OsString;
use std::path::PathBuf;

/// What the programs' part of each of the user's directories is called.
pub const NAME: &str = "secretsd";

/// The vault, in the data directory.
pub const VAULT: &str = "vault.db";

/// The lock of who has the vault open, beside it.
pub const LOCK: &str = "vault.lock";

/// Where what several machines with one vault say to each other lies, in the data directory, unless they share a directory.
pub const EXCHANGE: &str = "exchange";

/// Which store that is moved to and from, as JSON, in it: `url`, and `secrets`, which says for variables of the engine's
/// which secret of the vault has the value. That it is there means that the mover moves.
pub const STORE: &str = ".store";

/// The access token that may reveal those secrets and nothing else, beside it.
pub const STORE_TOKEN: &str = ".token";

/// The guard against an older copy of the vault, in the state directory.
pub const ANCHOR: &str = "anchor";

/// What was last seen of the clocks, beside it.
pub const CLOCK: &str = "clock";

/// How the vault's file was left when it was closed, there too.
pub const LEFT: &str = "left";

/// The daemon's socket, in the runtime directory.
pub const SOCKET: &str = "secretsd.sock";

/// How many bytes a socket's path may have: `sun_path` of unix(7), without its end.
pub const LONGEST_SOCKET: usize = 107;

/// The socket from which systemd's units load credentials, beside the daemon's.
pub const CREDENTIALS: &str = "credentials.sock";

/// The socket over which values are taken to be used, beside the daemon's.
pub const USE: &str = "use.sock";

/// The directory of sessions with names, beside the daemon's socket: below it one directory for each, in which the control
/// socket is and nothing else, so that it can be mounted into a container.
pub const SESSIONS: &str = "proxy";

/// The socket over which programs come into a session with a name, in its directory.
pub const CONTROL: &str = "control.sock";

/// The directory, beside the daemon's socket, of what the user alone has of sessions with names: `NAME.sock`, on which
/// their brokers take orders, and `NAME.json`, which says what they are.
pub const BROKERS: &str = "brokers";

/// The owner's token, beside the daemon's socket.
pub const TOKEN: &str = "token";

/// The token for items, beside it.
pub const ITEMS_TOKEN: &str = "items-token";

/// The daemon's settings, in the configuration directory.
pub const SETTINGS: &str = "config.toml";

/// One of the user's base directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// What is to be kept: `$XDG_DATA_HOME`, otherwise `~/.local/share`.
    Data,
    /// What is worth keeping on this machine: `$XDG_STATE_HOME`, otherwise `~/.local/state`.
    State,
    /// Settings: `$XDG_CONFIG_HOME`, otherwise `~/.config`.
    Config,
    /// What lasts as long as the user is logged in: `$XDG_RUNTIME_DIR`, for which nothing else stands in.
    Runtime,
}

impl Base {
    /// The directory itself, by these variables; `None` if neither its own variable nor `HOME` tells. An empty variable
    /// is an unset one, and so is a relative path in one of XDG's.
    pub fn dir(self, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let (name, below_home) = match self {
            Self::Data => ("XDG_DATA_HOME", Some(".local/share")),
            Self::State => ("XDG_STATE_HOME", Some(".local/state")),
            Self::Config => ("XDG_CONFIG_HOME", Some(".config")),
            Self::Runtime => ("XDG_RUNTIME_DIR", None),
        };
        let named = variable(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
        named.or_else(|| {
            let home = variable("HOME").filter(|home| !home.is_empty())?;
            Some(PathBuf::from(home).join(below_home?))
        })
    }

    /// The programs' own part of it. As long as there is a [throw-away vault](throw_away), what is to be kept is there instead.
    pub fn ours(self, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let thrown_away = match self {
            Self::Data => Some("data"),
            Self::State => Some("state"),
            Self::Config | Self::Runtime => None,
        };
        let instead = thrown_away.zip(throw_away(&variable).filter(|dir| dir.is_dir()));
        instead.map(|(name, dir)| dir.join(name)).or_else(|| self.dir(variable).map(|dir| dir.join(NAME)))
    }
}

/// The directory of a vault that is not to be kept, beside the daemon's socket, whether it is there or not.
pub fn throw_away(variable: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    Base::Runtime.dir(variable).map(|dir| dir.join(NAME).join("ephemeral"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn dir(base: Base, variables: &[(&str, &str)]) -> Option<PathBuf> {
        base.dir(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, dir)| dir.into()))
    }

    #[test]
    fn a_base_directory_is_below_home_unless_a_variable_says_where() {
        for (base, name, below) in [
            (Base::Data, "XDG_DATA_HOME", "/h/.local/share"),
            (Base::State, "XDG_STATE_HOME", "/h/.local/state"),
            (Base::Config, "XDG_CONFIG_HOME", "/h/.config"),
        ] {
            assert_eq!(dir(base, &[("HOME", "/h"), (name, "/d")]).unwrap(), Path::new("/d"));
            assert_eq!(dir(base, &[(name, "/d")]).unwrap(), Path::new("/d"));
            for variables in
                [&[("HOME", "/h")][..], &[("HOME", "/h"), (name, "d")], &[("HOME", "/h"), (name, "")]]
            {
                assert_eq!(dir(base, variables).unwrap(), Path::new(below));
            }
            assert_eq!(dir(base, &[]), None);
            assert_eq!(dir(base, &[("HOME", "")]), None);
        }
    }

    #[test]
    fn nothing_stands_in_for_the_runtime_directory() {
        assert_eq!(dir(Base::Runtime, &[("HOME", "/h")]), None);
        assert_eq!(dir(Base::Runtime, &[("XDG_RUNTIME_DIR", "run")]), None);
        assert_eq!(
            dir(Base::Runtime, &[("XDG_RUNTIME_DIR", "/run/user/7")]).unwrap(),
            Path::new("/run/user/7")
        );
    }
}
