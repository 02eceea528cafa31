//! C4, known as gevent's `spawn`, `joinall(timeout=2)`, `.value`, `sleep(0)`, `Pool` and
//! `Group`, and eventlet's `GreenPool`.
//!
//! A job is a closure, `spawn` gives its handle. Many are waited for together, and what has
//! not ended in time is told apart from what has, and still there to be waited for again.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ropewalk::coroutine::{self, Builder};
use ropewalk::results::{ReturnWhen, wait};
use ropewalk::sync::Event;
use ropewalk::time::{Duration, sleep};
use ropewalk::{Group, JoinHandle, Runtime, Task};

/// Two coroutines that let each other run by `sleep(0)`; gives who was where, in order.
/// They share one worker, so that only that changes turns.
///
/// # Errors
///
/// If the runtime can't be started.
pub fn interleaved() -> io::Result<Vec<&'static str>> {
    let log = Mutex::new(Vec::new());
    let say = |line| log.lock().expect("no panic").push(line);
    let runtime = Runtime::builder().workers(1).build()?;
    runtime.run(|| {
        coroutine::scope(|s| {
            s.spawn(|| {
                say("foo");
                sleep(Duration::ZERO);
                say("foo again");
            });
            s.spawn(|| {
                say("bar");
                sleep(Duration::ZERO);
                say("bar again");
            });
        });
    });
    Ok(log.into_inner().expect("no panic"))
}

/// What came of some jobs until the time was over.
#[derive(Debug)]
pub struct Report {
    /// The values, in the order of the jobs; `None` of those that failed or had not ended.
    pub values: Vec<Option<u32>>,
    /// The names of those that failed.
    pub failed: Vec<String>,
    /// The names of those that had not ended.
    pub not_done: Vec<String>,
    /// What those gave that were late, after they were waited for once more.
    pub late: Vec<u32>,
}

/// Waits for three jobs for as long as `limit`: one does well, one fails, and one can't end
/// before it is told to, which is after the report.
pub fn join_some(limit: Duration) -> Report {
    let told = Arc::new(Event::new());
    let job = |name: &str, work: Box<dyn FnOnce() -> u32 + Send>| {
        let builder = Builder::new().name(name);
        builder.spawn(work).expect("the global runtime starts")
    };
    let until = Arc::clone(&told);
    let jobs = [
        job("quick", Box::new(|| 42)),
        job("broken", Box::new(|| panic!("broken, as it should be"))),
        job("slow", Box::new(move || until.wait().map_or(0, |()| 7))),
    ];
    let ids: Vec<u64> = jobs.iter().map(JoinHandle::id).collect();

    let (done, not_done) = wait(jobs, ReturnWhen::All, Some(limit));
    let mut report = Report {
        values: vec![None; ids.len()],
        failed: Vec::new(),
        not_done: not_done
            .iter()
            .filter_map(|job| job.task().name())
            .collect(),
        late: Vec::new(),
    };
    for job in done {
        let (id, name) = (job.id(), job.task().name());
        match job.join() {
            Ok(value) => {
                let index = ids.iter().position(|other| *other == id);
                report.values[index.expect("one of them")] = Some(value);
            }
            Err(_) => report.failed.extend(name),
        }
    }
    told.set();
    let late = not_done.into_iter().map(JoinHandle::join);
    report.late = late.map(|value| value.expect("no panic")).collect();
    report
}

/// Counts how many are inside at once.
#[derive(Debug, Default)]
struct Crowd {
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Crowd {
    /// Goes in, lets others come in too, and leaves.
    fn visit(&self) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        coroutine::yield_now();
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Squares numbers in a pool of `size`, as `Pool(size).imap` and `GreenPool(size).imap` do.
/// Gives the squares, in the numbers' order, and how many coroutines ran at once at most.
pub fn pool_map(size: usize, numbers: impl IntoIterator<Item = u64>) -> (Vec<u64>, usize) {
    let crowd = Arc::new(Crowd::default());
    let pool = Group::with_limit(size);
    let visited = Arc::clone(&crowd);
    let square = move |number: u64| {
        visited.visit();
        number * number
    };
    let squares = pool.map(numbers.into_iter().collect::<Vec<_>>(), square);
    let squares = squares.map(|square| square.expect("no panic")).collect();
    (squares, crowd.most.load(Ordering::SeqCst))
}

/// A pool that is full: `try_spawn` says so, `spawn` waits for room, and `join` for all, as
/// `GreenPool.waitall` does. Gives whether the pool was full and how many jobs ran.
pub fn full_pool() -> (bool, usize) {
    let (room, ran) = (Arc::new(Event::new()), Arc::new(AtomicUsize::new(0)));
    let pool = Group::with_limit(2);
    let job = || {
        let (room, ran) = (Arc::clone(&room), Arc::clone(&ran));
        move || {
            if room.wait().is_ok() {
                ran.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    pool.spawn(job());
    pool.spawn(job());
    let was_full = match pool.try_spawn(job()) {
        Ok(_) => false,
        Err(no_room) => {
            // The job comes back; now there will be room.
            room.set();
            pool.spawn(no_room.into_inner());
            true
        }
    };
    pool.join().expect("nobody cancels us");
    (was_full, ran.load(Ordering::SeqCst))
}

/// Joins a group for as long as `limit`, in which one of two never ends by itself. Gives the
/// names of those who had not ended, and how many are left once the group was cancelled.
pub fn join_group(limit: Duration) -> (Vec<String>, usize) {
    let group = Group::new();
    group.spawn(|| ()).join().expect("no panic");
    let named = Arc::new(Event::new());
    let ready = Arc::clone(&named);
    group.spawn(move || {
        Task::current().set_name("waits for ever");
        ready.set();
        Event::new().wait()
    });
    named.wait().expect("nobody cancels us");
    let not_done = match group.join_timeout(limit) {
        Ok(()) => Vec::new(),
        Err(left) => left.tasks().iter().filter_map(Task::name).collect(),
    };
    group.cancel();
    group.join().expect("nobody cancels us");
    (not_done, group.len())
}

fn main() -> io::Result<()> {
    println!("in turns: {}", interleaved()?.join(", "));

    let report = join_some(Duration::from_secs(1));
    println!("values in time: {:?}", report.values);
    println!(
        "failed: {:?}, not done: {:?}",
        report.failed, report.not_done
    );
    println!("late, and still to be had: {:?}", report.late);

    let (squares, most) = pool_map(3, 1..=10);
    println!("squares by a pool of 3: {squares:?}");
    println!("never more than 3 at once: {}", most <= 3);

    let (was_full, ran) = full_pool();
    println!(
        "the pool was full: {was_full}, and all of its jobs ran: {}",
        ran == 3
    );

    let (not_done, left) = join_group(Duration::from_millis(100));
    println!("of the group, not done: {not_done:?}; after its cancellation: {left}");
    Ok(())
}
