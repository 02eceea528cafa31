//! E5, known as the pool that everybody writes by hand once: it starts threads as there is work, up
//! to a maximum, uses idle ones again, calls back with a status and a result, and ends by `close`
//! or `terminate`.
//!
//! `ThreadPool` is that pool. The one thing that a program adds is the form of its callback: here
//! `callback(succeeded, what came of it)`, made from the handle's outcome.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use ropewalk::executor::{SubmitError, ThreadPool};
use ropewalk::{JoinError, JoinHandle};

/// What the pool was seen to have: live threads, idle threads, queued and running tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Threads that there are.
    pub live: usize,
    /// Threads that have nothing to do.
    pub idle: usize,
    /// Tasks that have not started.
    pub queued: usize,
    /// Tasks that have, and have not ended.
    pub running: usize,
}

fn look(pool: &ThreadPool) -> Seen {
    Seen {
        live: pool.live_threads(),
        idle: pool.idle_threads(),
        queued: pool.queued(),
        running: pool.running(),
    }
}

/// Has the pool run `task`, and `callback` called with the status and the result.
pub fn run<T: Send + 'static>(
    pool: &ThreadPool,
    task: impl FnOnce() -> T + Send + 'static,
    callback: impl FnOnce(bool, Result<&T, &JoinError>) + Send + 'static,
) -> Result<JoinHandle<T>, String> {
    let handle = pool
        .spawn(task)
        .map_err(|refused: SubmitError<_>| refused.to_string())?;
    handle.on_done(move |outcome| callback(outcome.is_ok(), outcome.as_ref()));
    Ok(handle)
}

/// Work of the kind that needs threads: it blocks the one it is on until told to go on.
#[derive(Clone, Default)]
pub struct Blocking(Arc<(Mutex<(usize, bool)>, Condvar)>);

impl Blocking {
    fn block(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        changed.notify_all();
        let wait = |state| changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        while !state.1 {
            state = wait(state);
        }
    }

    /// Waits until so many have come.
    fn wait_for(&self, count: usize) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.0 < count {
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn go_on(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        changed.notify_all();
    }
}

/// A pool of five is given eight tasks that block their threads: what is seen before, meanwhile,
/// and when the last one runs.
pub fn growth() -> std::io::Result<[Seen; 2]> {
    let pool = ThreadPool::new(5)?;
    let before = look(&pool);
    let blocking = Blocking::default();
    let handles: Vec<_> = (0..8)
        .map(|_| {
            let blocking = blocking.clone();
            run(&pool, move || blocking.block(), |_, _| ()).expect("an open pool")
        })
        .collect();
    blocking.wait_for(5);
    let meanwhile = look(&pool);
    blocking.go_on();
    for handle in handles {
        handle.join().expect("no panic");
    }
    Ok([before, meanwhile])
}

/// What callbacks were told, one of which panics: of a square, a panic, and the task after it.
pub fn callbacks() -> std::io::Result<Vec<String>> {
    let pool = ThreadPool::new(1)?;
    let notes = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &'static str| {
        let notes = Arc::clone(&notes);
        move |succeeded: bool, result: Result<&u64, &JoinError>| {
            let result = match result {
                Ok(value) => value.to_string(),
                Err(error) => error.to_string(),
            };
            let line = format!("{what}: {succeeded}, {result}");
            notes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
        }
    };
    let runs = [
        run(&pool, || 7 * 7, note("a square")),
        run(&pool, || panic!("no number"), note("a panic")),
        run(&pool, || 1, |_, _| panic!("a callback that panics")),
        run(&pool, || 2, note("after it")),
    ];
    for handle in runs {
        // Whatever came of it, the callback has been told.
        let _ = handle.expect("an open pool").join();
    }
    let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(notes.clone())
}

/// What becomes of three tasks, one running and two queued, when the pool is ended by `end`; and
/// what is said to one that comes after.
pub fn ended(end: impl Fn(&ThreadPool)) -> std::io::Result<(Vec<String>, String)> {
    let pool = ThreadPool::new(1)?;
    let blocking = Blocking::default();
    let inside = blocking.clone();
    let first = move || {
        inside.block();
        0
    };
    let mut handles = vec![run(&pool, first, |_, _| ()).expect("an open pool")];
    blocking.wait_for(1);
    for number in 1..3 {
        handles.push(run(&pool, move || number, |_, _| ()).expect("an open pool"));
    }
    end(&pool);
    let late = run(&pool, || 3, |_, _| ()).expect_err("the pool has ended");
    blocking.go_on();
    pool.join().expect("it was ended");
    let said = handles.into_iter().map(|handle| match handle.join() {
        Ok(number) => number.to_string(),
        Err(error) => error.to_string(),
    });
    Ok((said.collect(), late))
}

#[ropewalk::main]
fn main() -> std::io::Result<()> {
    let [before, meanwhile] = growth()?;
    println!("before: {before:?}");
    println!("eight tasks that block, five threads: {meanwhile:?}");
    for note in callbacks()? {
        println!("{note}");
    }
    for (name, end) in [
        ("close", ThreadPool::close as fn(&ThreadPool)),
        ("terminate", ThreadPool::terminate),
    ] {
        let (said, late) = ended(end)?;
        println!("{name}: {}; after it: {late}", said.join(", "));
    }
    Ok(())
}
