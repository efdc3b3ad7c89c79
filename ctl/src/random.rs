//! Random numbers of the system, for values that are made.

use rustix::rand::{GetRandomFlags, getrandom};

use crate::failure::{Exit, Failure};

/// Fills all of it with random bytes.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Failure> {
    let mut at = 0;
    while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
        at += getrandom(rest, GetRandomFlags::empty())
            .map_err(|error| Failure::new(Exit::Other, format!("there are no random numbers: {error}")))?;
    }
    Ok(())
}
