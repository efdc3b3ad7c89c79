//! A reader for each format: bytes in, names and values out. It knows no file and no program, and quotes nothing of what
//! it reads.

pub(crate) mod aws;
pub(crate) mod bitwarden;
pub(crate) mod cargo;
pub(crate) mod docker;
pub(crate) mod git;
pub(crate) mod nested;
pub(crate) mod netrc;
pub(crate) mod npm;
pub(crate) mod onepassword;
pub(crate) mod pass;
pub(crate) mod pypirc;
pub(crate) mod text;

mod base64;
mod ini;
mod json;
mod table;
mod tree;
mod yaml;
