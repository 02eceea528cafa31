//! What safe code must not be able to bring about, whatever it does with guards, handles and
//! panics: each of these was undefined behaviour once, with its story.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use ropewalk_rt::channel::{Select, bounded, unbounded};
use ropewalk_rt::coroutine::{self, no_wait};
use ropewalk_rt::executor::ThreadPool;
use ropewalk_rt::future::sleep_async;
use ropewalk_rt::sync::{
    Condvar, Event, Mutex, MutexExt, MutexGuard, ReentrantMutex, RwLock, RwLockReadGuard,
    RwLockWriteGuard,
};
use ropewalk_rt::{DriverKind, Runtime, RuntimeBuilder};

fn drivers() -> impl Iterator<Item = DriverKind> {
    let all = [DriverKind::Epoll, DriverKind::IoUring];
    all.into_iter().filter(|driver| driver.check().is_ok())
}

fn builder(driver: DriverKind, workers: usize) -> RuntimeBuilder {
    Runtime::builder().driver(driver).workers(workers)
}

/// A value that isn't `Send`, and tells if it was dropped on another thread than it was made on.
struct Stays {
    home: ThreadId,
    strayed: Arc<AtomicUsize>,
    not_send: PhantomData<Rc<()>>,
}

impl Stays {
    fn new(strayed: &Arc<AtomicUsize>) -> Stays {
        Stays {
            home: thread::current().id(),
            strayed: Arc::clone(strayed),
            not_send: PhantomData,
        }
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        if thread::current().id() != self.home {
            self.strayed.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A `Select` is `Send` whatever its channels carry. One that was given to another thread took a
/// message that isn't, and dropped it there when its operation was not completed.
#[test]
fn a_select_on_another_thread_drops_no_message_that_must_not_leave() {
    for capacity in [Some(1), None] {
        let strayed = Arc::default();
        let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
        sender.send(Stays::new(&strayed)).expect("there is room");
        let mut select = Select::new();
        select.recv(&receiver);
        thread::scope(|s| {
            s.spawn(move || {
                let operation = select.select();
                assert!(catch_unwind(AssertUnwindSafe(|| drop(operation))).is_err());
            });
        });
        drop((sender, receiver));
        assert_eq!(strayed.load(Ordering::SeqCst), 0);
    }
}

/// The same of a send that was selected there and given up: what lay behind its place in a
/// channel whose receivers had gone meanwhile was dropped.
#[test]
fn a_selected_send_on_another_thread_drops_no_message_that_must_not_leave() {
    for capacity in [Some(3), None] {
        let strayed = Arc::default();
        let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
        let mut select = Select::new();
        select.send(&sender);
        let (selected, is_selected) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        thread::scope(|s| {
            s.spawn(move || {
                let operation = select.select();
                selected.send(()).unwrap();
                may_go.recv().unwrap();
                assert!(catch_unwind(AssertUnwindSafe(|| drop(operation))).is_err());
            });
            is_selected.recv().unwrap();
            sender.send(Stays::new(&strayed)).expect("there is room");
            drop(receiver);
            go.send(()).unwrap();
        });
        drop(sender);
        assert_eq!(strayed.load(Ordering::SeqCst), 0);
        assert_eq!(
            Arc::strong_count(&strayed),
            1,
            "the last owner drops what is left"
        );
    }
}

/// The same when the thread it was made on has ended: the next thread has its stack, and what is
/// its own lies where that of the other lay, by which it was told.
#[test]
fn a_select_outlives_its_thread() {
    let strayed = Arc::default();
    let select = thread::scope(|s| {
        let made = s.spawn(|| {
            let (sender, receiver) = bounded(1);
            sender.send(Stays::new(&strayed)).expect("there is room");
            let mut select = Select::new();
            select.recv(Box::leak(Box::new(receiver)));
            select
        });
        made.join().unwrap()
    });
    let other = thread::spawn(move || {
        let mut select = select;
        let operation = select.select();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(operation))).is_err());
    });
    other.join().unwrap();
    assert_eq!(strayed.load(Ordering::SeqCst), 0);
}

/// Polls a future once, for nobody.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A time that never comes lay in its worker's timers for ever: when the worker's thread went, they
/// were freed under it, and the next thread of that worker, which dropped the future, wrote there.
#[test]
fn a_time_that_never_comes_outlives_its_workers_timers() {
    for driver in drivers() {
        let pool = ThreadPool::builder()
            .driver(driver)
            .max_threads(1)
            .keep_alive(Duration::ZERO)
            .build()
            .unwrap();
        let polled = pool.spawn(|| {
            let mut sleep = sleep_async(Duration::MAX);
            assert!(poll_once(&mut sleep).is_pending());
            sleep
        });
        let sleep = polled.unwrap().join().unwrap();
        while pool.live_threads() != 0 {
            thread::yield_now();
        }
        let dropped = pool.spawn(move || drop(sleep)).unwrap();
        dropped.join().unwrap();
    }
}

/// The same at the end of a runtime: its worker's thread panicked there in builds with assertions,
/// and the end was waited for in vain.
#[test]
fn a_runtime_ends_while_a_future_waits_for_a_time_that_never_comes() {
    for driver in drivers() {
        let runtime = builder(driver, 1).build().unwrap();
        let sleep = runtime.run(|| {
            let mut sleep = sleep_async(Duration::MAX);
            assert!(poll_once(&mut sleep).is_pending());
            sleep
        });
        runtime.shutdown(Duration::from_secs(60)).unwrap();
        drop(sleep);
    }
}

/// What a guard's `unlocked` runs: somebody else takes the lock there and keeps it for a moment.
fn let_another_in<G: 'static>(lock: impl FnOnce() -> G + Send + 'static, inside: &Arc<AtomicBool>) {
    let (took, taken) = mpsc::channel();
    let inside = Arc::clone(inside);
    thread::spawn(move || {
        let guard = lock();
        inside.store(true, Ordering::SeqCst);
        took.send(()).unwrap();
        thread::sleep(Duration::from_millis(20));
        inside.store(false, Ordering::SeqCst);
        drop(guard);
    });
    taken.recv().unwrap();
}

/// Runs `test` on a thread and in a coroutine.
fn on_both(test: impl Fn() + Send + Sync) {
    test();
    for driver in drivers() {
        let runtime = builder(driver, 1).build().unwrap();
        runtime.run(&test);
        runtime.shutdown(Duration::from_secs(60)).unwrap();
    }
}

/// `MutexGuard::unlocked` locks again when its closure has ended. Inside `no_wait` that was refused
/// by a panic if somebody had the lock by then, and the guard, unwound, gave up a lock it had not
/// got: two guards at once. What was given up inside `no_wait` is waited for there, by the thread.
#[test]
fn a_guard_unlocked_inside_no_wait_has_its_lock_again() {
    on_both(|| {
        let lock: &'static Mutex<()> = Box::leak(Box::default());
        let inside = Arc::default();
        let mut guard = lock.lock();
        no_wait(|| MutexGuard::unlocked(&mut guard, || let_another_in(|| lock.lock(), &inside)));
        assert!(!inside.load(Ordering::SeqCst));
        assert!(lock.try_lock().is_none());
        drop(guard);
        assert!(lock.try_lock().is_some());
    });
}

/// The same of those that hand the lock over, which whoever waited has then for sure.
#[test]
fn a_guard_that_hands_its_lock_over_inside_no_wait_has_it_again() {
    on_both(|| {
        let lock: &'static Mutex<()> = Box::leak(Box::default());
        for bumps in [false, true] {
            let inside = Arc::new(AtomicBool::new(false));
            let mut guard = lock.lock();
            let waiter = thread::spawn({
                let inside = Arc::clone(&inside);
                move || {
                    let _guard = lock.lock();
                    inside.store(true, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(50));
                    inside.store(false, Ordering::SeqCst);
                }
            });
            thread::sleep(Duration::from_millis(50));
            no_wait(|| {
                if bumps {
                    MutexGuard::bump(&mut guard);
                } else {
                    MutexGuard::unlocked_fair(&mut guard, || {});
                }
            });
            assert!(!inside.load(Ordering::SeqCst));
            assert!(lock.try_lock().is_none());
            drop(guard);
            waiter.join().unwrap();
            assert!(lock.try_lock().is_some());
        }
    });
}

/// The same of locks for readers and writers.
#[test]
fn a_read_write_guard_unlocked_inside_no_wait_has_its_lock_again() {
    on_both(|| {
        let lock: &'static RwLock<()> = Box::leak(Box::default());
        let inside = Arc::default();
        let mut guard = lock.write();
        no_wait(|| {
            RwLockWriteGuard::unlocked(&mut guard, || let_another_in(|| lock.read(), &inside));
        });
        assert!(!inside.load(Ordering::SeqCst));
        drop(guard);
        let mut guard = lock.read();
        no_wait(|| {
            RwLockReadGuard::unlocked(&mut guard, || let_another_in(|| lock.write(), &inside));
        });
        assert!(!inside.load(Ordering::SeqCst));
        assert!(lock.try_write().is_none());
        drop(guard);
        assert!(lock.try_write().is_some());
    });
}

/// A waker that waits in turn.
struct Waits(Event);

impl Wake for Waits {
    fn wake(self: Arc<Self>) {
        // Or it is refused.
        let _ = self.0.wait();
    }
}

/// Lets all run on this worker that can, as far as they come.
fn let_others_run() {
    (0..100).for_each(|_| coroutine::yield_now());
}

/// Who waits for a counterpart, or for a condition, wakes others when it stands in the queue
/// already. A waker that waited there was gone on with when the outer wait was over, and that one
/// was never ended: its counterpart could write to a frame that had been left.
#[test]
fn a_waker_that_waits_leaves_the_wait_it_is_called_in_alone() {
    for driver in drivers() {
        let runtime = builder(driver, 1).build().unwrap();
        runtime.run(|| {
            let waits = Arc::new(Waits(Event::new()));
            let waker = Waker::from(Arc::clone(&waits));
            let mut context = Context::from_waker(&waker);

            let (sender, receiver) = bounded(0);
            let mut told = receiver.recv_async();
            assert!(Pin::new(&mut told).poll(&mut context).is_pending());
            let sent = coroutine::spawn(move || sender.send(7).is_ok());
            // Until it stands in the queue, and has woken the future.
            let_others_run();
            assert_eq!(receiver.try_recv(), Ok(7));
            let_others_run();
            waits.0.set();
            assert!(sent.join_timeout(Duration::from_secs(10)).unwrap().unwrap());
            drop(told);
            waits.0.clear();

            let pair = Arc::new((Mutex::new(()), Condvar::new()));
            let guard = pair.0.lock();
            let waiter = coroutine::spawn({
                let pair = Arc::clone(&pair);
                move || {
                    let mut guard = pair.0.lock();
                    pair.1.wait(&mut guard);
                }
            });
            let_others_run();
            let mut locking = pair.0.lock_async();
            assert!(Pin::new(&mut locking).poll(&mut context).is_pending());
            drop(guard);
            let_others_run();
            assert!(pair.1.notify_one());
            let_others_run();
            waits.0.set();
            waiter
                .join_timeout(Duration::from_secs(10))
                .unwrap()
                .unwrap();
        });
        runtime.shutdown(Duration::from_secs(60)).unwrap();
    }
}

/// A guard of a `ReentrantMutex` is not `Send`, but an async task is: it left its guard with a
/// local coroutine of the worker that polled it, went to another worker, and was let in again as
/// the holder: two threads at one `Cell`.
#[test]
fn a_task_that_left_its_guard_on_another_thread_is_not_let_in_again() {
    for driver in drivers() {
        let lock: &'static ReentrantMutex<Cell<u32>> = Box::leak(Box::default());
        let done = Arc::new(AtomicBool::new(false));
        let runtime = builder(driver, 2).build().unwrap();
        let mut first = None;
        let told = Arc::clone(&done);
        let task = runtime.spawn_async(poll_fn(move |context| {
            let here = thread::current().id();
            match first {
                None => {
                    first = Some(here);
                    let guard = lock.lock();
                    let told = Arc::clone(&told);
                    coroutine::spawn_local(move || {
                        // Keeps this worker, so that the task goes to the other.
                        while !told.load(Ordering::SeqCst) {
                            thread::yield_now();
                        }
                        drop(guard);
                    });
                }
                Some(there) if there == here => {}
                Some(_) => {
                    let let_in = lock.try_lock().is_some();
                    told.store(true, Ordering::SeqCst);
                    return Poll::Ready(let_in);
                }
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }));
        assert!(!task.join().unwrap(), "two threads have guards");
        runtime.shutdown(Duration::from_secs(60)).unwrap();
    }
}
