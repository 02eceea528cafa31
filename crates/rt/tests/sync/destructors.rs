//! Waiting in drops: while a thread's own storage goes, where parking_lot once broke (its issue
//! 203), and while a panic unwinds.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use ropewalk_rt::spawn;
use ropewalk_rt::sync::{
    Event, LazyLock, Mutex, OnceLock, ReentrantMutex, RwLock, Semaphore, WaitGroup,
};

use crate::stage::{on_each, until, until_waiting};

#[derive(Default)]
struct Things {
    mutex: Mutex<u32>,
    again: ReentrantMutex<RefCell<u32>>,
    lock: RwLock<u32>,
    permits: Semaphore,
    event: Event,
    place: OnceLock<u32>,
}

struct AtEnd(Arc<Things>, mpsc::Sender<()>, Option<WaitGroup>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        static LAZY: LazyLock<u32> = LazyLock::new(|| 1);
        let things = &self.0;
        self.1.send(()).unwrap();
        things.event.wait().unwrap();
        *things.mutex.lock() += *LAZY;
        let outer = things.again.lock();
        *things.again.lock().borrow_mut() += 1;
        drop(outer);
        *things.lock.write() += *things.place.wait();
        assert!(*things.lock.read() > 0);
        things.permits.acquire().unwrap().forget();
        if let Some(group) = self.2.take() {
            group.wait();
        }
    }
}

thread_local! {
    static EARLY: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
}

// Each wait is really one: what it needs is held or missing until the thread has come there.
#[test]
fn waiting_in_the_destructors_of_thread_locals() {
    let things = Arc::new(Things::default());
    let (sender, receiver) = mpsc::channel();
    let group = WaitGroup::new();
    let thread = {
        let (things, group) = (Arc::clone(&things), group.clone());
        std::thread::spawn(move || {
            // The first that is used goes last; one is used before the kernel's own.
            let at_end = AtEnd(Arc::clone(&things), sender.clone(), None);
            EARLY.with(|place| *place.borrow_mut() = Some(at_end));
            assert!(things.event.wait_timeout(Duration::ZERO).is_err());
            let at_end = AtEnd(Arc::clone(&things), sender, Some(group));
            LATE.with(|place| *place.borrow_mut() = Some(at_end));
        })
    };
    let (mutex, again) = (things.mutex.lock(), things.again.lock());
    let reading = things.lock.read();
    receiver.recv().unwrap();
    things.event.set();
    drop(mutex);
    drop(again);
    until(|| *things.mutex.lock() > 0);
    things.place.set(1).unwrap();
    drop(reading);
    until(|| *things.lock.read() > 0);
    things.permits.add_permits(2);
    drop(group);
    receiver.recv().unwrap();
    thread.join().unwrap();
    assert_eq!(*things.mutex.lock(), 2);
    assert_eq!(*things.again.lock().borrow(), 2);
    assert_eq!(things.permits.available_permits(), 0);
}

struct InUnwinding(Arc<Things>);

impl Drop for InUnwinding {
    fn drop(&mut self) {
        assert!(std::thread::panicking());
        *self.0.mutex.lock() += 1;
        *self.0.lock.write() += 1;
        *self.0.again.lock().borrow_mut() += 1;
        drop(self.0.permits.acquire());
        assert_eq!(*self.0.place.get_or_init(|| 1), 1);
    }
}

// In drops while a panic unwinds everything works as ever.
#[test]
fn waiting_while_unwinding() {
    on_each(|| {
        let things = Arc::new(Things::default());
        let held = (things.mutex.lock(), things.lock.read(), things.again.lock());
        let panics = {
            let things = Arc::clone(&things);
            spawn(move || {
                let _drops = InUnwinding(things);
                panic!("to unwind");
            })
        };
        until_waiting(panics.id(), "locking");
        drop(held);
        things.permits.release();
        assert!(panics.join().unwrap_err().is_panic());
        assert_eq!(*things.mutex.lock() + *things.lock.read(), 2);
        assert_eq!(*things.again.lock().borrow(), 1);
        assert_eq!(things.permits.available_permits(), 1);
    });
}
