//! Choices that differ from run to run and can be made again: `SEED=… cargo test` repeats a run's.

use std::time::{SystemTime, UNIX_EPOCH};

/// A stream of choices (xorshift64*); good enough to pick moments and operations.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// From `SEED`, or from the clock. The seed is printed, and shown if the test fails.
    pub fn new() -> Self {
        let seed = match std::env::var("SEED") {
            Ok(text) => text.parse().expect("SEED is a number"),
            Err(_) => {
                u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
            }
        };
        println!("SEED={seed}");
        Self::from_seed(seed)
    }

    /// From this seed.
    pub fn from_seed(seed: u64) -> Self {
        // Spread, so that neighbouring seeds differ from the first choice on; zero would stay zero.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.bits() >> 11) % bound
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// An independent stream.
    pub fn fork(&mut self) -> Self {
        Self::from_seed(self.bits())
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
