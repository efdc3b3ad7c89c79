//! The daemon: an encrypted vault behind an HTTP API on a Unix socket.
//!
//! # Layout
//!
//! A request flows one way, and a stage imports only stages to its right and the leaf modules:
//!
//! ```text
//! listener → server → auth → router → handler → vault → { audit, crypto, store }
//! ```

mod caller;
mod config;
mod crypto;
mod files;
mod handler;
mod listener;
mod process;
mod router;
mod vault;

/// Runs the daemon.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
