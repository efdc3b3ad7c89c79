//! What the programs of one user on one machine agree on, so that each is written once: where their directories and
//! files lie, which files are private, who holds the vault, how a process protects what is in its memory, and who is
//! at the other end of a socket. It knows no runtime, HTTP library or database, and no program's settings.
//!
//! # Layout
//!
//! - `clock`: time that counts sleep
//! - `leap`: whether the wall clock can be believed
//! - `places`: directories by the XDG rule, and the names of files
//! - `file_system`: what some file systems lack, and how they are called
//! - `files`: private directories and files, checked by kind, owner and mode
//! - `key_file`: key files, wherever other programs put them
//! - `lock`: the lock that one process at a time has on a vault
//! - `descriptors`: those that were left open for this process by accident
//! - `foreground`: which process group has a terminal's keys
//! - `headroom`: how much more memory a process can take
//! - `hardening`: what a process does to itself before it touches a secret
//! - `memory`: an allocator that wipes what it frees
//! - `loopback`: which user has the other end of a connection of this machine
//! - `passing`: messages with open descriptors, from one process to another
//! - `peer`: the process at the other end of a connection
//! - `sessions`: where a session with a name has its sockets
//! - `telling`: what a program says on its standard streams
//! - `wrapping`: text on a terminal, whose lines end between words

pub mod clock;
pub mod descriptors;
pub mod file_system;
pub mod files;
pub mod foreground;
pub mod hardening;
pub mod headroom;
pub mod key_file;
pub mod leap;
pub mod lock;
pub mod loopback;
pub mod memory;
pub mod mounts;
pub mod passing;
pub mod peer;
pub mod places;
pub mod sessions;
pub mod telling;
pub mod wrapping;
