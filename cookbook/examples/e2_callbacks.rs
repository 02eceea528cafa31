//! E2, known as `future.add_done_callback`.
//!
//! A callback is called once, with the outcome, before those who join see it; also if the
//! task has ended long since. It may set events, send and spawn. Panics and waits inside it are
//! told by the panic hook, and hurt neither the task nor the other callbacks.

use std::sync::{Arc, Mutex, PoisonError};

use ropewalk::channel;
use ropewalk::sync::Event;
use ropewalk::time::{Duration, sleep};
use ropewalk::{JoinError, JoinHandle, promise, spawn};

/// What callbacks wrote down, in order.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, note: String) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(note);
    }

    /// Takes what there is.
    pub fn take(&self) -> Vec<String> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut notes)
    }

    /// A callback that writes down under `name` what came of it.
    fn callback(&self, name: &str) -> impl FnOnce(&Result<u32, JoinError>) + Send + 'static {
        let (notes, name) = (self.clone(), name.to_string());
        move |outcome| notes.add(format!("{name}: {}", describe(outcome)))
    }
}

/// An outcome in words.
pub fn describe(outcome: &Result<u32, JoinError>) -> String {
    match outcome {
        Ok(value) => value.to_string(),
        Err(error) => error.to_string(),
    }
}

/// A task that goes on when the event is set.
fn task(value: u32, go: &Arc<Event>) -> JoinHandle<u32> {
    let go = Arc::clone(go);
    spawn(move || go.wait().map_or(0, |()| value))
}

/// Two callbacks before the end and one after it.
pub fn before_and_after() -> Vec<String> {
    let (notes, go) = (Notes::default(), Arc::new(Event::new()));
    let task = task(42, &go);
    task.on_done(notes.callback("first"));
    task.on_done(notes.callback("second"));
    assert!(notes.take().is_empty());
    go.set();
    while !task.is_finished() {
        sleep(Duration::from_millis(1));
    }
    task.on_done(notes.callback("when it was done"));
    let joined = task.join();
    notes.add(format!("joined: {}", describe(&joined)));
    notes.take()
}

/// Callbacks of what has no value: a panic, a task that never ran, a promise that was dropped;
/// and of a promise that was kept.
pub fn outcomes() -> Vec<String> {
    let notes = Notes::default();
    let broken = spawn(|| -> u32 { panic!("broken, as it should be") });
    broken.on_done(notes.callback("panic"));
    assert!(broken.join().is_err());

    let cancelled = ropewalk::spawn_async(std::future::pending::<u32>());
    cancelled.on_done(notes.callback("cancelled"));
    cancelled.cancel();
    assert!(cancelled.join().is_err());

    let (given_up, handle) = promise::promise();
    handle.on_done(notes.callback("dropped"));
    drop(given_up);
    let (kept, handle) = promise::promise();
    handle.on_done(notes.callback("kept"));
    assert_eq!(kept.set(7), Ok(()));
    notes.take()
}

/// A callback that sends and spawns, without a handle that anybody keeps. Gives what the
/// spawned coroutine made of the value.
pub fn goes_on_elsewhere() -> u32 {
    let go = Arc::new(Event::new());
    let (sender, doubled) = channel::bounded(1);
    let task = task(21, &go);
    task.on_done(move |outcome| {
        let Ok(value) = *outcome else { return };
        spawn(move || sender.send(value * 2).expect("it is awaited"));
    });
    drop(task);
    go.set();
    doubled.recv().expect("it is sent")
}

/// Of four callbacks the second panics and the third waits. Gives what the others wrote down,
/// and the task's value.
pub fn bad_callbacks() -> Vec<String> {
    let (notes, go) = (Notes::default(), Arc::new(Event::new()));
    let task = task(42, &go);
    task.on_done(notes.callback("first"));
    task.on_done(|_| panic!("this callback is broken"));
    task.on_done(|_| sleep(Duration::from_millis(1)));
    task.on_done(notes.callback("last"));
    go.set();
    let joined = task.join();
    notes.add(format!("joined: {}", describe(&joined)));
    notes.take()
}

/// Runs `f` and gives the messages of all panics of the process meanwhile, as the panic hook
/// tells them; it tells the hook that was there too.
pub fn reports(f: impl FnOnce()) -> Vec<String> {
    let notes = Notes::default();
    let hook = Arc::new(std::panic::take_hook());
    let (heard, before) = (notes.clone(), Arc::clone(&hook));
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        heard.add(text.unwrap_or("no message").to_string());
        before(panic);
    }));
    f();
    std::panic::set_hook(Box::new(move |panic| hook(panic)));
    notes.take()
}

fn main() {
    for note in before_and_after() {
        println!("{note}");
    }
    for note in outcomes() {
        println!("{note}");
    }
    println!("doubled elsewhere: {}", goes_on_elsewhere());
    let reports = reports(|| {
        for note in bad_callbacks() {
            println!("{note}");
        }
    });
    for report in reports {
        println!("reported: {report}");
    }
}
