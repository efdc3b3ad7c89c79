//! Writing past the standard library's buffers, which are not wiped.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

/// Writes all of it.
pub(super) fn write_all(to: impl AsFd, bytes: &[u8]) -> io::Result<()> {
    File::from(to.as_fd().try_clone_to_owned()?).write_all(bytes)
}
