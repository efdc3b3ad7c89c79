//! The only file that reads environment variables and knows directories. Each flag beats its
//! variable, which beats the default; an empty variable counts as none.
//!
//! Where directories are is a rule that the programs share (`secrets_local::places`).

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::process::getuid;
use secrets_client::{NoPaths, Paths, TokenSource};
use secrets_local::files;
use secrets_local::places::{self, Base};
use secrets_proto::{SecretName, SecretValue};

use crate::failure::{Exit, Failure};
use crate::globals::Globals;

/// What a child of `run --clean-env` keeps.
const CLEAN: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "TERM", "TZ", "SHELL"];

/// What a daemon that we start keeps besides: what says where things are and how it works, and what a command that
/// gives it a key may need, as far as systemd would give it that too.
const DAEMON: [&str; 5] = ["XDG_", "SECRETSD_", "LC_", "RUST_", "DBUS_SESSION_BUS_ADDRESS"];

/// What a broker reads, in upper or lower case: how much it logs, which authorities it trusts, how names are looked up
/// (resolv.conf(5)), and which proxy is before the hosts. In a CGI program, which `REQUEST_METHOD` tells, `HTTP_PROXY` is
/// anybody's and does not count.
const BROKER: [&str; 10] = [
    "SECRETSD_LOG",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "LOCALDOMAIN",
    "RES_OPTIONS",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "REQUEST_METHOD",
];

/// Variables that coding agents set in what they run, and SecretSpec's own for those that set none.
const AGENTS: [&str; 10] = [
    "SECRETSPEC_AGENT",
    "AI_AGENT",
    "CLAUDECODE",
    "CLAUDE_CODE",
    "CODEX_SANDBOX",
    "CODEX_THREAD_ID",
    "CURSOR_AGENT",
    "CURSOR_TRACE_ID",
    "GEMINI_CLI",
    "OPENCODE",
];

/// Variables of ours that begin like this hold a token or lead to one.
const TOKEN_PREFIX: &[u8] = b"SECRETSD_TOKEN";

/// Where the daemon is and what proves that we may ask it, by the flags and this process's environment.
pub(crate) fn paths(globals: &Globals) -> Result<Paths, Failure> {
    Paths::find(globals.socket.clone(), globals.token_file.clone(), variable).map_err(|error| match error {
        NoPaths::NoRuntimeDir => {
            let usual = PathBuf::from(format!("/run/user/{}", getuid().as_raw()));
            // As pam_systemd makes it; a login without it, such as `su`, only lacks the variable.
            let text = if files::check_place(&usual).is_ok() && usual.is_dir() {
                format!("XDG_RUNTIME_DIR is not set; run: export XDG_RUNTIME_DIR={}", usual.display())
            } else {
                format!("{error} with --socket")
            };
            Failure::new(Exit::NoDaemon, text)
        }
        NoPaths::Unusable(_) => Failure::new(Exit::Invalid, error.to_string()),
    })
}

/// Makes a path independent of the working directory.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::new(Exit::Invalid, format!("a path cannot be used: {error}")))
}

/// Whether the user asked for no colour.
pub(crate) fn no_colour() -> bool {
    variable("NO_COLOR").is_some() || variable("TERM").is_some_and(|term| term == "dumb")
}

/// Whether the terminal knows no sequences of bytes that mean something.
pub(crate) fn plain_terminal() -> bool {
    variable("TERM").is_none_or(|term| term == "dumb")
}

/// The pager of the user's choice, as a shell reads it; empty for none.
pub(crate) fn pager() -> Option<OsString> {
    env::var_os("SECRETCTL_PAGER").or_else(|| env::var_os("PAGER"))
}

/// Whether the user says which certificate authorities are trusted.
pub(crate) fn names_authorities() -> bool {
    variable("SSL_CERT_FILE").or_else(|| variable("SSL_CERT_DIR")).is_some()
}

/// What a fence is built around.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// Where we stand.
    pub(crate) directory: Option<PathBuf>,
    /// The user's home.
    pub(crate) home: Option<PathBuf>,
    /// Temporary directories of this user's choice.
    pub(crate) temporary: Vec<PathBuf>,
    /// Where sockets of the user's session are.
    pub(crate) runtime: Option<PathBuf>,
    /// The directories that are secretsd's, whether they are there or not.
    pub(crate) own: Vec<PathBuf>,
    /// A file with a token, if one is used.
    pub(crate) token: Option<PathBuf>,
}

/// What a fence is built around, by this process's environment and where the daemon is.
pub(crate) fn surroundings(paths: &Paths) -> Surroundings {
    let mut own: Vec<PathBuf> = [Base::Data, Base::State, Base::Config, Base::Runtime]
        .into_iter()
        .filter_map(|base| base.ours(variable))
        .chain(state_dir())
        .chain(data_dir(None).ok())
        .collect();
    own.extend(paths.socket.parent().map(Path::to_owned));
    own.extend(settings_file().and_then(|file| file.parent().map(Path::to_owned)));
    Surroundings {
        directory: env::current_dir().ok(),
        home: home(),
        temporary: ["TMPDIR", "TMP", "TEMP"].into_iter().filter_map(variable).map(PathBuf::from).collect(),
        runtime: Base::Runtime.dir(variable),
        own,
        token: match &paths.token {
            TokenSource::File(path) => Some(path.clone()),
            TokenSource::Given(_) => variable("SECRETSD_TOKEN_FILE").map(PathBuf::from),
        },
    }
}

/// The directories of `PATH` that do not depend on where we stand.
pub(crate) fn program_dirs() -> Vec<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    env::split_paths(&path).filter(|dir| dir.is_absolute()).collect()
}

/// The path of the program that this word starts, as far as that can be told now.
pub(crate) fn resolved(program: &OsStr) -> Option<PathBuf> {
    let path = Path::new(program);
    if path.components().count() > 1 {
        return absolute(path).ok().filter(|path| path.is_file());
    }
    let found = env::split_paths(&variable("PATH")?).map(|dir| dir.join(path)).find(|path| path.is_file());
    found.and_then(|path| absolute(&path).ok())
}

/// Where a daemon that we start keeps its log.
pub(crate) fn state_dir() -> Option<PathBuf> {
    let given = variable("SECRETSD_STATE_DIR").map(PathBuf::from);
    given.or_else(|| Base::State.ours(variable)).filter(|dir| dir.is_absolute())
}

/// Where a throw-away vault is made.
pub(crate) fn throw_away_dir() -> Option<PathBuf> {
    places::throw_away(&variable)
}

/// Where the vault lies, by the daemon's own rule.
pub(crate) fn data_dir(flag: Option<&Path>) -> Result<PathBuf, Failure> {
    let given = flag.map(Path::to_owned).or_else(|| variable("SECRETSD_DATA_DIR").map(PathBuf::from));
    match given.or_else(|| Base::Data.ours(variable)) {
        Some(dir) => absolute(&dir),
        None => {
            Err(Failure::new(Exit::Invalid, "HOME is not set; name the vault's directory with --data-dir"))
        }
    }
}

/// Where the daemon's settings lie, by its own rule.
pub(crate) fn settings_file() -> Option<PathBuf> {
    let given = variable("SECRETSD_CONFIG").map(PathBuf::from);
    given.or_else(|| Base::Config.ours(variable).map(|dir| dir.join(places::SETTINGS)))
}

/// Whether we run inside of a session of `proxy run`, whose programs have placeholders in place of values.
pub(crate) fn in_session() -> bool {
    variable("SECRETSD_PROXY").is_some()
}

/// The placeholder that a session has given for a secret: in the variable of its name.
pub(crate) fn placeholder(name: &SecretName) -> Option<SecretValue> {
    SecretValue::new(variable(name.as_str())?.into_string().ok()?).ok()
}

/// The profile of a project that is meant, if one is; SecretSpec's own variable. Blanks around it do not count.
pub(crate) fn profile() -> Option<String> {
    chosen("SECRETSPEC_PROFILE")
}

/// The scope of a project that is meant, if one is; SecretSpec's own variable.
pub(crate) fn scope() -> Option<String> {
    chosen("SECRETSPEC_SCOPE")
}

fn chosen(name: &str) -> Option<String> {
    let value = variable(name)?;
    // What is not UTF-8 is no profile's name, and not the same as nothing.
    let text = value.to_string_lossy();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Whether a coding agent runs this, as far as its variables tell.
pub(crate) fn is_agents() -> bool {
    AGENTS.iter().any(|name| variable(name).is_some())
}

/// What a client of Kubernetes says about itself to its credential plugin.
pub(crate) fn kubernetes_exec_info() -> Option<OsString> {
    variable("KUBERNETES_EXEC_INFO")
}

/// Whether the environment holds a token, which our children would have too.
pub(crate) fn has_token() -> bool {
    variable("SECRETSD_TOKEN").is_some()
}

/// Whether the environment names a file with a token.
pub(crate) fn has_token_file() -> bool {
    variable("SECRETSD_TOKEN_FILE").is_some()
}

/// The user's home.
pub(crate) fn home() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from)
}

/// Where the daemon's socket lies if nobody says otherwise.
pub(crate) fn runtime_dir() -> Option<PathBuf> {
    Base::Runtime.ours(variable)
}

/// Where a user's own units lie.
pub(crate) fn user_units() -> Option<PathBuf> {
    Base::Config.dir(variable).map(|dir| dir.join("systemd/user"))
}

/// The directory of the user's data, ours and that of other programs.
pub(crate) fn user_data_dir() -> Option<PathBuf> {
    Base::Data.dir(variable)
}

/// Where systemd looks for a user's units, if there is a systemd for this user.
pub(crate) fn systemd_user_dirs() -> Vec<PathBuf> {
    let Some(runtime) = Base::Runtime.dir(variable).filter(|dir| dir.join("systemd/private").exists()) else {
        return Vec::new();
    };
    let system = ["/etc", "/run", "/usr/local/lib", "/usr/local/share", "/usr/lib", "/usr/share"];
    let above = [Base::Config.dir(variable), Some(runtime), Base::Data.dir(variable)].into_iter().flatten();
    above.chain(system.map(PathBuf::from)).map(|dir| dir.join("systemd/user")).collect()
}

/// Our own environment as a child may see it: without our tokens, and if `clean`, without all else that
/// programs can do without.
pub(crate) fn for_child(clean: bool) -> Vec<(OsString, OsString)> {
    env::vars_os()
        .filter(|(name, _)| !is_token(name) && (!clean || CLEAN.iter().any(|kept| name == kept)))
        .collect()
}

/// A variable that our children inherit and that is not empty.
pub(crate) fn inherited(name: &str) -> Option<OsString> {
    variable(name).filter(|_| !is_token(&name.into()))
}

/// Removes these from what a child inherits.
pub(crate) fn without(
    mut variables: Vec<(OsString, OsString)>,
    names: &[String],
) -> Vec<(OsString, OsString)> {
    variables.retain(|(name, _)| names.iter().all(|other| name != other.as_str()));
    variables
}

/// What is to be set, and what removed, so that our environment becomes this one.
pub(crate) fn changes(wanted: &[(OsString, OsString)]) -> (Vec<(OsString, OsString)>, Vec<OsString>) {
    let present: Vec<(OsString, OsString)> = env::vars_os().collect();
    let set = wanted.iter().filter(|variable| !present.contains(variable)).cloned().collect();
    let names = present.into_iter().map(|(name, _)| name);
    (set, names.filter(|name| wanted.iter().all(|(wanted, _)| wanted != name)).collect())
}

/// Where short-lived files may go, the best place first: what is in memory, then what is said, then what there always is.
pub(crate) fn temporary_dirs() -> Vec<PathBuf> {
    let said = [Base::Runtime.dir(variable), Some("/dev/shm".into()), variable("TMPDIR").map(PathBuf::from)];
    let dirs = said.into_iter().flatten().chain(["/tmp".into()]);
    dirs.filter(|dir| dir.is_absolute() && dir.is_dir()).collect()
}

/// Our own environment as a daemon may see it that we start. It stays when the command has ended that needed it, and
/// the shell may be one that `run` has handed values to.
pub(crate) fn for_daemon() -> Vec<(OsString, OsString)> {
    let is_kept = |name: &OsString| {
        let starts = |kept: &str| name.as_encoded_bytes().starts_with(kept.as_bytes());
        CLEAN.iter().any(|kept| name == kept) || DAEMON.iter().any(|kept| starts(kept))
    };
    env::vars_os().filter(|(name, _)| !is_token(name) && is_kept(name)).collect()
}

/// Our own environment as a broker sees it: what it reads alone, since it stays beside a program that may not see the rest.
/// It works in another directory; where its certificate authorities are is said from here.
pub(crate) fn for_broker() -> Vec<(OsString, OsString)> {
    let from_here = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let is_kept = |name: &OsString| {
        name.to_str().is_some_and(|name| BROKER.iter().any(|kept| name.eq_ignore_ascii_case(kept)))
    };
    let mut variables: Vec<_> = env::vars_os().filter(|(name, _)| is_kept(name)).collect();
    for (name, value) in variables.iter_mut().filter(|(_, value)| !value.is_empty()) {
        if name == "SSL_CERT_FILE" {
            *value = from_here(Path::new(value)).into();
        } else if name == "SSL_CERT_DIR" {
            let dirs = env::split_paths(value).map(|dir| from_here(&dir));
            *value = env::join_paths(dirs).unwrap_or_else(|_| value.clone());
        }
    }
    variables
}

fn is_token(name: &OsString) -> bool {
    name.as_encoded_bytes().starts_with(TOKEN_PREFIX)
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_that_leads_to_a_token_is_ours() {
        for name in ["SECRETSD_TOKEN", "SECRETSD_TOKEN_FILE", "SECRETSD_TOKEN_X"] {
            assert!(is_token(&name.into()));
        }
        assert!(!is_token(&"SECRETSD_SOCKET".into()));
    }
}
