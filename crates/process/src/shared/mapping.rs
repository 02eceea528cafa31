//! A shared object's memory, as this process has it mapped.
//!
//! # Layout
//!
//! | offset | what |
//! |---|---|
//! | 0 | magic number, kind, shape (what the elements are), random id; constant |
//! | [`HIGH`] | how many slots of the table were ever used |
//! | [`WORDS`] | the object's own words; the first is the lock of [`Section`]s |
//! | [`LOG`] | the log of a section, see `section` |
//! | [`TABLE`] | the participants |
//! | [`BODY`] | the object's data |
//!
//! A process maps an object once, however many handles of it arrive: the registry finds the
//! mapping again by the file's identity. So all tasks of one process are one participant, and
//! what is per process (the gate that lets one task of a process at a time wait for the lock in
//! shared memory; who holds a re-entrant lock) is in one place.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use ropewalk_rt::sync::{Mutex, ReentrantMutex};

use super::participants::{Participant, Table, reopen};
use super::section::Section;
use super::sleeping::Doorbells;
use super::steps::is_killed;
use crate::memory::Region;

const MAGIC: u64 = u64::from_be_bytes(*b"ropewalk");
const KIND: usize = 8;
const SHAPE: usize = 16;
const ID: usize = 24;
const HIGH: usize = 32;
pub(crate) const WORDS: usize = 64;
pub(super) const LOG: usize = 320;
const TABLE: usize = 512;
/// Where an object's data begins; a multiple of 64.
pub(crate) const BODY: usize = TABLE + Table::BYTES;
const _: () = assert!(BODY.is_multiple_of(64));

/// One kind of shared object.
pub(crate) struct Kind {
    /// Tells it from the others in memory.
    pub(crate) number: u32,
    /// For messages: "lock".
    pub(crate) name: &'static str,
    /// Settles the affairs of a participant that died: what it held or counted for. Called by
    /// whoever notices, at least once.
    pub(crate) bury: fn(&mut Section<'_>, slot: usize),
}

/// An object's memory in this process.
pub(crate) struct Mapping {
    pub(crate) region: Arc<Region>,
    pub(super) me: Participant,
    pub(crate) kind: &'static Kind,
    /// One task of this process at a time wants the lock in shared memory.
    pub(super) gate: Mutex<()>,
    /// The same for an object whose holder may lock again, and how often it has.
    pub(super) turns: ReentrantMutex<()>,
    pub(super) depth: AtomicU32,
    pub(super) doorbells: Arc<Doorbells>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    device: u64,
    inode: u64,
    id: u64,
}

static MAPPED: Mutex<Option<HashMap<Key, Weak<Mapping>>>> = Mutex::new(None);

/// What this process has mapped of this file.
fn find(key: &Key) -> Option<Arc<Mapping>> {
    MAPPED.lock().as_ref()?.get(key)?.upgrade()
}

/// Puts a mapping into the registry, unless another task has mapped the same meanwhile: then
/// that one is the process's.
fn register(key: Key, mapping: Arc<Mapping>) -> Arc<Mapping> {
    let mut mapped = MAPPED.lock();
    let mapped = mapped.get_or_insert_default();
    if let Some(other) = mapped.get(&key).and_then(Weak::upgrade) {
        return other;
    }
    if mapped.len() == mapped.capacity() {
        mapped.retain(|_, mapping| mapping.strong_count() != 0);
    }
    mapped.insert(key, Arc::downgrade(&mapping));
    mapping
}

/// The number that stands for an element type: equal only for the same size and name.
pub(crate) fn shape_of<T>() -> u64 {
    // FNV-1a: the same in every process of a program.
    let name = std::any::type_name::<T>().bytes();
    let size = size_of::<T>().to_le_bytes();
    name.chain(size).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl Mapping {
    /// Makes a new object with this many bytes of data, which `init` prepares.
    pub(crate) fn create(
        kind: &'static Kind,
        shape: u64,
        body: usize,
        init: impl FnOnce(&Region),
    ) -> io::Result<Arc<Mapping>> {
        let too_large = || io::Error::new(io::ErrorKind::InvalidInput, "too large to be shared");
        let region = Region::new(BODY.checked_add(body).ok_or_else(too_large)?)?;
        region.word(KIND).store(kind.number, Ordering::Relaxed);
        region.long(SHAPE).store(shape, Ordering::Relaxed);
        let id = RandomState::new().build_hasher().finish();
        region.long(ID).store(id, Ordering::Relaxed);
        init(&region);
        region.long(0).store(MAGIC, Ordering::Release);
        Mapping::enrol(kind, region)
    }

    /// Maps the object that a descriptor from another process stands for, if it is of this kind
    /// and shape.
    pub(crate) fn attach(
        kind: &'static Kind,
        shape: u64,
        file: OwnedFd,
    ) -> io::Result<Arc<Mapping>> {
        let refused = |why: &str| {
            let why = format!("not a shared {}: {why}", kind.name);
            io::Error::new(io::ErrorKind::InvalidData, why)
        };
        let region = Region::from_fd(reopen(file)?)?;
        if region.len() < BODY || region.long(0).load(Ordering::Acquire) != MAGIC {
            return Err(refused("the memory is of something else"));
        }
        if region.word(KIND).load(Ordering::Relaxed) != kind.number {
            return Err(refused("the object is of another kind"));
        }
        if region.long(SHAPE).load(Ordering::Relaxed) != shape {
            return Err(refused("the elements are of another type"));
        }
        Mapping::enrol(kind, region)
    }

    /// Finds the mapping that there is of this region, or takes part with this one.
    fn enrol(kind: &'static Kind, region: Region) -> io::Result<Arc<Mapping>> {
        let stat = rustix::fs::fstat(region.fd())?;
        let key = Key {
            device: stat.st_dev,
            inode: stat.st_ino,
            id: region.long(ID).load(Ordering::Relaxed),
        };
        if let Some(mapping) = find(&key) {
            return Ok(mapping);
        }
        Ok(register(key, Mapping::take_part(kind, region)?))
    }

    /// Takes part in an object, as a participant that this process has not been.
    pub(super) fn take_part(kind: &'static Kind, region: Region) -> io::Result<Arc<Mapping>> {
        let table = Table {
            start: TABLE,
            high: HIGH,
        };
        let me = table.take(&region)?;
        let mapping = Arc::new(Mapping {
            region: Arc::new(region),
            me,
            kind,
            gate: Mutex::new(()),
            turns: ReentrantMutex::new(()),
            depth: AtomicU32::new(0),
            doorbells: Arc::default(),
        });
        // May wait, so not under the registry's lock.
        let mut section = mapping.enter_now();
        section.bury(me.slot);
        drop(section);
        let pid = mapping.region.word(table.pid_at(me.slot));
        pid.store(std::process::id(), Ordering::Release);
        Ok(mapping)
    }

    pub(crate) fn table(&self) -> Table {
        Table {
            start: TABLE,
            high: HIGH,
        }
    }

    /// The slot of this process.
    pub(crate) fn slot(&self) -> usize {
        self.me.slot
    }

    /// A descriptor to give to another process.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        // Opened anew: a duplicate would keep this process's byte locked after its death, as
        // long as it is under way.
        reopen(self.region.fd())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if is_killed() {
            // A child that another test has forked, and that has not begun, has a copy of the
            // descriptor: closing it is not enough then.
            return self.me.unlock(&self.region);
        }
        // Leaves in an orderly way; the byte is unlocked with the descriptor. (A thread that
        // waits at a doorbell may keep that for a while, which does no harm.)
        let pid = self.region.word(self.table().pid_at(self.me.slot));
        pid.store(0, Ordering::Release);
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("kind", &self.kind.name)
            .field("slot", &self.me.slot)
            .finish_non_exhaustive()
    }
}
