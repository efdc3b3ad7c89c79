//! End-to-end tests on the real programs: one builder that starts the daemon in a directory of its own, and
//! the clients that the tests look at it with. Nothing here links against the daemon's or the client's code.
//!
//! # Layout
//!
//! - [`mod@env`]: the directory, the daemon in it, and how both end
//! - [`http`]: requests over the socket, well-formed and not
//! - [`ctl`]: running `secretctl` in that environment
//! - [`connection`]: many requests over one connection, which may die
//! - [`mod@unit`]: asking for credentials, as systemd does
//! - [`terminal`]: running it, or anything, on a terminal
//! - [`canary`]: values that must not turn up, and the forms in which they could
//! - [`harness`]: the daemon under strace and the like, and tests that cannot be run here
//! - [`activation`]: the daemon with sockets that were handed over
//! - [`lab`]: a real systemd, booted for the tests
//! - [`ledger`]: what was answered, and whether the vault keeps it
//! - [`origin`]: hosts with TLS, for the broker to talk to, and names for them
//! - [`raw`]: hosts with TLS that say bytes which a test has written
//! - [`process`]: waiting for and signalling processes that a test started
//! - [`random`]: choices that can be repeated
//! - [`session_bus`]: a session bus of the test's own
//! - [`small_disk`]: a disk that is soon full
//! - [`source`]: reading the project's sources, for the tests that check its structure
//! - [`stores`]: real stores, and a proxy before them that counts and can be hostile
//! - [`imports`]: which files name which, and their circles

pub mod activation;
pub mod canary;
pub mod connection;
pub mod ctl;
pub mod env;
pub mod harness;
pub mod hostile;
pub mod http;
pub mod imports;
pub mod lab;
pub mod ledger;
pub mod origin;
pub mod process;
pub mod random;
pub mod raw;
pub mod session_bus;
pub mod small_disk;
pub mod source;
pub mod stores;
pub mod terminal;
pub mod unit;

pub use env::{Env, Programs};
pub use http::Answer;

/// The paths of the programs under test. A macro, because cargo tells them only to integration tests.
#[macro_export]
macro_rules! programs {
    () => {
        $crate::Programs { daemon: env!("CARGO_BIN_EXE_secretsd"), client: env!("CARGO_BIN_EXE_secretctl") }
    };
}
