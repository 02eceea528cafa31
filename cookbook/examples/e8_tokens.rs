//! E8, known as a pool that is a queue of tokens: take one, run, put it back.
//!
//! Who has no token can't spawn, so no more than there are tokens ever run, and no more wait
//! in memory. A semaphore's owned permit is such a token: it goes into the coroutine and is
//! given back when that ends, however it ends. If the tokens differ (connections, licences),
//! a queue keeps them.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk::coroutine;
use ropewalk::queue::Queue;
use ropewalk::sync::{Event, Semaphore};
use ropewalk::{Group, spawn, spawn_async};

/// What became of a number of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many did their work.
    pub worked: usize,
    /// How many panicked.
    pub broken: usize,
    /// How many ran at once, at most.
    pub most: usize,
    /// How many tokens there are after it.
    pub tokens: usize,
}

/// Counts those inside.
#[derive(Debug, Default)]
struct Crowd {
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Crowd {
    fn enter(self: &Arc<Self>) -> Inside {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        Inside(Arc::clone(self))
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

struct Inside(Arc<Crowd>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Spawns `jobs` coroutines, one for each permit that is free; every fourth panics.
pub fn with_permits(permits: usize, jobs: usize) -> Tally {
    let (tokens, crowd) = (
        Arc::new(Semaphore::new(permits)),
        Arc::new(Crowd::default()),
    );
    let mut running = Vec::new();
    for job in 0..jobs {
        let token = tokens.acquire_owned().expect("nobody cancels us");
        let crowd = Arc::clone(&crowd);
        running.push(spawn(move || {
            let _token = token;
            let _inside = crowd.enter();
            coroutine::yield_now();
            assert!(job % 4 != 3, "job {job} is broken, as it should be");
        }));
    }
    let results = ropewalk::join_all(running);
    let worked = results.iter().filter(|result| result.is_ok()).count();
    Tally {
        worked,
        broken: jobs - worked,
        most: crowd.most(),
        tokens: tokens.available_permits(),
    }
}

/// The same with async tasks, which wait for their permits without a stack.
pub fn with_permits_async(permits: usize, jobs: usize) -> Tally {
    let (tokens, crowd) = (
        Arc::new(Semaphore::new(permits)),
        Arc::new(Crowd::default()),
    );
    let (in_it, all) = (Arc::clone(&crowd), Arc::clone(&tokens));
    let spawner = spawn_async(async move {
        let mut running = Vec::new();
        for _ in 0..jobs {
            let token = all.acquire_owned_async().await;
            let crowd = Arc::clone(&in_it);
            running.push(spawn_async(async move {
                let _token = token;
                let _inside = crowd.enter();
                ropewalk::future::yield_async().await;
            }));
        }
        ropewalk::results::join_all_async(running).await
    });
    let results = spawner.join().expect("no panic");
    let worked = results.iter().filter(|result| result.is_ok()).count();
    Tally {
        worked,
        broken: jobs - worked,
        most: crowd.most(),
        tokens: tokens.available_permits(),
    }
}

/// With no token free: asking gives none, and the next one has it as soon as a job has ended,
/// also one that was cancelled. Gives whether both is so.
pub fn none_left() -> (bool, bool) {
    let tokens = Arc::new(Semaphore::new(1));
    let token = tokens.acquire_owned().expect("nobody cancels us");
    let job = spawn(move || {
        let _token = token;
        Event::new().wait()
    });
    let refused = tokens.try_acquire_owned().is_none();
    job.cancel();
    let next = tokens.acquire_owned().expect("nobody cancels us");
    let given = tokens.available_permits() == 0;
    drop(next);
    (refused, given && tokens.available_permits() == 1)
}

/// Something there are only so many of, each with a name of its own.
pub struct Licence {
    name: &'static str,
    home: Arc<Queue<&'static str>>,
}

impl Licence {
    fn take(home: &Arc<Queue<&'static str>>) -> Licence {
        let name = home.get().expect("nobody closes it or cancels us");
        let home = Arc::clone(home);
        Licence { name, home }
    }
}

impl Deref for Licence {
    type Target = str;

    fn deref(&self) -> &str {
        self.name
    }
}

impl Drop for Licence {
    /// Puts it back; there is room, since it came from there.
    fn drop(&mut self) {
        self.home.try_put(self.name).expect("there is room");
    }
}

/// Tokens that differ: each job writes with which it ran. Gives how many ran with each, and
/// the tokens that are back in the queue after it, in the order of their names.
pub fn with_licences(
    names: &'static [&'static str],
    jobs: usize,
) -> (Vec<(&'static str, usize)>, Vec<&'static str>) {
    let tokens = Arc::new(Queue::with_maxsize(names.len()));
    for name in names {
        tokens.try_put(*name).expect("there is room");
    }
    let counts: Arc<[AtomicUsize]> = names.iter().map(|_| AtomicUsize::new(0)).collect();
    let group = Group::new();
    for _ in 0..jobs {
        let licence = Licence::take(&tokens);
        let counts = Arc::clone(&counts);
        group.spawn(move || {
            coroutine::yield_now();
            let index = names.iter().position(|name| *name == &*licence);
            counts[index.expect("one of them")].fetch_add(1, Ordering::SeqCst);
        });
    }
    group.join().expect("nobody cancels us");
    let mut back: Vec<_> = std::iter::from_fn(|| tokens.try_get().ok()).collect();
    back.sort_unstable();
    let count =
        |(name, count): (&&'static str, &AtomicUsize)| (*name, count.load(Ordering::SeqCst));
    (names.iter().zip(counts.iter()).map(count).collect(), back)
}

fn main() {
    for tally in [with_permits(3, 20), with_permits_async(3, 20)] {
        println!(
            "{} worked, {} panicked, and {} tokens are back",
            tally.worked, tally.broken, tally.tokens
        );
        println!("never more than 3 at once: {}", tally.most <= 3);
    }
    let (refused, given) = none_left();
    println!("none left to take: {refused}; given on by who was cancelled: {given}");
    let (counts, back) = with_licences(&["green", "red"], 10);
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    println!("{total} ran with licences, and back are {back:?}");
}
