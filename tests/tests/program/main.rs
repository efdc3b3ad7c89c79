//! The program itself against a scripted daemon: exit codes, what goes where, and what the command of
//! `run` inherits. The real daemon is met in the workspace's end-to-end tests.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise, also in its helpers"
)]

mod answer;
mod daemon;
mod run;
mod spawn;
mod store;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
