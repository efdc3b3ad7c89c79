//! Memory that forgets: an allocator that wipes what it frees.
//!
//! Beside `peer::calls` the one module of this crate where `unsafe` is allowed: an allocator is unsafe by definition.
#![allow(unsafe_code, reason = "GlobalAlloc; each block says why it is sound")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{Ordering, compiler_fence};

/// The system's allocator, wiping each block before it is given back. Libraries free copies of secrets
/// (parsers, buffers, keys) without wiping them; in a program that has this as its `#[global_allocator]` none of those
/// copies outlives its block.
#[derive(Debug)]
pub struct WipingAllocator;

// SAFETY: every call is passed on to `System` with the layout it came with, so its guarantees hold; the
// wipe writes only inside the block that the caller gives up.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
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
}
