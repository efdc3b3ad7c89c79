//! Arbitrary frames of a host: none has a value, and cuts change nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| secretsd_broker::fuzzing::frames(data));
