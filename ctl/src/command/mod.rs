//! The commands, one file each: from parsed arguments to calls and an answer.

mod expiry;
mod kept;

pub(crate) mod audit;
pub(crate) mod aws_credentials;
pub(crate) mod backup;
pub(crate) mod complete;
pub(crate) mod credential;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod git_credential;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod inject;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod man;
pub(crate) mod passwd;
pub(crate) mod preset;
pub(crate) mod presets;
pub(crate) mod rename;
pub(crate) mod restore;
pub(crate) mod restore_vault;
pub(crate) mod rm;
pub(crate) mod rollback;
pub(crate) mod rotate;
pub(crate) mod run;
pub(crate) mod set;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod trash;
pub(crate) mod unlock;
pub(crate) mod verify;
