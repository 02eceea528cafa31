//! `RwLock`: readers together, writers alone; guards that travel; giving up.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::Token;
use ropewalk_rt::sync::{Barrier, Event, RwLock, RwLockExt, RwLockReadGuard, RwLockWriteGuard};
use ropewalk_rt::{coroutine, spawn, thread};

use crate::stage::{on_each, until_waiting};
use crate::who::{Polled, Who, in_pairings};

const WAITS: &str = "locking";

// A guard is held, one waits for the lock, the guard goes.
#[test]
fn unlocking_lets_the_waiter_in() {
    in_pairings(|waiter, holder| {
        for (write_held, write_wanted) in [(true, true), (true, false), (false, true)] {
            let lock = Arc::new(RwLock::new(0));
            let (held, go) = (Arc::new(Event::new()), Arc::new(Event::new()));
            let holds = {
                let (lock, held, go) = (Arc::clone(&lock), Arc::clone(&held), Arc::clone(&go));
                let (lock_too, held_too, go_too) =
                    (Arc::clone(&lock), Arc::clone(&held), Arc::clone(&go));
                holder.wait(
                    move || {
                        if write_held {
                            let mut guard = lock.write();
                            held.set();
                            go.wait().unwrap();
                            *guard = 1;
                        } else {
                            let _guard = lock.read();
                            held.set();
                            go.wait().unwrap();
                        }
                    },
                    async move {
                        if write_held {
                            let mut guard = lock_too.write_async().await;
                            held_too.set();
                            go_too.wait_async().await;
                            *guard = 1;
                        } else {
                            let _guard = lock_too.read_async().await;
                            held_too.set();
                            go_too.wait_async().await;
                        }
                    },
                )
            };
            held.wait().unwrap();
            assert!(lock.try_write().is_none());
            assert_eq!(lock.try_read().is_none(), write_held);
            let waits = {
                let (lock, lock_too) = (Arc::clone(&lock), Arc::clone(&lock));
                waiter.wait(
                    move || {
                        if write_wanted {
                            *lock.write() += 10;
                        }
                        *lock.read()
                    },
                    async move {
                        if write_wanted {
                            *lock_too.write_async().await += 10;
                        }
                        *lock_too.read_async().await
                    },
                )
            };
            coroutine::yield_now();
            assert!(!waits.is_finished());
            go.set();
            holds.join().unwrap();
            let seen = i32::from(write_held) + 10 * i32::from(write_wanted);
            assert_eq!(waits.join().unwrap(), seen);
            assert!(!lock.is_locked());
        }
    });
}

// All readers are inside at the same time, or the barrier would never open.
#[test]
fn readers_share() {
    on_each(|| {
        const READERS: usize = 9;
        let lock = Arc::new(RwLock::new("shared"));
        let barrier = Arc::new(Barrier::new(READERS));
        let readers: Vec<_> = Who::ALL
            .into_iter()
            .cycle()
            .take(READERS)
            .map(|who| {
                let (lock, barrier) = (Arc::clone(&lock), Arc::clone(&barrier));
                let (lock_too, barrier_too) = (Arc::clone(&lock), Arc::clone(&barrier));
                who.wait(
                    move || {
                        let guard = lock.read();
                        barrier.wait();
                        *guard
                    },
                    async move {
                        let guard = lock_too.read_async().await;
                        barrier_too.wait_async().await;
                        *guard
                    },
                )
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), "shared");
        }
    });
}

/// Counts who is inside: readers upwards, a writer as -1.
#[derive(Default)]
struct Inside(AtomicIsize);

impl Inside {
    fn read(&self) {
        assert!(
            self.0.fetch_add(1, Ordering::SeqCst) >= 0,
            "a reader beside a writer"
        );
    }

    fn read_done(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    fn write(&self) {
        assert_eq!(
            self.0.swap(-1, Ordering::SeqCst),
            0,
            "a writer beside others"
        );
    }

    fn write_done(&self) {
        assert_eq!(self.0.swap(0, Ordering::SeqCst), -1);
    }
}

// Threads, coroutines and tasks read and write at random, giving way inside: a writer is
// always alone, and no addition is lost.
#[test]
fn writers_are_alone() {
    on_each(|| {
        const TIMES: u64 = 150;
        let lock = Arc::new((RwLock::new(0u64), Inside::default()));
        let writes = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = Who::ALL
            .into_iter()
            .cycle()
            .take(9)
            .enumerate()
            .map(|(n, who)| {
                let (lock, writes) = (Arc::clone(&lock), Arc::clone(&writes));
                let (lock_too, writes_too) = (Arc::clone(&lock), Arc::clone(&writes));
                who.wait(
                    move || {
                        let (lock, inside) = &*lock;
                        for round in 0..TIMES {
                            if (round * 7 + n as u64).is_multiple_of(4) {
                                let mut guard = lock.write();
                                inside.write();
                                let seen = *guard;
                                coroutine::yield_now();
                                *guard = seen + 1;
                                inside.write_done();
                                writes.fetch_add(1, Ordering::Relaxed);
                            } else {
                                let _guard = lock.read();
                                inside.read();
                                coroutine::yield_now();
                                inside.read_done();
                            }
                        }
                    },
                    async move {
                        let (lock, inside) = &*lock_too;
                        for round in 0..TIMES {
                            if (round * 5 + n as u64).is_multiple_of(4) {
                                let mut guard = lock.write_async().await;
                                inside.write();
                                *guard += 1;
                                inside.write_done();
                                writes_too.fetch_add(1, Ordering::Relaxed);
                            } else {
                                let _guard = lock.read_async().await;
                                inside.read();
                                inside.read_done();
                            }
                        }
                    },
                )
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        let (lock, _) = Arc::into_inner(lock).unwrap();
        assert!(!lock.is_locked());
        assert_eq!(lock.into_inner(), writes.load(Ordering::Relaxed) as u64);
    });
}

#[test]
fn trying_and_timing_out() {
    on_each(|| {
        let lock = Arc::new(RwLock::new(()));
        let patience = Duration::from_millis(2);
        let elsewhere = |lock: &Arc<RwLock<()>>| {
            let lock = Arc::clone(lock);
            let tries = spawn(move || {
                let tries: [&dyn Fn() -> bool; 6] = [
                    &|| lock.try_read().is_some(),
                    &|| lock.try_read_for(patience).is_some(),
                    &|| lock.try_read_until(Instant::now() + patience).is_some(),
                    &|| lock.try_write().is_some(),
                    &|| lock.try_write_for(patience).is_some(),
                    &|| lock.try_write_until(Instant::now() + patience).is_some(),
                ];
                tries.map(|attempt| attempt())
            });
            tries.join().unwrap()
        };
        assert_eq!(elsewhere(&lock), [true, true, true, true, true, true]);
        let guard = lock.read();
        assert_eq!(elsewhere(&lock), [true, true, true, false, false, false]);
        assert!(lock.is_locked() && !lock.is_locked_exclusive());
        drop(guard);
        let guard = lock.write();
        assert_eq!(elsewhere(&lock), [false, false, false, false, false, false]);
        assert!(lock.is_locked() && lock.is_locked_exclusive());
        drop(guard);
        assert_eq!(elsewhere(&lock), [true, true, true, true, true, true]);
    });
}

// A writer that gives up no longer stands in the way of the readers behind it.
#[test]
fn a_writer_that_gives_up_lets_readers_pass() {
    on_each(|| {
        let lock = Arc::new(RwLock::new(()));
        let guard = lock.read();
        let token = Token::root();
        let writers = [
            {
                let lock = Arc::clone(&lock);
                token.run(|| spawn(move || lock.write_cancellable().is_err()))
            },
            {
                let lock = Arc::clone(&lock);
                token.run(|| spawn(move || lock.try_write_for(Duration::MAX).is_none()))
            },
        ];
        for writer in &writers {
            until_waiting(writer.id(), WAITS);
        }
        let future = Polled::waiting(lock.write_async());
        let reader = {
            let lock = Arc::clone(&lock);
            spawn(move || drop(lock.read()))
        };
        until_waiting(reader.id(), WAITS);
        assert!(lock.try_read().is_none(), "behind the writers");
        assert!(lock.try_read_recursive().is_some());
        token.cancel();
        for writer in writers {
            assert!(writer.join().unwrap());
        }
        assert!(!reader.is_finished(), "the future is still there");
        drop(future);
        reader.join().unwrap();
        assert!(lock.try_read().is_some());
        drop(guard);
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn cancelled_while_waiting() {
    on_each(|| {
        let lock = Arc::new(RwLock::new(()));
        let guard = lock.write();
        let token = Token::root();
        let reader = {
            let lock = Arc::clone(&lock);
            token.run(|| spawn(move || lock.read_cancellable().is_err()))
        };
        let firm = {
            let lock = Arc::clone(&lock);
            token.run(|| spawn(move || drop(lock.read())))
        };
        until_waiting(reader.id(), WAITS);
        until_waiting(firm.id(), WAITS);
        token.cancel();
        assert!(reader.join().unwrap());
        assert!(!firm.is_finished());
        drop(guard);
        firm.join().unwrap();
        assert!(lock.read_cancellable().is_ok() && lock.write_cancellable().is_ok());
    });
}

// A future dropped after it was woken lets the next have its turn.
#[test]
fn dropped_futures_pass_the_turn_on() {
    let lock = RwLock::new(());
    let guard = lock.write();
    let first = Polled::waiting(lock.write_async());
    let mut second = Polled::waiting(lock.write_async());
    let third = Polled::waiting(lock.write_async());
    drop(guard);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(first);
    assert_eq!((second.wakes(), third.wakes()), (1, 0));
    let guard = second.poll().expect("its turn");
    drop(third);
    drop(guard);
    assert!(lock.try_write().is_some());
}

// Futures that want to read are all woken when they may, and only then.
#[test]
fn futures_read_together() {
    let lock = RwLock::new(());
    let guard = lock.write();
    let mut readers: Vec<_> = (0..3).map(|_| Polled::waiting(lock.read_async())).collect();
    let mut writer = Polled::waiting(lock.write_async());
    drop(Polled::waiting(lock.read_async()));
    assert!(readers.iter().all(|reader| reader.wakes() == 0));
    drop(guard);
    assert!(readers.iter().all(|reader| reader.wakes() == 1));
    let guards: Vec<_> = readers.iter_mut().map(|reader| reader.poll()).collect();
    assert!(guards.iter().all(Option::is_some));
    assert!(writer.poll().is_none());
    assert!(lock.try_read().is_none(), "behind the writer");
    drop(guards);
    let guard = writer.poll().expect("the readers are gone");
    let late = Polled::waiting(lock.read_async());
    drop(guard);
    assert_eq!(late.wakes(), 1);
    drop(late);
    assert!(!lock.is_locked());
}

// A future may read beside a reader who stays, once the writer before it has given up; so may
// one that wants to upgrade, once the other has let go.
#[test]
fn futures_read_beside_readers() {
    on_each(|| {
        let lock = Arc::new(RwLock::new(()));
        let reading = lock.read();
        let token = Token::root();
        let writer = {
            let lock = Arc::clone(&lock);
            token.run(|| spawn(move || lock.write_cancellable().is_err()))
        };
        until_waiting(writer.id(), WAITS);
        let mut reader = Polled::waiting(lock.read_async());
        let mut upgradable = Polled::waiting(lock.upgradable_read_async());
        token.cancel();
        assert!(writer.join().unwrap());
        assert_eq!((reader.wakes(), upgradable.wakes()), (1, 1));
        let mut other = Polled::new(lock.upgradable_read_async());
        let first = other.poll().expect("nobody waits");
        assert!(upgradable.poll().is_none());
        let also = reader.poll().expect("beside others");
        drop(first);
        assert_eq!(upgradable.wakes(), 2);
        drop(upgradable.poll().expect("let go"));
        drop((reading, also));
        assert!(lock.try_write().is_some());
    });
}

// A guard is `Send`: locked here, unlocked there.
#[test]
fn guards_travel() {
    static LOCK: RwLock<u32> = RwLock::new(0);
    on_each(|| {
        *LOCK.write() = 1;
        let read = LOCK.read();
        let mut write_by: Vec<_> = Vec::new();
        write_by.push(spawn(move || {
            assert_eq!(*read, 1);
            drop(read);
        }));
        write_by.remove(0).join().unwrap();
        let mut write = LOCK.write();
        thread::spawn(move || *write += 1).join().unwrap();
        assert_eq!(*LOCK.read(), 2);
    });
}

// A panic unlocks; nothing is poisoned.
#[test]
fn a_panic_unlocks() {
    on_each(|| {
        let lock = Arc::new(RwLock::new(1));
        for writes in [true, false] {
            let lock = Arc::clone(&lock);
            let panics = spawn(move || {
                let _guards = if writes {
                    (Some(lock.write()), None)
                } else {
                    (None, Some(lock.read()))
                };
                panic!("with the lock held");
            });
            assert!(panics.join().unwrap_err().is_panic());
        }
        *lock.write() += 1;
        assert_eq!(*lock.read(), 2);
    });
}

#[test]
fn as_a_value() {
    let mut lock = RwLock::new([1, 2]);
    lock.get_mut()[0] = 3;
    assert!(format!("{lock:?}").contains("[3, 2]"));
    let first = RwLockReadGuard::map(lock.read(), |pair| &pair[0]);
    let also = lock.read();
    assert_eq!((*first, also[1]), (3, 2));
    drop((first, also));
    *RwLockWriteGuard::map(lock.write(), |pair| &mut pair[1]) = 4;
    assert_eq!(lock.into_inner(), [3, 4]);
    let shared = Arc::new(RwLock::<u8>::default());
    let mut guard = shared.write_arc();
    assert!(format!("{shared:?}").contains("locked"));
    *guard = 7;
    drop(guard);
    assert_eq!(*shared.read_arc(), 7);
    let unsized_lock: &RwLock<[u8]> = &RwLock::new([1, 2, 3]);
    unsized_lock.write()[1] = 9;
    assert_eq!(*unsized_lock.read(), [1, 9, 3]);
}

// A wait that is refused leaves the lock as it was.
#[test]
fn waiting_is_refused_inside_no_wait() {
    on_each(|| {
        let lock = Arc::new(RwLock::new(()));
        let guard = lock.read();
        let refused = {
            let lock = Arc::clone(&lock);
            spawn(move || coroutine::no_wait(|| drop(lock.write())))
        };
        assert!(refused.join().unwrap_err().is_panic());
        drop(guard);
        coroutine::no_wait(|| drop(lock.write()));
        drop(lock.read());
    });
}
