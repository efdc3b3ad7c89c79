//! Arbitrary signed requests: what is signed again is taken, and holds no key.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| secretsd_broker::fuzzing::signature(data));
