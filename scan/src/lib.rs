//! Looks for the values of a vault where they must not be: in files, in git's index, in its history, in a stream. A
//! value leaves the daemon once, into this process, which is read by nobody and writes none of it anywhere.
//!
//! # Layout
//!
//! ```text
//! checkout → files
//! files, index, history → stream → values → daemon
//!            │
//!            └→ git, report
//! ```
//!
//! - `arguments`: what `secretctl` says on the command line
//! - `daemon`: asks for the values; `guarded`: those that a person must allow
//! - `values`: what is looked for, and whose it is
//! - `stream`: one text after the other, in pieces, in every spelling
//! - `wide`: text in UTF-16; `hits`: what was found, and in which line
//! - `checkout`: the working directory as git sees it
//! - `files`: a tree of files, and their names
//! - `git`: git's command, told to run no code that a repository names
//! - `index`: what is staged; `history`: every object, and the commits it is in
//! - `hook`: git's hook before a commit
//! - `report`: what is printed

mod arguments;
mod checkout;
mod daemon;
mod failure;
mod files;
mod git;
mod guarded;
mod history;
mod hits;
mod hook;
mod index;
mod report;
mod stream;
mod values;
mod wide;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use secrets_local::hardening;
use secrets_local::memory::WipingAllocator;

use crate::arguments::{Arguments, What};
use crate::failure::Failure;
use crate::report::{Place, Report};
use crate::stream::Scanner;

/// What is scanned is in buffers, and may hold values.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// What failures are told under.
const PROGRAM: &str = "secretctl";

/// Scans. `secretctl scan` becomes it.
pub fn main() -> ExitCode {
    hardening::quiet_panics(PROGRAM);
    if hardening::make_unreadable().and_then(|()| hardening::forbid_cores()).is_err() {
        return report::failed(&Failure::other("this process cannot be protected from others"));
    }
    let Some(arguments) = Arguments::parse(std::env::args_os().skip(1)) else {
        return report::failed(&Failure::usage("it is started by secretctl: secretctl scan"));
    };
    let done = match arguments.what {
        What::Version => report::answered(concat!("secretctl-scan ", env!("CARGO_PKG_VERSION"))),
        What::InstallHook => hook::install(&arguments).map(|()| ExitCode::SUCCESS),
        What::UninstallHook => hook::uninstall().map(|()| ExitCode::SUCCESS),
        What::Scan => scan(&arguments),
    };
    done.unwrap_or_else(|failure| report::failed(&failure))
}

fn scan(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (sought, left_out) = daemon::values(arguments)?;
    let sought = Arc::new(sought);
    let report = Report::new(arguments.json, Arc::clone(&sought));
    for (why, names) in &left_out {
        report.left_out(why, names);
    }
    if sought.is_empty() {
        return Ok(report.end());
    }
    let is_only_other = arguments.staged || arguments.history || arguments.stdin;
    if !arguments.paths.is_empty() {
        files::named(&arguments.paths, &sought, &report);
    } else if !is_only_other {
        checkout::here(&sought, &report);
    }
    if arguments.staged {
        index::scan(arguments.is_hook, &sought, &report)?;
    }
    if arguments.history {
        history::scan(&sought, &report)?;
    }
    if arguments.stdin {
        let mut scanner = Scanner::new(&sought);
        match scanner.hits(&mut io::stdin().lock()) {
            Ok(hits) => report.hits(&Place::Stdin, &hits),
            Err(error) => report.incomplete("standard input", &error.to_string()),
        }
    }
    Ok(report.end())
}
