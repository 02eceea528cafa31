//! T5, known as the deadlock of two locks that are taken in two orders, and of a lock that is
//! taken twice.
//!
//! Both are reported at the moment when the circle closes, with the stack of everyone in it
//! (in debug builds by default). The tasks go on waiting, as they must: so they run on
//! a runtime of their own here, which is shut down over their heads. Then the cures: an order
//! of locks that all keep, or one re-entrant lock in the place of both.

use std::io;
use std::sync::Arc;

use ropewalk::channel::{self, Receiver};
use ropewalk::deadlock::{self, Deadlock};
use ropewalk::sync::{Barrier, Mutex, ReentrantMutex};
use ropewalk::time::Duration;
use ropewalk::{Runtime, StillRunning, coroutine};

/// How many tasks want both locks, each second one in the other order.
pub const TASKS: usize = 10;

/// What was found of a deadlock.
#[derive(Debug)]
pub struct Found {
    /// The circle, as reported when it closed.
    pub report: Deadlock,
    /// All who never ended, those who wait behind the circle among them.
    pub stuck: StillRunning,
}

/// Two locks, of which some take `a` first and some `b`.
#[derive(Debug, Default)]
struct Locks {
    a: Mutex<u32>,
    b: Mutex<u32>,
}

/// Takes `a`, then `b`. Meets the one who has the other lock, so that it surely goes wrong.
#[inline(never)]
fn a_then_b(locks: &Locks, meet: &Barrier) {
    let mut a = locks.a.lock();
    meet.wait();
    let mut b = locks.b.lock();
    *a += 1;
    *b += 1;
}

/// Takes `b`, then `a`.
#[inline(never)]
fn b_then_a(locks: &Locks, meet: &Barrier) {
    let mut b = locks.b.lock();
    meet.wait();
    let mut a = locks.a.lock();
    *a += 1;
    *b += 1;
}

/// Takes a lock, and calls a function that takes it too.
#[inline(never)]
fn takes_it_twice(lock: &Mutex<u32>) {
    let held = lock.lock();
    takes_it_again(lock);
    drop(held);
}

#[inline(never)]
fn takes_it_again(lock: &Mutex<u32>) {
    *lock.lock() += 1;
}

/// Runs what deadlocks on a runtime of its own, until that is reported.
fn until_reported(start: impl FnOnce() + Send) -> io::Result<Found> {
    let reports = reports();
    let runtime = Runtime::builder().workers(2).build()?;
    runtime.run(start);
    let report = reports.recv().expect("the hook is there");
    deadlock::take_hook();
    // Who has not begun would be dropped instead.
    while runtime.list().iter().any(|task| !task.is_started()) {
        coroutine::sleep(Duration::from_millis(1));
    }
    let stuck = runtime.shutdown(Duration::from_millis(100));
    let stuck = stuck.expect_err("nobody gets out of a deadlock");
    Ok(Found { report, stuck })
}

/// A task that doesn't hold up the end of the program: it will never end itself.
fn daemon(name: impl Into<String>) -> coroutine::Builder {
    coroutine::Builder::new().name(name).daemon(true)
}

/// The deadlocks found from now on.
fn reports() -> Receiver<Deadlock> {
    let (sender, receiver) = channel::bounded(1);
    deadlock::track(true);
    deadlock::set_hook(move |found| {
        // Should there be a second one, the first was enough.
        let _ = sender.try_send(found.clone());
    });
    receiver
}

/// Ten tasks, two locks, two orders.
///
/// # Errors
///
/// If no runtime can be started.
pub fn two_orders() -> io::Result<Found> {
    until_reported(|| {
        let locks = Arc::new(Locks::default());
        let meet = Arc::new(Barrier::new(2));
        for number in 0..TASKS {
            let (locks, meet) = (Arc::clone(&locks), Arc::clone(&meet));
            let task = daemon(format!("task {number}"));
            let work = if number % 2 == 0 { a_then_b } else { b_then_a };
            drop(task.spawn(move || work(&locks, &meet)).expect("memory"));
        }
    })
}

/// One task, one lock, twice.
///
/// # Errors
///
/// If no runtime can be started.
pub fn twice() -> io::Result<Found> {
    until_reported(|| {
        let task = daemon("the only one");
        let work = || takes_it_twice(&Mutex::new(0));
        drop(task.spawn(work).expect("memory"));
    })
}

/// The first cure: all take `a` first. Gives what both have counted.
pub fn in_order() -> (u32, u32) {
    let locks = Locks::default();
    coroutine::scope(|s| {
        for _ in 0..TASKS {
            s.spawn(|| {
                let mut a = locks.a.lock();
                coroutine::yield_now();
                let mut b = locks.b.lock();
                *a += 1;
                *b += 1;
            });
        }
    });
    (locks.a.into_inner(), locks.b.into_inner())
}

/// The second cure: one re-entrant lock in the place of both, with all that they guarded.
/// Whoever has it may take it again, in whatever order.
pub fn one_lock() -> (u32, u32) {
    let both = ReentrantMutex::new((Count::default(), Count::default()));
    coroutine::scope(|s| {
        for number in 0..TASKS {
            let both = &both;
            s.spawn(move || {
                let outer = both.lock();
                coroutine::yield_now();
                let inner = both.lock();
                if number % 2 == 0 {
                    outer.0.add();
                    inner.1.add();
                } else {
                    outer.1.add();
                    inner.0.add();
                }
            });
        }
    });
    let (a, b) = both.into_inner();
    (a.get(), b.get())
}

/// A number that is changed through shared access, all that a re-entrant lock gives.
#[derive(Debug, Default)]
struct Count(std::cell::Cell<u32>);

impl Count {
    fn add(&self) {
        self.0.set(self.0.get() + 1);
    }

    fn get(&self) -> u32 {
        self.0.get()
    }
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    let found = two_orders()?;
    println!("{}", found.report);
    println!(
        "two orders: {} of {TASKS} are stuck, {} of them in a circle",
        found.stuck.left.len(),
        found.report.members().len()
    );
    let found = twice()?;
    println!("{}", found.report);
    println!("twice: {} is stuck", found.stuck.left.len());
    println!("in one order: {:?} counted", in_order());
    println!("one re-entrant lock: {:?} counted", one_lock());
    Ok(())
}
