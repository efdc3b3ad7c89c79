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

mod call;
mod daemon;
mod desk;
mod dispatch;
mod error;
mod held;
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

use secrets_local::hardening;
use secrets_local::memory::WipingAllocator;

/// Values pass through buffers of libraries, which do not wipe them.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// What failures are told under.
const PROGRAM: &str = "secretsd-bus";

/// The name that programs look for.
const NAME: &str = "org.freedesktop.secrets";

const USAGE: &str = "\
Serves org.freedesktop.secrets on the session bus from the vault. systemd or the bus starts it, once
`secretctl secret-service enable` has turned that on.

Usage: secretsd-bus [OPTIONS]

Options:
      --bus-name NAME       Serve under another name, to try it
      --socket PATH         The daemon's socket
      --token-file PATH     The token; beside the socket unless given
      --holder              Print who has the name, if anybody has, and end
      --reload              Have the bus read again what it can start, and end
  -V, --version             Print the version
  -h, --help                Print this";

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Serve,
    Holder,
    Reload,
}

/// What the command line says.
struct Arguments {
    socket: Option<PathBuf>,
    token_file: Option<PathBuf>,
    name: String,
    task: Task,
}

/// Serves until the bus is gone or it is ended.
pub fn main() -> ExitCode {
    hardening::quiet_panics(PROGRAM);
    if hardening::make_unreadable().and_then(|()| hardening::forbid_cores()).is_err() {
        return failed("this process cannot be protected from others");
    }
    hardening::make_files_private();
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.first().and_then(|word| word.to_str()) {
        Some("--version" | "-V") => return said(concat!("secretsd-bus ", env!("CARGO_PKG_VERSION"))),
        Some("--help" | "-h") => return said(USAGE),
        _ => {}
    }
    let Some(arguments) = arguments(words.into_iter()) else {
        say("these arguments are not understood");
        say("fix: secretsd-bus --help");
        return ExitCode::from(2);
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return failed("the runtime cannot be started");
    };
    match runtime.block_on(perform(arguments)) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(line)) => said(&line),
        Err(reason) => failed(&reason),
    }
}

async fn perform(arguments: Arguments) -> Result<Option<String>, String> {
    match arguments.task {
        Task::Serve => {
            let daemon = daemon::Daemon::find(arguments.socket, arguments.token_file)?;
            serve::run(daemon, &arguments.name).await.map(|()| None)
        }
        Task::Holder => Ok(name::holder(&serve::connect().await?, &arguments.name).await),
        Task::Reload => name::reload(&serve::connect().await?).await.map(|()| None),
    }
}

fn arguments(mut words: impl Iterator<Item = OsString>) -> Option<Arguments> {
    let mut arguments =
        Arguments { socket: None, token_file: None, name: NAME.to_owned(), task: Task::Serve };
    while let Some(word) = words.next() {
        match word.to_str()? {
            "--socket" => arguments.socket = Some(words.next()?.into()),
            "--token-file" => arguments.token_file = Some(words.next()?.into()),
            "--bus-name" => {
                let name = words.next()?.into_string().ok()?;
                zbus::names::WellKnownName::try_from(name.as_str()).ok()?;
                arguments.name = name;
            }
            "--holder" => arguments.task = Task::Holder,
            "--reload" => arguments.task = Task::Reload,
            _ => return None,
        }
    }
    Some(arguments)
}

/// Says on standard error why it ends.
fn failed(reason: &str) -> ExitCode {
    say(reason);
    ExitCode::FAILURE
}

fn say(line: &str) {
    use std::io::Write;
    // There is nobody else to tell.
    let _ = writeln!(std::io::stderr(), "{PROGRAM}: {line}");
}

fn said(line: &str) -> ExitCode {
    use std::io::Write;
    if writeln!(std::io::stdout(), "{line}").is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
