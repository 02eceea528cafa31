//! What the stacks ask of the operating system: address space, guards, memory back.
//!
//! Calls that may fail go through the replaceable table of [`crate::sys`]. Called directly
//! are `munmap` and `mincore`, which only ever see ranges mapped here, and
//! `process_madvise`, whose failure costs nothing but time.

use std::ffi::c_int;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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

/// Gives the memory under a range back; it reads as zeroes afterwards. Guards stay.
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

/// The most ranges that [`discard_all`] takes.
pub(super) const DISCARDS_MAX: usize = 32;

/// Does [`discard`] for up to [`DISCARDS_MAX`] ranges of `bytes` each.
///
/// One call of `process_madvise` where the kernel allows it for the calling process (since
/// Linux 6.13, and without a descriptor since 6.14): for ranges with a page of memory each,
/// 0.3 µs a range against 1.5 µs, as the translation caches are flushed once.
///
/// # Safety
///
/// As [`discard`], for each range.
pub(super) unsafe fn discard_all(starts: impl ExactSizeIterator<Item = NonNull<u8>>, bytes: usize) {
    const EMPTY: libc::iovec = libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    };
    let mut ranges = [EMPTY; DISCARDS_MAX];
    let ranges = &mut ranges[..starts.len()];
    for (range, start) in ranges.iter_mut().zip(starts) {
        *range = libc::iovec {
            iov_base: start.as_ptr().cast(),
            iov_len: bytes,
        };
    }
    // SAFETY: by the contract above.
    if unsafe { discard_at_once(ranges) } {
        return;
    }
    for range in ranges {
        if let Some(start) = NonNull::new(range.iov_base.cast()) {
            // SAFETY: by the contract above; doing it again harms none.
            unsafe { discard(start, bytes) };
        }
    }
}

/// Says whether it did all of it.
///
/// # Safety
///
/// As [`discard`], for each range.
unsafe fn discard_at_once(ranges: &[libc::iovec]) -> bool {
    /// Stands for the calling process where a descriptor of one is asked for.
    const PIDFD_SELF: c_int = -10_000;
    static REFUSED: AtomicBool = AtomicBool::new(false);

    let wanted: usize = ranges.iter().map(|range| range.iov_len).sum();
    if REFUSED.load(Ordering::Relaxed) || ranges.len() < 2 {
        return false;
    }
    // SAFETY: the array is readable for its length, and the ranges are the caller's to
    // discard.
    let advised = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            PIDFD_SELF,
            ranges.as_ptr(),
            ranges.len(),
            libc::MADV_DONTNEED,
            0u32,
        )
    };
    // Locked memory in one of the ranges ends the call there, with EINVAL if it is the first.
    // Any other error (EBADF, ENOSYS, EPERM) is from a kernel or a filter of system calls that
    // will not change its mind.
    if advised < 0 && io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL) {
        REFUSED.store(true, Ordering::Relaxed);
    }
    usize::try_from(advised) == Ok(wanted)
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

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 64 << 10;

    /// `count` ranges of `BYTES` each, with a gap after each, the last byte written.
    fn ranges(count: usize) -> Vec<NonNull<u8>> {
        let start = reserve(2 * BYTES * count.max(16)).unwrap();
        (0..count)
            .map(|n| {
                // SAFETY: inside the mapping, which is never unmapped.
                unsafe {
                    let range = start.add(2 * BYTES * n);
                    range.add(BYTES - 1).write(1);
                    range.add(BYTES).write(2);
                    range
                }
            })
            .collect()
    }

    fn assert_discarded(ranges: &[NonNull<u8>]) {
        for range in ranges {
            assert_eq!(resident_to_end(*range, BYTES), 0);
            // SAFETY: as in `ranges`.
            let beside = unsafe { range.add(BYTES).read() };
            assert_eq!(beside, 2, "the neighbour is left alone");
        }
    }

    #[test]
    fn many_ranges_are_discarded_at_once() {
        for count in [0, 1, 2, DISCARDS_MAX] {
            let ranges = ranges(count);
            // SAFETY: ours.
            unsafe { discard_all(ranges.iter().copied(), BYTES) };
            assert_discarded(&ranges);
        }
    }

    #[test]
    fn a_range_that_resists_does_not_save_the_others() {
        let ranges = ranges(5);
        // SAFETY: the third range is ours; locked memory cannot be discarded.
        let locked = unsafe { libc::mlock(ranges[2].as_ptr().cast(), BYTES) } == 0;
        // SAFETY: ours.
        unsafe { discard_all(ranges.iter().copied(), BYTES) };
        assert_discarded(&ranges[..2]);
        assert_discarded(&ranges[3..]);
        assert_eq!(resident_to_end(ranges[2], BYTES) != 0, locked);
    }

    #[test]
    fn resident_bytes_count_from_the_lowest_page() {
        let bytes = 8 << 20;
        let start = reserve(bytes).unwrap();
        assert_eq!(resident_to_end(start, bytes), 0);
        for kib in [4, 64, 1000, 1024, 5000, 8192] {
            let at = bytes - (kib << 10);
            // SAFETY: inside the mapping, which is never unmapped.
            unsafe { start.add(at).write(1) };
            let page = page_bytes();
            assert_eq!(resident_to_end(start, bytes), bytes - at / page * page);
        }
    }
}
