//! Who takes part in a shared object, and who of them is still alive.
//!
//! # How a death is known
//!
//! Each process that maps an object has a slot in the object's table, and as long as it lives
//! a lock on the byte of that number in the object's file: an open-file-description lock, which
//! is held by *its own* opening of the file (every process opens it anew through
//! `/proc/self/fd`, and never passes that descriptor on). The kernel drops the lock with the
//! descriptor, so at the latest when the process is gone, however it went. Whether slot 7's
//! process lives is therefore one question to the kernel: is byte 7 locked?
//!
//! A process id proves nothing, as it may be in use again, or mean something else in another
//! pid namespace; a slot may be in use again too, so it has a *generation* that every process
//! raises when it takes the slot. What a process leaves in shared words (that it holds a lock,
//! say) names slot and generation. If the slot's generation is another, that process is gone.
//! (Generations repeat after half a million users of one slot: who left a lock behind would have
//! to be forgotten by everybody for that long to be taken for alive.)
//!
//! # A slot's life
//!
//! | byte | `pid` | what it is |
//! |---|---|---|
//! | free | 0 | never used, or left in an orderly way, or its dead were buried |
//! | locked | any | of a living process (one that just came may not have written its `pid`) |
//! | free | not 0 | of a dead process whose affairs nobody has settled yet |
//!
//! Taking a slot: lock the byte (the kernel lets only one), raise the generation, settle the
//! affairs of a predecessor that died, write `pid`. Killed before the generation is raised, the
//! slot is as it was. Killed later, it is a dead process's slot whose affairs may be unsettled,
//! for which the next one looks again.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::Ordering;

use crate::memory::Region;

/// The most processes that can map one object at a time.
pub(crate) const SLOTS: usize = 1024;
/// How many different generations there are in a lock's word, beside the slot.
pub(super) const GENERATIONS: u32 = 1 << 19;

const SLOT_BYTES: usize = 16;

/// Where the table of a region begins, and how many of its slots were ever used.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    pub(crate) start: usize,
    pub(crate) high: usize,
}

/// One process as a participant: a slot, and which of its users.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Participant {
    pub(crate) slot: usize,
    pub(crate) generation: u32,
}

impl Table {
    /// The bytes it takes.
    pub(crate) const BYTES: usize = SLOTS * SLOT_BYTES;

    fn generation(self, region: &Region, slot: usize) -> u32 {
        region
            .word(self.start + slot * SLOT_BYTES)
            .load(Ordering::Acquire)
            % GENERATIONS
    }

    /// Where the process id of a slot stands.
    pub(crate) fn pid_at(self, slot: usize) -> usize {
        self.start + slot * SLOT_BYTES + 4
    }

    /// Where the count of a slot stands, whose meaning is the object's.
    pub(crate) fn count_at(self, slot: usize) -> usize {
        self.start + slot * SLOT_BYTES + 8
    }

    /// The slots that were ever used.
    pub(crate) fn used(self, region: &Region) -> std::ops::Range<usize> {
        0..(region.word(self.high).load(Ordering::Acquire) as usize).min(SLOTS)
    }

    /// Takes a slot for this process. Its predecessor's affairs are the caller's to settle.
    pub(crate) fn take(self, region: &Region) -> io::Result<Participant> {
        for slot in 0..SLOTS {
            if !try_lock_byte(region.fd(), slot)? {
                continue;
            }
            let high = region.word(self.high);
            high.fetch_max(slot as u32 + 1, Ordering::AcqRel);
            let word = region.word(self.start + slot * SLOT_BYTES);
            let generation = word.fetch_add(1, Ordering::AcqRel).wrapping_add(1) % GENERATIONS;
            return Ok(Participant { slot, generation });
        }
        Err(io::Error::new(
            io::ErrorKind::QuotaExceeded,
            format!("{SLOTS} processes take part in this shared object already"),
        ))
    }

    /// Says whether this participant, another than the caller, is gone.
    pub(crate) fn is_gone(self, region: &Region, other: Participant) -> bool {
        other.slot >= SLOTS
            || self.generation(region, other.slot) != other.generation
            || !byte_is_locked(region.fd(), other.slot)
    }

    /// Says whether no living process has this slot, which is not the caller's.
    pub(crate) fn is_empty(self, region: &Region, slot: usize) -> bool {
        !byte_is_locked(region.fd(), slot)
    }

    /// The process id of a participant, as long as the slot is not another's.
    pub(crate) fn pid(self, region: &Region, of: Participant) -> Option<u32> {
        if of.slot >= SLOTS {
            return None;
        }
        let pid = region.word(self.pid_at(of.slot)).load(Ordering::Acquire);
        (pid != 0 && self.generation(region, of.slot) == of.generation).then_some(pid)
    }
}

impl Participant {
    /// Gives the byte up, as the death of the process would.
    pub(super) fn unlock(self, region: &Region) {
        let lock = byte_lock(libc::F_UNLCK, self.slot);
        // SAFETY: the descriptor is open, and the structure valid for the call.
        unsafe { libc::fcntl(region.fd().as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    }
}

fn byte_lock(kind: libc::c_int, byte: usize) -> libc::flock {
    // SAFETY: a plain structure of integers, for which zeros are valid.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = byte as libc::off_t;
    lock.l_len = 1;
    lock
}

/// Locks a byte for this opening of the file; `false` if another one has it.
fn try_lock_byte(file: BorrowedFd<'_>, byte: usize) -> io::Result<bool> {
    let lock = byte_lock(libc::F_WRLCK, byte);
    // SAFETY: the descriptor is open, and the structure valid for the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}

/// Says whether another opening of the file has the byte locked.
fn byte_is_locked(file: BorrowedFd<'_>, byte: usize) -> bool {
    let mut lock = byte_lock(libc::F_WRLCK, byte);
    // SAFETY: the descriptor is open, and the structure valid for the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    // A kernel that can't tell (there is none that took the lock) must not declare the living
    // dead.
    result != 0 || libc::c_int::from(lock.l_type) != libc::F_UNLCK
}

/// Opens the file below a descriptor anew, so that locks are the new descriptor's own.
pub(crate) fn reopen(file: impl AsFd) -> io::Result<std::os::fd::OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?)
}
