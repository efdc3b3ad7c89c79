//! What a project wants: its `secretspec.toml`, read and made plain. The format is that of SecretSpec, revision "1.0"
//! (<https://secretspec.dev>), held against version 0.21.1 of its own program.
//!
//! Pure: files are read, and names looked up, by functions that the caller gives. It knows no daemon, no process and no
//! terminal, and holds values only while it encodes, decodes or composes them.
//!
//! # Layout
//!
//! A text becomes a document, documents with what they extend become a manifest, and each of its profiles the secrets
//! that it has in the end; each of these imports only what stands to its left:
//!
//! ```text
//! fault → table → document → template → profile → manifest → resolve → report
//! ```
//!
//! - `fault`: what is wrong with a manifest, and where
//! - `table`: TOML with line numbers, in which no key is passed over
//! - `document`: one file, as it is written
//! - `template`: values that are put together from others
//! - `profile`: what a profile has in the end, with what it inherits
//! - `manifest`: a file with those that it extends, checked as a whole
//! - `names`: under which names the vault has a project's secrets
//! - `resolve`: which secrets are there; `report`: the same as SecretSpec's report
//! - `generate`, `encoding`: values that are made, and how they are stored

mod document;
pub mod encoding;
mod fault;
pub mod generate;
mod manifest;
pub mod names;
mod profile;
pub mod report;
mod resolve;
mod table;
mod template;

pub use document::RequireReason;
pub use encoding::Encoding;
pub use fault::Fault;
pub use generate::Recipe;
pub use manifest::{Ignored, LIMIT, Manifest, Source};
pub use profile::{Group, Missing, Profile, Secret};
pub use resolve::{Choice, Entry, Origin, Resolution, Status, Violation, resolve};
pub use template::Template;

/// The name that a manifest's file has.
pub const FILE: &str = "secretspec.toml";

/// The profile if none is named.
pub const DEFAULT: &str = "default";
