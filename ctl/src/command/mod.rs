//! The commands, one file each: from parsed arguments to calls and an answer.

pub(crate) mod audit;
pub(crate) mod get;
pub(crate) mod init;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod preset;
pub(crate) mod presets;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod set;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod unlock;
