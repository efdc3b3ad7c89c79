//! The daemon: an encrypted vault behind an HTTP API on a Unix socket.
//!
//! # Layout
//!
//! A request flows one way, and a stage imports only stages to its right and the leaf modules:
//!
//! ```text
//! listener → server → auth → router → handler → vault → { audit, crypto, store }
//! ```
//!
//! Beside `server` stands `systemd_credentials`, which answers systemd's service managers on a socket of its own:
//!
//! ```text
//! listener → systemd_credentials → vault
//! ```
//!
//! and `logind`, which hears from the system when the vault is to be locked:
//!
//! ```text
//! logind → vault
//! ```
//!
//! `daemon` puts the stages together; `answering`, `http`, `process`, `relaunch`, `inherited`, `memory`, `config`,
//! `permits`, `listening`, `reach`, `triggers`, `guarded` and `caller` are leaves, and so is the crate `secrets-local`.

mod answering;
mod audit;
mod auth;
mod caller;
mod client;
mod config;
mod crypto;
mod daemon;
mod exchange;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod guarded;
mod handler;
mod http;
mod inherited;
mod key_provider;
mod listener;
mod listening;
mod logind;
mod memory;
mod permits;
mod process;
mod reach;
mod relaunch;
mod router;
mod server;
mod store;
mod systemd_credentials;
mod triggers;
mod vault;

use std::io::{self, Write};
use std::process::ExitCode;

use secrets_local::telling;

/// Every block is wiped when it is freed, no matter by which code.
#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: secrets_local::memory::WipingAllocator = secrets_local::memory::WipingAllocator;

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: memory::counted::CountedAllocator = memory::counted::CountedAllocator;

pub use router::{Access, RouteInfo, routes};

/// Runs the daemon.
pub fn main() -> ExitCode {
    // Before anything is read, opened or started.
    let result = process::harden().map_err(daemon::Error::from).and_then(|()| {
        memory::give_back_what_is_freed();
        daemon::run()
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(daemon::Error::Config(config::Error::Show(text))) => {
            // A reader that is gone has seen enough.
            let _ = write!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            telling::say("secretsd", &error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}
