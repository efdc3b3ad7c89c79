//! The sizes that objects have. There are few, so that a size tells little; and nothing is compressed, as the length of
//! what is compressed depends on what is in it.

use zeroize::Zeroizing;

use crate::fault::{self, Fault};

/// The sizes of plaintexts, in bytes: 2, 8, 32, 128, 512 KiB and 2 MiB, and 1 MiB for the parts of a snapshot.
pub const STEPS: [usize; 7] = [2 << 10, 8 << 10, 32 << 10, 128 << 10, 512 << 10, 1 << 20, 2 << 20];

/// The largest plaintext.
pub const LARGEST: usize = 2 << 20;

/// How long a plaintext of this length is with its padding: the next step. `None` if there is no step for it.
#[must_use]
pub fn padded(length: usize) -> Option<usize> {
    if fault::is(Fault::NoPadding) {
        return Some(length);
    }
    STEPS.into_iter().find(|step| *step >= length)
}

/// As long as the next step, with zeros behind. `None` if there is no step for it.
#[must_use]
pub fn pad(mut plaintext: Zeroizing<Vec<u8>>) -> Option<Zeroizing<Vec<u8>>> {
    let length = padded(plaintext.len())?;
    let mut padded = Zeroizing::new(Vec::with_capacity(length));
    padded.append(&mut plaintext);
    padded.resize(length, 0);
    Some(padded)
}
