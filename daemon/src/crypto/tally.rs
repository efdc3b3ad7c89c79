//! A keyed hash of a multiset of rows that is renewed in one step when a row comes or goes.
//!
//! MSet-Add-Hash of Clarke, Devadas, van Dijk, Gassend and Suh, "Incremental Multiset Hash Functions and
//! Their Application to Memory Integrity Checking" (ASIACRYPT 2003): the sum, modulo 2^256, of a keyed
//! pseudo-random function of each row. It is kept sealed: known sums would give the function's values away.

/// The sum so far: four 64-bit limbs, least significant first. Tags are read as numbers in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally([u64; 4]);

impl Tally {
    /// Counts a row in, by its tag.
    pub(crate) fn add(&mut self, tag: &[u8; 32]) {
        let mut carry = false;
        for (limb, addend) in self.0.iter_mut().zip(limbs(tag)) {
            let (sum, first) = limb.overflowing_add(addend);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = first || second;
        }
    }

    /// Counts a row out, by its tag.
    pub(crate) fn remove(&mut self, tag: &[u8; 32]) {
        let mut borrow = false;
        for (limb, subtrahend) in self.0.iter_mut().zip(limbs(tag)) {
            let (rest, first) = limb.overflowing_sub(subtrahend);
            let (rest, second) = rest.overflowing_sub(u64::from(borrow));
            *limb = rest;
            borrow = first || second;
        }
    }

    /// The sum as 32 bytes, least significant first.
    pub(crate) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }

    /// The sum from its 32 bytes.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(limbs(bytes))
    }
}

fn limbs(bytes: &[u8; 32]) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *limb = u64::from_le_bytes(*chunk);
    }
    limbs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn carries_run_through_all_limbs() {
        let mut tally = Tally::default();
        tally.add(&[0xff; 32]);
        let mut one = [0; 32];
        one[0] = 1;
        tally.add(&one);
        assert_eq!(tally, Tally::default());
        tally.remove(&one);
        assert_eq!(tally.to_bytes(), [0xff; 32]);
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_removal_undoes(tags in prop::collection::vec(any::<[u8; 32]>(), 1..20)) {
            let mut forward = Tally::default();
            tags.iter().for_each(|tag| forward.add(tag));
            let mut backward = Tally::default();
            tags.iter().rev().for_each(|tag| backward.add(tag));
            prop_assert_eq!(forward, backward);
            prop_assert_eq!(Tally::from_bytes(&forward.to_bytes()), forward);
            tags.iter().for_each(|tag| forward.remove(tag));
            prop_assert_eq!(forward, Tally::default());
        }
    }
}
