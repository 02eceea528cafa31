//! C7, known as `async def`, `async with`, `async for`, tasks, `gather` and `wait`.
//!
//! Async code runs on the workers that run the coroutines, and the two wait for each other:
//! everything that waits has a form to `.await`, and a handle can be joined or awaited. What
//! Python finds out with `iscoroutine` is a type here, and known to the compiler.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk::channel::{self, Receiver};
use ropewalk::future::{sleep_async, timeout_async, yield_async};
use ropewalk::results::{ReturnWhen, as_completed, join_all_async, race_async, wait};
use ropewalk::sync::{Event, Mutex, MutexExt, Semaphore};
use ropewalk::time::Duration;
use ropewalk::{JoinError, JoinHandle, block_on, coroutine, spawn, spawn_async};

/// `async def`: the call gives a future and runs nothing; awaiting it does.
async fn square(number: u64) -> u64 {
    yield_async().await;
    number * number
}

/// One coroutine that awaits others.
async fn sum_of_squares(numbers: &[u64]) -> u64 {
    let mut sum = 0;
    for number in numbers {
        sum += square(*number).await;
    }
    sum
}

/// `iscoroutine`, asked of the compiler: whatever this takes can be awaited.
pub fn is_coroutine<F: Future>(future: F) -> F {
    future
}

/// Awaits from a plain thread, in a coroutine, and in an async task.
pub fn everywhere() -> [u64; 3] {
    let numbers: &'static [u64] = &[1, 2, 3];
    let task = spawn_async(is_coroutine(sum_of_squares(numbers)));
    let coroutine = spawn(|| block_on(sum_of_squares(numbers)));
    let here = block_on(sum_of_squares(numbers));
    [here, coroutine.join().unwrap(), task.join().unwrap()]
}

/// How often a future that nobody awaits has run, and then one that is awaited.
pub fn runs() -> (usize, usize) {
    let runs = AtomicUsize::new(0);
    let run = async || runs.fetch_add(1, Ordering::SeqCst);
    drop(run());
    let before = runs.load(Ordering::SeqCst);
    block_on(async { run().await });
    (before, runs.load(Ordering::SeqCst))
}

/// `gather(*tasks)`: all of them at once, and the results in the order of the tasks, though
/// they end in the opposite order.
pub fn gather(count: usize) -> Vec<usize> {
    let ended: Arc<[Event]> = (0..=count).map(|_| Event::new()).collect();
    ended[count].set();
    let tasks = (0..count).map(|number| {
        let ended = Arc::clone(&ended);
        spawn_async(async move {
            ended[number + 1].wait_async().await;
            ended[number].set();
            number
        })
    });
    let results = block_on(join_all_async(tasks));
    results.into_iter().map(|n| n.expect("no panic")).collect()
}

/// Why a task gave no number.
pub type Failure = String;

/// Awaits all tasks; with the first that fails, in the order in which they end, the others
/// are cancelled: `gather` without `return_exceptions`, in a `TaskGroup`.
async fn all_or_first_error(
    tasks: Vec<JoinHandle<Result<u32, Failure>>>,
) -> Result<Vec<u32>, Failure> {
    let mut values = vec![0; tasks.len()];
    let mut all = as_completed(tasks);
    while let Some((index, result)) = all.next_async().await {
        let failure = match result {
            Ok(Ok(value)) => {
                values[index] = value;
                continue;
            }
            Ok(Err(failure)) => failure,
            Err(error) => error.to_string(),
        };
        let others = all.into_handles();
        others.iter().for_each(JoinHandle::cancel);
        join_all_async(others).await;
        return Err(failure);
    }
    Ok(values)
}

/// The first error of four tasks: one gives a value, one fails, one is cancelled in its
/// `async with` by that, and the last would panic if it went on. Gives the error, and
/// whether the cancelled have given back what they held.
pub fn first_error() -> (Result<Vec<u32>, Failure>, bool) {
    let permits = Arc::new(Semaphore::new(2));
    let both_hold = Arc::new(Semaphore::new(0));
    let hold = || {
        let (permits, both_hold) = (Arc::clone(&permits), Arc::clone(&both_hold));
        async move {
            let _permit = permits.acquire_owned_async().await;
            both_hold.release();
            std::future::pending::<Result<u32, Failure>>().await
        }
    };
    let held = Arc::clone(&both_hold);
    let tasks = vec![
        spawn_async(async { Ok(1) }),
        spawn_async(hold()),
        spawn_async(async move {
            held.acquire_many_async(2).await.forget();
            Err("no such host".to_string())
        }),
        spawn_async(hold()),
    ];
    let result = block_on(all_or_first_error(tasks));
    (result, permits.available_permits() == 2)
}

/// `gather(return_exceptions=True)`: what failed is in its place among the results.
pub fn gather_with_errors() -> Vec<Result<u32, JoinError>> {
    let cancelled = spawn_async(std::future::pending());
    cancelled.cancel();
    let broken = spawn_async(async { panic!("broken, as it should be") });
    let tasks = [spawn_async(async { 1 }), broken, cancelled];
    block_on(join_all_async(tasks))
}

/// `wait(tasks, timeout=, return_when=FIRST_COMPLETED)`: how many have ended and how many
/// have not, when the first has; and the winner of a race among three.
pub fn first_of_many() -> (usize, usize, u32) {
    let slow = || spawn_async(std::future::pending::<u32>());
    let (done, not_done) = wait(
        [slow(), spawn_async(async { 7 }), slow()],
        ReturnWhen::First,
        None,
    );
    let counts = (done.len(), not_done.len());
    not_done.iter().for_each(JoinHandle::cancel);
    let race = race_async([slow(), slow(), spawn_async(async { 8 })]);
    (counts.0, counts.1, block_on(race).expect("no panic"))
}

/// `async with lock`: `count` tasks that each add up over an `.await`, and a coroutine and a
/// thread that do so over a wait, all under one lock. Gives the sum.
#[expect(
    clippy::await_holding_lock,
    reason = "clippy takes the guard for one of a lock that blocks the worker"
)]
pub fn guarded(count: usize) -> usize {
    let sum = Arc::new(Mutex::new(0));
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let sum = Arc::clone(&sum);
            spawn_async(async move {
                let mut sum = sum.lock_async().await;
                let seen = *sum;
                yield_async().await;
                *sum = seen + 1;
            })
        })
        .collect();
    let add = |sum: Arc<Mutex<usize>>| {
        let mut sum = sum.lock();
        let seen = *sum;
        coroutine::yield_now();
        *sum = seen + 1;
    };
    let (one, other) = (Arc::clone(&sum), Arc::clone(&sum));
    let coroutine = spawn(move || add(one));
    let thread = ropewalk::thread::spawn(move || add(other));
    for task in tasks {
        task.join().expect("no panic");
    }
    coroutine.join().expect("no panic");
    thread.join().expect("no panic");
    *sum.lock()
}

/// `async with` that is broken off: the time is over while the lock is held. Gives whether
/// it was, and whether the lock is free.
#[expect(
    clippy::await_holding_lock,
    reason = "clippy takes the guard for one of a lock that blocks the worker"
)]
pub fn broken_off(limit: Duration) -> (bool, bool) {
    let lock = Mutex::new(());
    let hold = async {
        let _guard = lock.lock_async().await;
        sleep_async(Duration::from_secs(3600)).await;
    };
    let late = block_on(timeout_async(limit, hold)).is_err();
    (late, lock.try_lock().is_some())
}

/// Something to iterate over with `async for`: squares of what comes out of a channel.
pub struct Squares {
    numbers: Receiver<u64>,
}

impl Squares {
    /// The next, or `None` once the senders are gone.
    pub async fn next(&mut self) -> Option<u64> {
        let number = self.numbers.recv_async().await.ok()?;
        Some(square(number).await)
    }
}

/// `async for`: a coroutine sends, a task receives, over a channel that holds one.
pub fn stream(count: u64) -> Vec<u64> {
    let (sender, numbers) = channel::bounded(1);
    let task = spawn_async(async move {
        let mut squares = pin!(Squares { numbers });
        let mut all = Vec::new();
        while let Some(square) = squares.next().await {
            all.push(square);
        }
        all
    });
    spawn(move || (0..count).for_each(|n| sender.send(n).expect("it is received")));
    task.join().expect("no panic")
}

fn main() {
    println!("from a thread, a coroutine and a task: {:?}", everywhere());
    println!("runs without and with `.await`: {:?}", runs());
    println!("gathered: {:?}", gather(5));
    println!("gathered with errors: {:?}", gather_with_errors());
    println!("the first error, and all given back: {:?}", first_error());
    let (done, not_done, winner) = first_of_many();
    println!("{done} done and {not_done} not; the race goes to {winner}");
    println!("added up under one lock: {}", guarded(100));
    println!(
        "broken off, and free: {:?}",
        broken_off(Duration::from_millis(20))
    );
    println!("a stream: {:?}", stream(6));
}
