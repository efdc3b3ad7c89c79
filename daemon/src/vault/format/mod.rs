//! What is in the vault's file: each kind of record as it is in memory and in its sealed form, and what holds them
//! together. Nothing here reads or writes rows. A change of the format is described where it is made.
//!
//! - [`record`]: a secret's metadata and its values; [`mask`]: what is shown of a value
//! - [`item`]: an item, its values, and what holds all items
//! - [`unit_grant`]: what a unit may load; [`token`]: an access token
//! - [`fleet`]: the other machines of the vault, and what they know of each secret
//! - [`rest`]: what a newer program has added to a record
//! - [`slots`]: the keys that open the vault
//! - [`manifest`]: what the file must hold, to the row; [`audit_chain`]: the audit log's entries
//! - [`anchor`]: the guard beside the file against an older copy of it; [`left`]: how the file was left; [`mod@file`]: how
//!   private all of it must be

pub(super) mod anchor;
pub(super) mod approval_rule;
pub(super) mod audit_chain;
pub(super) mod file;
pub(super) mod fleet;
pub(super) mod item;
pub(super) mod left;
pub(super) mod manifest;
pub(super) mod mask;
pub(super) mod record;
pub(super) mod rest;
pub(super) mod slots;
pub(super) mod token;
pub(super) mod unit_grant;
