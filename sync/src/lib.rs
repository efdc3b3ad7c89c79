//! The mover: brings the sealed files of a vault on several machines from the *exchange*, a directory of the daemon, to a
//! store, and back. It has no key and looks into no file; the daemon has no network. `secretctl sync` and a timer run it.
//!
//! # Layout
//!
//! `run → store → line`, where every request passes and is bounded. Besides:
//!
//! - `exchange`: the directory, in which alone it reads and writes
//! - `settings`: which store it is, and where its credential comes from; `place`: the store's address
//! - `report`: what is said of a run; `failure`: why it was not done

mod exchange;
mod failure;
mod line;
mod place;
mod report;
mod run;
mod settings;
mod store;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use secrets_fleet::exchange::{DROP, DROPPED, GONE, MERGED, STATUS};
use secrets_fleet::{Kind as ObjectKind, ObjectName};
use secrets_local::memory::WipingAllocator;
use secrets_local::places::{Base, EXCHANGE, STORE, STORE_TOKEN};
use secrets_local::telling::{said, say};
use secrets_local::{files, hardening};

use crate::exchange::Exchange;
use crate::failure::{Failure, Kind};
use crate::place::Place;
use crate::report::Report;
use crate::settings::Settings;
use crate::store::Store;

/// The store's credential passes through buffers of libraries, which do not wipe them.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// What failures are told under.
const PROGRAM: &str = "secretctl-sync";

/// How long a run may take; what was moved by then stays.
const LONGEST: Duration = Duration::from_secs(15 * 60);

const USAGE: &str = "\
Moves the sealed files of a vault that is on several machines to its store, and from there. `secretctl sync`
runs it, and so does the timer secretsd-sync.timer. It can read none of what it moves.

Usage: secretctl-sync [OPTIONS]              Move what is to be moved
       secretctl-sync begin STORE [OPTIONS]  Use this store, if it can be reached
       secretctl-sync status                 Print which store it is, and what came of the last run, as JSON
       secretctl-sync forget                 Use no store any more, and remove what was fetched

STORE is s3://BUCKET/PREFIX, az://CONTAINER/PREFIX, gs://BUCKET/PREFIX or a URL of WebDAV, after which
?endpoint=URL, &region=NAME and &account=NAME say what else there is to say.

Options:
      --if-online             End without an error if the store cannot be reached
      --if-pending            Do nothing if nothing waits here to go to the store
      --json                  Say what came of it as JSON
      --secret VARIABLE=NAME  With begin: the credential is in the vault, under this name
      --empty                 With begin: the store must hold no other vault
  -V, --version               Print the version
  -h, --help                  Print this

The credential is looked for first in the vault, then in systemd's credential `store` (lines VARIABLE=value),
then in the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AZURE_STORAGE_ACCOUNT_KEY,
GOOGLE_SERVICE_ACCOUNT_KEY, WEBDAV_USER and WEBDAV_PASSWORD, and others of their kind; then at the cloud's own
service for its machines.";

/// What is to be done.
enum Task {
    Run,
    Begin(Settings),
    Status,
    Forget,
}

struct Arguments {
    task: Task,
    if_online: bool,
    if_pending: bool,
    is_json: bool,
    is_empty: bool,
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    hardening::quiet_panics(PROGRAM);
    if hardening::make_unreadable().and_then(|()| hardening::forbid_cores()).is_err() {
        return failed(&Failure::new(Kind::Exchange, "this process cannot be protected from others"));
    }
    hardening::make_files_private();
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.first().and_then(|word| word.to_str()) {
        Some("--version" | "-V") => return said(concat!("secretctl-sync ", env!("CARGO_PKG_VERSION"))),
        Some("--help" | "-h") => return said(USAGE),
        _ => {}
    }
    let Some(arguments) = arguments(&words) else {
        say(PROGRAM, "fix: secretctl-sync --help");
        return failed(&Failure::new(Kind::Usage, "these arguments are not understood"));
    };
    // Before the first client: without a provider it would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match done(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if arguments.if_online && failure.kind == Kind::Offline => ExitCode::SUCCESS,
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &Failure) -> ExitCode {
    say(PROGRAM, &failure.text);
    ExitCode::from(failure.kind.exit())
}

fn arguments(words: &[OsString]) -> Option<Arguments> {
    let mut words = words.iter().map(|word| word.to_str()).peekable();
    let mut arguments =
        Arguments { task: Task::Run, if_online: false, if_pending: false, is_json: false, is_empty: false };
    match words.peek() {
        Some(Some("status")) => arguments.task = Task::Status,
        Some(Some("forget")) => arguments.task = Task::Forget,
        Some(Some("begin")) => {
            words.next();
            let url = (*words.peek()?)?.to_owned();
            arguments.task = Task::Begin(Settings { url, secrets: BTreeMap::new() });
        }
        _ => {}
    }
    if !matches!(arguments.task, Task::Run) {
        words.next();
    }
    while let Some(word) = words.next() {
        match (word?, &mut arguments.task) {
            ("--json", _) => arguments.is_json = true,
            ("--if-online", Task::Run) => arguments.if_online = true,
            ("--if-pending", Task::Run) => arguments.if_pending = true,
            ("--empty", Task::Begin(_)) => arguments.is_empty = true,
            ("--secret", Task::Begin(settings)) => {
                let (variable, name) = words.next()??.split_once('=')?;
                settings.secrets.insert(variable.to_owned(), name.to_owned());
            }
            _ => return None,
        }
    }
    Some(arguments)
}

/// Where the daemon's data is, and the exchange below it.
fn directory() -> Result<PathBuf, Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let data = variable("SECRETSD_DATA_DIR").map(PathBuf::from).or_else(|| Base::Data.ours(variable));
    let data = data.filter(|data| data.is_absolute());
    let data = data.ok_or_else(|| {
        Failure::new(
            Kind::Exchange,
            "the data directory is unknown; set HOME, or SECRETSD_DATA_DIR to an absolute path",
        )
    })?;
    Ok(data.join(EXCHANGE))
}

fn done(arguments: &Arguments) -> Result<(), Failure> {
    let directory = directory()?;
    match &arguments.task {
        Task::Run => {
            let settings = Settings::read(&directory)?;
            let exchange = Exchange::lock(&directory)?;
            if arguments.if_pending && !exchange.is_pending()? {
                return Ok(());
            }
            let report = in_time(moved(&directory, &exchange, &settings))?;
            exchange.say(report.json().as_bytes())?;
            if arguments.is_json {
                said(&report.json());
            } else if report.failure.is_none() {
                say(PROGRAM, &report.line());
            }
            report.failure.map_or(Ok(()), Err)
        }
        Task::Begin(settings) => begin(&directory, settings, arguments.is_empty),
        Task::Status => status(&directory),
        Task::Forget => forget(&directory),
    }
}

async fn moved(directory: &Path, exchange: &Exchange, settings: &Settings) -> Report {
    let work = async {
        let store = opened(directory, settings).await?;
        Ok(run::run(exchange, &store).await)
    };
    let slow = || {
        Err(Failure::new(
            Kind::Offline,
            "the store is too slow; what was moved stays, and the rest is for the next run",
        ))
    };
    let done = tokio::time::timeout(LONGEST, work).await.unwrap_or_else(|_| slow());
    done.unwrap_or_else(|failure| Report { failure: Some(failure), ..Report::default() })
}

async fn opened(directory: &Path, settings: &Settings) -> Result<Store, Failure> {
    let place = Place::parse(&settings.url)?;
    Store::new(&place, &settings.credential(directory).await?)
}

fn in_time<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|_| Failure::new(Kind::Exchange, "the runtime cannot be started"))?;
    Ok(runtime.block_on(work))
}

/// Uses a store from now on, if it answers.
fn begin(directory: &Path, settings: &Settings, is_empty: bool) -> Result<(), Failure> {
    let exchange = Exchange::lock(directory)?;
    let listed = in_time(async { opened(directory, settings).await?.list().await })??;
    if is_empty && listed.keys().any(|name| name.kind != ObjectKind::Invitation) {
        let text = "the store's directory holds a vault's files already: join that with secretctl machine join, or choose another directory";
        return Err(Failure::new(Kind::OtherFleet, text));
    }
    drop(exchange);
    settings.write(directory)?;
    said(&serde_json::json!({ "exchange": directory, "listed": listed.len() }).to_string());
    Ok(())
}

fn status(directory: &Path) -> Result<(), Failure> {
    let settings = Settings::read(directory)?;
    let pending = exchange::pending(directory)?;
    let last = files::read_private(&directory.join(STATUS), 64 << 10).ok();
    let last: Option<serde_json::Value> = last.and_then(|text| serde_json::from_slice(&text).ok());
    said(&serde_json::json!({ "store": settings.url, "pending": pending, "last": last }).to_string());
    Ok(())
}

fn forget(directory: &Path) -> Result<(), Failure> {
    let exchange = Exchange::lock(directory)?;
    exchange.clear(|name| {
        [STORE, STORE_TOKEN, STATUS, DROP, DROPPED, GONE, MERGED].contains(&name)
            || name.parse::<ObjectName>().is_ok()
    })
}
