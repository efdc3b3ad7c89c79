//! End-to-end tests on the real programs: one builder that starts the daemon in a directory of its own, and
//! the clients that the tests look at it with. Nothing here links against the daemon's or the client's code.
//!
//! # Layout
//!
//! - [`mod@env`]: the directory, the daemon in it, and how both end
//! - [`http`]: requests over the socket, well-formed and not
//! - [`ctl`]: running `secretctl` in that environment
//! - [`terminal`]: running it, or anything, on a terminal
//! - [`canary`]: values that must not turn up, and the forms in which they could
//! - [`process`]: waiting for and signalling processes that a test started
//! - [`source`]: reading the project's sources, for the tests that check its structure

pub mod canary;
pub mod ctl;
pub mod env;
pub mod http;
pub mod process;
pub mod source;
pub mod terminal;

pub use env::{Env, Programs};
pub use http::Answer;

/// The paths of the programs under test. A macro, because cargo tells them only to integration tests.
#[macro_export]
macro_rules! programs {
    () => {
        $crate::Programs { daemon: env!("CARGO_BIN_EXE_secretsd"), client: env!("CARGO_BIN_EXE_secretctl") }
    };
}
