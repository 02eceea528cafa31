//! C14, known as gevent's implicit loop ("the hub"), and its callbacks.
//!
//! Nothing is set up: the first `spawn` of a plain `main` starts the global runtime, a
//! worker for each core. A callback is a plain closure that is run at some moment by
//! someone else's coroutine; under `no_wait` it may send, notify and spawn, and a wait in
//! it is reported as a mistake in place of holding up whoever runs it.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ropewalk::channel::{self, Receiver};
use ropewalk::coroutine::{self, no_wait};
use ropewalk::time::{Duration, sleep};

/// Counts this process's threads that are workers of a runtime, as `/proc` names them.
///
/// # Errors
///
/// If `/proc` can't be read.
pub fn workers() -> io::Result<usize> {
    let mut workers = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        // A thread may end between being listed and being looked at.
        let name = fs::read_to_string(thread?.path().join("comm")).unwrap_or_default();
        workers += usize::from(name.starts_with("ropewalk-"));
    }
    Ok(workers)
}

/// Spawns from wherever this is called, with no set-up.
pub fn answer() -> u32 {
    let half = coroutine::spawn(|| 21);
    half.join().expect("it doesn't panic") * 2
}

/// A callback, and how it must be run.
pub type Callback = Box<dyn FnOnce(u32) + Send>;

/// Computes something in a coroutine and hands it to `callback` there. Gives what the
/// callback was told by the runtime if it made a mistake.
pub fn compute(callback: Callback) -> Result<(), String> {
    let work = coroutine::spawn(|| {
        let value = 6 * 7;
        let outcome = catch_unwind(AssertUnwindSafe(|| no_wait(|| callback(value))));
        outcome.map_err(|panic| match panic.downcast_ref::<String>() {
            Some(message) => message.clone(),
            None => "a panic without a message".to_string(),
        })
    });
    work.join().expect("panics are caught")
}

/// A callback that sets off an event and spawns a coroutine, which sends the value doubled.
/// The receivers are of the event and of the value.
pub fn good_callback() -> (Callback, Receiver<()>, Receiver<u32>) {
    let (set, event) = channel::bounded(1);
    let (send, doubled) = channel::bounded(1);
    let callback = Box::new(move |value| {
        set.send(()).expect("there is room for one");
        coroutine::spawn(move || send.send(value * 2).expect("it is awaited"));
    });
    (callback, event, doubled)
}

/// A callback that makes the mistake to wait.
pub fn waiting_callback() -> Callback {
    Box::new(|_| sleep(Duration::from_millis(1)))
}

fn main() -> io::Result<()> {
    println!("before the first spawn: {} workers", workers()?);
    println!("the answer, from a coroutine: {}", answer());
    println!("after it: {} workers", workers()?);

    let (callback, event, doubled) = good_callback();
    println!(
        "a callback that sets an event and spawns: {:?}",
        compute(callback)
    );
    println!("  the event: {:?}", event.recv());
    println!("  the coroutine's value: {:?}", doubled.recv());
    println!("a callback that waits: {:?}", compute(waiting_callback()));
    Ok(())
}
