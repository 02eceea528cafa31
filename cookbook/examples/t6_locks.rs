//! T6, known as `Lock` and `RLock`.
//!
//! A re-entrant lock belongs to its task: a thread or a coroutine takes it as often as it
//! likes, and must let go as often. Another coroutine is kept out even if it runs on the same
//! thread. A list that a writer changes one element at a time is seen whole or not at all.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ropewalk::sync::{Mutex, ReentrantMutex};
use ropewalk::{JoinHandle, Runtime, coroutine, thread};

/// Starts a task of some kind.
pub type Start = fn(Box<dyn FnOnce() -> bool + Send>) -> JoinHandle<bool>;

/// Starts a thread.
pub fn start_thread(work: Box<dyn FnOnce() -> bool + Send>) -> JoinHandle<bool> {
    thread::spawn(work)
}

/// Starts a coroutine.
pub fn start_coroutine(work: Box<dyn FnOnce() -> bool + Send>) -> JoinHandle<bool> {
    coroutine::spawn(work)
}

/// Takes a lock `times` over and lets go one by one. Says after the first taking, and after
/// each letting go, whether another task would get it.
pub fn reenter(times: usize, other: Start) -> Vec<bool> {
    let lock = Arc::new(ReentrantMutex::new(()));
    let others_turn = || {
        let lock = Arc::clone(&lock);
        let other = other(Box::new(move || lock.try_lock().is_some()));
        other.join().expect("no panic")
    };
    let mut held: Vec<_> = (0..times).map(|_| lock.lock()).collect();
    let mut seen = vec![others_turn()];
    while held.pop().is_some() {
        seen.push(others_turn());
    }
    seen
}

/// A plain lock is not for taking twice: while one has it, nobody gets it, the holder least
/// of all.
pub fn plain_lock_again() -> bool {
    let lock = Mutex::new(());
    let _held = lock.lock();
    lock.try_lock().is_some()
}

/// Two coroutines on a single worker, and so on one thread: whether the second got the lock
/// while the first had it, and whether once it was free.
///
/// # Errors
///
/// If no runtime can be started.
pub fn same_worker() -> io::Result<(bool, bool)> {
    let runtime = Runtime::builder().workers(1).build()?;
    Ok(runtime.run(|| {
        let lock = ReentrantMutex::new(());
        let try_it = || lock.try_lock().is_some();
        let thread = || std::thread::current().id();
        coroutine::scope(|s| {
            let held = lock.lock();
            let second = s.spawn(|| (try_it(), thread()));
            let (while_held, its_thread) = second.join().expect("no panic");
            assert_eq!(its_thread, thread());
            drop(held);
            let third = s.spawn(try_it);
            (while_held, third.join().expect("no panic"))
        })
    }))
}

/// How long the list is that is written and read.
const LENGTH: usize = 8;

/// Writes a list one element at a time, again and again, while another reads it, each at
/// least so many times. Gives how many reads saw a part of it old and a part new.
pub fn half_written_with_lock(times: u32) -> usize {
    let list = Mutex::new([0_u32; LENGTH]);
    write_and_read(
        times,
        |round| {
            let mut list = list.lock();
            for element in list.iter_mut() {
                *element = round;
                coroutine::yield_now();
            }
        },
        || *list.lock(),
    )
}

/// The same with a list whose elements can be written and read by all at any time; on a single
/// worker, where writer and reader take turns, so that it surely goes wrong.
///
/// # Errors
///
/// If no runtime can be started.
pub fn half_written_without(times: u32) -> io::Result<usize> {
    let runtime = Runtime::builder().workers(1).build()?;
    Ok(runtime.run(|| {
        let list = [const { AtomicU32::new(0) }; LENGTH];
        write_and_read(
            times,
            |round| {
                for element in &list {
                    element.store(round, Ordering::SeqCst);
                    coroutine::yield_now();
                }
            },
            || std::array::from_fn(|index| list[index].load(Ordering::SeqCst)),
        )
    }))
}

/// Goes on until there were so many rounds of writing, and as many of reading beside them.
fn write_and_read(
    times: u32,
    write: impl Fn(u32) + Sync,
    read: impl Fn() -> [u32; LENGTH],
) -> usize {
    let (written, enough) = (AtomicU32::new(0), AtomicBool::new(false));
    coroutine::scope(|s| {
        s.spawn(|| {
            while !enough.load(Ordering::SeqCst) {
                let round = written.fetch_add(1, Ordering::SeqCst) + 1;
                write(round);
            }
        });
        let (mut reads, mut torn) = (0, 0);
        while reads < times || written.load(Ordering::SeqCst) < times {
            let list = read();
            reads += 1;
            torn += usize::from(list.iter().any(|element| *element != list[0]));
            coroutine::yield_now();
        }
        enough.store(true, Ordering::SeqCst);
        torn
    })
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    println!("a plain lock, taken again: {}", plain_lock_again());
    let others: [(&str, Start); 2] = [("thread", start_thread), ("coroutine", start_coroutine)];
    for (kind, other) in others {
        let seen = reenter(3, other);
        println!("taken 3 times and let go one by one, another {kind} gets it: {seen:?}");
    }
    let (while_held, after) = same_worker()?;
    println!("a coroutine of the same worker gets it: {while_held}, and then {after}");
    let torn = half_written_with_lock(1000);
    println!("lists seen half-written, with the lock: {torn}");
    let torn = half_written_without(1000)?;
    println!("seen half-written without: {}", torn > 0);
    Ok(())
}
