//! T3, known as the lesson of the GIL: two threads count no faster than one, but wait faster.
//!
//! Here there is no such lock. What computes scales to the cores, in threads as in processes,
//! which Python needs for it; what waits scales to the tasks, be they threads or coroutines. The
//! job that waits is a request to a server that takes its time. Thousands of threads work, too;
//! they cost more than coroutines.

use std::hint::black_box;
use std::io;
use std::sync::Arc;

use ropewalk::http::client::Error;
use ropewalk::http::{App, Client, Request};
use ropewalk::process::Process;
use ropewalk::sync::Barrier;
use ropewalk::time::{Duration, Instant, sleep};
use ropewalk::{JoinHandle, coroutine, thread};
use ropewalk_cookbook::Embedded;

/// Counts down, one by one.
#[ropewalk::task]
pub fn count_down(mut number: u64) -> u64 {
    while black_box(number) > 0 {
        number -= 1;
    }
    number
}

/// How long two countdowns took.
#[derive(Clone, Copy, Debug)]
pub struct Computed {
    /// One after the other.
    pub serial: Duration,
    /// In two threads.
    pub threads: Duration,
    /// In two processes, with their start.
    pub processes: Duration,
}

/// Counts down twice, one after the other, then in two threads, then in two processes.
///
/// # Errors
///
/// If a process can't be started.
pub fn compute(from: u64) -> io::Result<Computed> {
    let start = Instant::now();
    assert_eq!(count_down(from) + count_down(from), 0);
    let serial = start.elapsed();

    let start = Instant::now();
    let both = [from; 2].map(|from| thread::spawn(move || count_down(from)));
    for one in both {
        assert_eq!(one.join().expect("no panic"), 0);
    }
    let threads = start.elapsed();

    let start = Instant::now();
    let both = [
        Process::spawn(count_down, (from,))?,
        Process::spawn(count_down, (from,))?,
    ];
    for one in both {
        assert_eq!(one.join()?, 0);
    }
    let processes = start.elapsed();
    Ok(Computed {
        serial,
        threads,
        processes,
    })
}

/// How long it took until all requests were answered.
#[derive(Clone, Copy, Debug)]
pub struct Waited {
    /// One after the other.
    pub serial: Duration,
    /// In a thread each.
    pub threads: Duration,
    /// In a coroutine each.
    pub coroutines: Duration,
}

/// Asks a server `requests` times that takes `delay` for each answer.
///
/// # Errors
///
/// The server's and the client's.
pub fn wait(requests: usize, delay: Duration) -> io::Result<Waited> {
    let app = App::new().get("/", move |_: &mut Request| {
        sleep(delay);
        "at last"
    });
    let server = Embedded::start(app)?;
    let client = Client::builder()
        .timeout(None)
        .build()
        .map_err(io::Error::other)?;
    let url = server.url("/");
    let job = move || -> Result<(), Error> {
        assert_eq!(client.get(&url).send()?.text()?, "at last");
        Ok(())
    };

    let start = Instant::now();
    for _ in 0..requests {
        job().map_err(io::Error::other)?;
    }
    let serial = start.elapsed();
    let threads = all(requests, || thread::spawn(job.clone()))?;
    let coroutines = all(requests, || coroutine::spawn(job.clone()))?;
    drop(job);
    server.stop()?;
    Ok(Waited {
        serial,
        threads,
        coroutines,
    })
}

/// Starts so many tasks and joins them; gives how long that took.
fn all(count: usize, task: impl Fn() -> JoinHandle<Result<(), Error>>) -> io::Result<Duration> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..count).map(|_| task()).collect();
    for task in tasks {
        let answer = task.join().expect("no panic");
        answer.map_err(io::Error::other)?;
    }
    Ok(start.elapsed())
}

/// Has so many tasks that all are alive at the same time: each waits for all. Gives how many
/// were alive then, by the list of the living.
///
/// # Errors
///
/// If the system has no threads left.
pub fn thousands_of_threads(count: usize) -> io::Result<usize> {
    let everyone = Arc::new(Barrier::new(count + 1));
    let counted = Arc::new(Barrier::new(count + 1));
    let threads = (0..count)
        .map(|_| {
            let (everyone, counted) = (Arc::clone(&everyone), Arc::clone(&counted));
            let builder = thread::Builder::new().stack_size(64 * 1024);
            builder.spawn(move || {
                everyone.wait();
                counted.wait();
            })
        })
        .collect::<io::Result<Vec<_>>>()?;
    everyone.wait();
    let alive = thread::count();
    counted.wait();
    for thread in threads {
        thread.join().expect("no panic");
    }
    Ok(alive)
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    let computed = compute(20_000_000)?;
    println!("computing: {computed:.2?}");
    // A machine that has other work may hide it, but not every time.
    let mut less_than_half = false;
    for _ in 0..30 {
        let waited = wait(25, Duration::from_millis(20))?;
        println!("waiting: {waited:.2?}");
        less_than_half =
            waited.serial > 2 * waited.threads && waited.serial > 2 * waited.coroutines;
        if less_than_half {
            break;
        }
    }
    println!("to wait for all at once took less than half the time: {less_than_half}");
    let alive = thousands_of_threads(2000)?;
    println!("2000 threads alive at once: {}", alive >= 2000);
    Ok(())
}
