//! Random bytes from the system.

use rustix::rand::{GetRandomFlags, getrandom};

/// So many random bytes; zeros where the system has none to give, which it says only before it is up.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let _ = getrandom(&mut bytes, GetRandomFlags::empty());
    bytes
}
