//! C13, known as "coroutines are cooperative": one that computes without a wait keeps its worker
//! from all that started there.
//!
//! On a runtime with a single worker something is computed, while a neighbour wants to do a
//! little every millisecond. Computed greedily, it leaves the neighbour no turn, and the watcher
//! says on standard error who it was, where it was spawned and what it was doing. There are two
//! cures: give way now and then, or compute on another thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ropewalk::time::{Duration, sleep};
use ropewalk::{Runtime, coroutine, unblock};

/// How something is computed in a coroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// In one go.
    Greedy,
    /// With a `yield_now` after each piece.
    Yielding,
    /// On a thread of the blocking pool, by `unblock`.
    Unblocked,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// How many primes were found.
    pub primes: usize,
    /// How often the neighbour had its turn while they were looked for.
    pub turns: usize,
    /// How often the watcher found the worker kept.
    pub kept: u64,
}

fn is_prime(n: u32) -> bool {
    n > 1
        && (2..)
            .take_while(|d| d * d <= n)
            .all(|d| !n.is_multiple_of(d))
}

/// Counts the primes below `end`, and does `between` after every few hundred numbers.
fn primes_below(end: u32, between: impl Fn()) -> usize {
    const PIECE: usize = 200;
    let numbers: Vec<u32> = (0..end).collect();
    let counted = numbers.chunks(PIECE).map(|piece| {
        let primes = piece.iter().filter(|n| is_prime(**n)).count();
        between();
        primes
    });
    counted.sum()
}

/// Counts the primes below `end` in the given manner, with a neighbour beside it.
///
/// # Errors
///
/// If the runtime can't be started.
pub fn compute(manner: Manner, end: u32) -> io::Result<Outcome> {
    let runtime = Runtime::builder()
        .workers(1)
        .watch(Duration::from_millis(10))
        .build()?;
    let computing = Arc::new(AtomicBool::new(false));
    let over = Arc::new(AtomicBool::new(false));
    let turns = Arc::new(AtomicUsize::new(0));
    let (primes, turns) = runtime.run(|| {
        let neighbour = {
            let (computing, over, turns) = (computing.clone(), over.clone(), turns.clone());
            coroutine::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    sleep(Duration::from_millis(1));
                    turns.fetch_add(
                        usize::from(computing.load(Ordering::SeqCst)),
                        Ordering::SeqCst,
                    );
                }
            })
        };
        let cruncher = coroutine::Builder::new().name("cruncher").spawn(move || {
            computing.store(true, Ordering::SeqCst);
            let primes = match manner {
                Manner::Greedy => primes_below(end, || ()),
                Manner::Yielding => primes_below(end, coroutine::yield_now),
                Manner::Unblocked => unblock(|| primes_below(end, || ())),
            };
            computing.store(false, Ordering::SeqCst);
            primes
        });
        let primes = cruncher?.join().expect("it doesn't panic");
        over.store(true, Ordering::SeqCst);
        neighbour.join().expect("it doesn't panic");
        Ok::<_, io::Error>((primes, turns.load(Ordering::SeqCst)))
    })?;
    Ok(Outcome {
        primes,
        turns,
        kept: runtime.kept(),
    })
}

fn main() -> io::Result<()> {
    for manner in [Manner::Greedy, Manner::Yielding, Manner::Unblocked] {
        let outcome = compute(manner, 1_000_000)?;
        println!(
            "{manner:?}: {} primes, {} turns for the neighbour, the worker kept {} times",
            outcome.primes, outcome.turns, outcome.kept
        );
    }
    Ok(())
}
