//! Stacks for coroutines: slabs of address space, pools, guards and the overflow report.
//!
//! | file | what lives there |
//! |---|---|
//! | `memory.rs` | the system calls: map, guard, give memory back, look what is resident |
//! | `slab.rs` | slabs cut into slots by size; the registry the fault handler reads |
//! | `pool.rs` | [`StackPool`]: one worker's stacks, warm ones first |
//! | [`overflow`] | the fault handler that names the coroutine whose stack overflowed |
//!
//! `host.rs` and `switch.rs` run coroutines on stacks, `runtime` installs the overflow
//! report and makes each worker's pool; nothing else in the kernel calls in here.
//!
//! Soundness rule 1 of DESIGN.md rests on this room: address space is never unmapped, and a
//! slot comes back only when the [`Stack`] that owns it is given or dropped, so the stack of
//! a coroutine that is forgotten is never used again.
//!
//! Locks: each size has one around its list of free slots; it is a leaf, held for a few
//! instructions (once in a long while for an `mmap`) and never across a switch.
//!
//! # A slot
//!
//! ```text
//!            addresses fall towards the bottom of the page
//!  top() ───────────►┌──────────────────────────────┐ slot_base() + slot's size
//!                    │ stagger: 0..=896 B           │ (slot number % 8) × 128 B
//!                    ├──────────────────────────────┤
//!                    │ header: 256 B                │ the kernel's record of its host
//!  header_ptr() ────►├──────────────────────────────┤ also where frames start:
//!                    │ frames, growing down         │ corosensei's `base()`
//!                    │              │               │
//!                    │              ▼               │
//!                    │ (untouched pages cost        │
//!                    │  nothing)                    │
//!  limit() ─────────►├──────────────────────────────┤ slot_base() + 64 KiB
//!                    │ guard: 64 KiB, any access is │
//!                    │ a fault, see `overflow`      │
//!  slot_base() ─────►└──────────────────────────────┘ a multiple of the slot's size,
//!                                                     counted from the slab's start
//! ```
//!
//! A slot's size is a power of two and includes its guard. The default is 256 KiB in
//! release (192 KiB above the guard) and 1 MiB (960 KiB) under `debug_assertions`, where
//! frames are several times as large. Header and stagger lie above the frames in the same
//! page, so a coroutine that sleeps in shallow calls owns one page of memory. The stagger
//! is there because equal offsets in stacks that lie a power of two apart fall into the same
//! few lines of the first-level cache. Resuming each of 16 to 512 coroutines in turn took
//! 16–19 ns a switch pair without it and takes 3–8 ns with it; steps of 64, 192 or 256 bytes
//! or sixteen of them are no better.
//!
//! The guard is 64 KiB because C code may be compiled without stack probes and then steps
//! over a single page; Rust probes each page of a large frame.
//!
//! # Guard by marker, not by protection
//!
//! `mprotect` splits the mapping: two mappings a stack. Under the default
//! `vm.max_map_count` of 65,530 that ends near 32,700 stacks, each fault searches a tree of
//! all of them, and each mapping costs the kernel some 200 bytes. `MADV_GUARD_INSTALL`
//! (Linux 6.13) writes a marker into the page table instead, which the stack's own first
//! page needs anyway. Measured (x86-64, 2 cores, Linux 6.18, default size, one page
//! touched in each stack, `cargo test --release -p ropewalk-kernel -- --ignored --nocapture
//! figures`):
//!
//! | stacks | guard | bytes each, VmRSS + VmPTE | time each, with its first page fault | mappings |
//! |---|---|---|---|---|
//! | 30,000 | `mprotect` | 4,626, and the kernel's 2 mappings | 3.5–4.0 µs | 60,038 |
//! | 30,000 | marker | 4,626 | 2.3–2.4 µs | 40 |
//! | 100,000 | marker | 4,625 | 2.2–2.4 µs | 40 |
//! | 1,000,000 | marker | 4,625 | 3.1–3.9 µs | 40 |
//!
//! Of the bytes 4,096 are the page itself, 512 its share of a page table (which maps 2 MiB,
//! eight slots) and 16 the [`Stack`] value. Of the time the marker takes 1.0 µs and the page
//! fault 1.3; a pooled stack costs neither. (The million takes longer as its host, a virtual
//! machine's, has to find the memory too.)
//!
//! A kernel that refuses markers (before 6.13; memory locked by `mlockall`) gets `mprotect`,
//! slab by slab, and at the limit an error that names the sysctl. Under
//! `mlockall(MCL_FUTURE)` the kernel also fills slabs with memory as they are mapped; that
//! is what the call asks for.

mod memory;
pub mod overflow;
mod pool;
mod slab;

use std::fmt;
use std::io;
use std::mem;
use std::ptr::{self, NonNull};

use corosensei::stack::StackPointer;

pub use pool::{PoolCounts, StackPool};
pub use slab::SlabCounts;
use slab::{SizeClass, Slot};

/// Bytes of a slot's guard.
pub const GUARD_BYTES: usize = 64 << 10;

/// Bytes above the guard of a stack whose size nobody chose: 192 KiB, or 960 KiB under
/// `debug_assertions`.
pub const DEFAULT_BYTES: usize = if cfg!(debug_assertions) {
    1 << 20
} else {
    256 << 10
} - GUARD_BYTES;

const SLOT_BYTES_MIN: usize = 128 << 10;
const SLOT_BYTES_MAX: usize = 1 << 30;

/// Stack tops are staggered by this, two cache lines (which are fetched in pairs), ...
const STAGGER_BYTES: usize = 128;
/// ... in this many steps.
const STAGGER_STEPS: usize = 8;

/// One stack: a slot of a slab, owned.
///
/// Dropping it gives its memory back and the slot to all workers; [`StackPool::give`] keeps
/// it warm for the next coroutine of this worker.
///
/// A stack may be handed to another thread, but not be used from two:
///
/// ```compile_fail,E0277
/// fn is_sync<T: Sync>() {}
/// is_sync::<ropewalk_kernel::stack::Stack>();
/// ```
pub struct Stack {
    slot: Slot,
    class: SizeClass,
    /// Its memory is written through `&self` by whoever runs on it: not `Sync`.
    _not_sync: std::marker::PhantomData<std::cell::Cell<u8>>,
}

impl Stack {
    /// Bytes reserved above the frames, 64-byte aligned, for the kernel's own record.
    pub const HEADER_BYTES: usize = 256;

    /// Takes a stack with at least `usable_bytes` above its guard from the slabs.
    ///
    /// Header and stagger, 1,152 bytes at most, come out of the usable bytes.
    /// [`usable_bytes_for`] says how many there will be. Workers use a [`StackPool`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` beyond 1 GiB less the guard; `OutOfMemory` where the system has no
    /// address space, no memory or (with guards by `mprotect`) no mapping left, with a message
    /// that says which and what to do.
    pub fn new(usable_bytes: usize) -> io::Result<Stack> {
        let class = SizeClass::for_usable(usable_bytes)?;
        Ok(Stack::from_slot(slab::take(class)?, class))
    }

    #[inline]
    fn from_slot(slot: Slot, class: SizeClass) -> Stack {
        Stack {
            slot,
            class,
            _not_sync: std::marker::PhantomData,
        }
    }

    #[inline]
    fn into_slot(self) -> (Slot, SizeClass) {
        let this = mem::ManuallyDrop::new(self);
        // SAFETY: `this` is never used again, nor dropped.
        (unsafe { ptr::read(&this.slot) }, this.class)
    }

    /// One past the highest byte.
    #[inline]
    pub fn top(&self) -> *mut u8 {
        top_of(self.slot.base(), self.class).as_ptr()
    }

    /// The lowest byte above the guard.
    #[inline]
    pub fn limit(&self) -> *mut u8 {
        self.slot.limit().as_ptr()
    }

    /// The lowest byte of the guard.
    #[inline]
    pub fn slot_base(&self) -> *mut u8 {
        self.slot.base().as_ptr()
    }

    /// Bytes from [`limit`](Self::limit) to [`top`](Self::top), at least what was asked for.
    #[inline]
    pub fn usable_bytes(&self) -> usize {
        self.class.usable_bytes()
    }

    /// The start of the [`HEADER_BYTES`](Self::HEADER_BYTES) above the frames, in the
    /// stack's highest page. Undefined contents, 64-byte aligned.
    #[inline]
    pub fn header_ptr(&self) -> *mut u8 {
        header_of(self.slot.base(), self.class).as_ptr()
    }

    /// Measures how deep the stack has ever been used, in bytes from the top, rounded up to
    /// a page. Costs a system call or a few.
    ///
    /// "Ever" is since its memory was last given back: a stack from a pool still shows what
    /// earlier coroutines used. Pages that were swapped out don't count.
    pub fn touched_bytes(&self) -> usize {
        memory::resident_to_end(self.slot.limit(), self.usable_bytes())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        Slot::discard(std::slice::from_mut(&mut self.slot), self.class);
        // SAFETY: `self` is not used again, and a slot has no drop glue of its own.
        let slot = unsafe { ptr::read(&self.slot) };
        slab::give(self.class, [slot]);
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("limit", &self.limit())
            .field("top", &self.top())
            .finish_non_exhaustive()
    }
}

// SAFETY: below `base` lie at least 64 KiB less header and stagger of writable memory that
// this value alone owns, far more than the minimum; below that the guard, which faults. Both
// addresses are 64-byte aligned, and neither changes. Slabs are never unmapped.
unsafe impl corosensei::stack::Stack for Stack {
    #[inline]
    fn base(&self) -> StackPointer {
        header_of(self.slot.base(), self.class).addr()
    }

    /// Unlike the inherent method this counts the guard in, as the trait asks.
    #[inline]
    fn limit(&self) -> StackPointer {
        self.slot.base().addr()
    }
}

/// Where the frames of the stack end that `address` lies in, if it is one of ours. Safe to
/// call in a signal handler.
pub(crate) fn top_above(address: usize) -> Option<usize> {
    let (slot, class) = slab::find(address)?;
    let top = header_of(slot, class).addr().get();
    (address >= slot.addr().get() + GUARD_BYTES && address < top).then_some(top)
}

#[inline]
fn top_of(slot: NonNull<u8>, class: SizeClass) -> NonNull<u8> {
    // SAFETY: one past the end of the slot.
    unsafe { slot.add(class.slot_bytes()) }
}

/// Where the header of a slot lies. A function of the address alone, so that the fault
/// handler finds it too.
#[inline]
fn header_of(slot: NonNull<u8>, class: SizeClass) -> NonNull<u8> {
    let step = (slot.addr().get() / class.slot_bytes()) % STAGGER_STEPS;
    // SAFETY: header and stagger are smaller than the smallest slot above its guard.
    unsafe { top_of(slot, class).sub(step * STAGGER_BYTES + Stack::HEADER_BYTES) }
}

const _: () = {
    assert!(Stack::HEADER_BYTES.is_multiple_of(64) && STAGGER_BYTES.is_multiple_of(64));
    // With its header, the top of a stack leaves most of the smallest page to frames.
    assert!(Stack::HEADER_BYTES + (STAGGER_STEPS - 1) * STAGGER_BYTES <= 1200);
    assert!(SLOT_BYTES_MIN - GUARD_BYTES >= 64 << 10);
};

/// The lowest byte above the guard of the stack with this header.
pub(crate) fn limit_of(header: usize, usable_bytes: usize) -> usize {
    // Header and stagger lie in the highest page.
    header.next_multiple_of(memory::page_bytes()) - usable_bytes
}

/// As [`Stack::touched_bytes`], for the stack with this header.
pub(crate) fn touched_bytes_of(header: usize, usable_bytes: usize) -> usize {
    let limit = limit_of(header, usable_bytes);
    NonNull::new(ptr::without_provenance_mut(limit))
        .map_or(0, |limit| memory::resident_to_end(limit, usable_bytes))
}

/// How many bytes above its guard a stack has that was asked for with `usable_bytes`.
///
/// # Errors
///
/// `InvalidInput` beyond 1 GiB less the guard.
pub fn usable_bytes_for(usable_bytes: usize) -> io::Result<usize> {
    SizeClass::for_usable(usable_bytes).map(SizeClass::usable_bytes)
}

/// What all stacks of the process amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackCounts {
    /// Stacks owned by someone: neither free nor waiting in a pool.
    ///
    /// Exact while nobody takes or gives a stack; otherwise an estimate.
    pub in_use: usize,
    /// The pools of all workers together.
    pub pools: PoolCounts,
    /// The slabs they are cut from.
    pub slabs: SlabCounts,
}

/// Counts the stacks of the process. For inspection: it takes a lock for each size.
pub fn counts() -> StackCounts {
    let pools = pool::counts();
    let slabs = slab::counts();
    let idle = slabs.slots_free + pools.pooled;
    StackCounts {
        in_use: slabs.slots_total.saturating_sub(idle),
        pools,
        slabs,
    }
}

#[cfg(test)]
mod testing {
    //! Running the body of a test in a process of its own, and code on a stack.

    use std::process::{Command, Output};

    use super::Stack;

    /// Runs `body` in a new process (this executable again, with the one test called `test`
    /// of `module`) and gives what came of it. The body ends with exit code 0.
    pub(super) fn in_child(module: &str, test: &str, body: impl FnOnce()) -> Output {
        const MARK: &str = "ROPEWALK_STACK_TEST_CHILD";
        let (_, module) = module.split_once("::").expect("a module of a crate");
        let name = format!("{module}::{test}");
        if std::env::var_os(MARK).is_some_and(|mark| *mark == *name) {
            let no_core = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            // SAFETY: the limit is valid.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &no_core) };
            body();
            std::process::exit(0);
        }
        Command::new(std::env::current_exe().expect("this test's executable"))
            .args([name.as_str(), "--exact", "--nocapture", "--test-threads=1"])
            .env(MARK, &name)
            .output()
            .expect("a process")
    }

    pub(super) fn stderr(output: &Output) -> String {
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Asserts that a child's body went through, with what it said if not.
    pub(super) fn assert_passed(output: &Output) {
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{}\n{stdout}\n{}",
            output.status,
            stderr(output)
        );
    }

    /// Runs `body` on `stack` and gives the stack back.
    pub(super) fn run_on<R>(stack: Stack, body: impl FnOnce() -> R + 'static) -> Stack {
        let mut coroutine = corosensei::Coroutine::<(), (), (), Stack>::with_stack(
            stack,
            move |_, ()| drop(body()),
        );
        assert!(coroutine.resume(()).as_return().is_some());
        coroutine.into_stack()
    }

    /// Uses about 300 bytes of stack a level.
    #[inline(never)]
    pub(super) fn recurse(levels: u64) -> u64 {
        let mut frame = [levels; 32];
        std::hint::black_box(&mut frame);
        if levels == 0 {
            frame[1]
        } else {
            recurse(levels - 1) + frame[levels as usize % 32]
        }
    }

    /// The lines of `/proc/self/maps`.
    pub(super) fn mappings() -> usize {
        std::fs::read_to_string("/proc/self/maps")
            .expect("/proc")
            .lines()
            .count()
    }

    /// A number of kibibytes from `/proc/self/status`, in bytes.
    pub(super) fn status_bytes(key: &str) -> usize {
        let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .expect("a known key");
        let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
        kib.parse::<usize>().expect("a number") * 1024
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::testing::*;
    use super::*;

    #[test]
    fn stacks_are_distinct_aligned_and_writable_from_end_to_end() {
        let sizes = [1, 64 << 10, DEFAULT_BYTES, DEFAULT_BYTES + 1, 3 << 20];
        let stacks: Vec<Stack> = sizes
            .iter()
            .cycle()
            .take(120)
            .map(|&bytes| Stack::new(bytes).unwrap())
            .collect();
        for (stack, &bytes) in stacks.iter().zip(sizes.iter().cycle()) {
            let [base, limit, top] =
                [stack.slot_base(), stack.limit(), stack.top()].map(|at| at.addr());
            assert!(stack.usable_bytes() >= bytes.max(64 << 10));
            assert_eq!(usable_bytes_for(bytes).unwrap(), stack.usable_bytes());
            assert_eq!(limit - base, GUARD_BYTES);
            assert_eq!(top - limit, stack.usable_bytes());
            assert!((top - base).is_power_of_two());
            assert!(base.is_multiple_of((top - base).min(memory::SLAB_ALIGN)));

            let header = stack.header_ptr().addr();
            assert!(header.is_multiple_of(64));
            assert!(header + Stack::HEADER_BYTES <= top);
            assert!(
                top - header <= 1200,
                "most of the top page is left to frames"
            );
            assert_eq!(corosensei::stack::Stack::base(stack).get(), header);
            assert_eq!(corosensei::stack::Stack::limit(stack).get(), base);

            // SAFETY: the stack is ours, and these are its usable bytes.
            unsafe {
                stack.limit().write(1);
                stack.top().sub(1).write(2);
                ptr::write_bytes(stack.header_ptr(), 3, Stack::HEADER_BYTES);
                assert_eq!(
                    (stack.limit().read(), stack.top().sub(1).read()),
                    (1, 2 + { u8::from(header + Stack::HEADER_BYTES == top) })
                );
            }
        }
        let mut bases: Vec<_> = stacks
            .iter()
            .map(|stack| (stack.slot_base(), stack.top()))
            .collect();
        bases.sort();
        assert!(
            bases.windows(2).all(|pair| pair[0].1 <= pair[1].0),
            "no two overlap"
        );
    }

    #[test]
    fn headers_of_neighbours_lie_in_different_cache_lines() {
        // A size that no other test uses. Its slabs have 1, 2, 4 and 8 slots: the last
        // eight are neighbours.
        let stacks: Vec<Stack> = (0..15).map(|_| Stack::new(24 << 20).unwrap()).collect();
        let mut offsets: Vec<_> = stacks[7..]
            .iter()
            .map(|stack| stack.top().addr() - stack.header_ptr().addr())
            .collect();
        offsets.sort_unstable();
        assert_eq!(
            offsets,
            (0..8).map(|step| 256 + step * 128).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_shallow_coroutine_touches_one_page() {
        let stack = run_on(Stack::new(12 << 20).unwrap(), || {
            std::hint::black_box([0u8; 256]);
        });
        assert_eq!(stack.touched_bytes(), memory::page_bytes());
    }

    #[test]
    fn touched_bytes_follow_the_depth() {
        let stack = Stack::new(48 << 20).unwrap();
        assert_eq!(stack.touched_bytes(), 0);
        let stack = run_on(stack, || recurse(1000));
        let shallow = stack.touched_bytes();
        assert!((256_000..4 << 20).contains(&shallow), "{shallow}");
        let stack = run_on(stack, || recurse(4000));
        let deep = stack.touched_bytes();
        assert!(
            (3 * shallow..5 * shallow).contains(&deep),
            "{deep} after {shallow}"
        );
        // It is a high-water mark.
        let stack = run_on(stack, || recurse(10));
        assert_eq!(stack.touched_bytes(), deep);
    }

    #[test]
    fn a_stack_too_large_is_refused() {
        let most = SLOT_BYTES_MAX - GUARD_BYTES;
        assert_eq!(usable_bytes_for(most).unwrap(), most);
        for bytes in [most + 1, usize::MAX] {
            let error = Stack::new(bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains("too large"), "{error}");
        }
    }

    #[test]
    fn a_stack_moves_to_another_thread() {
        let stack = Stack::new(0).unwrap();
        let stack = std::thread::spawn(|| run_on(stack, || recurse(10)))
            .join()
            .unwrap();
        assert!(stack.touched_bytes() > 0);
    }

    #[test]
    fn counts_tell_stacks_in_use_from_idle_ones() {
        let output = in_child(
            module_path!(),
            "counts_tell_stacks_in_use_from_idle_ones",
            || {
                assert_eq!(counts(), StackCounts::default());
                let pool = StackPool::new();
                let mut stacks: Vec<_> = (0..10).map(|_| pool.take(0).unwrap()).collect();
                let odd = Stack::new(1 << 20).unwrap();
                assert_eq!(counts().in_use, 11);
                stacks.drain(3..).for_each(|stack| pool.give(stack));
                assert_eq!(counts().in_use, 4);
                assert_eq!(
                    counts().pools,
                    PoolCounts {
                        in_use: 3,
                        in_use_max: 10,
                        pooled: 7
                    }
                );
                drop(odd);
                stacks.drain(..).for_each(|stack| pool.give(stack));
                drop(pool);
                let after = counts();
                assert_eq!((after.in_use, after.pools), (0, PoolCounts::default()));
                assert_eq!((after.slabs.slots_total, after.slabs.slots_free), (11, 11));
                assert_eq!((after.slabs.slabs, after.slabs.address_bytes), (2, 4 << 20));
            },
        );
        assert_passed(&output);
    }

    /// What the opening of this module quotes.
    #[test]
    #[ignore = "prints figures; run it in release, alone, with --nocapture"]
    fn figures() {
        for (count, by_protection) in [
            (30_000, true),
            (30_000, false),
            (100_000, false),
            (1_000_000, false),
        ] {
            let test = format!("figures_of_{count}_{by_protection}");
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args([
                    "stack::tests::figures_child",
                    "--exact",
                    "--ignored",
                    "--nocapture",
                ])
                .env("ROPEWALK_STACK_FIGURES", format!("{count} {by_protection}"))
                .output()
                .unwrap();
            assert!(output.status.success(), "{test}: {}", stderr(&output));
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines()
                .filter(|line| line.starts_with('|'))
                .for_each(|line| println!("{line}"));
        }
    }

    #[test]
    #[ignore = "the child of `figures`"]
    fn figures_child() {
        let Ok(job) = std::env::var("ROPEWALK_STACK_FIGURES") else {
            return;
        };
        let (count, by_protection) = job.split_once(' ').unwrap();
        let count: usize = count.parse().unwrap();
        if by_protection == "true" {
            slab::tests::refuse_markers();
        }
        let mut stacks = Vec::with_capacity(count);
        let before = status_bytes("VmRSS") + status_bytes("VmPTE");
        let started = Instant::now();
        for _ in 0..count {
            let stack = Stack::new(DEFAULT_BYTES).unwrap();
            // SAFETY: ours.
            unsafe { stack.header_ptr().write(1) };
            stacks.push(stack);
        }
        let each_ns = started.elapsed().as_nanos() as f64 / count as f64;
        let after = status_bytes("VmRSS") + status_bytes("VmPTE");
        let bytes = (after - before) as f64 / count as f64;
        let guard = if by_protection == "true" {
            "mprotect"
        } else {
            "marker"
        };
        println!(
            "| {count} | {guard} | {bytes:.0} | {each_ns:.0} ns | {} |",
            mappings()
        );
        let started = Instant::now();
        drop(stacks);
        let each_ns = started.elapsed().as_nanos() as f64 / count as f64;
        println!("| dropped, each | | | {each_ns:.0} ns | |");
    }
}
