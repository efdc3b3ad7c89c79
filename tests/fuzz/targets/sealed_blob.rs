//! Arbitrary bytes as a sealed blob, and as what is sealed.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| secretsd::fuzzing::sealed_blob(data));
