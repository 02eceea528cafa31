//! The scheduler's free choices, behind one seam: which worker to steal from, which to
//! place work on. A seeded source makes a run repeatable, for checkers.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of choices: xorshift64* (Marsaglia 2003, Vigna 2014), one state per thread,
/// each seeded from one number.
pub(crate) struct Choices {
    seed: AtomicU64,
}

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

impl Choices {
    /// With a seed of its own, or the given one.
    pub(crate) fn new(seed: Option<u64>) -> Choices {
        let seed = seed.unwrap_or_else(|| {
            use std::hash::{BuildHasher, Hasher};
            std::collections::hash_map::RandomState::new()
                .build_hasher()
                .finish()
        });
        Choices {
            seed: AtomicU64::new(seed | 1),
        }
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&self, end: usize) -> usize {
        let mut state = STATE.get();
        if state == 0 {
            state = self
                .seed
                .fetch_add(0x9e37_79b9_7f4a_7c14, Ordering::Relaxed)
                | 1;
        }
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        STATE.set(state);
        ((state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % end
    }
}
