//! Slabs: large stretches of address space, cut into slots of one size.
//!
//! Slots come in classes by size, a power of two. Each class has a *depot* behind a short
//! lock: slots that came back, and the slab being cut. A slab is cut from its low end, one
//! slot at a time, and a slot gets its guard when it is cut, so that a small program has
//! a small footprint and a large one no start-up cost. Slabs grow from 2 MiB by doubling to
//! 1 GiB of address space (half as much at a time where the system refuses more).
//!
//! # Who owns what
//!
//! A slot belongs to exactly one of: the uncut part of its slab, its depot's list, a
//! [`StackPool`](super::StackPool), a [`Stack`](super::Stack). Slots in a depot's list have
//! their guard and hold no memory. Slabs are never unmapped, by soundness rule 1: whatever a
//! leaked coroutine's frames point at stays there.
//!
//! # The registry
//!
//! The fault handler must tell from inside a signal whether an address is one of ours. It
//! walks a list of slabs that only grows: a slab is complete before a compare-exchange
//! (release) makes it the head, it never changes and never goes away, and the handler
//! loads the head with acquire. No lock, no allocation; a million stacks of the default
//! size are some 250 slabs.
//!
//! # Guards
//!
//! See the figures in the opening of [`super`]. A slab whose marker the kernel refuses for
//! any reason but a lack of memory is marked and guarded by `mprotect` from then on: only
//! that slab, because what refuses may be a later `mlockall`, or end with it.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{GUARD_BYTES, SLOT_BYTES_MAX, SLOT_BYTES_MIN, memory};

/// How far slabs grow.
const SLAB_BYTES_MAX: usize = 1 << 30;

const SHIFT_MIN: u32 = SLOT_BYTES_MIN.trailing_zeros();
const SHIFT_MAX: u32 = SLOT_BYTES_MAX.trailing_zeros();
/// How many classes there are.
pub(super) const CLASSES: usize = (SHIFT_MAX - SHIFT_MIN + 1) as usize;

/// The size of a slot: a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SizeClass {
    /// The binary logarithm of the slot's bytes.
    shift: u8,
}

impl SizeClass {
    /// The smallest class whose slots have `usable_bytes` beside their guard.
    pub(super) fn for_usable(usable_bytes: usize) -> io::Result<SizeClass> {
        if usable_bytes > SLOT_BYTES_MAX - GUARD_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a coroutine stack of {usable_bytes} bytes is too large: the most is {}",
                    SLOT_BYTES_MAX - GUARD_BYTES
                ),
            ));
        }
        let slot_bytes = (usable_bytes + GUARD_BYTES)
            .next_power_of_two()
            .max(SLOT_BYTES_MIN);
        Ok(SizeClass {
            shift: slot_bytes.trailing_zeros() as u8,
        })
    }

    pub(super) fn all() -> impl Iterator<Item = SizeClass> {
        (SHIFT_MIN..=SHIFT_MAX).map(|shift| SizeClass { shift: shift as u8 })
    }

    /// Bytes from one slot to the next, the guard included.
    #[inline]
    pub(super) fn slot_bytes(self) -> usize {
        1 << self.shift
    }

    /// Bytes above the guard.
    #[inline]
    pub(super) fn usable_bytes(self) -> usize {
        self.slot_bytes() - GUARD_BYTES
    }

    /// The class's place in an array of [`CLASSES`].
    #[inline]
    pub(super) fn index(self) -> usize {
        (u32::from(self.shift) - SHIFT_MIN) as usize
    }

    fn depot(self) -> MutexGuard<'static, Depot> {
        DEPOTS[self.index()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lowest address of a slot, that is of its guard. Owning the value is owning the slot.
#[derive(Debug)]
pub(super) struct Slot(NonNull<u8>);

// SAFETY: a slot is memory that belongs to whoever holds the value; no thread is special.
unsafe impl Send for Slot {}

impl Slot {
    #[inline]
    pub(super) fn base(&self) -> NonNull<u8> {
        self.0
    }

    /// The lowest byte above the guard.
    #[inline]
    pub(super) fn limit(&self) -> NonNull<u8> {
        // SAFETY: each slot is larger than its guard.
        unsafe { self.0.add(GUARD_BYTES) }
    }

    /// Gives the memory of slots back, but not their guards.
    pub(super) fn discard(slots: &mut [Slot], class: SizeClass) {
        for batch in slots.chunks(memory::DISCARDS_MAX) {
            // SAFETY: the slots are the caller's, and no stack lives in them.
            unsafe { memory::discard_all(batch.iter().map(Slot::limit), class.usable_bytes()) };
        }
    }
}

/// A stretch of address space cut into slots.
struct Slab {
    start: NonNull<u8>,
    bytes: usize,
    class: SizeClass,
    /// Set once the kernel has refused a marker in this slab.
    by_protection: AtomicBool,
    /// The slab registered before this one; written before this one is published.
    next: AtomicPtr<Slab>,
}

// SAFETY: the address range is a number to those who look it up; the memory behind it is
// reached only through slots, each owned once.
unsafe impl Sync for Slab {}
// SAFETY: as above.
unsafe impl Send for Slab {}

/// The slab registered last; see the opening of this file.
static REGISTRY: AtomicPtr<Slab> = AtomicPtr::new(ptr::null_mut());

/// Slots that have ever been cut and guarded, in all classes.
static GUARDED: AtomicUsize = AtomicUsize::new(0);

static DEPOTS: [Mutex<Depot>; CLASSES] = [const { Mutex::new(Depot::EMPTY) }; CLASSES];

/// The slots of one class that nobody holds.
struct Depot {
    /// Guarded and without memory, last in first out.
    free: Vec<Slot>,
    /// Cut, but its guard could not be had.
    unguarded: Vec<(Slot, &'static Slab)>,
    /// The slab being cut.
    open: Option<&'static Slab>,
    /// Bytes of `open` already cut.
    cut_bytes: usize,
    /// What the next slab is to measure; 0 before the first.
    next_bytes: usize,
    slabs: usize,
    address_bytes: usize,
}

impl Depot {
    const EMPTY: Depot = Depot {
        free: Vec::new(),
        unguarded: Vec::new(),
        open: None,
        cut_bytes: 0,
        next_bytes: 0,
        slabs: 0,
        address_bytes: 0,
    };

    /// Cuts a slot that has no guard yet.
    fn cut(&mut self, class: SizeClass) -> io::Result<(Slot, &'static Slab)> {
        if let Some(cut) = self.unguarded.pop() {
            return Ok(cut);
        }
        let slab = match self.open {
            Some(slab) if self.cut_bytes < slab.bytes => slab,
            _ => self.grow(class)?,
        };
        // SAFETY: `cut_bytes` is a multiple of the slot's size below the slab's, which is
        // one too, so a whole slot lies there.
        let slot = Slot(unsafe { slab.start.add(self.cut_bytes) });
        self.cut_bytes += class.slot_bytes();
        Ok((slot, slab))
    }

    #[cold]
    fn grow(&mut self, class: SizeClass) -> io::Result<&'static Slab> {
        let least = class.slot_bytes().max(memory::SLAB_ALIGN);
        let mut bytes = self.next_bytes.max(least);
        let start = loop {
            match memory::reserve(bytes) {
                Ok(start) => break start,
                // A limit on address space may still leave room for a smaller one.
                Err(_) if bytes > least => bytes = (bytes / 2).max(least),
                Err(error) => return Err(explain_map(&error, bytes)),
            }
        };
        self.next_bytes = (bytes * 2).min(SLAB_BYTES_MAX);
        let slab: &'static Slab = Box::leak(Box::new(Slab {
            start,
            bytes,
            class,
            by_protection: AtomicBool::new(false),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        slab.publish();
        self.open = Some(slab);
        self.cut_bytes = 0;
        self.slabs += 1;
        self.address_bytes += bytes;
        // A slot that comes back in a destructor then finds its place without allocating.
        self.free.reserve(bytes / class.slot_bytes());
        Ok(slab)
    }
}

impl Slab {
    fn publish(&'static self) {
        let this = ptr::from_ref(self).cast_mut();
        let mut head = REGISTRY.load(Ordering::Relaxed);
        loop {
            self.next.store(head, Ordering::Relaxed);
            // Release: who sees this slab as the head sees its fields and its `next`.
            match REGISTRY.compare_exchange_weak(head, this, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Gives a slot of this slab its guard.
    fn guard(&self, slot: &Slot) -> io::Result<()> {
        if !self.by_protection.load(Ordering::Relaxed) {
            // SAFETY: the slot is the caller's and was never used.
            match unsafe { memory::guard_by_marker(slot.base(), GUARD_BYTES) } {
                Ok(()) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
                    return Err(explain(&error, "the kernel has no memory for its guard"));
                }
                // EINVAL from a kernel before 6.13 or for locked memory; EPERM or ENOSYS
                // from a filter of system calls.
                Err(_) => self.by_protection.store(true, Ordering::Relaxed),
            }
        }
        // SAFETY: as above.
        unsafe { memory::guard_by_protection(slot.base(), GUARD_BYTES) }
            .map_err(|error| explain_protection(&error))
    }
}

/// Takes a slot with a guard: one that came back, or else a new one.
pub(super) fn take(class: SizeClass) -> io::Result<Slot> {
    let mut depot = class.depot();
    if let Some(slot) = depot.free.pop() {
        return Ok(slot);
    }
    let (slot, slab) = depot.cut(class)?;
    drop(depot);
    match slab.guard(&slot) {
        Ok(()) => {
            GUARDED.fetch_add(1, Ordering::Relaxed);
            Ok(slot)
        }
        Err(error) => {
            class.depot().unguarded.push((slot, slab));
            Err(error)
        }
    }
}

/// Moves up to `count` slots that came back to the end of `to`; never cuts new ones.
pub(super) fn take_free(class: SizeClass, count: usize, to: &mut Vec<Slot>) {
    let mut depot = class.depot();
    let keep = depot.free.len().saturating_sub(count);
    to.extend(depot.free.drain(keep..));
}

/// Gives slots back whose memory was given back.
pub(super) fn give(class: SizeClass, slots: impl IntoIterator<Item = Slot>) {
    class.depot().free.extend(slots);
}

/// What the slabs hold, for inspection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlabCounts {
    /// Slots that ever held a stack. As slots are reused, last in first out, this is the
    /// most stacks there have been at once, those waiting in pools included.
    pub slots_total: usize,
    /// Slots that nobody holds now.
    pub slots_free: usize,
    /// Slabs mapped.
    pub slabs: usize,
    /// Slabs with at least one guard by `mprotect`: 0 where the kernel has markers.
    pub slabs_by_protection: usize,
    /// Address space of all slabs in bytes; the memory in use is far less.
    pub address_bytes: usize,
}

/// Counts slots and slabs of all sizes.
pub(super) fn counts() -> SlabCounts {
    let mut counts = SlabCounts::default();
    for class in SizeClass::all() {
        let depot = class.depot();
        counts.slots_free += depot.free.len();
        counts.slabs += depot.slabs;
        counts.address_bytes += depot.address_bytes;
    }
    counts.slots_total = GUARDED.load(Ordering::Relaxed);
    counts.slabs_by_protection = registered()
        .filter(|slab| slab.by_protection.load(Ordering::Relaxed))
        .count();
    counts
}

fn registered() -> impl Iterator<Item = &'static Slab> {
    let at = |slab: *mut Slab| {
        // SAFETY: null, or a slab leaked by `grow`, complete before it was published.
        unsafe { slab.as_ref() }
    };
    // Acquire: pairs with the release in `publish`; the rest of the list was complete then.
    std::iter::successors(at(REGISTRY.load(Ordering::Acquire)), move |slab| {
        at(slab.next.load(Ordering::Relaxed))
    })
}

/// Finds the slot whose range holds `address`. Safe to call in a signal handler.
///
/// The slot is not the caller's: it may look, and only at what it knows to be alive.
pub(super) fn find(address: usize) -> Option<(NonNull<u8>, SizeClass)> {
    for slab in registered() {
        let offset = address.wrapping_sub(slab.start.addr().get());
        if offset < slab.bytes {
            let slot_offset = offset & !(slab.class.slot_bytes() - 1);
            // SAFETY: a slot of the slab.
            return Some((unsafe { slab.start.add(slot_offset) }, slab.class));
        }
    }
    None
}

#[cold]
fn explain(error: &io::Error, why: &str) -> io::Error {
    let reached = GUARDED.load(Ordering::Relaxed);
    let kind = match error.raw_os_error() {
        Some(libc::ENOMEM) => io::ErrorKind::OutOfMemory,
        _ => error.kind(),
    };
    io::Error::new(
        kind,
        format!("no stack for a coroutine after {reached}: {why} ({error})"),
    )
}

#[cold]
fn explain_map(error: &io::Error, bytes: usize) -> io::Error {
    let mib = bytes >> 20;
    explain(
        error,
        &format!(
            "the system refuses {mib} MiB of address space; look at vm.overcommit_memory (2 \
             forbids to reserve more than there is memory), at ulimit -v, and at \
             vm.max_map_count"
        ),
    )
}

#[cold]
fn explain_protection(error: &io::Error) -> io::Error {
    if error.raw_os_error() != Some(libc::ENOMEM) {
        return explain(error, "mprotect refuses its guard");
    }
    let allowed = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    let allowed = allowed
        .ok()
        .and_then(|text| text.trim().parse::<usize>().ok());
    let allowed = allowed.unwrap_or(65_530);
    explain(
        error,
        &format!(
            "this kernel has no guard markers (Linux 6.13) or memory is locked (mlockall), so \
             each guard is made by mprotect and takes two of the {allowed} mappings that \
             vm.max_map_count allows a process; raise it with: sysctl -w \
             vm.max_map_count={}",
            allowed.saturating_mul(16)
        ),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use std::ffi::c_int;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::stack::testing::*;
    use crate::stack::{DEFAULT_BYTES, Stack, overflow};
    use crate::sys::{self, SysTable};

    /// Puts a changed table of system calls in force. For children only.
    fn with_calls(change: impl FnOnce(&mut SysTable)) {
        let mut table = *sys::real_table();
        change(&mut table);
        // SAFETY: what the tests below put in either fails or calls the real thing.
        unsafe { sys::replace(Some(Box::leak(Box::new(table)))) };
    }

    unsafe fn madvise_of_old_kernel(at: *mut u8, bytes: usize, advice: c_int) -> io::Result<()> {
        if advice == 102 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: the caller's contract is the same.
        unsafe { (sys::real_table().madvise)(at, bytes, advice) }
    }

    /// Makes this process's kernel one without guard markers.
    pub(in crate::stack) fn refuse_markers() {
        with_calls(|table| table.madvise = madvise_of_old_kernel);
    }

    fn overflow_in_child(stack: Stack) {
        overflow::install();
        let _alt = overflow::install_thread();
        run_on(stack, || recurse(u64::MAX));
    }

    #[test]
    fn sizes_are_rounded_up_to_classes() {
        let usable = |bytes| SizeClass::for_usable(bytes).unwrap().usable_bytes();
        let kib = |n: usize| n << 10;
        assert_eq!(usable(0), kib(64));
        assert_eq!(usable(kib(64)), kib(64));
        assert_eq!(usable(kib(64) + 1), kib(192));
        assert_eq!(usable(kib(192)), kib(192));
        assert_eq!(usable(kib(193)), kib(448));
        assert_eq!(usable(DEFAULT_BYTES), DEFAULT_BYTES);
        let indices: Vec<_> = SizeClass::all().map(SizeClass::index).collect();
        assert_eq!(indices, (0..CLASSES).collect::<Vec<_>>());
    }

    #[test]
    fn a_dropped_stack_is_the_next_one_taken() {
        // A size that no other test uses.
        let bytes = 96 << 20;
        let first = Stack::new(bytes).unwrap();
        let base = first.slot_base();
        // SAFETY: ours.
        unsafe { first.header_ptr().write(7) };
        drop(first);
        let again = Stack::new(bytes).unwrap();
        assert_eq!(again.slot_base(), base);
        assert_eq!(again.touched_bytes(), 0, "its memory was given back");
        // SAFETY: ours.
        assert_eq!(unsafe { again.header_ptr().read() }, 0);
    }

    #[test]
    fn the_registry_finds_slots_by_any_address_in_them() {
        let stacks: Vec<Stack> = (0..20).map(|n| Stack::new(n << 17).unwrap()).collect();
        for stack in &stacks {
            let [base, top] = [stack.slot_base(), stack.top()].map(|at| at.addr());
            for address in [
                base,
                base + 1,
                base + GUARD_BYTES,
                stack.limit().addr(),
                top - 1,
            ] {
                let (slot, class) = find(address).expect("an address of ours");
                assert_eq!(slot.as_ptr(), stack.slot_base());
                assert_eq!(class.usable_bytes(), stack.usable_bytes());
            }
        }
        let local = 0u8;
        for address in [
            0,
            1,
            usize::MAX,
            (&raw const local).addr(),
            find as *const () as usize,
        ] {
            assert!(find(address).is_none());
        }
    }

    #[test]
    fn twenty_thousand_stacks_are_few_mappings() {
        let output = in_child(
            module_path!(),
            "twenty_thousand_stacks_are_few_mappings",
            || {
                let before = mappings();
                let stacks: Vec<Stack> = (0..20_000).map(|_| Stack::new(0).unwrap()).collect();
                for stack in &stacks {
                    // SAFETY: ours.
                    unsafe { stack.header_ptr().write(1) };
                }
                let counts = counts();
                assert_eq!(counts.slots_total, 20_000);
                let more = mappings().saturating_sub(before);
                if counts.slabs_by_protection == 0 {
                    assert!(
                        more <= 2 * counts.slabs,
                        "{more} for {} slabs",
                        counts.slabs
                    );
                } else {
                    assert!(more <= 2 * 20_000 + 2 * counts.slabs);
                }
            },
        );
        assert_passed(&output);
    }

    #[test]
    fn without_markers_mprotect_guards() {
        let output = in_child(module_path!(), "without_markers_mprotect_guards", || {
            refuse_markers();
            let before = mappings();
            let stacks: Vec<Stack> = (0..100).map(|_| Stack::new(0).unwrap()).collect();
            assert!(counts().slabs_by_protection > 0);
            assert!(mappings() >= before + 150, "each guard is a mapping");
            overflow_in_child(stacks.into_iter().nth(50).unwrap());
        });
        assert!(stderr(&output).contains("a coroutine has overflowed its stack of 64 KiB"));
    }

    #[test]
    fn locked_memory_falls_back_to_mprotect() {
        let output = in_child(
            module_path!(),
            "locked_memory_falls_back_to_mprotect",
            || {
                let before = Stack::new(0).unwrap();
                // SAFETY: no pointers.
                if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } != 0 {
                    eprintln!("may not lock memory");
                    return;
                }
                let after: Vec<Stack> = (0..20).map(|_| Stack::new(0).unwrap()).collect();
                assert_ne!(counts().slabs_by_protection, 0);
                drop(before);
                overflow_in_child(after.into_iter().next().unwrap());
            },
        );
        let said = stderr(&output);
        assert!(
            said.contains("overflowed its stack") || said.contains("may not lock"),
            "{said}"
        );
    }

    static MPROTECTS: AtomicUsize = AtomicUsize::new(0);
    static MPROTECT_LIMIT: AtomicUsize = AtomicUsize::new(5);

    unsafe fn mprotect_until_limit(at: *mut u8, bytes: usize, prot: c_int) -> io::Result<()> {
        if MPROTECTS.fetch_add(1, Ordering::Relaxed) >= MPROTECT_LIMIT.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        // SAFETY: the caller's contract is the same.
        unsafe { (sys::real_table().mprotect)(at, bytes, prot) }
    }

    #[test]
    fn out_of_mappings_names_the_limit_and_loses_no_slot() {
        let output = in_child(
            module_path!(),
            "out_of_mappings_names_the_limit_and_loses_no_slot",
            || {
                with_calls(|table| {
                    table.madvise = madvise_of_old_kernel;
                    table.mprotect = mprotect_until_limit;
                });
                let stacks: Vec<Stack> = (0..5).map(|_| Stack::new(0).unwrap()).collect();
                let error = Stack::new(0).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
                let text = error.to_string();
                for part in ["after 5", "vm.max_map_count", "sysctl -w", "mlockall"] {
                    assert!(text.contains(part), "{part} in {text}");
                }
                MPROTECT_LIMIT.store(usize::MAX, Ordering::Relaxed);
                let sixth = Stack::new(0).unwrap();
                let slot = sixth.top().addr() - sixth.slot_base().addr();
                let expected = stacks[4].slot_base().wrapping_add(slot);
                assert_eq!(
                    sixth.slot_base(),
                    expected,
                    "the slot without a guard is used"
                );
                assert_eq!(counts().slots_total, 6);
            },
        );
        assert_passed(&output);
    }

    /// The real thing: as many guards by mprotect as the system allows.
    #[test]
    fn the_systems_own_limit_of_mappings_is_an_error() {
        let output = in_child(
            module_path!(),
            "the_systems_own_limit_of_mappings_is_an_error",
            || {
                let allowed = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
                let allowed: usize = allowed.trim().parse().unwrap();
                if allowed > 100_000 {
                    return;
                }
                refuse_markers();
                let mut stacks = Vec::with_capacity(allowed);
                let error = loop {
                    assert!(stacks.len() < allowed, "no limit met");
                    match Stack::new(0) {
                        Ok(stack) => stacks.push(stack),
                        Err(error) => break error,
                    }
                };
                assert!(stacks.len() > allowed / 2 - 1000, "{}", stacks.len());
                // Before anything else wants a mapping and can't have it.
                let text = error.to_string();
                assert!(text.contains("vm.max_map_count"), "{text}");
                assert!(text.contains(&format!("after {}", stacks.len())), "{text}");
                std::process::exit(0);
            },
        );
        assert_passed(&output);
    }

    static REFUSED: AtomicBool = AtomicBool::new(false);

    unsafe fn mmap_up_to_4_mib(bytes: usize, prot: c_int, flags: c_int) -> io::Result<*mut u8> {
        if bytes > 4 << 20 {
            REFUSED.store(true, Ordering::Relaxed);
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        // SAFETY: the caller's contract is the same.
        unsafe { (sys::real_table().mmap)(bytes, prot, flags) }
    }

    #[test]
    fn without_room_for_a_large_slab_a_small_one_does() {
        let output = in_child(
            module_path!(),
            "without_room_for_a_large_slab_a_small_one_does",
            || {
                with_calls(|table| table.mmap = mmap_up_to_4_mib);
                let stacks: Vec<Stack> = (0..200).map(|_| Stack::new(0).unwrap()).collect();
                assert_eq!(stacks.len(), counts().slots_total);
                assert!(REFUSED.load(Ordering::Relaxed));
                let error = Stack::new(8 << 20).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
                let text = error.to_string();
                for part in [
                    "16 MiB of address space",
                    "vm.overcommit_memory",
                    "after 200",
                ] {
                    assert!(text.contains(part), "{part} in {text}");
                }
            },
        );
        assert_passed(&output);
    }

    static SHIFTS: AtomicUsize = AtomicUsize::new(0);

    /// An old kernel's mmap: where it likes, at any page.
    unsafe fn mmap_unaligned(bytes: usize, prot: c_int, flags: c_int) -> io::Result<*mut u8> {
        let page = memory::page_bytes();
        let shift = page * (1 + SHIFTS.fetch_add(1, Ordering::Relaxed) % 100);
        // SAFETY: the caller's contract is the same; the pages before and after are left
        // mapped, and so are not anybody else's.
        unsafe {
            let start = (sys::real_table().mmap)(bytes + memory::SLAB_ALIGN, prot, flags)?;
            let aligned = start.map_addr(|at| at.next_multiple_of(memory::SLAB_ALIGN));
            Ok(if aligned == start {
                start.add(shift)
            } else {
                aligned.sub(page)
            })
        }
    }

    #[test]
    fn slabs_are_aligned_whatever_mmap_gives() {
        let output = in_child(
            module_path!(),
            "slabs_are_aligned_whatever_mmap_gives",
            || {
                with_calls(|table| table.mmap = mmap_unaligned);
                let stacks: Vec<Stack> = (0..500).map(|_| Stack::new(0).unwrap()).collect();
                for stack in &stacks {
                    assert!(stack.slot_base().addr().is_multiple_of(SLOT_BYTES_MIN));
                    // SAFETY: ours.
                    unsafe { ptr::write_bytes(stack.limit(), 1, stack.usable_bytes()) };
                }
                assert!(
                    registered()
                        .all(|slab| { slab.start.addr().get().is_multiple_of(memory::SLAB_ALIGN) })
                );
            },
        );
        assert_passed(&output);
    }

    #[test]
    fn many_threads_never_share_a_slot() {
        let threads: Vec<_> = (0..4)
            .map(|mark| {
                std::thread::spawn(move || {
                    for round in 0..50 {
                        let stacks: Vec<Stack> = (0..20).map(|_| Stack::new(0).unwrap()).collect();
                        for stack in &stacks {
                            // SAFETY: ours.
                            unsafe { stack.header_ptr().write(mark) };
                        }
                        std::thread::yield_now();
                        for stack in stacks {
                            // SAFETY: ours.
                            let seen = unsafe { stack.header_ptr().read() };
                            assert_eq!(seen, mark, "in round {round}");
                        }
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}
