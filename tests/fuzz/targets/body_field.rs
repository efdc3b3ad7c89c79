//! Arbitrary bodies: a value takes its field's place, and no other field changes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| secretsd_broker::fuzzing::field(data));
