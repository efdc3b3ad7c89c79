//! Real clients at work through `secretctl proxy run`: each test has one of them ask a host with TLS on the loopback. The
//! host gets the value in its place, the client gets the answer, and the value is nowhere else. docs/clients.md has a row
//! for each.
//!
//! # Layout
//!
//! - `client`: running one, and what must be so afterwards
//! - `tools`, `python`, `node`, `others`: what asks for something
//! - `packages`, `repositories`: what fetches packages and repositories
//! - `sockets`: what talks over WebSockets
//! - `learning`: the rules that `--learn` prints for them
//! - `unsupported`: what does not work yet, and how it fails
//! - `variables`: that nothing inherited leads past the broker
//! - `table`: that the table has them all

mod client;
mod learning;
mod node;
mod others;
mod packages;
mod python;
mod repositories;
mod sockets;
mod table;
mod tools;
mod unsupported;
mod variables;
#[path = "../broker/world.rs"]
#[expect(dead_code, reason = "it belongs to the broker's tests, which use all of it")]
mod world;
