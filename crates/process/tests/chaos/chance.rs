//! Numbers drawn from a seed.

use std::env;

/// A generator of the xorshift family (Marsaglia 2003), good enough to spread.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            chance.next();
        }
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }
}

/// The number in a variable, or another.
fn set(name: &str, or: u64) -> u64 {
    let text = env::var(name).ok();
    text.map_or(or, |text| text.parse().expect("a number"))
}

/// What all is drawn from; told, for running it again.
pub(crate) fn seed() -> u64 {
    let seed = set("ROPEWALK_CHAOS_SEED", u64::from(std::process::id()));
    println!("ROPEWALK_CHAOS_SEED={seed}");
    seed
}

/// How many tasks there are to be.
pub(crate) fn tasks() -> u64 {
    set("ROPEWALK_CHAOS_TASKS", 10_000)
}
