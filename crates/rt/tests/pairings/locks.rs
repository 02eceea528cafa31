//! Locks, and what is initialised once: the waker is the one that holds, and lets go.

#![expect(
    clippy::await_holding_lock,
    reason = "these guards may be: they are Send, and their locks wait for tasks"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ropewalk_rt::coroutine;
use ropewalk_rt::future::yield_async;
use ropewalk_rt::sync::{
    Condvar, Event, LazyLock, Mutex, MutexExt, Once, OnceLock, ReentrantMutex, RwLock, RwLockExt,
    RwLockUpgradableReadGuard,
};

use crate::pair::{Case, PARTIES};

/// A lock that each side takes, keeps over others' turns, and counts in.
#[derive(Default)]
struct Counted<L> {
    lock: L,
    inside: AtomicU32,
}

impl<L> Counted<L> {
    fn enter(&self) {
        assert_eq!(
            self.inside.fetch_add(1, Ordering::SeqCst),
            0,
            "alone inside"
        );
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn mutex() {
    fn hold(shared: &Counted<Mutex<u32>>) {
        let mut guard = shared.lock.lock();
        shared.enter();
        coroutine::yield_now();
        *guard += 1;
        shared.leave();
    }
    async fn hold_async(shared: Arc<Counted<Mutex<u32>>>) {
        let mut guard = shared.lock.lock_async().await;
        shared.enter();
        yield_async().await;
        *guard += 1;
        shared.leave();
    }
    let case = Case {
        make: Counted::default,
        wait: |shared: &Counted<Mutex<u32>>| {
            hold(shared);
            *shared.lock.lock() >= 1
        },
        wait_async: |shared: Arc<Counted<Mutex<u32>>>| async move {
            hold_async(Arc::clone(&shared)).await;
            *shared.lock.lock_async().await >= 1
        },
        wake: hold,
        wake_async: hold_async,
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn reentrant_mutex() {
    fn hold(shared: &Counted<ReentrantMutex<()>>) {
        let _outer = shared.lock.lock();
        let _inner = shared.lock.lock();
        shared.enter();
        coroutine::yield_now();
        shared.leave();
    }
    // There is no locking it in async code; an async task may block, as a coroutine does.
    let case = Case {
        make: Counted::default,
        wait: |shared: &Counted<ReentrantMutex<()>>| {
            hold(shared);
            true
        },
        wait_async: |shared: Arc<Counted<ReentrantMutex<()>>>| async move {
            hold(&shared);
            true
        },
        wake: hold,
        wake_async: |shared: Arc<Counted<ReentrantMutex<()>>>| async move { hold(&shared) },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn rw_lock_write() {
    fn hold(shared: &Counted<RwLock<u32>>) {
        let mut guard = shared.lock.write();
        shared.enter();
        coroutine::yield_now();
        *guard += 1;
        shared.leave();
    }
    async fn hold_async(shared: Arc<Counted<RwLock<u32>>>) {
        let mut guard = shared.lock.write_async().await;
        shared.enter();
        yield_async().await;
        *guard += 1;
        shared.leave();
    }
    let case = Case {
        make: Counted::default,
        wait: |shared: &Counted<RwLock<u32>>| {
            hold(shared);
            *shared.lock.read() >= 1
        },
        wait_async: |shared: Arc<Counted<RwLock<u32>>>| async move {
            hold_async(Arc::clone(&shared)).await;
            *shared.lock.read_async().await >= 1
        },
        wake: hold,
        wake_async: hold_async,
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn rw_lock_read() {
    fn hold(shared: &Counted<RwLock<[u32; 2]>>) {
        let mut guard = shared.lock.write();
        guard[0] += 1;
        coroutine::yield_now();
        guard[1] += 1;
    }
    async fn hold_async(shared: Arc<Counted<RwLock<[u32; 2]>>>) {
        let mut guard = shared.lock.write_async().await;
        guard[0] += 1;
        yield_async().await;
        guard[1] += 1;
    }
    let case = Case {
        make: Counted::default,
        wait: |shared: &Counted<RwLock<[u32; 2]>>| {
            let guard = shared.lock.read();
            guard[0] == guard[1]
        },
        wait_async: |shared: Arc<Counted<RwLock<[u32; 2]>>>| async move {
            let guard = shared.lock.read_async().await;
            guard[0] == guard[1]
        },
        wake: hold,
        wake_async: hold_async,
    };
    case.run(&PARTIES, &PARTIES);
}

// One reader at a time may upgrade, and does so once the plain readers have gone.
#[test]
fn rw_lock_upgrade() {
    fn hold(shared: &Counted<RwLock<u32>>) {
        let guard = shared.lock.upgradable_read();
        shared.enter();
        coroutine::yield_now();
        shared.leave();
        *RwLockUpgradableReadGuard::upgrade(guard) += 1;
        let _reader = shared.lock.read();
        coroutine::yield_now();
    }
    async fn hold_async(shared: Arc<Counted<RwLock<u32>>>) {
        let guard = shared.lock.upgradable_read_async().await;
        shared.enter();
        yield_async().await;
        shared.leave();
        // There is no upgrading in async code; an async task may block, as a coroutine does.
        *RwLockUpgradableReadGuard::upgrade(guard) += 1;
        let _reader = shared.lock.read_async().await;
        yield_async().await;
    }
    let case = Case {
        make: Counted::default,
        wait: |shared: &Counted<RwLock<u32>>| {
            hold(shared);
            *shared.lock.upgradable_read() >= 1
        },
        wait_async: |shared: Arc<Counted<RwLock<u32>>>| async move {
            hold_async(Arc::clone(&shared)).await;
            *shared.lock.upgradable_read_async().await >= 1
        },
        wake: hold,
        wake_async: hold_async,
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn condvar() {
    #[derive(Default)]
    struct Door {
        open: Mutex<bool>,
        opened: Condvar,
    }
    fn wait(door: &Door) -> bool {
        let mut open = door.open.lock();
        door.opened.wait_while(&mut open, |open| !*open);
        *open
    }
    fn open(door: &Door) {
        *door.open.lock() = true;
        door.opened.notify_one();
    }
    let case = Case {
        make: Door::default,
        wait,
        wait_async: |door: Arc<Door>| async move { wait(&door) },
        wake: open,
        wake_async: |door: Arc<Door>| async move {
            *door.open.lock_async().await = true;
            door.opened.notify_all();
        },
    };
    case.run(&PARTIES, &PARTIES);
}

// Both come to run it; one does, and the other waits for the end of that.
#[test]
fn once() {
    #[derive(Default)]
    struct Slow {
        once: Once,
        runs: AtomicU32,
        done: AtomicBool,
    }
    fn call(slow: &Slow) {
        slow.once.call_once(|| {
            slow.runs.fetch_add(1, Ordering::SeqCst);
            coroutine::yield_now();
            slow.done.store(true, Ordering::SeqCst);
        });
        assert!(slow.done.load(Ordering::SeqCst), "waited for its end");
    }
    let case = Case {
        make: Slow::default,
        wait: |slow: &Slow| {
            call(slow);
            slow.once.wait();
            slow.runs.load(Ordering::SeqCst) == 1
        },
        wait_async: |slow: Arc<Slow>| async move {
            slow.once.wait_async().await;
            slow.done.load(Ordering::SeqCst) && slow.runs.load(Ordering::SeqCst) == 1
        },
        wake: call,
        wake_async: |slow: Arc<Slow>| async move { call(&slow) },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn lazy_lock() {
    type Slow = LazyLock<u32>;
    fn make() -> u32 {
        coroutine::yield_now();
        5
    }
    // What makes it is no future; an async task may block, as a coroutine does.
    let case = Case {
        make: || Slow::new(make),
        wait: |slow: &Slow| **slow == 5,
        wait_async: |slow: Arc<Slow>| async move { **slow == 5 },
        wake: |slow: &Slow| assert_eq!(LazyLock::force(slow), &5),
        wake_async: |slow: Arc<Slow>| async move { assert_eq!(**slow, 5) },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn once_lock() {
    #[derive(Default)]
    struct Slow {
        value: OnceLock<u32>,
        begun: Event,
        made: AtomicBool,
    }
    fn make(slow: &Slow) {
        slow.value.get_or_init(|| {
            slow.begun.set();
            coroutine::yield_now();
            slow.made.store(true, Ordering::SeqCst);
            5
        });
    }
    let case = Case {
        make: Slow::default,
        wait: |slow: &Slow| {
            slow.begun.wait().unwrap();
            *slow.value.wait() == 5 && slow.made.load(Ordering::SeqCst)
        },
        wait_async: |slow: Arc<Slow>| async move {
            slow.begun.wait_async().await;
            *slow.value.wait_async().await == 5 && slow.made.load(Ordering::SeqCst)
        },
        wake: make,
        wake_async: |slow: Arc<Slow>| async move {
            slow.value
                .get_or_init_async(|| async {
                    slow.begun.set();
                    yield_async().await;
                    slow.made.store(true, Ordering::SeqCst);
                    5
                })
                .await;
        },
    };
    case.run(&PARTIES, &PARTIES);
}
