//! Edits of a closed vault by somebody without its key: bits, rows, whole files. Each is refused with an error of its own,
//! or has no effect: never a wrong value, never a secret that is silently missing.
//!
//! - [`bench`]: a vault to edit, and one daemon that is given the edited copies
//! - [`bits`]: one bit in every byte of the vault, its log and its anchor
//! - [`rows`]: edits through SQLite
//! - [`whole`]: other files in the vault's place, or beside it

mod bench;
mod bits;
mod rows;
mod whole;
