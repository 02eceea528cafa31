//! What the stacks ask of the operating system: address space, guards, memory back.
//!
//! Calls that may fail go through the replaceable table of [`crate::sys`]; `munmap` and
//! `mincore`, which only ever see ranges this room has mapped, are called directly.

use std::ffi::c_int;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sys;

/// Slabs start at multiples of this: what one page of page tables maps on x86-64 and
/// (with 4 KiB pages) on aarch64, so that no two slabs share one.
pub(super) const SLAB_ALIGN: usize = 2 << 20;

/// `MADV_GUARD_INSTALL`, since Linux 6.13; not yet among libc's constants.
const MADV_GUARD_INSTALL: c_int = 102;

/// The system's page size in bytes.
pub(super) fn page_bytes() -> usize {
    static PAGE_BYTES: AtomicUsize = AtomicUsize::new(0);
    match PAGE_BYTES.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: no pointers.
            let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let bytes = usize::try_from(bytes).expect("the system has a page size");
            PAGE_BYTES.store(bytes, Ordering::Relaxed);
            bytes
        }
        bytes => bytes,
    }
}

/// Maps `bytes` of zeroed, writable, private memory at a multiple of [`SLAB_ALIGN`].
///
/// Nothing is committed: only the pages that are touched ever cost memory.
pub(super) fn reserve(bytes: usize) -> io::Result<NonNull<u8>> {
    let mut start = map(bytes)?;
    if !start.addr().get().is_multiple_of(SLAB_ALIGN) {
        // Recent kernels align large mappings themselves. Elsewhere: map more, cut off
        // both ends.
        // SAFETY: mapped above, and nobody has seen it.
        unsafe { unmap(start, bytes) };
        let wide = bytes
            .checked_add(SLAB_ALIGN)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        start = map(wide)?;
        let skipped = start.addr().get().next_multiple_of(SLAB_ALIGN) - start.addr().get();
        // SAFETY: both cuts lie inside the mapping just made, around the `bytes` kept.
        unsafe {
            unmap(start, skipped);
            start = start.add(skipped);
            unmap(start.add(bytes), SLAB_ALIGN - skipped);
        }
    }
    // One touched page must not become a huge one. A kernel without huge pages refuses
    // the advice, and needs none.
    // SAFETY: the mapping is ours.
    let _ = unsafe { (sys::table().madvise)(start.as_ptr(), bytes, libc::MADV_NOHUGEPAGE) };
    Ok(start)
}

fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    let flags = libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: fresh memory at an address of the kernel's choice touches nothing.
    let start = unsafe { (sys::table().mmap)(bytes, libc::PROT_READ | libc::PROT_WRITE, flags)? };
    Ok(NonNull::new(start).expect("mmap never gives the null page"))
}

/// Unmaps a range; an empty one is left alone.
///
/// # Safety
///
/// The caller owns the range, and nothing points into it any more.
pub(super) unsafe fn unmap(start: NonNull<u8>, bytes: usize) {
    if bytes != 0 {
        // SAFETY: by the contract above.
        let result = unsafe { libc::munmap(start.as_ptr().cast(), bytes) };
        debug_assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }
}

/// Makes each access to a range a fault, by a marker in the page tables.
///
/// # Errors
///
/// `EINVAL` where the kernel is older than 6.13 or the range is locked into memory.
///
/// # Safety
///
/// The caller owns the range, and there is nothing in it.
pub(super) unsafe fn guard_by_marker(start: NonNull<u8>, bytes: usize) -> io::Result<()> {
    // SAFETY: by the contract above.
    unsafe { (sys::table().madvise)(start.as_ptr(), bytes, MADV_GUARD_INSTALL) }
}

/// Makes each access to a range a fault, by taking its permissions away.
///
/// # Errors
///
/// `ENOMEM` once the process has as many mappings as `vm.max_map_count` allows.
///
/// # Safety
///
/// As [`guard_by_marker`].
pub(super) unsafe fn guard_by_protection(start: NonNull<u8>, bytes: usize) -> io::Result<()> {
    // SAFETY: by the contract above.
    unsafe { (sys::table().mprotect)(start.as_ptr(), bytes, libc::PROT_NONE) }
}

/// Gives the memory under a range back; it reads as zeroes afterwards.
///
/// Where the kernel refuses (memory locked by `mlockall`) the memory stays, and so do
/// its contents.
///
/// # Safety
///
/// The caller owns the range, and nothing in it is needed any more.
pub(super) unsafe fn discard(start: NonNull<u8>, bytes: usize) {
    // SAFETY: by the contract above.
    let _ = unsafe { (sys::table().madvise)(start.as_ptr(), bytes, libc::MADV_DONTNEED) };
}

/// Counts the bytes from the lowest resident page of a range to the range's end.
///
/// The range starts and ends at page boundaries. Pages that were swapped out don't count.
pub(super) fn resident_to_end(start: NonNull<u8>, bytes: usize) -> usize {
    let page = page_bytes();
    let mut present = [0u8; 256];
    let mut at = 0;
    while at < bytes {
        let step = (present.len() * page).min(bytes - at);
        // SAFETY: mincore reads page tables, not memory; the vector holds a byte for each
        // page of the step.
        let result =
            unsafe { libc::mincore(start.as_ptr().add(at).cast(), step, present.as_mut_ptr()) };
        if result != 0 {
            return 0;
        }
        let seen = &present[..step / page];
        if let Some(first) = seen.iter().position(|byte| byte & 1 != 0) {
            return bytes - at - first * page;
        }
        at += step;
    }
    0
}
