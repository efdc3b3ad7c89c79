//! Asks a person on the desktop who may have a guarded secret: a notification with Deny and Answer…, and behind Answer… the
//! window of a graphical pinentry. `secretctl approve --agent` becomes it, or the unit `secretsd-approve.service`.
//!
//! No button allows anything: any program of the user can press one. To allow takes the passphrase.
//!
//! # Layout
//!
//! - `agent`: what is shown and answered, and when
//! - `answer`: one answer with the passphrase
//! - `notice`: an ask in plain words, however hostile the names in it are
//! - `bus`: notifications on the session bus
//! - `pinentry`: the window in which the passphrase is typed
//! - `daemon`: what is asked of the daemon
//! - `settings`: which pinentry the settings file names

mod agent;
mod answer;
mod bus;
mod daemon;
mod notice;
mod pinentry;
mod settings;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use secrets_local::hardening;
use secrets_local::memory::WipingAllocator;
use secrets_local::telling::{self, said};

/// The passphrase passes through buffers of libraries, which do not wipe them.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// What failures are told under.
const PROGRAM: &str = "secretctl approve --agent";

/// What names the pinentry, beside the flag and the settings file.
const PINENTRY: &str = "SECRETSD_PINENTRY";

/// What the command line says.
#[derive(Default)]
struct Arguments {
    socket: Option<PathBuf>,
    token_file: Option<PathBuf>,
    pinentry: Option<PathBuf>,
    /// Only to look whether all is there.
    is_check: bool,
}

/// Answers asks until it is ended. `secretctl` or systemd starts it.
pub fn main() -> ExitCode {
    hardening::quiet_panics(PROGRAM);
    if hardening::make_unreadable().and_then(|()| hardening::forbid_cores()).is_err() {
        return telling::failed(PROGRAM, "this process cannot be protected from others");
    }
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == "--version") {
        return said(concat!("secretctl-approve ", env!("CARGO_PKG_VERSION")));
    }
    let Some(arguments) = arguments(words.into_iter()) else {
        telling::say(PROGRAM, "it takes --socket PATH, --token-file PATH, --pinentry PATH and --check");
        return ExitCode::from(2);
    };
    let programs = match programs(arguments.pinentry) {
        Ok(programs) => programs,
        Err(reason) => return telling::failed(PROGRAM, &reason),
    };
    let daemon = match daemon::Daemon::find(arguments.socket, arguments.token_file) {
        Ok(daemon) => daemon,
        Err(reason) => return telling::failed(PROGRAM, &reason),
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return telling::failed(PROGRAM, "the runtime cannot be started");
    };
    let outcome = runtime.block_on(async {
        if arguments.is_check {
            return agent::check(&programs).await;
        }
        agent::run(daemon, programs).await
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => telling::failed(PROGRAM, &reason),
    }
}

fn arguments(mut words: impl Iterator<Item = OsString>) -> Option<Arguments> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        match word.to_str()? {
            "--socket" => arguments.socket = Some(words.next()?.into()),
            "--token-file" => arguments.token_file = Some(words.next()?.into()),
            "--pinentry" => arguments.pinentry = Some(words.next()?.into()),
            "--check" => arguments.is_check = true,
            _ => return None,
        }
    }
    Some(arguments)
}

/// The pinentries that may be asked, where there is a display for their windows.
fn programs(named: Option<PathBuf>) -> Result<Vec<PathBuf>, String> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if variable("WAYLAND_DISPLAY").or_else(|| variable("DISPLAY")).is_none() {
        return Err("there is no display: neither WAYLAND_DISPLAY nor DISPLAY is set; \
                    in a terminal use: secretctl approve --watch"
            .to_owned());
    }
    let named = named.or_else(|| variable(PINENTRY).map(PathBuf::from));
    if named.as_ref().is_some_and(|path| !path.is_absolute()) {
        return Err("SECRETSD_PINENTRY and --pinentry must be an absolute path".to_owned());
    }
    let named = match named {
        None => settings::pinentry(variable)?,
        named => named,
    };
    let path = variable("PATH").unwrap_or_default();
    let search: Vec<PathBuf> = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect();
    Ok(pinentry::candidates(named, &search))
}
