//! What the programs of one user on one machine agree on, so that each is written once: where their directories and
//! files lie, which files are private, who holds the vault, how a process protects what is in its memory, and who is
//! at the other end of a socket. It knows no runtime, HTTP library or database, and no program's settings.
//!
//! # Layout
//!
//! - `places`: directories by the XDG rule, and the names of files
//! - `files`: private directories and files, checked by kind, owner and mode
//! - `key_file`: key files, wherever other programs put them
//! - `lock`: the lock that one process at a time has on a vault
//! - `hardening`: what a process does to itself before it touches a secret
//! - `memory`: an allocator that wipes what it frees
//! - `peer`: the process at the other end of a connection

pub mod files;
pub mod hardening;
pub mod key_file;
pub mod lock;
pub mod memory;
pub mod peer;
pub mod places;
