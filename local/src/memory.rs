//! Memory that forgets: an allocator that wipes what it frees, and a box that stays out of swap.
//!
//! The one module of this crate, beside `process`, where `unsafe` is allowed: an allocator is unsafe by
//! definition, and `mlock` has no safe form.
#![allow(unsafe_code, reason = "GlobalAlloc and mlock; each block says why it is sound")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{Ordering, compiler_fence};

/// The system's allocator, wiping each block before it is given back. Libraries free copies of secrets
/// (parsers, buffers, ring's keys) without wiping them; here none of those copies outlives its block.
#[derive(Debug)]
pub(crate) struct WipingAllocator;

// SAFETY: every call is passed on to `System` with the layout it came with, so its guarantees hold; the
// wipe writes only inside the block that the caller gives up.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        #[cfg(test)]
        counted::note(layout.size());
        // SAFETY: the caller's contract is passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        #[cfg(test)]
        counted::note(layout.size());
        // SAFETY: the caller's contract is passed on unchanged.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` is a live block of `layout`, given up by the caller.
        unsafe {
            wipe(block, layout.size());
            System.dealloc(block, layout);
        }
    }

    // The default `realloc` allocates, copies and calls `dealloc`, so a grown buffer leaves no copy behind.
}

/// Overwrites `length` bytes in a way that is not optimised out.
///
/// # Safety
/// `block` must be valid for writes of `length` bytes.
unsafe fn wipe(block: *mut u8, length: usize) {
    // SAFETY: the caller's contract. The fence keeps the stores from being dropped as dead: the block is
    // handed to `System.dealloc`, an external function, right after.
    unsafe { ptr::write_bytes(block, 0, length) };
    compiler_fence(Ordering::SeqCst);
    std::hint::black_box(block);
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
    use std::cell::Cell;

    thread_local! {
        static CALLS_AND_BYTES: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    }

    /// How often this thread has allocated since it began, and how many bytes.
    pub(crate) fn so_far() -> (usize, usize) {
        CALLS_AND_BYTES.get()
    }

    pub(super) fn note(size: usize) {
        // A thread that ends has no place for it any more, and nobody asks.
        let _ = CALLS_AND_BYTES.try_with(|sum| sum.set((sum.get().0 + 1, sum.get().1 + size)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocator_wipes_what_it_frees() {
        let layout = Layout::from_size_align(4096, 8).unwrap();
        // SAFETY: a block of our own; it is read after `wipe` but before it is given back.
        unsafe {
            let block = WipingAllocator.alloc(layout);
            ptr::write_bytes(block, 0xAA, 4096);
            wipe(block, 4096);
            assert!(std::slice::from_raw_parts(block, 4096).iter().all(|byte| *byte == 0));
            WipingAllocator.dealloc(block, layout);
        }
    }

    #[test]
    fn pinned_values_have_pages_of_their_own() {
        let pinned = Pinned::new([7_u8; 32]);
        assert_eq!(ptr::from_ref(&*pinned.page).addr() % 4096, 0);
        assert_eq!(size_of::<Page<[u8; 32]>>(), 4096);
        assert_eq!(*pinned, [7_u8; 32]);
    }
}
