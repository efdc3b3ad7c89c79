//! One function an operation, from a typed request to a typed reply. They see no socket and no HTTP; checking the
//! caller and writing the audit log happen inside the vault's facade, so that none of them can forget to.

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod credentials;
pub(crate) mod fleet;
pub(crate) mod items;
pub(crate) mod rules;
pub(crate) mod secrets;
pub(crate) mod sessions;
pub(crate) mod tokens;
pub(crate) mod uses;
pub(crate) mod vault;
