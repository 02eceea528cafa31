//! `no_wait`: what would wait panics, before it has touched anything.

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ropewalk_rt::coroutine::no_wait;
use ropewalk_rt::net::{TcpListener, TcpStream};
use ropewalk_rt::sync::{Condvar, Mutex};
use ropewalk_rt::{block_on, channel, coroutine, spawn, unblock};

use crate::stage::{in_coroutines, on_each, until, with_workers};

/// Says that `f` is refused inside `no_wait`.
fn refused<T>(what: &str, f: impl FnOnce() -> T) {
    let payload = match catch_unwind(AssertUnwindSafe(|| no_wait(f))) {
        Ok(_) => panic!("{what} was not refused"),
        Err(payload) => payload,
    };
    let text = payload
        .downcast_ref::<String>()
        .map_or("another kind of panic", String::as_str);
    assert!(text.contains("no_wait"), "{what}: {text}");
}

/// Says whether a connection can be accepted: the client may know of it first.
fn has_come(listener: &TcpListener) -> bool {
    let mut poll = libc::pollfd {
        fd: listener.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one entry, and it doesn't wait.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}

// Every kind of wait is refused, and all it would have used is as it was.
#[test]
fn waits_are_refused() {
    on_each(|| {
        refused("yielding", coroutine::yield_now);
        refused("sleeping", || coroutine::sleep(Duration::from_millis(1)));
        refused("sleeping for no time", || coroutine::sleep(Duration::ZERO));

        let (sender, receiver) = channel::bounded(1);
        refused("receiving", || receiver.recv());
        refused("receiving for a time", || {
            receiver.recv_timeout(Duration::from_secs(1))
        });
        sender.send(1).unwrap();
        refused("sending", || sender.send(2));
        refused("sending for a time", || {
            sender.send_timeout(3, Duration::from_secs(1))
        });
        assert!(receiver.try_iter().eq([1]), "nothing refused was sent");

        let lock = Mutex::new(5);
        let guard = lock.lock();
        refused("locking", || drop(lock.lock()));
        refused("locking for a time", || {
            lock.try_lock_for(Duration::from_secs(1)).is_some()
        });
        drop(guard);
        assert!(!lock.is_locked());
        let changed = Condvar::new();
        let mut guard = lock.lock();
        refused("waiting for a condition", || changed.wait(&mut guard));
        refused("the same for a time", || {
            changed.wait_for(&mut guard, Duration::from_secs(1))
        });
        assert!(lock.try_lock().is_none(), "still held");
        assert_eq!(changed.notify_all(), 0, "nobody stands in the queue");
        drop(guard);

        let (go, gone) = channel::bounded::<()>(0);
        let handle = spawn(move || gone.recv());
        let task = handle.task();
        refused("joining", || handle.join());
        drop(go);
        until(|| !task.is_alive());
        refused("awaiting", || block_on(std::future::pending::<()>()));
    });
}

// The same for sockets: nothing is taken from them, and they are good afterwards.
#[test]
fn waits_for_sockets_are_refused() {
    on_each(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        refused("accepting", || listener.accept());
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        until(|| has_come(&listener));
        // The connection is there: no need to wait.
        let (mut server, _) = no_wait(|| listener.accept()).unwrap();
        refused("reading", || server.read(&mut [0; 1]));
        refused("peeking", || server.peek(&mut [0; 1]));
        let chunk = vec![0; 1 << 16];
        let sent = Cell::new(0);
        refused("writing", || {
            loop {
                sent.set(sent.get() + client.write(&chunk).unwrap());
            }
        });
        drop(client);
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), sent.get());
        let addr = listener.local_addr().unwrap();
        let given = TcpListener::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        refused("accepting from a given listener", || given.accept());
        drop((listener, addr));
    });
}

// What may have to wait later is refused early: no child is spawned, no closure runs.
#[test]
fn scopes_and_runs_are_refused_before_anything_runs() {
    on_each(|| {
        let ran = AtomicBool::new(false);
        let run = || ran.store(true, Ordering::Relaxed);
        refused("a scope", || coroutine::scope(|_| run()));
        let other = crate::stage::any_runtime(1);
        refused("running on a runtime", || other.run(run));
        assert_eq!(other.live(), 0);
        unblock(|| crate::stage::close(other));
        if coroutine::in_coroutine() {
            refused("unblocking", || unblock(run));
        } else {
            no_wait(|| unblock(|| ()));
        }
        assert!(!ran.load(Ordering::Relaxed));
    });
}

// What need not wait is allowed.
#[test]
fn what_does_not_wait_is_allowed() {
    on_each(|| {
        let (sender, receiver) = channel::bounded(2);
        let (lock, changed) = (Mutex::new(1), Condvar::new());
        let finished = spawn(|| 7);
        until(|| finished.is_finished());
        let spawned = no_wait(|| {
            sender.send(1).unwrap();
            sender.try_send(2).unwrap();
            assert_eq!(receiver.recv(), Ok(1));
            assert_eq!(receiver.try_recv(), Ok(2));
            assert!(receiver.try_recv().is_err());
            *lock.lock() += 1;
            assert!(lock.try_lock_for(Duration::from_secs(1)).is_some());
            assert!(!changed.notify_one());
            assert_eq!(finished.join().unwrap(), 7);
            assert_eq!(block_on(async { 3 }), 3);
            spawn(|| 8)
        });
        assert_eq!(spawned.join().unwrap(), 8);
    });
}

// It nests, gives its closure's value, lets panics pass, and ends with its closure.
#[test]
fn nesting_and_leaving() {
    on_each(|| {
        let value = no_wait(|| {
            assert_eq!(no_wait(|| 4), 4);
            refused("after an inner one", coroutine::yield_now);
            5
        });
        assert_eq!(value, 5);
        let caught = catch_unwind(|| no_wait(|| panic!("of its own")));
        assert_eq!(
            caught.unwrap_err().downcast_ref::<&str>(),
            Some(&"of its own")
        );
        coroutine::yield_now();
        coroutine::sleep(Duration::from_micros(1));
    });
}

// Inside it no other coroutine of the worker runs, however much is done that could give way.
#[test]
fn nobody_runs_in_between() {
    with_workers(1, || {
        let ran = Arc::new(AtomicBool::new(false));
        let other = spawn({
            let ran = Arc::clone(&ran);
            move || ran.store(true, Ordering::Relaxed)
        });
        no_wait(|| {
            let (sender, receiver) = channel::bounded(1);
            for n in 0..10_000 {
                sender.send(n).unwrap();
                assert_eq!(receiver.recv(), Ok(n));
                assert!(!ran.load(Ordering::Relaxed));
            }
        });
        other.join().unwrap();
    });
}

// One coroutine inside `no_wait` on one worker doesn't keep others elsewhere from waiting, nor
// those that run after it on its own.
#[test]
fn it_concerns_the_caller_alone() {
    in_coroutines(|| {
        let others: Vec<_> = (0..20)
            .map(|_| {
                spawn(|| {
                    for _ in 0..50 {
                        no_wait(|| refused("yielding", coroutine::yield_now));
                        coroutine::yield_now();
                    }
                })
            })
            .collect();
        for other in others {
            other.join().unwrap();
        }
    });
}
