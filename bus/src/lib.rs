//! Serves `org.freedesktop.secrets`, the Secret Service, on the session bus: programs that keep their passwords there keep
//! them in the vault. A client of the daemon like any other, with a token that reaches items and nothing else.
//!
//! Source: the Secret Service API of freedesktop.org, version 0.2.
//!
//! # Layout
//!
//! `serve → peers → dispatch → service, objects, properties → prompts → items → desk → daemon`. Besides:
//!
//! - `call`, `path`, `error`, `introspect`: what travels over the bus
//! - `transfer`: how values are carried over it
//! - `held`, `memory`: what connections hold, and the collection `session`
//! - `who`: the process behind a connection
//! - `name`: who has the name
//! - `watch`: whether the vault is open, when nobody asks
//! - `import`, `elsewhere`: the items of another Secret Service, copied into the vault

mod call;
mod daemon;
mod desk;
mod dispatch;
mod elsewhere;
mod error;
mod held;
mod import;
mod introspect;
mod items;
mod memory;
mod name;
mod objects;
mod path;
mod peers;
mod prompts;
mod properties;
mod serve;
mod service;
mod transfer;
mod watch;
mod who;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use secrets_local::memory::WipingAllocator;
use secrets_local::telling::{self, said, say};
use secrets_local::{descriptors, hardening};

/// Values pass through buffers of libraries, which do not wipe them.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// What failures are told under.
const PROGRAM: &str = "secretsd-bus";

/// What is said for `secretctl items import`, which becomes this program.
const CLIENT: &str = "secretctl";

/// The name that programs look for.
const NAME: &str = "org.freedesktop.secrets";

/// The longest that a program waits for a person, in seconds.
const PATIENCE: u64 = 120;

const USAGE: &str = "\
Serves org.freedesktop.secrets on the session bus from the vault. systemd or the bus starts it, once
`secretctl secret-service enable` has turned that on.

Usage: secretsd-bus [OPTIONS]

Options:
      --bus-name NAME       Serve under another name, to try it
      --socket PATH         The daemon's socket
      --token-file PATH     The token; beside the socket unless given
      --patience SECONDS    The longest that a program waits for a person, 1 to 120 [default: 120]
      --holder              Print who has the name, if anybody has, and end
      --start               Have the bus start what serves the name, print who has it then, and end
      --reload              Have the bus read again what it can start, and end
      --import              Copy the items of the program that has the name, and end
      --dry-run             With --import: store nothing
      --replace             With --import: also where the vault has another value
      --json                With --import: say what came of it as JSON
  -V, --version             Print the version
  -h, --help                Print this";

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Serve,
    Holder,
    Start,
    Reload,
    Import,
}

/// What the command line says.
struct Arguments {
    socket: Option<PathBuf>,
    token_file: Option<PathBuf>,
    name: String,
    patience: Duration,
    task: Task,
    options: import::Options,
    is_json: bool,
}

/// Serves until the bus is gone or it is ended.
pub fn main() -> ExitCode {
    hardening::quiet_panics(PROGRAM);
    if hardening::make_unreadable().and_then(|()| hardening::forbid_cores()).is_err() {
        return telling::failed(PROGRAM, "this process cannot be protected from others");
    }
    hardening::make_files_private();
    // Messages of the bus can bring many, and one that could not be taken would end the connection to it.
    descriptors::raise_limit();
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.first().and_then(|word| word.to_str()) {
        Some("--version" | "-V") => return said(concat!("secretsd-bus ", env!("CARGO_PKG_VERSION"))),
        Some("--help" | "-h") => return said(USAGE),
        _ => {}
    }
    let Some(arguments) = arguments(words.into_iter()) else {
        say(PROGRAM, "these arguments are not understood");
        say(PROGRAM, "fix: secretsd-bus --help");
        return ExitCode::from(2);
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return telling::failed(PROGRAM, "the runtime cannot be started");
    };
    if arguments.task == Task::Import {
        return runtime.block_on(copy(arguments));
    }
    match runtime.block_on(perform(arguments)) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(line)) => said(&line),
        Err(reason) => telling::failed(PROGRAM, &reason),
    }
}

/// Copies items for `secretctl items import`, under whose name it speaks: 0 if all were, 1 if some were left, 6 if there is
/// nobody to copy from.
async fn copy(arguments: Arguments) -> ExitCode {
    const CONFLICT: u8 = 6;
    let daemon = match daemon::Daemon::find(arguments.socket, arguments.token_file) {
        Ok(daemon) => daemon,
        Err(reason) => return telling::failed(CLIENT, &reason),
    };
    let outcome = match import::run(&daemon, &arguments.name, arguments.options).await {
        Ok(outcome) => outcome,
        Err(import::Failure::Nobody(reason)) => {
            say(CLIENT, &reason);
            return ExitCode::from(CONFLICT);
        }
        Err(import::Failure::Other(reason)) => return telling::failed(CLIENT, &reason),
    };
    for left in &outcome.left {
        let what = match &left.label {
            Some(label) => format!("\"{label}\" of \"{}\"", left.collection),
            None => format!("the collection \"{}\"", left.collection),
        };
        say(CLIENT, &format!("not copied: {what}: {}", left.reason));
    }
    let is_whole = outcome.left.is_empty();
    if arguments.is_json {
        let Ok(text) = serde_json::to_string(&outcome) else { return ExitCode::FAILURE };
        if said(&text) == ExitCode::FAILURE {
            return ExitCode::FAILURE;
        }
    }
    let (copy, replace) =
        if arguments.options.is_dry { ("would copy", "replace") } else { ("copied", "replaced") };
    let import::Outcome { copied, replaced, unchanged, left } = &outcome;
    say(
        CLIENT,
        &format!(
            "{copy} {copied}, {replace} {replaced}; there already: {unchanged}; left out: {}",
            left.len()
        ),
    );
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn perform(arguments: Arguments) -> Result<Option<String>, String> {
    match arguments.task {
        Task::Serve | Task::Import => {
            let daemon = daemon::Daemon::find(arguments.socket, arguments.token_file)?;
            serve::run(daemon, &arguments.name, arguments.patience).await.map(|()| None)
        }
        Task::Holder => Ok(name::holder(&serve::connect().await?, &arguments.name).await),
        Task::Start => name::start(&serve::connect().await?, &arguments.name).await,
        Task::Reload => name::reload(&serve::connect().await?).await.map(|()| None),
    }
}

fn arguments(mut words: impl Iterator<Item = OsString>) -> Option<Arguments> {
    let mut arguments = Arguments {
        socket: None,
        token_file: None,
        name: NAME.to_owned(),
        patience: Duration::from_secs(PATIENCE),
        task: Task::Serve,
        options: import::Options::default(),
        is_json: false,
    };
    while let Some(word) = words.next() {
        match word.to_str()? {
            "--socket" => arguments.socket = Some(words.next()?.into()),
            "--token-file" => arguments.token_file = Some(words.next()?.into()),
            "--bus-name" => {
                let name = words.next()?.into_string().ok()?;
                zbus::names::WellKnownName::try_from(name.as_str()).ok()?;
                arguments.name = name;
            }
            "--patience" => {
                let seconds = words.next()?.to_str()?.parse().ok()?;
                arguments.patience =
                    (1..=PATIENCE).contains(&seconds).then(|| Duration::from_secs(seconds))?;
            }
            "--holder" => arguments.task = Task::Holder,
            "--start" => arguments.task = Task::Start,
            "--reload" => arguments.task = Task::Reload,
            "--import" => arguments.task = Task::Import,
            "--dry-run" => arguments.options.is_dry = true,
            "--replace" => arguments.options.replace = true,
            "--json" => arguments.is_json = true,
            _ => return None,
        }
    }
    let is_import = arguments.task == Task::Import;
    let of_import = arguments.options.is_dry || arguments.options.replace || arguments.is_json;
    (is_import || !of_import).then_some(arguments)
}
