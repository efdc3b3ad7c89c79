//! The daemon: an encrypted vault behind an HTTP API on a Unix socket.
//!
//! # Layout
//!
//! A request flows one way, and a stage imports only stages to its right and the leaf modules:
//!
//! ```text
//! listener → server → auth → router → handler → vault → { audit, crypto, store }
//! ```

mod audit;
mod caller;
mod crypto;
mod files;
mod memory;
mod store;
mod vault;

/// Runs the daemon.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
