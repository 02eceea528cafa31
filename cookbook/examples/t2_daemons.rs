//! T2, known as daemon threads: `threading.Thread(daemon=True)`.
//!
//! The program's end waits for every task that is not a daemon, joined or not, and for no
//! daemon. A task inherits the flag from the task that spawned it, unless its builder says
//! otherwise; nothing changes it after the start. All of it goes for threads and coroutines
//! alike, under `#[ropewalk::main]`.

use ropewalk::channel::{self, Receiver, Sender};
use ropewalk::time::{Duration, sleep};
use ropewalk::{JoinHandle, Task, coroutine, thread};

/// What a task runs here.
pub type Work = Box<dyn FnOnce() + Send>;

/// Starts a thread, which is a daemon if told; inherits the flag if not.
pub fn start_thread(daemon: Option<bool>, work: Work) -> JoinHandle<()> {
    let mut builder = thread::Builder::new();
    if let Some(daemon) = daemon {
        builder = builder.daemon(daemon);
    }
    builder.spawn(work).expect("the system has a thread left")
}

/// The same for a coroutine.
pub fn start_coroutine(daemon: Option<bool>, work: Work) -> JoinHandle<()> {
    let mut builder = coroutine::Builder::new();
    if let Some(daemon) = daemon {
        builder = builder.daemon(daemon);
    }
    builder.spawn(work).expect("a runtime starts")
}

/// Either of the two.
pub type Start = fn(Option<bool>, Work) -> JoinHandle<()>;

/// Starts a parent with the flag given, which starts a child without giving one, and gives
/// what each finds for itself: `(parent, child)`.
pub fn inherit(parent: Start, child: Start, daemon: Option<bool>) -> (bool, bool) {
    let (tell, told) = channel::bounded(2);
    let work = Box::new(move || {
        tell.send(Task::current().is_daemon()).expect("it listens");
        let work = Box::new(move || {
            tell.send(Task::current().is_daemon()).expect("it listens");
        });
        child(None, work).join().expect("the child doesn't panic");
    });
    parent(daemon, work)
        .join()
        .expect("the parent doesn't panic");
    let mut flags = told.iter();
    let mut next = || flags.next().expect("both told");
    (next(), next())
}

/// Works only once `main` is over: its `_alive` end of the channel is gone then.
fn holds(kind: &str, main_alive: Receiver<()>) {
    main_alive
        .recv()
        .expect_err("nothing is sent: it is dropped");
    for step in 1..=3 {
        sleep(Duration::from_millis(5));
        println!("{kind} that is no daemon: step {step} of 3");
    }
}

/// Says that it has started, and would go on for an hour.
fn serves(kind: &str, ready: Sender<()>) {
    println!("{kind} daemon: started");
    ready.send(()).expect("main waits");
    sleep(Duration::from_secs(3600));
    println!("{kind} daemon: ended");
}

#[ropewalk::main]
fn main() {
    let (_alive, main_alive) = channel::bounded(0);
    let (ready, started) = channel::unbounded();
    let kinds: [(&str, Start); 2] = [("thread", start_thread), ("coroutine", start_coroutine)];
    for (kind, start) in kinds {
        let (main_alive, ready) = (main_alive.clone(), ready.clone());
        // Nobody keeps the handles: nothing joins these.
        start(None, Box::new(move || holds(kind, main_alive)));
        start(Some(true), Box::new(move || serves(kind, ready)));
        started.recv().expect("the daemon starts");

        let (parent, child) = inherit(start, start, Some(true));
        println!("{kind} daemon: {parent}, its child: {child}");
    }
    println!("main: ends");
}
