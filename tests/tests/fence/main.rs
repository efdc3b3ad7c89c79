//! A fenced command: `secretctl proxy run --fence`, with the real bubblewrap.

mod agent;
mod checkout;
mod mounted;
mod place;
mod probe;
mod session;
#[path = "../broker/world.rs"]
#[expect(dead_code, reason = "it belongs to the broker's tests, which use all of it")]
mod world;
