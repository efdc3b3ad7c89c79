//! Whether stdout was closed when we were started (`>&-`). The standard library puts `/dev/null` in its place before
//! `main`, where an answer would be lost without a word; and who wants that opens `/dev/null` the same way. So it is
//! looked at before: the loader calls what `.init_array` lists first of all.
//!
//! The one module of this crate that asks for `unsafe`, and only to be listed there: it has no unsafe block.

#![allow(
    unsafe_code,
    reason = "link_section; what is listed is a function of the right form that needs no runtime"
)]

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::fcntl_getfd;
use rustix::stdio::stdout;

static CLOSED: AtomicBool = AtomicBool::new(false);

#[used]
#[unsafe(link_section = ".init_array")]
static FIRST_OF_ALL: extern "C" fn() = look;

extern "C" fn look() {
    CLOSED.store(fcntl_getfd(stdout()).is_err(), Ordering::Relaxed);
}

/// Whether there was no stdout.
pub(crate) fn stdout_was_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}
