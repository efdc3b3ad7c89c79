//! Arbitrary beginnings of a tunnel that is let through.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| secretsd_broker::fuzzing::client_hello(data));
