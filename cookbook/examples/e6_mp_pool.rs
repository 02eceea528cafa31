//! E6, known as `multiprocessing.Pool`: `processes`, `initializer`, `maxtasksperchild`, `apply`,
//! `apply_async` with callbacks, `map`, `imap`, `imap_unordered`, `starmap`, `get(timeout)`, `ready`,
//! `wait`, `close`, `terminate`, `join`; and what Python has not: limits for single tasks, and workers that may
//! die.
//!
//! There is one way to start workers, that which Python calls `spawn`: this program again. A
//! fork of a program with threads has the locks that other threads held, locked for ever.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};

use ropewalk::JoinError;
use ropewalk::channel;
use ropewalk::executor::{PoolJoinError, RunTask};
use ropewalk::process::{self, ProcessPool};
use ropewalk::time::{Duration, sleep};

/// Any error of these functions.
pub type Failure = Box<dyn Error>;

#[ropewalk::task]
fn square(n: u64) -> u64 {
    n * n
}

#[ropewalk::task]
fn subtract(a: i64, b: i64) -> i64 {
    a - b
}

#[ropewalk::task]
fn divide(a: u64, b: u64) -> u64 {
    a / b
}

#[ropewalk::task]
fn sleeps(ms: u64) -> u64 {
    sleep(Duration::from_millis(ms));
    ms
}

/// The process it ran in.
#[ropewalk::task]
fn pid(_number: u32) -> u32 {
    process::pid()
}

/// Never comes back.
#[ropewalk::task]
fn aborts() -> u64 {
    std::process::abort();
}

static OFFSET: AtomicU64 = AtomicU64::new(0);

/// The initialiser, which each worker runs before anything else.
#[ropewalk::task]
fn set_offset(offset: u64) {
    OFFSET.store(offset, Ordering::SeqCst);
}

#[ropewalk::task]
fn with_offset(n: u64) -> u64 {
    n + OFFSET.load(Ordering::SeqCst)
}

/// `Pool(2, initializer=set_offset, initargs=(1000,))`, and `apply`.
///
/// # Errors
///
/// If the workers can't be started, or a task ends without a value.
pub fn initialised() -> Result<Vec<u64>, Failure> {
    let pool = ProcessPool::builder()
        .workers(2)
        .initializer(set_offset, (1000,))
        .build()?;
    let applied = pool.submit(with_offset, (7,))?.join()?;
    let mapped = pool
        .map(with_offset, 1..=3)
        .collect::<Result<Vec<_>, _>>()?;
    Ok([vec![applied], mapped].concat())
}

/// `maxtasksperchild=2`: how many processes 8 tasks took.
///
/// # Errors
///
/// As [`initialised`].
pub fn recycled() -> Result<usize, Failure> {
    let pool = ProcessPool::builder()
        .workers(1)
        .max_tasks_per_child(2)
        .build()?;
    let pids: BTreeSet<u32> = pool.map(pid, 0..8).collect::<Result<_, _>>()?;
    Ok(pids.len())
}

/// `apply_async(callback=, error_callback=)`: what the callbacks were given.
///
/// # Errors
///
/// As [`initialised`].
pub fn called_back(pool: &ProcessPool) -> Result<Vec<String>, Failure> {
    let (notes, noted) = channel::unbounded();
    for (a, b) in [(6, 3), (1, 0)] {
        let notes = notes.clone();
        pool.submit(divide, (a, b))?.on_done(move |outcome| {
            let note = match outcome {
                Ok(value) => format!("{a} / {b} = {value}"),
                Err(error) => format!("{a} / {b}: {}", error.panic_message().unwrap_or("?")),
            };
            // Whoever listened may be gone.
            let _ = notes.send(note);
        });
    }
    drop(notes);
    let mut notes: Vec<String> = noted.iter().collect();
    notes.sort_unstable();
    Ok(notes)
}

/// `map`, `imap`, `imap_unordered(chunksize=)`, `starmap`: all of them lazy. `map_async` is one
/// of these in a coroutine.
///
/// # Errors
///
/// As [`initialised`].
pub fn mapped(pool: &ProcessPool) -> Result<String, Failure> {
    let squares: Vec<u64> = pool.map(square, 0..5).collect::<Result<_, _>>()?;
    let mut imap = pool.map(square, 1000..);
    let first = imap.next().ok_or("it has no end")??;
    drop(imap);
    let unordered = pool.map_unordered(square, 0..100).chunk(10);
    let mut sum = 0;
    for (number, square) in unordered {
        assert_eq!(square? as usize, number * number);
        sum += number;
    }
    let pairs = [(5, 3), (3, 5)];
    let differences: Vec<i64> = pool.starmap(subtract, pairs).collect::<Result<_, _>>()?;
    Ok(format!("{squares:?} {first} {sum} {differences:?}"))
}

/// `AsyncResult`: `ready()`, `get(timeout)`, which gives the handle back, and `get()`.
///
/// # Errors
///
/// As [`initialised`], and if something is ready that can't be.
pub fn waited_for(pool: &ProcessPool) -> Result<(bool, u64), Failure> {
    let result = pool.submit(sleeps, (300,))?;
    let ready = result.is_finished();
    let result = result.join_timeout(Duration::from_millis(1));
    let result = result.err().ok_or("it sleeps")?;
    Ok((ready, result.join()?))
}

/// A task with a limit, one whose worker dies, one that is cancelled while it runs, and what
/// the pool does after that.
///
/// # Errors
///
/// If the pool takes no work.
pub fn survived(pool: &ProcessPool) -> Result<Vec<String>, Failure> {
    let words = |result: Result<u64, JoinError>| match result {
        Ok(value) => value.to_string(),
        Err(JoinError::TimedOut) => "timed out, and killed".to_string(),
        Err(JoinError::WorkerDied { status, .. }) => format!("died: {status}"),
        Err(error) => error.to_string(),
    };
    let limited = pool.with_timeout(Duration::from_millis(100));
    let limited = limited.submit(sleeps, (3_600_000,))?;
    let dead = pool.submit(aborts, ())?;
    let cancelled = pool.submit(sleeps, (3_600_000,))?;
    cancelled.cancel();
    let mut ends = vec![
        words(limited.join()),
        words(dead.join()),
        words(cancelled.join()),
    ];
    ends.push(words(pool.submit(square, (12,))?.join()));
    Ok(ends)
}

/// `join` before `close` is an error; after it, it waits. Then nothing is taken any more.
///
/// # Errors
///
/// As [`initialised`].
pub fn closed(pool: &ProcessPool) -> Result<(bool, u64, bool), Failure> {
    let too_early = pool.join() == Err(PoolJoinError::StillOpen);
    let last = pool.submit(sleeps, (50,))?;
    pool.close();
    pool.join()?;
    let refused = pool
        .submit(square, (1,))
        .is_err_and(|error| error.is_closed());
    Ok((too_early, last.join()?, refused))
}

/// `terminate`, and dropping the pool, which does the same: how many of three tasks that take an
/// hour were cancelled.
///
/// # Errors
///
/// As [`initialised`].
pub fn terminated(by_drop: bool) -> Result<usize, Failure> {
    let pool = ProcessPool::new(1)?;
    let mut handles = Vec::new();
    for _ in 0..3 {
        handles.push(pool.submit(sleeps, (3_600_000,))?);
    }
    if by_drop {
        drop(pool);
    } else {
        pool.terminate();
        pool.join()?;
    }
    let ends = ropewalk::join_all(handles).into_iter();
    Ok(ends
        .filter(|end| end.as_ref().is_err_and(JoinError::is_cancelled))
        .count())
}

#[ropewalk::main]
fn main() -> Result<(), Failure> {
    println!("initialised: {:?}", initialised()?);
    println!("8 tasks, 2 for each process: {} processes", recycled()?);
    let pool = ProcessPool::new(2)?;
    println!("callbacks: {:?}", called_back(&pool)?);
    println!("maps: {}", mapped(&pool)?);
    let (ready, value) = waited_for(&pool)?;
    println!("ready: {ready}; {value} after a second try");
    println!("survived: {:?}", survived(&pool)?);
    let (too_early, last, refused) = closed(&pool)?;
    println!("joined before it was closed: an error: {too_early}");
    println!("the last: {last}; refused after that: {refused}");
    println!(
        "terminated: {}, dropped: {}",
        terminated(false)?,
        terminated(true)?
    );
    Ok(())
}
