//! The mover, `secretctl-sync`, which brings what the machines say to each other to their store and from there: started, and
//! what it says taken. Nothing of it is needed for a directory that the machines share.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use secrets_client::{Call, Method};
use secrets_local::{files, places};
use secrets_proto::fleet::{FleetMerge, FleetStatus};
use secrets_proto::token::{CreateToken, CreatedToken, Scope, TokenList, TokenName};
use secrets_proto::{ErrorType, Glob, SecretName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::{age, environment, lasting, output, spawn};

/// The program.
const PROGRAM: &str = "secretctl-sync";

/// What the mover's access token is called.
const TOKEN_NAME: &str = "store";

/// Where the machines meet.
#[derive(Debug)]
pub(crate) enum Store {
    /// A directory that another program keeps the same on all of them.
    Shared(String),
    /// Anything else, by its address, with the secrets that its credential is in.
    Moved(String, Vec<(String, SecretName)>),
}

/// A store that is used from now on; if that is not [kept](Begun::keep), no longer than this lives.
#[derive(Debug)]
pub(crate) struct Begun {
    /// Where the daemon finds and leaves what is exchanged.
    pub(crate) directory: String,
    is_undone: bool,
    has_credential: bool,
}

impl Store {
    /// Reads what is given for `--store` and `--credential`.
    pub(crate) fn parse(store: &str, credential: &[String]) -> Result<Self, Failure> {
        if let Some(path) = store.strip_prefix("dir:") {
            if !credential.is_empty() {
                return Err(Failure::new(Exit::Invalid, "a directory needs no --credential"));
            }
            return shared(path).map(Self::Shared);
        }
        if !store.contains("://") {
            let text = "--store must be dir: and a path, or begin with s3://, az://, gs:// or https://";
            return Err(Failure::new(Exit::Invalid, text));
        }
        let wrong = || Failure::new(Exit::Invalid, "--credential must be VARIABLE=NAME");
        let pairs = credential.iter().map(|pair| {
            let (variable, name) = pair.split_once('=').ok_or_else(wrong)?;
            Ok((variable.to_owned(), SecretName::parse(name)?))
        });
        Ok(Self::Moved(store.to_owned(), pairs.collect::<Result<_, Failure>>()?))
    }

    /// Uses it from now on, unless the vault belongs to machines already. `must_be_new`: no other vault may be in it.
    pub(crate) fn begin(self, session: &Session, must_be_new: bool) -> Result<Begun, Failure> {
        let (url, secrets) = match self {
            Self::Shared(directory) => {
                return Ok(Begun { directory, is_undone: false, has_credential: false });
            }
            Self::Moved(url, secrets) => (url, secrets),
        };
        let status: FleetStatus = session.fetch(&Call::get("/fleet"))?;
        if status.member && !status.is_removed() {
            let text = "the vault belongs to machines already; see: secretctl machine list";
            return Err(Failure::new(Exit::Conflict, text));
        }
        // What an attempt that failed has left.
        ask(&["forget"])?;
        let mut begun =
            Begun { directory: String::new(), is_undone: true, has_credential: !secrets.is_empty() };
        if !secrets.is_empty() {
            write_token(session, &secrets)?;
        }
        let pairs: Vec<String> =
            secrets.iter().map(|(variable, name)| format!("{variable}={name}")).collect();
        let mut words = vec!["begin", url.as_str()];
        pairs.iter().for_each(|pair| words.extend(["--secret", pair]));
        words.extend(must_be_new.then_some("--empty"));
        let answer: Answer = parsed(&ask(&words)?)?;
        begun.directory = answer.exchange;
        Ok(begun)
    }
}

impl Begun {
    /// Goes on with it, and has systemd run the mover from now on.
    pub(crate) fn keep(mut self) {
        if !std::mem::take(&mut self.is_undone) {
            return;
        }
        let has_units = environment::systemd_user_dirs()
            .iter()
            .any(|dir| UNITS.iter().all(|unit| dir.join(unit).exists()));
        let told = if !has_units {
            "without systemd nothing moves by itself here; to send what is new, and to get it, run: secretctl sync".to_owned()
        } else if let Err(said) = lasting::manage(&[&["enable", "--now"], &UNITS[..]].concat()) {
            format!("{said}; until then, to send what is new, and to get it, run: secretctl sync")
        } else if self.has_credential {
            "what is new is moved by itself while the vault is unlocked".to_owned()
        } else {
            "what is new is moved by itself once secretsd-sync.service has the store's credential; see docs/machines.md".to_owned()
        };
        output::say(&told);
    }
}

impl Begun {
    /// Goes on with it, and has nobody run the mover.
    pub(crate) fn keep_quietly(mut self) {
        self.is_undone = false;
    }
}

/// What runs the mover.
pub(crate) const UNITS: [&str; 2] = ["secretsd-sync.timer", "secretsd-sync.path"];

impl Drop for Begun {
    fn drop(&mut self) {
        if self.is_undone {
            // The failure that led here is told.
            let _ = ask(&["forget"]);
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    exchange: String,
}

/// What came of a run, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
struct Moved {
    got: usize,
    lost: usize,
}

/// Which store is used, and what came of the last run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoreStatus {
    store: String,
    /// How many objects wait here to go there.
    pending: usize,
    last: Option<LastRun>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LastRun {
    time: Timestamp,
    error: Option<String>,
    detail: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl StoreStatus {
    /// The store, when it was last reached or tried, and what is to go there.
    pub(crate) fn line(&self) -> String {
        let when = match &self.last {
            None => "never reached".to_owned(),
            Some(last) => {
                let what = if last.error.is_some() { "last tried" } else { "last sync" };
                match age::since(last.time, Timestamp::now()).as_str() {
                    "now" => format!("{what} now"),
                    span => format!("{what} {span} ago"),
                }
            }
        };
        let waiting = match self.pending {
            0 => "nothing to push".to_owned(),
            count => format!("{count} to push"),
        };
        format!("{}, {when}, {waiting}", output::in_one_line(&self.store))
    }

    /// Its address.
    pub(crate) fn address(&self) -> &str {
        &self.store
    }

    /// Why the last run failed, if it did.
    pub(crate) fn failure(&self) -> Option<String> {
        let detail = self.last.as_ref()?.detail.as_deref()?;
        Some(output::in_one_line(detail).into_owned())
    }

    /// The daemon's answer with this beside it, as `store`.
    pub(crate) fn beside(&self, answer: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut all: Map<String, Value> = parsed(answer)?;
        all.insert("store".to_owned(), serde_json::to_value(self).unwrap_or_default());
        Ok(serde_json::to_vec(&all).unwrap_or_default())
    }
}

/// Exchanges changes with the other machines, by way of the store if there is one.
pub(crate) fn sync(session: &Session) -> Result<FleetMerge, Failure> {
    let merge = || {
        let merged = session.fetch::<FleetMerge>(&Call::new(Method::POST, "/fleet/merge"));
        merged.map_err(|failure| {
            let status = session.fetch::<FleetStatus>(&Call::get("/fleet")).ok();
            match status.and_then(|status| status.directory) {
                Some(directory) => naming(failure, &directory),
                None => failure,
            }
        })
    };
    let mut first = merge()?;
    let Some(moved) = run(&[])? else { return Ok(first) };
    if moved.got + moved.lost > 0 {
        let FleetMerge { merged, written, fleet } = merge()?;
        first.merged.extend(merged);
        first.merged.sort();
        first.merged.dedup();
        first = FleetMerge { written: first.written + written, fleet, ..first };
        run(&["--if-pending"])?;
    }
    Ok(first)
}

/// The failure; if it is about the directory that is exchanged by, that stands before the message.
pub(crate) fn naming(failure: Failure, directory: &str) -> Failure {
    let is_about_it = failure.kind() == Some(ErrorType::BadGatewayError) || failure.is_about("directory");
    if !is_about_it {
        return failure;
    }
    let message = format!("{}: {}", output::in_one_line(directory), failure.message());
    failure.with_message(message)
}

/// Moves what is to be moved, if a store is used.
pub(crate) fn run_if_used() -> Result<(), Failure> {
    run(&[]).map(drop)
}

/// The same while somebody is waited for: a store that does not answer may do so the next time.
pub(crate) fn run_while_waiting() -> Result<(), Failure> {
    match run(&[]) {
        Err(failure) if failure.exit() == Exit::DaemonFailed => Ok(()),
        other => other.map(drop),
    }
}

/// Which store is used, and what came of the last run; none if it is a directory.
pub(crate) fn status() -> Result<Option<StoreStatus>, Failure> {
    if !is_used() { Ok(None) } else { parsed(&ask(&["status"])?).map(Some) }
}

fn run(options: &[&str]) -> Result<Option<Moved>, Failure> {
    if !is_used() {
        return Ok(None);
    }
    let told = ask(&[options, &["--json"]].concat())?;
    if told.is_empty() { Ok(Some(Moved::default())) } else { parsed(&told).map(Some) }
}

fn exchange() -> Option<PathBuf> {
    environment::data_dir(None).ok().map(|dir| dir.join(places::EXCHANGE))
}

fn is_used() -> bool {
    exchange().is_some_and(|exchange| exchange.join(places::STORE).exists())
}

fn parsed<T: for<'a> Deserialize<'a>>(told: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(told)
        .map_err(|_| Failure::new(Exit::Other, "secretctl-sync is of another version; run: make install"))
}

/// Has the program do something, and takes what it prints.
fn ask(words: &[&str]) -> Result<Vec<u8>, Failure> {
    let own = env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent);
    let program = spawn::find(PROGRAM, beside, &environment::program_dirs()).ok_or_else(|| {
        Failure::new(Exit::Other, "secretctl-sync is neither beside secretctl nor in PATH; install it")
    })?;
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output =
        output.map_err(|error| Failure::new(Exit::Other, format!("cannot start secretctl-sync: {error}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let line = told.lines().last().unwrap_or("secretctl-sync failed");
    let line = line.strip_prefix("secretctl-sync: ").unwrap_or(line).to_owned();
    let exit = match output.status.code() {
        Some(3) => Exit::Locked,
        Some(4) => Exit::NotFound,
        Some(5) => Exit::NotAllowed,
        Some(6) => Exit::Conflict,
        Some(2 | 7) => Exit::Invalid,
        Some(9) => Exit::DaemonFailed,
        _ => Exit::Other,
    };
    Err(Failure::new(exit, line))
}

/// Gives the mover a token that may reveal these secrets and nothing else.
fn write_token(session: &Session, secrets: &[(String, SecretName)]) -> Result<(), Failure> {
    let globs = secrets.iter().map(|(_, name)| Glob::parse(name.as_str())).collect::<Result<_, _>>()?;
    // An attempt that failed may have left one.
    let tokens: TokenList = session.fetch(&Call::get("/tokens"))?;
    for token in tokens.tokens.iter().filter(|token| token.name.as_str() == TOKEN_NAME) {
        session.call(&Call::new(Method::DELETE, &format!("/tokens/{}", token.id)))?;
    }
    let request = CreateToken {
        name: TokenName::parse(TOKEN_NAME)?,
        scopes: vec![Scope::Reveal],
        secrets: Some(globs),
        ttl_seconds: Some(None),
        rate_per_minute: None,
    };
    let created: CreatedToken = session.fetch(&Call::new(Method::POST, "/tokens").json(&request)?)?;
    let exchange = exchange().ok_or_else(|| Failure::new(Exit::Other, "the data directory is unknown"))?;
    let wrong = |error: files::Error| Failure::new(Exit::Other, error.to_string());
    let exchange = files::private_dir(&exchange).map_err(wrong)?;
    files::replace_private(&exchange.join(places::STORE_TOKEN), created.token.expose().as_bytes())
        .map_err(wrong)
}

/// A shared directory, absolute.
fn shared(path: &str) -> Result<String, Failure> {
    let shown = output::in_one_line(path).into_owned();
    let failed = |error: io::Error| {
        // A directory that is made where one is not mounted yet would be another one.
        let is_absent = error.kind() == io::ErrorKind::NotFound;
        let why = if is_absent { "is not there; create or mount it" } else { "cannot be reached" };
        let because = if is_absent { String::new() } else { format!(": {error}") };
        Failure::new(Exit::NotFound, format!("--store: {shown} {why}{because}"))
    };
    let found = fs::canonicalize(path).map_err(failed)?;
    if !found.is_dir() {
        return Err(Failure::new(Exit::Invalid, format!("--store: {shown} is not a directory")));
    }
    let found = found.into_os_string().into_string();
    found.map_err(|_| Failure::new(Exit::Invalid, "the path of --store is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_cannot_be_used_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        for (path, exit, why) in [
            (place.path().join("none"), Exit::NotFound, "is not there; create or mount it"),
            (file.join("below"), Exit::NotFound, "cannot be reached: "),
            (file, Exit::Invalid, "is not a directory"),
        ] {
            let failure = shared(path.to_str().unwrap()).unwrap_err();
            let said = failure.message();
            assert!(failure.exit() == exit && said.contains(&format!("{} {why}", path.display())), "{said}");
        }
    }
}
