//! What other programs keep secrets in: reading it, and finding it on a machine. `secretctl import` starts this program,
//! writes a file to its standard input and reads from its standard output what the file holds. It is a program of its own
//! because the libraries for YAML, CSV and TOML are larger than what the client may carry.
//!
//! # Layout
//!
//! ```text
//! find, commands → format → read → found
//! ```
//!
//! - `format`: the formats by their names, what each is read by, and what a file looks like that nobody named one for
//! - `read`: a reader for each format: bytes in, names and values out. It knows no file and no program.
//! - `commands`: stores whose own program gives the values: pass, gopass, keyring
//! - `find`: which of those files there are on this machine; never a value
//! - `found`: what a reader gives, and how it goes to the client
//! - `name`: the name that a secret gets from what it is called elsewhere
//!
//! Values lie in this process's memory while it runs: also in buffers of the libraries, which do not wipe them. So its
//! allocator wipes what is given back, nobody may read its memory, and it ends when a file is read.

mod commands;
mod find;
mod format;
mod found;
mod name;
mod read;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use secrets_local::hardening;
use secrets_local::memory::WipingAllocator;
use secrets_local::telling::{self, say};
use zeroize::Zeroizing;

use format::Format;
use found::Found;

/// A value passes through buffers of libraries, which do not wipe them.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// What failures are told under.
const PROGRAM: &str = "secretctl";

/// The most bytes of a file; the client sends no more.
const LIMIT: u64 = 16 << 20;

/// Reads a file, or finds files. `secretctl` starts it.
pub fn main() -> ExitCode {
    hardening::quiet_panics(PROGRAM);
    if hardening::make_unreadable().and_then(|()| hardening::forbid_cores()).is_err() {
        return failed("this process cannot be protected from others");
    }
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let texts: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    match texts.as_slice() {
        ["--version"] => said(concat!("secretctl-import ", env!("CARGO_PKG_VERSION"), "\n").as_bytes()),
        ["read", name] => match Format::named(name) {
            Some(format) => read(format),
            None => usage(),
        },
        ["detect"] => detect(),
        ["find"] => said(find::find(false).as_bytes()),
        ["find", "--json"] => said(find::find(true).as_bytes()),
        // The path is the only word that need not be text.
        ["store", name, ..] if words.len() == 3 => match (Format::named(name), words.get(2)) {
            (Some(format @ (Format::Pass | Format::Gopass)), Some(path)) => {
                sent(commands::store(format.name(), &PathBuf::from(path)))
            }
            _ => usage(),
        },
        _ => usage(),
    }
}

fn read(format: Format) -> ExitCode {
    match input() {
        Ok(bytes) => sent(format.read(&bytes)),
        Err(()) => failed("cannot read what secretctl sends"),
    }
}

fn detect() -> ExitCode {
    match input() {
        Ok(bytes) => said(format::hint(&bytes).as_bytes()),
        Err(()) => failed("cannot read what secretctl sends"),
    }
}

fn input() -> Result<Zeroizing<Vec<u8>>, ()> {
    let mut bytes = Zeroizing::new(Vec::new());
    io::stdin().lock().take(LIMIT + 1).read_to_end(&mut bytes).map_err(drop)?;
    if bytes.len() as u64 > LIMIT { Err(()) } else { Ok(bytes) }
}

fn sent(found: Found) -> ExitCode {
    match found.to_json() {
        Some(json) => said(&json),
        None => failed("what was read cannot be passed on"),
    }
}

fn usage() -> ExitCode {
    say(PROGRAM, "it is started by secretctl: secretctl import");
    ExitCode::from(2)
}

/// Says on standard error why it ends.
fn failed(reason: &str) -> ExitCode {
    telling::failed(PROGRAM, reason)
}

fn said(bytes: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
