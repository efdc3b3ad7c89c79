//! Memory that stays out of swap, and memory that goes back to the system. The allocator that wipes what it frees is
//! `secrets-local`'s.
//!
//! The one module of this crate, beside `process`, where `unsafe` is allowed: `mlock` and `mallopt` have no safe form.
#![allow(unsafe_code, reason = "mlock, mallopt, and counting in tests; each block says why it is sound")]

use std::ops::Deref;
use std::ptr;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// From this size on a block has pages of its own, which go back to the system when it is freed.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 128 << 10;

/// As many heaps as threads that allocate much: the one that serves, and the vault's.
#[cfg(target_env = "gnu")]
const HEAPS: libc::c_int = 2;

/// Has glibc give back what is freed, by mallopt(3): left alone it raises the size of what it keeps to that of the largest
/// block that was ever freed, up to 32 MiB, keeps twice as much at the end of each heap, and makes a heap for every thread.
/// Then answers that nobody read stay in memory in part, and those of other sizes are put beside them. Other C libraries
/// are left as they are. Before there is a second thread.
pub(crate) fn give_back_what_is_freed() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in
        [(libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, LARGE), (libc::M_ARENA_MAX, HEAPS)]
    {
        // SAFETY: it takes two numbers, and sets how blocks are made from here on. What it refuses stays as it was.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// So much is kept for what is made next, in bytes.
#[cfg(target_env = "gnu")]
const KEPT: u32 = 4 << 20;

/// How long after work it is looked at what that has left free.
const SOON: Duration = Duration::from_secs(1);

/// How long nothing must be done until it is looked at no more.
const QUIET: Duration = Duration::from_secs(3);

static WORK: Notify = Notify::const_new();

/// Says that something was done, which may have left memory free.
pub(crate) fn worked() {
    WORK.notify_one();
}

/// Gives back what small blocks leave free between others: soon after something was done, once more when nothing is done
/// any longer, and then not until something is done again. Without an end.
pub(crate) async fn give_back_by_itself() {
    let mut free = 0;
    loop {
        sleep(SOON).await;
        free = give_back(free);
        if timeout(QUIET, WORK.notified()).await.is_err() {
            free = give_back(free);
            WORK.notified().await;
        }
    }
}

/// Gives it back, by malloc_trim(3), if there is much more or less of it than `before`, in bytes. Returns how much there was
/// when it was given back the last time; without glibc it does nothing.
fn give_back(before: u32) -> u32 {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it takes nothing and gives numbers.
        let free = unsafe { libc::mallinfo() }.fordblks.cast_unsigned();
        if free > KEPT && free.abs_diff(before) > KEPT / 4 {
            // SAFETY: it gives pages back that hold no block.
            unsafe { libc::malloc_trim(0) };
            return free;
        }
    }
    before
}

/// A value on pages of its own that are locked in memory where the system allows it, and wiped when dropped.
pub(crate) struct Pinned<T> {
    page: Box<Page<T>>,
    locked: bool,
}

/// Whole pages, so that no other allocation shares the lock.
#[repr(C, align(4096))]
struct Page<T>(T);

impl<T> Pinned<T> {
    /// Moves the value onto its own pages and locks them.
    pub(crate) fn new(value: T) -> Self {
        let page = Box::new(Page(value));
        // SAFETY: the range is exactly the live allocation of `page`; locking changes no content.
        let locked = unsafe { libc::mlock(ptr::from_ref(&*page).cast(), size_of::<Page<T>>()) } == 0;
        Self { page, locked }
    }

    /// Whether the system agreed to keep the pages out of swap.
    pub(crate) const fn is_locked(&self) -> bool {
        self.locked
    }
}

impl<T> Deref for Pinned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.page.0
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        // The allocator wipes the pages when the box is freed, after this; they are unlocked first because
        // the freed range may be unmapped. The few instructions between cannot be swapped out meaningfully,
        // but the order still errs on the side of wiping: contents are dropped by `Page<T>` itself.
        if self.locked {
            // SAFETY: the same range that `new` locked.
            unsafe { libc::munlock(ptr::from_ref(&*self.page).cast(), size_of::<Page<T>>()) };
        }
    }
}

/// What a thread allocates, for the tests that hold a part of the daemon to little.
#[cfg(test)]
pub(crate) mod counted {
    use std::alloc::{GlobalAlloc, Layout};
    use std::cell::Cell;

    use secrets_local::memory::WipingAllocator;

    thread_local! {
        static CALLS_AND_BYTES: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    }

    /// The daemon's allocator, with somebody who counts.
    pub(crate) struct CountedAllocator;

    // SAFETY: every call is passed on unchanged to an allocator that keeps the contract.
    unsafe impl GlobalAlloc for CountedAllocator {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            note(layout.size());
            // SAFETY: the caller's contract.
            unsafe { WipingAllocator.alloc(layout) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            note(layout.size());
            // SAFETY: the caller's contract.
            unsafe { WipingAllocator.alloc_zeroed(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the caller's contract.
            unsafe { WipingAllocator.dealloc(block, layout) }
        }
    }

    /// How often this thread has allocated since it began, and how many bytes.
    pub(crate) fn so_far() -> (usize, usize) {
        CALLS_AND_BYTES.get()
    }

    fn note(size: usize) {
        // A thread that ends has no place for it any more, and nobody asks.
        let _ = CALLS_AND_BYTES.try_with(|sum| sum.set((sum.get().0 + 1, sum.get().1 + size)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinned_values_have_pages_of_their_own() {
        let pinned = Pinned::new([7_u8; 32]);
        assert_eq!(ptr::from_ref(&*pinned.page).addr() % 4096, 0);
        assert_eq!(size_of::<Page<[u8; 32]>>(), 4096);
        assert_eq!(*pinned, [7_u8; 32]);
    }
}
