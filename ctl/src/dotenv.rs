//! The dotenv format as dotenvy 0.15 reads it. What is written here reads back the same there, and in a POSIX
//! shell as well, where nothing of it is ever executed. What is read here has the same meaning there, or is refused.
//! It knows no file and no vault.

mod read;
mod write;

pub(crate) use read::{Entry, Fault, read};
pub(crate) use write::write;
