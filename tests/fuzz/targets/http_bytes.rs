//! Arbitrary bytes on a connection, in pieces of the size that the first byte says. The clock is the runtime's own: what
//! waits for a deadline does not wait long.
#![no_main]

use std::cell::RefCell;

use secretsd::fuzzing::HttpService;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static SERVICE: RefCell<Option<(Runtime, HttpService)>> = const { RefCell::new(None) };
}

fn start() -> (Runtime, HttpService) {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    let service = runtime.block_on(async { HttpService::start() }).expect("a service");
    (runtime, service)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((piece, bytes)) = data.split_first() else { return };
    SERVICE.with_borrow_mut(|service| {
        let (runtime, service) = service.get_or_insert_with(start);
        runtime.block_on(service.feed(bytes, usize::from(*piece)));
    });
});
