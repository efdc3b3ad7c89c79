//! Arbitrary requests of a program: none carries the value twice, or a placeholder on.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| secretsd_broker::fuzzing::head(data));
