//! The dotenv format as dotenvy 0.15 reads it. What is written here reads back the same there, and in a POSIX
//! shell as well, where nothing of it is ever executed. It knows no file and no vault.

mod write;

pub(crate) use write::write;
