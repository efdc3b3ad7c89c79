//! Puts the values of secrets into a program's requests on their way out. The program has placeholders, and comes by this
//! process as its HTTP proxy; it never sees a value. The design is in docs/design/broker.md.
//!
//! # Layout
//!
//! A request goes from left to right, and a module imports only what is to its right:
//! `session → control → accept → tunnel → forward → inspect → decide → place → upstream`, with `answer → body` on the way
//! back.
//!
//! - `session`: one broker from its first message to its end; `ready`: what it makes before that
//! - `control`: programs that come into a session with a name
//! - `accept`: connections of the program
//! - `tunnel`: what it asks of its proxy; TLS towards it
//! - `forward`: one request on its way
//! - `inspect`: whether it can be read in one way; `placeholders`: where they stand in it
//! - `bodies`: requests' bodies; `field`: one field of one; `sigv4`: signatures for AWS
//! - `decide`: the daemon, which decides and has the values
//! - `place`: values in the place of placeholders
//! - `upstream`: TLS to the hosts; `address`: which of them are public
//! - `answer`: the head of an answer; `sought`: the values that are looked for in it
//! - `body`: answers, without the values; `coding`: those that come compressed; `websocket`: frames
//! - `learn`: what was asked for, as rules
//! - `authorities`, `certificate`, `environment`: what the program believes, and by which variables
//! - `check`: what a broker would find on this machine
//! - `grants`, `denial`, `random`, `step`, `stream`: what a session may use, what is said when it may not, random bytes,
//!   what is for one step of the way alone, what a program's connection comes over

mod accept;
mod address;
mod answer;
mod authorities;
mod bodies;
mod body;
mod certificate;
mod check;
mod coding;
mod control;
mod decide;
mod denial;
mod environment;
mod field;
mod forward;
#[cfg(fuzzing)]
pub mod fuzzing;
mod grants;
mod inspect;
mod learn;
mod place;
mod placeholders;
mod random;
mod ready;
mod session;
mod sigv4;
mod sought;
mod step;
mod stream;
mod tunnel;
mod upstream;
mod websocket;

use std::process::ExitCode;

use secrets_local::memory::WipingAllocator;

/// Values pass through buffers of libraries, which do not wipe them.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// Serves one session. `secretctl proxy run` starts it, with the session on its standard input, and `secretctl proxy start`,
/// with a listening socket there. Asked for its version, or
/// for what it finds on this machine, it prints that.
pub fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(flag) if flag == "--version" => check::version(),
        Some(flag) if flag == "--check" => check::main(),
        _ => session::main(),
    }
}
