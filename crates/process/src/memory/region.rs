//! A sealed anonymous file, mapped.
//!
//! # Why an access never faults
//!
//! A mapping is only as good as the file below it: reading past the end of a file that
//! somebody shortened is SIGBUS. So the file's size is sealed (`F_SEAL_SHRINK`, `F_SEAL_GROW`,
//! and `F_SEAL_SEAL` over both) before the first mapping, and a descriptor that comes from
//! elsewhere is refused unless it bears these seals. Punching holes stays possible and only
//! gives zeros.
//!
//! # Races
//!
//! The memory is accessed as atomics only, in units of 1, 2, 4 or 8 bytes, so the compiler may not
//! assume that nobody else does: a copied range may be a mixture of what several wrote, each
//! unit whole. Who needs a consistent range takes a lock, or counts versions. (Where units of
//! different sizes race, as a copy and a store of one word may, Rust's rules are still open;
//! each is one load or store of the machine.)

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// Memory shared between processes; of fixed size, zero at first.
///
/// # Examples
///
/// ```
/// use std::sync::atomic::Ordering;
/// use ropewalk_process::memory::Region;
///
/// let here = Region::new(4096).unwrap();
/// let there = Region::from_fd(here.fd().try_clone_to_owned().unwrap()).unwrap();
///
/// here.word(8).store(7, Ordering::Release);
/// assert_eq!(there.word(8).load(Ordering::Acquire), 7);
///
/// here.copy_in(100, b"hello");
/// let mut text = [0; 5];
/// there.copy_out(100, &mut text);
/// assert_eq!(&text, b"hello");
/// ```
pub struct Region {
    /// The mapping: `len` bytes, page-aligned, readable and writable as long as this lives.
    start: NonNull<u8>,
    len: usize,
    file: OwnedFd,
}

// SAFETY: the memory is only accessed as atomics, and the mapping stays until the drop.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Makes a region of at least `bytes` bytes (whole pages are what there is), all zero. Its
    /// pages are taken from the system when they are first touched.
    ///
    /// # Errors
    ///
    /// If the system gives no descriptor or no address space.
    pub fn new(bytes: usize) -> io::Result<Region> {
        let page = rustix::param::page_size();
        let len = bytes
            .max(1)
            .checked_next_multiple_of(page)
            .filter(|len| isize::try_from(*len).is_ok())
            .ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, "the region is too large")
            })?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create(c"ropewalk", flags | MemfdFlags::NOEXEC_SEAL)
            // Kernels before 6.3 don't know the flag.
            .or_else(|_| rustix::fs::memfd_create(c"ropewalk", flags))?;
        rustix::fs::ftruncate(&file, len as u64)?;
        rustix::fs::fcntl_add_seals(&file, SEALS)?;
        Region::map(file, len)
    }

    /// Maps the region that another handle, perhaps of another process, has made.
    ///
    /// # Errors
    ///
    /// With `InvalidData` if the descriptor is of something else, or of a file whose size is
    /// not sealed; and if the system gives no address space.
    pub fn from_fd(file: OwnedFd) -> io::Result<Region> {
        let refused = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        let seals = rustix::fs::fcntl_get_seals(&file)
            .map_err(|_| refused("the descriptor is not one of a memory region"))?;
        if !seals.contains(SealFlags::SHRINK | SealFlags::GROW) {
            return Err(refused("the size of the memory region is not sealed"));
        }
        let size = rustix::fs::fstat(&file)?.st_size;
        match usize::try_from(size) {
            Ok(len) if len != 0 => Region::map(file, len),
            _ => Err(refused("the memory region is empty")),
        }
    }

    fn map(file: OwnedFd, len: usize) -> io::Result<Region> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses touches no other memory.
        let start = unsafe {
            let anywhere = std::ptr::null_mut();
            rustix::mm::mmap(anywhere, len, protection, MapFlags::SHARED, &file, 0)?
        };
        let start = NonNull::new(start.cast()).expect("the kernel maps nothing at null");
        Ok(Region { start, len, file })
    }

    /// How many bytes it has; a multiple of the page size if [`new`](Self::new) made it.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The descriptor through which others map it.
    #[inline]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Maps the same memory once more, with a descriptor of its own.
    ///
    /// # Errors
    ///
    /// If the system gives no descriptor or no address space.
    pub fn try_clone(&self) -> io::Result<Region> {
        Region::map(self.file.try_clone()?, self.len)
    }

    /// Gives the pages of a range back to the system; they read as zeros afterwards.
    ///
    /// # Errors
    ///
    /// If the system doesn't do it.
    ///
    /// # Panics
    ///
    /// If the range is not inside.
    pub fn discard(&self, offset: usize, bytes: usize) -> io::Result<()> {
        self.check(offset, bytes);
        if bytes == 0 {
            return Ok(());
        }
        let how = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, how, offset as u64, bytes as u64)?;
        Ok(())
    }

    /// The 4 bytes at `offset` as an atomic word.
    ///
    /// # Panics
    ///
    /// If `offset` is not a multiple of 4, or the word not inside.
    #[inline]
    pub fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(
            offset.is_multiple_of(4),
            "a word at the odd offset {offset}"
        );
        // SAFETY: checked to be inside and aligned; accessed as atomics only, by all.
        unsafe { AtomicU32::from_ptr(self.at(offset, 4).cast()) }
    }

    /// The 8 bytes at `offset` as an atomic word.
    ///
    /// # Panics
    ///
    /// If `offset` is not a multiple of 8, or the word not inside.
    #[inline]
    pub fn long(&self, offset: usize) -> &AtomicU64 {
        assert!(
            offset.is_multiple_of(8),
            "a long at the odd offset {offset}"
        );
        // SAFETY: checked to be inside and aligned; accessed as atomics only, by all.
        unsafe { AtomicU64::from_ptr(self.at(offset, 8).cast()) }
    }

    /// The 2 bytes at `offset` as an atomic word.
    ///
    /// # Panics
    ///
    /// If `offset` is not a multiple of 2, or the word not inside.
    #[inline]
    pub fn short(&self, offset: usize) -> &AtomicU16 {
        assert!(
            offset.is_multiple_of(2),
            "a short at the odd offset {offset}"
        );
        // SAFETY: checked to be inside and aligned; accessed as atomics only, by all.
        unsafe { AtomicU16::from_ptr(self.at(offset, 2).cast()) }
    }

    /// The byte at `offset` as an atomic.
    ///
    /// # Panics
    ///
    /// If it is not inside.
    #[inline]
    pub fn byte(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: checked to be inside; accessed as atomics only, by all.
        unsafe { AtomicU8::from_ptr(self.at(offset, 1)) }
    }

    /// Writes `bytes` at `offset`, in no particular order, each byte (each aligned 8 of them)
    /// at once. Store a word with `Release` afterwards to tell others.
    ///
    /// # Panics
    ///
    /// If the range is not inside.
    pub fn copy_in(&self, offset: usize, bytes: &[u8]) {
        self.check(offset, bytes.len());
        let (head, middle) = bytes.split_at(head_len(offset, bytes.len()));
        let mut at = offset;
        for byte in head {
            self.byte_inside(at).store(*byte, Ordering::Relaxed);
            at += 1;
        }
        let (longs, tail) = middle.as_chunks::<8>();
        for long in longs {
            let long = u64::from_ne_bytes(*long);
            self.long_inside(at).store(long, Ordering::Relaxed);
            at += 8;
        }
        for byte in tail {
            self.byte_inside(at).store(*byte, Ordering::Relaxed);
            at += 1;
        }
    }

    /// Reads what is at `offset` into `bytes`, in no particular order, each byte (each aligned
    /// 8 of them) at once. Load a word with `Acquire` before to be told by others.
    ///
    /// # Panics
    ///
    /// If the range is not inside.
    pub fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        self.check(offset, bytes.len());
        let (head, middle) = bytes.split_at_mut(head_len(offset, bytes.len()));
        let mut at = offset;
        for byte in head {
            *byte = self.byte_inside(at).load(Ordering::Relaxed);
            at += 1;
        }
        let (longs, tail) = middle.as_chunks_mut::<8>();
        for long in longs {
            *long = self.long_inside(at).load(Ordering::Relaxed).to_ne_bytes();
            at += 8;
        }
        for byte in tail {
            *byte = self.byte_inside(at).load(Ordering::Relaxed);
            at += 1;
        }
    }

    /// As [`copy_out`](Self::copy_out), added to the end of `bytes`.
    ///
    /// # Panics
    ///
    /// If the range is not inside.
    pub fn append_to(&self, offset: usize, len: usize, bytes: &mut Vec<u8>) {
        self.check(offset, len);
        let before = bytes.len();
        bytes.resize(before + len, 0);
        self.copy_out(offset, &mut bytes[before..]);
    }

    /// Panics unless the range is inside.
    #[inline]
    fn check(&self, offset: usize, bytes: usize) {
        let inside = self
            .len
            .checked_sub(offset)
            .is_some_and(|left| bytes <= left);
        assert!(
            inside,
            "{bytes} bytes at {offset} are outside a region of {} bytes",
            self.len
        );
    }

    #[inline]
    fn at(&self, offset: usize, bytes: usize) -> *mut u8 {
        self.check(offset, bytes);
        // SAFETY: inside the mapping.
        unsafe { self.start.as_ptr().add(offset) }
    }

    /// The byte at an offset that was checked.
    #[inline]
    fn byte_inside(&self, offset: usize) -> &AtomicU8 {
        debug_assert!(offset < self.len);
        // SAFETY: the callers have checked the range that this is in.
        unsafe { AtomicU8::from_ptr(self.start.as_ptr().add(offset)) }
    }

    /// The 8 bytes at an offset that was checked, and is a multiple of 8.
    #[inline]
    fn long_inside(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8) && offset + 8 <= self.len);
        // SAFETY: the callers have checked the range that this is in, and aligned it.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(offset).cast()) }
    }
}

/// How many of `len` bytes at `offset` lie before the first multiple of 8.
#[inline]
fn head_len(offset: usize, len: usize) -> usize {
    (offset.wrapping_neg() & 7).min(len)
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: this mapping is ours, and all borrows of it are over.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region")
            .field("len", &self.len)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn ranges_at_any_offset_come_back_as_they_went_in() {
        let region = Region::new(1).unwrap();
        let bytes: Vec<u8> = (1..=40).collect();
        for offset in 0..20 {
            for len in 0..=bytes.len() {
                region.copy_in(0, &[0; 64]);
                region.copy_in(offset, &bytes[..len]);
                let mut all = [0; 64];
                region.copy_out(0, &mut all);
                assert_eq!(all[offset..offset + len], bytes[..len]);
                assert!(all[..offset].iter().all(|byte| *byte == 0));
                assert!(all[offset + len..].iter().all(|byte| *byte == 0));
                let mut appended = vec![9];
                region.append_to(offset, len, &mut appended);
                assert_eq!(appended[1..], bytes[..len]);
            }
        }
    }

    #[test]
    fn the_size_is_sealed_and_others_are_refused() {
        let region = Region::new(10_000).unwrap();
        assert!(region.len() >= 10_000);
        assert!(rustix::fs::ftruncate(region.fd(), 1).is_err());
        assert!(rustix::fs::ftruncate(region.fd(), 1 << 20).is_err());

        let unsealed = rustix::fs::memfd_create(c"no", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&unsealed, 4096).unwrap();
        let refused = Region::from_fd(unsealed).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        let file = File::open("/proc/self/exe").unwrap();
        let refused = Region::from_fd(file.into()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn an_absurd_size_is_an_error() {
        assert!(Region::new(usize::MAX).is_err());
        assert!(Region::new(isize::MAX as usize - 100_000).is_err());
    }

    #[test]
    #[should_panic(expected = "outside a region")]
    fn a_range_past_the_end_panics() {
        let region = Region::new(1).unwrap();
        region.copy_in(region.len() - 3, b"four");
    }

    #[test]
    #[should_panic(expected = "outside a region")]
    fn a_range_that_overflows_panics() {
        Region::new(1).unwrap().copy_out(usize::MAX, &mut [0; 2]);
    }

    #[test]
    fn discarded_pages_read_as_zeros() {
        let region = Region::new(1 << 16).unwrap();
        region.copy_in(0, &[7; 1 << 16]);
        region.discard(0, 1 << 15).unwrap();
        assert_eq!(region.byte(0).load(Ordering::Relaxed), 0);
        assert_eq!(region.byte(1 << 15).load(Ordering::Relaxed), 7);
    }
}
