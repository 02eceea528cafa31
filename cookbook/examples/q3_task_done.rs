//! Q3, known as `task_done` and `join`, with several producers and consumers.
//!
//! The queue counts what was put in against what is reported done. `join` returns when they
//! are even: not when the queue is empty, as the last items are still in work then. Reporting
//! more than was put in is an error.

use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk::cancel::WaitError;
use ropewalk::coroutine;
use ropewalk::queue::{Queue, TooManyDone};
use ropewalk::time::Duration;

/// What the one who waited found.
#[derive(Debug, PartialEq, Eq)]
pub struct AllDone {
    /// How many jobs were through when `join` returned.
    pub done: usize,
    /// How many were reported missing then.
    pub unfinished: usize,
}

/// Has producers put in `each` jobs apiece, and consumers work on them; waits until all is
/// done.
pub fn work(producers: usize, consumers: usize, each: usize) -> AllDone {
    let jobs = Queue::with_maxsize(4);
    let done = AtomicUsize::new(0);
    coroutine::scope(|s| {
        for _ in 0..consumers {
            s.spawn(|| {
                while let Ok(_job) = jobs.get() {
                    // The work: others go on meanwhile, and the queue may be empty.
                    coroutine::yield_now();
                    done.fetch_add(1, Ordering::SeqCst);
                    jobs.task_done().expect("it was put in");
                }
            });
        }
        coroutine::scope(|s| {
            for _ in 0..producers {
                s.spawn(|| (0..each).for_each(|job| jobs.put(job).expect("open")));
            }
        });
        // All is put in, and not yet done.
        jobs.join().expect("nobody cancels");
        let found = AllDone {
            done: done.load(Ordering::SeqCst),
            unfinished: jobs.unfinished(),
        };
        // The consumers go home.
        jobs.close();
        found
    })
}

/// What `join` says while there are items, while the last is in work, and after its report.
pub fn not_before_the_last(patience: Duration) -> [Result<(), WaitError>; 3] {
    let queue = Queue::unbounded();
    queue.put("one").expect("open");
    queue.put("two").expect("open");
    let with_items = queue.join_timeout(patience);
    for _ in 0..2 {
        queue.get().expect("it is there");
    }
    queue.task_done().expect("one was put in");
    assert!(queue.is_empty());
    let in_work = queue.join_timeout(patience);
    queue.task_done().expect("two were put in");
    [with_items, in_work, queue.join_timeout(patience)]
}

/// Reports more than was put in.
pub fn once_too_often() -> [Result<(), TooManyDone>; 2] {
    let queue = Queue::unbounded();
    queue.put(()).expect("open");
    queue.get().expect("it is there");
    [queue.task_done(), queue.task_done()]
}

#[ropewalk::main]
fn main() {
    for (producers, consumers) in [(1, 1), (1, 4), (4, 1), (3, 5)] {
        let AllDone { done, unfinished } = work(producers, consumers, 100);
        println!("{producers} to {consumers}: {done} done, {unfinished} missing");
    }
    println!("{:?}", not_before_the_last(Duration::from_millis(10)));
    println!("once too often: {:?}", once_too_often());
}
