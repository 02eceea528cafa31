//! Walking a stack: return addresses, on the stack's own thread, and on the stack itself.
//!
//! Unwinding by the tables of the debug format costs about a microsecond a frame, and a
//! program with 100,000 coroutines has few distinct stacks. So a walk is remembered by its depth,
//! together with where each return address lay; a coroutine that is suspended at the same depth
//! and has the same addresses in the same places is taken to have the same stack, and is not
//! unwound. What a return address says of its frame's size is a function of the address, so
//! equal words in equal places are equal stacks, but for a coincidence among left-over words.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

/// The return addresses of a stack, innermost first.
pub type Frames = Arc<[usize]>;

/// The most frames that are looked at.
const FRAMES_MAX: usize = 128;
/// What must be left of a stack for it to be walked: unwinding needs a few KiB.
const ROOM_BYTES: usize = 16 << 10;

/// Walks many stacks of one worker.
pub(crate) struct Walker {
    /// By depth.
    known: HashMap<usize, Vec<Known>>,
    found: Option<Frames>,
    pcs: Vec<usize>,
    slots: Vec<usize>,
}

struct Known {
    /// How far below the top each return address lies.
    slots: Box<[usize]>,
    frames: Frames,
}

impl Walker {
    pub(crate) fn new() -> Walker {
        Walker {
            known: HashMap::new(),
            found: None,
            // So that nothing grows while on a small stack.
            pcs: Vec::with_capacity(FRAMES_MAX),
            slots: Vec::with_capacity(FRAMES_MAX),
        }
    }

    /// What the last walk found, if anything.
    pub(crate) fn take(&mut self) -> Option<Frames> {
        self.found.take()
    }

    /// Walks the caller's stack, which lies between `limit` and `top`; the caller itself is the
    /// first frame. Finds nothing if there is too little room left on it.
    #[inline(never)]
    pub(crate) fn walk_here(&mut self, limit: usize, top: usize) {
        let marker = 0u8;
        let here = std::hint::black_box(&raw const marker) as usize;
        self.found = None;
        if cfg!(ropewalk_thread_switch) || !(limit..top).contains(&here) {
            // Not on that stack: coroutines are threads.
            self.found = Some(walk_thread());
            return;
        }
        if here - limit < ROOM_BYTES {
            return;
        }
        let depth = top - here;
        let known = self.known.get(&depth).and_then(|known| {
            known.iter().find(|known| {
                known
                    .slots
                    .iter()
                    .zip(&*known.frames)
                    // SAFETY: the slot lies between `here` and `top`, as the depth is the same:
                    // in live frames of this stack.
                    .all(|(slot, pc)| unsafe { ((top - slot) as *const usize).read() } == *pc)
            })
        });
        if let Some(known) = known {
            self.found = Some(Arc::clone(&known.frames));
            return;
        }
        self.unwind(here, top, depth);
    }

    #[inline(never)]
    fn unwind(&mut self, here: usize, top: usize, depth: usize) {
        self.pcs.clear();
        self.slots.clear();
        let mut below = here;
        let mut complete = true;
        trace(|pc, sp| {
            if sp <= here && self.pcs.is_empty() {
                // The walk's own.
                return true;
            }
            if sp <= here || sp > top {
                // The stack of whoever resumed us.
                return false;
            }
            match slot_of(pc, below, sp) {
                Some(slot) => self.slots.push(top - slot),
                None => complete = false,
            }
            self.pcs.push(pc);
            below = sp;
            self.pcs.len() < FRAMES_MAX
        });
        let frames: Frames = self.pcs.as_slice().into();
        if complete {
            self.known.entry(depth).or_default().push(Known {
                slots: self.slots.as_slice().into(),
                frames: Arc::clone(&frames),
            });
        }
        self.found = Some(frames);
    }
}

/// Where between two stack pointers a return address lies.
fn slot_of(pc: usize, below: usize, sp: usize) -> Option<usize> {
    const WORD: usize = size_of::<usize>();
    // On x86-64 it is the last word.
    (below.next_multiple_of(WORD)..sp)
        .step_by(WORD)
        .rev()
        // SAFETY: in live frames of the calling thread's stack.
        .find(|at| unsafe { (*at as *const usize).read() } == pc)
}

/// Calls `visit` with the program counter and stack pointer of each frame, innermost first, until
/// it says false.
fn trace(mut visit: impl FnMut(usize, usize) -> bool) {
    // SAFETY: what is unsynchronised is a global lock that only Windows needs.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            let address = |pointer: *mut c_void| pointer as usize;
            visit(address(frame.ip()), address(frame.sp()))
        });
    }
}

/// The calling thread's stack, or the calling coroutine's and its worker's.
#[inline(never)]
pub(crate) fn walk_thread() -> Frames {
    let mut pcs = Vec::with_capacity(FRAMES_MAX);
    trace(|pc, _| {
        pcs.push(pc);
        pcs.len() < FRAMES_MAX
    });
    pcs.into()
}
