//! C8, known as asyncio's event loop: `run_until_complete`, `run_forever`, `stop`,
//! `is_running`, `close`, `call_soon`, `call_later`, `call_at`, `call_soon_threadsafe`, and
//! cancelling a delayed call.
//!
//! A `Runtime` of one's own is that loop. Its coroutines run on its workers all the time; a
//! thread that "runs" it only stays with it until something is done, or somebody says stop.
//! Calls are made in order and one at a time, as asyncio makes them; every one of the methods may be
//! used from any thread.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ropewalk::future::sleep_async;
use ropewalk::{Runtime, cancel, thread};

/// What happened, in order.
type Log = Arc<Mutex<Vec<String>>>;

fn noting(log: &Log, text: &str) -> impl FnOnce() + Send + 'static {
    let (log, text) = (Arc::clone(log), text.to_string());
    move || log.lock().unwrap().push(text)
}

/// `loop.run_until_complete(main())`
pub fn complete(runtime: &Runtime) -> u64 {
    runtime.run_until_complete(async {
        let mut sum = 0;
        for n in 1..=3 {
            sleep_async(Duration::from_millis(1)).await;
            sum += n;
        }
        sum
    })
}

/// Schedules calls of each kind, one of them cancelled, and stays until the last one stops
/// the loop. Gives what was called.
pub fn forever(runtime: &Runtime) -> Vec<String> {
    let log = Log::default();
    let now = Instant::now();
    let ms = Duration::from_millis;

    runtime.call_soon(noting(&log, "soon"));
    runtime.call_at(now + ms(200), noting(&log, "at its time"));
    runtime.call_later(ms(400), noting(&log, "later"));
    let cancelled = runtime.call_later(Duration::from_secs(60), noting(&log, "never"));
    assert!(cancelled.cancel());

    // `call_soon_threadsafe`: the same call, from a thread that has nothing to do with the loop.
    let (handle, inner) = (runtime.handle(), Arc::clone(&log));
    let other = thread::spawn(move || {
        handle
            .call_later(ms(450), noting(&inner, "from a thread"))
            .map(drop)
    });
    other.join().expect("no panic").expect("the loop is open");

    let (handle, inner) = (runtime.handle(), Arc::clone(&log));
    runtime.call_later(ms(500), move || {
        inner
            .lock()
            .unwrap()
            .push(format!("stopping, running: {}", handle.is_running()));
        handle.stop();
    });
    runtime.run_forever();
    std::mem::take(&mut log.lock().unwrap())
}

/// `loop.close()` with tasks that are still at it: they are cancelled, and end; who doesn't is
/// reported. Gives how many ended because of it, and who was left.
pub fn close(runtime: Runtime) -> (usize, Vec<String>) {
    let sleepers: Vec<_> = (0..10)
        .map(|_| runtime.spawn(|| cancel::sleep(Duration::from_secs(3600))))
        .collect();
    let stubborn = ropewalk::coroutine::Builder::new().name("stubborn");
    let handle = runtime.handle();
    runtime.run(|| {
        stubborn
            .spawn(|| cancel::shield(|| cancel::sleep(Duration::from_secs(3600))))
            .map(drop)
            .expect("on this runtime");
        // Until all are asleep: who has not begun is dropped instead.
        while handle.list().iter().any(|task| !task.is_started()) {
            ropewalk::coroutine::yield_now();
        }
    });
    let left = match runtime.close(Duration::from_secs(1)) {
        Ok(()) => Vec::new(),
        Err(report) => report.left,
    };
    let ended = sleepers
        .into_iter()
        .filter(|sleeper| sleeper.is_finished())
        .count();
    let names = left.iter().map(|task| task.name.as_deref().unwrap_or("?"));
    (ended, names.map(String::from).collect())
}

fn main() -> io::Result<()> {
    let runtime = Runtime::new()?;
    println!("running: {}", runtime.is_running());
    println!("run_until_complete: {}", complete(&runtime));
    for call in forever(&runtime) {
        println!("called {call}");
    }
    println!("running: {}", runtime.is_running());
    let handle = runtime.handle();
    let (ended, left) = close(runtime);
    println!("closed: {ended} were cancelled, left: {left:?}");
    let refused = handle.call_soon(|| ()).expect_err("it is closed");
    println!("a call now: {refused}");
    Ok(())
}
