//! Answers coding agents over the Model Context Protocol, on standard input and output: which secrets there are, where
//! their values may be used, and what to ask a person for. It knows no way to get a value: it lists secrets, reads
//! rules, and asks a person for the use of what is guarded (tests/tests/invariants holds it to that).
//!
//! # Layout
//!
//! `server → tools → daemon → asking`; `explain` has the reasons that a broker gives, in words.

mod asking;
mod daemon;
mod explain;
mod server;
mod tools;

use std::process::ExitCode;

use secrets_local::hardening;

/// What panics and failures are told under.
const PROGRAM: &str = "secretctl mcp";

/// Serves one agent. `secretctl mcp` becomes it.
pub fn main() -> ExitCode {
    hardening::quiet_panics(PROGRAM);
    // The token of the user's own daemon passes through this process.
    if hardening::make_unreadable().and_then(|()| hardening::forbid_cores()).is_err() {
        return server::failed("this process cannot be protected from others");
    }
    server::main()
}
