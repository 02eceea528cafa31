//! T11, known as `threading.local()`.
//!
//! `coroutine_local!` gives each coroutine, thread and async task a value of its own, made
//! when it is first used, and dropped at its end. A `thread_local!` of std is the worker's: all
//! of its coroutines share it. But it stays put: a coroutine that has started never
//! changes its thread, so whoever holds on to it across a wait finds it there.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk::{Runtime, coroutine, coroutine_local, join_all, spawn, spawn_async, thread};

coroutine_local! {
    /// How often the task has counted.
    static COUNT: Cell<u32> = const { Cell::new(0) };
    /// What the task works on.
    static REQUEST: RefCell<String> = RefCell::new("nobody's".to_owned());
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

thread_local! {
    static WORKERS_COUNT: Cell<u32> = const { Cell::new(0) };
}

/// Counts in the task's own, and in the thread's; gives both.
fn count() -> (u32, u32) {
    coroutine::yield_now();
    COUNT.set(COUNT.get() + 1);
    WORKERS_COUNT.set(WORKERS_COUNT.get() + 1);
    (COUNT.get(), WORKERS_COUNT.get())
}

/// Counts once each in as many coroutines of one worker; gives the last of what each saw in its
/// own and of what they saw in the worker's.
///
/// # Errors
///
/// If the runtime can't be started.
pub fn count_in_coroutines(coroutines: u32) -> std::io::Result<(u32, u32)> {
    Ok(Runtime::builder().workers(1).build()?.run(|| {
        let jobs: Vec<_> = (0..coroutines).map(|_| spawn(count)).collect();
        let counts = join_all(jobs).into_iter().map(Result::unwrap);
        counts.max().unwrap_or_default()
    }))
}

/// Every kind of task starts anew, and counts for itself: a coroutine, a thread, an async task,
/// and the caller.
pub fn of_every_kind() -> [u32; 4] {
    let twice = || {
        count();
        count().0
    };
    COUNT.set(10);
    let others = [
        spawn(twice).join(),
        thread::spawn(twice).join(),
        spawn_async(async move { twice() }).join(),
    ];
    let [coroutine, thread, task] = others.map(Result::unwrap);
    [coroutine, thread, task, COUNT.take()]
}

/// Says what is worked on, deep down, where nobody has passed it on.
fn log(line: &str) -> String {
    REQUEST.with_borrow(|request| format!("{request}: {line}"))
}

/// Handles requests at the same time; their lines are told apart across all waits.
pub fn handle(requests: &[&str]) -> Vec<String> {
    let handle = |request: String| {
        REQUEST.set(request);
        let mut lines = Vec::new();
        for line in ["begins", "ends"] {
            coroutine::yield_now();
            lines.push(log(line));
        }
        lines
    };
    let jobs = requests.iter().map(|request| {
        let request = (*request).to_owned();
        spawn(move || handle(request))
    });
    let lines = join_all(jobs.collect::<Vec<_>>()).into_iter();
    let mut lines: Vec<_> = lines.flat_map(Result::unwrap).collect();
    lines.push(log("is at the caller's"));
    lines
}

/// A task's own connection, which says farewell at the task's end. That may wait.
struct Connection(Arc<AtomicUsize>);

impl Drop for Connection {
    fn drop(&mut self) {
        coroutine::yield_now();
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Opens one for each task; gives how many were open at most, and how many are after their end.
pub fn connect(tasks: usize) -> (usize, usize) {
    let open = Arc::new(AtomicUsize::new(0));
    let jobs = (0..tasks).map(|_| {
        let open = Arc::clone(&open);
        spawn(move || {
            let now = open.fetch_add(1, Ordering::SeqCst) + 1;
            CONNECTION.set(Some(Connection(open)));
            coroutine::yield_now();
            now
        })
    });
    let most = join_all(jobs.collect::<Vec<_>>()).into_iter();
    let most = most.map(Result::unwrap).max().unwrap_or(0);
    (most, open.load(Ordering::SeqCst))
}

/// Whether std's `thread_local!` is at the same place, on the same thread, after each of many
/// waits of many coroutines.
pub fn stays_put(coroutines: usize, waits: usize) -> bool {
    let place = || {
        let address = WORKERS_COUNT.with(|count| std::ptr::from_ref(count).addr());
        (address, std::thread::current().id())
    };
    let look = move || {
        let before = place();
        (0..waits).all(|_| {
            coroutine::yield_now();
            place() == before
        })
    };
    let jobs: Vec<_> = (0..coroutines).map(|_| spawn(look)).collect();
    join_all(jobs).into_iter().all(|same| same.unwrap_or(false))
}

#[ropewalk::main]
fn main() -> std::io::Result<()> {
    let (own, workers) = std::thread::spawn(|| count_in_coroutines(5))
        .join()
        .expect("no panic")?;
    println!("5 coroutines count: each its own to {own}, the worker's to {workers}");
    println!("coroutine, thread, task, caller: {:?}", of_every_kind());
    for line in handle(&["request 1", "request 2"]) {
        println!("{line}");
    }
    let (_, left) = connect(10);
    println!("connections open after their tasks' end: {left}");
    println!(
        "thread-locals stay put across waits: {}",
        stays_put(100, 100)
    );
    Ok(())
}
