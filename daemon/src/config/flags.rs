//! The command line. Its errors name flags that exist and never repeat what was typed: somebody may have typed a
//! secret.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};

use super::Error;

/// Keeps API keys in an encrypted vault and serves them over a Unix socket.
///
/// Each flag beats its variable, which beats the settings file, which beats the default.
#[derive(Debug, Parser)]
#[command(name = "secretsd", version)]
pub(super) struct Flags {
    /// The vault's directory [variable: SECRETSD_DATA_DIR] [default: $XDG_DATA_HOME/secretsd]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// The directory of the rollback guard [variable: SECRETSD_STATE_DIR] [default: $XDG_STATE_HOME/secretsd]
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// The socket [variable: SECRETSD_SOCKET] [default: $XDG_RUNTIME_DIR/secretsd/secretsd.sock]
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// The owner token's file [variable: SECRETSD_TOKEN_FILE] [default: "token" next to the socket]
    #[arg(long, value_name = "PATH")]
    pub(super) token_file: Option<PathBuf>,
    /// The settings file [variable: SECRETSD_CONFIG] [default: $XDG_CONFIG_HOME/secretsd/config.toml]
    #[arg(long, value_name = "PATH")]
    pub(super) config: Option<PathBuf>,
    /// Check the settings and exit
    #[arg(long)]
    pub(super) check_config: bool,
    /// How much to log [variable: RUST_LOG] [default: info]
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub(super) log_level: Option<Level>,
}

/// How much to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    /// What went wrong in the daemon.
    Error,
    /// Errors, and what looks wrong.
    Warn,
    /// Warnings, and what changes the daemon's state.
    Info,
    /// The above, and each request.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Reads the command line.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Flags, Error> {
    Flags::command()
        .try_get_matches_from(args)
        .and_then(|mut matches| Flags::from_arg_matches_mut(&mut matches))
        .map_err(|error| own_words(&error))
}

fn own_words(error: &clap::Error) -> Error {
    let flag = known_flag(error);
    let message = match (error.kind(), flag) {
        (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _) => {
            return Error::Show(error.render().to_string());
        }
        (ErrorKind::UnknownArgument, _) => "unknown argument; secretsd takes flags only".to_owned(),
        (ErrorKind::InvalidValue, Some("--log-level")) => {
            "--log-level must be one of error, warn, info, debug, trace".to_owned()
        }
        (ErrorKind::InvalidValue, Some(flag)) => format!("{flag} needs a value"),
        (ErrorKind::ArgumentConflict, Some(flag)) => format!("{flag} is given twice"),
        (_, Some(flag)) => format!("{flag} is used wrongly"),
        (_, None) => "wrong command line".to_owned(),
    };
    Error::Usage(message)
}

/// The flag that clap complains about, if it is one of ours.
fn known_flag(error: &clap::Error) -> Option<&'static str> {
    let Some(ContextValue::String(text)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = text.split_whitespace().next()?;
    ["--data-dir", "--state-dir", "--socket", "--token-file", "--config", "--check-config", "--log-level"]
        .into_iter()
        .find(|known| *known == flag)
}
