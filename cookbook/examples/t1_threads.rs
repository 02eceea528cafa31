//! T1, known as `threading.Thread(target=…, name=…)`, subclassing it, `start`, `join`,
//! `getName`, `setName`, `ident`, `is_alive`, `currentThread`, `enumerate`, `activeCount`.
//!
//! A task is started from a closure, or from a type with a `run` method. It has an id from
//! birth and a name that may change, and is listed and counted while it lives. Threads and
//! coroutines have the same handles, so that everything below is written once for both.

use ropewalk::channel::{self, Receiver, Sender};
use ropewalk::coroutine::{self, Info};
use ropewalk::{JoinHandle, Run, Task, thread};

/// What a task can run: here it meets its observer twice and gives its own id.
pub type Work = Box<dyn FnOnce() -> u64 + Send>;

/// What was seen of one task from outside, from birth to death.
#[derive(Debug)]
pub struct Life {
    /// The id that the handle knew at birth.
    pub id: u64,
    /// The id that the task found for itself, and returned.
    pub id_inside: u64,
    /// The name it was started with.
    pub name: Option<String>,
    /// Its name after it was renamed from outside.
    pub renamed: Option<String>,
    /// The name that the task itself saw after that.
    pub renamed_inside: Option<String>,
    /// Whether it was a thread.
    pub is_thread: bool,
    /// Whether it was alive while it waited.
    pub alive_before: bool,
    /// Whether it was alive after the join.
    pub alive_after: bool,
    /// Whether the list of the living had it while it waited.
    pub listed_before: bool,
    /// Whether the list had it after the join.
    pub listed_after: bool,
    /// How many were alive while it waited, itself among them.
    pub count: usize,
}

/// `threading.Thread(target=work, name="diver").start()`
pub fn start_thread(work: Work) -> JoinHandle<u64> {
    let builder = thread::Builder::new().name("diver");
    builder.spawn(work).expect("the system has a thread left")
}

/// The same for a coroutine.
pub fn start_coroutine(work: Work) -> JoinHandle<u64> {
    let builder = coroutine::Builder::new().name("diver");
    builder.spawn(work).expect("a runtime starts")
}

/// Starts a task, looks at it while it waits, gives it another name and joins it.
pub fn observe(start: fn(Work) -> JoinHandle<u64>, list: fn() -> Vec<Info>) -> Life {
    let (arrive, arrived): (Sender<()>, Receiver<()>) = channel::bounded(1);
    let (release, released) = channel::bounded(1);
    let (tell, told) = channel::bounded(1);
    let handle = start(Box::new(move || {
        arrive.send(()).expect("the observer waits");
        released.recv().expect("the observer lets go");
        let me = Task::current();
        tell.send(me.name()).expect("the observer listens");
        me.id()
    }));
    let id = handle.id();
    let mut task = handle.task();
    let listed = || list().iter().any(|info| info.id() == id);

    arrived.recv().expect("the task arrives");
    let name = task.name();
    let (alive_before, listed_before, count) = (task.is_alive(), listed(), list().len());
    task.set_name("surfacer");
    let renamed = task.name();
    release.send(()).expect("the task waits");
    let renamed_inside = told.recv().expect("the task tells");
    let id_inside = handle.join().expect("the task doesn't panic");
    Life {
        id,
        id_inside,
        name,
        renamed,
        renamed_inside,
        is_thread: task.is_thread(),
        alive_before,
        alive_after: task.is_alive(),
        listed_before,
        listed_after: listed(),
        count,
    }
}

/// `class Factorial(Thread)`: work as a type, with what it needs in its fields.
#[derive(Clone, Copy)]
pub struct Factorial(pub u64);

impl Run for Factorial {
    type Output = u64;

    fn run(self) -> u64 {
        (1..=self.0).product()
    }
}

/// Starts one value as a thread and another as a coroutine, and joins both.
pub fn factorials(first: u64, second: u64) -> (u64, u64) {
    let thread = Factorial(first).start_thread().expect("a thread is left");
    let coroutine = Factorial(second).start();
    let first = thread.join().expect("it doesn't panic");
    let second = coroutine.join().expect("it doesn't panic");
    (first, second)
}

/// What `join` gives for a task that fails: its panic's message, as an error.
pub fn failure() -> String {
    let handle = coroutine::spawn(|| assert_eq!(2 + 2, 5, "the sums don't agree"));
    handle.join().expect_err("it panics").to_string()
}

fn main() {
    for (start, list) in [
        (start_thread as fn(Work) -> _, thread::list as fn() -> _),
        (start_coroutine, coroutine::list),
    ] {
        let life = observe(start, list);
        println!("{life:#?}");
        let kind = if life.is_thread {
            "thread"
        } else {
            "coroutine"
        };
        println!("1 {kind} among {} of its kind, and then none", life.count);
        assert!(life.listed_before && !life.listed_after);
    }
    let (first, second) = factorials(5, 10);
    println!("5! = {first} (from a thread), 10! = {second} (from a coroutine)");
    println!("a failing task gives: {}", failure());
}
