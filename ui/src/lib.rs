//! Secrets on the whole terminal: a picker, which prints the names that were picked, and a browser. Nothing here is the
//! only way to anything: what changes a secret is done by `secretctl`, which this program runs.
//!
//! # Layout
//!
//! `pick`, `browse` → `screen`, `daemon`. What is shown is a state and a function that draws it; keys change the state.
//!
//! - `pick`: names that a person ticks
//! - `browse`: all secrets, one in detail, and the audit log; `browse/state`, `browse/view`
//! - `rows`: secrets in groups, filtered
//! - `age`: how long ago something was, in words
//! - `daemon`: what is asked of the daemon
//! - `screen`: the terminal, and giving it back
//! - `clipboard`: a value in the terminal's clipboard, for a time

mod age;
mod browse;
mod clipboard;
mod daemon;
mod pick;
mod rows;
mod screen;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use secrets_local::hardening;
use secrets_local::memory::WipingAllocator;
use secrets_local::telling::{said, say};
use secrets_proto::printable::without_numbers;

use rows::Projects;

/// A value that is looked at passes through buffers of libraries, which do not wipe them.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// What failures are told under.
const PROGRAM: &str = "secretctl";

/// How a program ends that a person has left without an answer, as one that Ctrl-C ended.
const CANCELLED: u8 = 130;

/// What the command line says.
struct Arguments {
    socket: Option<PathBuf>,
    token_file: Option<PathBuf>,
    /// The client, which does what changes a secret.
    client: PathBuf,
    /// What the picked names are for.
    title: String,
    /// The projects that are allowed.
    projects: Projects,
}

/// Picks or browses. `secretctl` starts it.
pub fn main() -> ExitCode {
    hardening::quiet_panics(PROGRAM);
    if hardening::make_unreadable().and_then(|()| hardening::forbid_cores()).is_err() {
        return failed("this process cannot be protected from others");
    }
    let mut words = std::env::args_os().skip(1);
    let what = words.next();
    let Some(arguments) = arguments(words) else { return usage() };
    match what.as_ref().and_then(|word| word.to_str()) {
        Some("--version") => said(concat!("secretctl-ui ", env!("CARGO_PKG_VERSION"))),
        Some("browse") => browse::main(&arguments),
        Some("pick") => pick::main(&arguments),
        _ => usage(),
    }
}

fn arguments(mut words: impl Iterator<Item = OsString>) -> Option<Arguments> {
    let mut arguments = Arguments {
        socket: None,
        token_file: None,
        client: PathBuf::from("secretctl"),
        title: String::new(),
        projects: Projects::default(),
    };
    while let Some(word) = words.next() {
        match word.to_str()? {
            "--socket" => arguments.socket = Some(words.next()?.into()),
            "--token-file" => arguments.token_file = Some(words.next()?.into()),
            "--client" => arguments.client = words.next()?.into(),
            "--title" => arguments.title = words.next()?.to_string_lossy().into_owned(),
            "--project" => arguments.projects.add(words.next()?.to_str()?),
            _ => return None,
        }
    }
    Some(arguments)
}

fn usage() -> ExitCode {
    told("secretctl starts this program; run: secretctl ui");
    ExitCode::from(2)
}

/// Says on standard error why it ends.
fn failed(reason: &str) -> ExitCode {
    told(reason);
    ExitCode::FAILURE
}

fn told(line: &str) {
    say(PROGRAM, &without_numbers(line));
}
