//! The daemon's settings, read once into one typed value. Nothing else reads flags, the environment or the
//! settings file. Each flag beats its variable, which beats the file, which beats the default.
//!
//! It knows no stage of the pipeline; `lib.rs` hands each stage what concerns it.

mod file;
mod flags;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrets_local::files;
use secrets_local::places::{self, Base};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};

use crate::key_provider::ProviderCommand;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The vault's directory.
    pub(crate) data_dir: PathBuf,
    /// The anchor's directory.
    pub(crate) state_dir: PathBuf,
    /// The socket to bind, if systemd hands none over.
    pub(crate) socket: PathBuf,
    /// The owner token's file, if it is not to lie beside the socket.
    token_file: Option<PathBuf>,
    /// What to log, in `RUST_LOG`'s language.
    pub(crate) log: String,
    /// Whether the log goes to the journal, which has its own clock.
    pub(crate) journal: bool,
    /// When the vault locks by itself.
    pub(crate) auto_lock: AutoLock,
    /// What else locks the vault.
    pub(crate) lock_on: LockOn,
    /// The system bus's socket; `None` if the address that is set is none of a socket's path.
    pub(crate) system_bus: Option<PathBuf>,
    /// What a passphrase slot costs to open.
    pub(crate) kdf: Kdf,
    /// How much a peer may ask of the server.
    pub(crate) limits: Limits,
    /// The key that systemd hands over as a credential, if it does.
    pub(crate) credential: Option<PathBuf>,
    /// Who may load credentials from a socket beside the API's.
    pub(crate) credentials: CredentialSettings,
    /// Commands that print a key, by name.
    pub(crate) key_providers: BTreeMap<String, ProviderCommand>,
    /// The key that opens the vault when the daemon starts, if systemd hands over no credential.
    pub(crate) unlock_at_start: Option<StartKey>,
}

impl Config {
    /// Where the owner token lies: beside the socket unless set.
    pub(crate) fn token_path(&self, socket: &Path) -> PathBuf {
        self.token_file.clone().unwrap_or_else(|| socket.with_file_name(places::TOKEN))
    }
}

/// A key that the settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StartKey {
    /// The key file at this path.
    File(PathBuf),
    /// What the key provider command of this name prints.
    Provider(String),
}

/// When the vault locks by itself; zero is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AutoLock {
    /// After this long without a reveal or write.
    pub(crate) idle: Duration,
    /// How long after unlock the vault locks.
    pub(crate) max: Duration,
}

/// What locks the vault beside time, as logind tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LockOn {
    /// The machine suspends or hibernates.
    pub(crate) suspend: bool,
    /// A session of the user is locked.
    pub(crate) session_lock: bool,
}

/// The socket that systemd's units load credentials from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CredentialSettings {
    /// Whether there is one. One that systemd hands over all the same refuses everybody.
    pub(crate) socket: bool,
    /// Whether it serves the system's service manager, uid 0, beside the user's own.
    pub(crate) system_manager: bool,
}

/// Argon2id's cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kdf {
    /// Memory in KiB.
    pub(crate) memory_kib: u32,
    /// Passes over it.
    pub(crate) passes: u32,
    /// Lanes.
    pub(crate) lanes: u32,
}

/// What a peer may ask of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Connections at once.
    pub(crate) connections: usize,
    /// Connections at once from one process.
    pub(crate) connections_per_process: usize,
    /// The largest body.
    pub(crate) body_bytes: usize,
    /// Wrong tokens in ten seconds that are answered plainly; further ones are told to wait.
    pub(crate) wrong_tokens: usize,
    /// From the first byte of a head to its last.
    pub(crate) header: Duration,
    /// From the end of the head to the end of the body.
    pub(crate) body: Duration,
    /// From the end of the head to the answer.
    pub(crate) request: Duration,
    /// The same for what takes the longer the larger the vault is: `verify`, backups and rotations.
    pub(crate) long_request: Duration,
    /// A connection on which nothing moves.
    pub(crate) idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            connections_per_process: 128,
            body_bytes: 1 << 20,
            wrong_tokens: 10,
            header: Duration::from_secs(5),
            body: Duration::from_secs(10),
            request: Duration::from_secs(30),
            long_request: Duration::from_secs(3_600),
            idle: Duration::from_secs(60),
        }
    }
}

/// Why there are no settings to run with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Not an error: the text that `--help` or `--version` asked for.
    #[error("{0}")]
    Show(String),
    /// The command line is wrong.
    #[error("{0}; see secretsd --help")]
    Usage(String),
    /// The settings file is wrong.
    #[error("{path}: line {line}: {message}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// `--config` names a file that is not there.
    #[error("{0}: no such settings file")]
    Absent(PathBuf),
    /// The settings file cannot be used.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// `RUST_LOG` is not in its language.
    #[error("RUST_LOG is malformed; try RUST_LOG=info")]
    Log,
    /// No directory is known to put something in.
    #[error("{variable} is not set, so there is no directory for {what}; set it, or use {flag}")]
    NoPlace {
        /// The variable that is missing.
        variable: &'static str,
        /// What has no place.
        what: &'static str,
        /// The flag to use.
        flag: &'static str,
    },
}

/// Reads the settings of this process.
pub(crate) fn load() -> Result<Config, Error> {
    read(std::env::args_os(), |name| std::env::var_os(name))
}

/// Reads the settings of a process started like this.
fn read(
    args: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Config, Error> {
    let flags = flags::parse(args)?;
    // An empty variable is an unset one, as everywhere.
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let path = |flag: Option<PathBuf>, name: &str| {
        flag.or_else(|| variable(name).map(PathBuf::from))
            .map(|path| std::path::absolute(&path).unwrap_or(path))
    };
    let (settings, settings_path) = match path(flags.config, "SECRETSD_CONFIG") {
        Some(named) => (
            Some(files::read_settings(&named, file::LIMIT)?.ok_or_else(|| Error::Absent(named.clone()))?),
            named,
        ),
        None => match Base::Config.ours(variable).map(|dir| dir.join(places::SETTINGS)) {
            Some(usual) => (files::read_settings(&usual, file::LIMIT)?, usual),
            None => (None, PathBuf::new()),
        },
    };
    let settings = file::parse(settings.as_deref().unwrap_or_default(), &settings_path)?;

    let no_home = |what, flag| Error::NoPlace { variable: "HOME", what, flag };
    let config = Config {
        data_dir: path(flags.data_dir, "SECRETSD_DATA_DIR")
            .or_else(|| Base::Data.ours(variable))
            .ok_or_else(|| no_home("the vault", "--data-dir"))?,
        state_dir: path(flags.state_dir, "SECRETSD_STATE_DIR")
            .or_else(|| Base::State.ours(variable))
            .ok_or_else(|| no_home("the vault's anchor", "--state-dir"))?,
        socket: path(flags.socket, "SECRETSD_SOCKET")
            .or_else(|| Base::Runtime.ours(variable).map(|dir| dir.join(places::SOCKET)))
            .ok_or(Error::NoPlace { variable: "XDG_RUNTIME_DIR", what: "the socket", flag: "--socket" })?,
        token_file: path(flags.token_file, "SECRETSD_TOKEN_FILE"),
        log: log(flags.log_level, variable("RUST_LOG"))?,
        journal: variable("JOURNAL_STREAM").is_some(),
        auto_lock: settings.auto_lock,
        lock_on: settings.lock_on,
        system_bus: variable("DBUS_SYSTEM_BUS_ADDRESS")
            .map_or_else(|| Some(PathBuf::from(SYSTEM_BUS)), |address| socket_of(&address)),
        kdf: settings.kdf,
        limits: settings.limits,
        credential: variable("CREDENTIALS_DIRECTORY")
            .map(|directory| PathBuf::from(directory).join("secretsd.key"))
            .filter(|path| path.exists()),
        key_providers: settings.key_providers,
        credentials: settings.credentials,
        unlock_at_start: settings.unlock_at_start,
    };
    if flags.check_config {
        let warnings: String = config.key_providers.iter().filter_map(unrunnable).collect();
        let note = if config.credentials.system_manager { SYSTEM_MANAGER } else { "" };
        return Err(Error::Show(format!("{warnings}{note}the settings are correct\n")));
    }
    Ok(config)
}

/// Said by `--check-config`, for those who can see where the daemon runs.
const SYSTEM_MANAGER: &str = "note: system_manager is on, which needs a service without a user namespace\n";

/// A warning if this key provider's program cannot be run now. The daemon starts all the same: a program may come with a
/// device.
fn unrunnable((name, command): (&String, &ProviderCommand)) -> Option<String> {
    let why = command.obstacle()?;
    Some(format!("warning: the key provider `{name}` cannot work: {why}; correct its argv, or install it\n"))
}

/// Where the D-Bus specification has the system bus, as systemd spells it: `/var/run` may be no link.
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// The path in a D-Bus address, as its specification has them: `transport:key=value,…;…`, with `%` before what is escaped.
/// Only a socket's path, unescaped, is taken: other transports start programs or leave the machine.
fn socket_of(address: &OsStr) -> Option<PathBuf> {
    let first = address.to_str()?.split(';').next()?;
    let path = first.strip_prefix("unix:")?.split(',').find_map(|pair| pair.strip_prefix("path="))?;
    (path.starts_with('/') && !path.contains('%')).then(|| PathBuf::from(path))
}

/// What a text in `RUST_LOG`'s language asks for: levels, each for all or for a target, between commas. What it asks of spans
/// is left out: the daemon has none, and programs share the variable. Nothing at all asks for errors.
pub(crate) fn what_to_log(text: &str) -> Result<Targets, ParseError> {
    let parts: Vec<_> = text.split(',').filter(|part| !part.is_empty() && !part.contains('[')).collect();
    if parts.is_empty() {
        Ok(Targets::new().with_default(LevelFilter::ERROR))
    } else {
        parts.join(",").parse()
    }
}

fn log(level: Option<flags::Level>, variable: Option<OsString>) -> Result<String, Error> {
    if let Some(level) = level {
        return Ok(level.as_str().to_owned());
    }
    let Some(text) = variable else { return Ok("info".to_owned()) };
    let text = text.into_string().map_err(|_| Error::Log)?;
    what_to_log(&text).map_err(|_| Error::Log)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
