//! Arbitrary bytes as the row of a key slot. Run with a limit on memory: a forged cost must not take any.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| secretsd::fuzzing::slot_params(data));
