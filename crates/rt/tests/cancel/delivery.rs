//! Each kind of wait that is a cancellation point ends, by its own error; the others don't.

use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::cancel::{self, Cancelled, Token};
use ropewalk_rt::channel::{self, RecvError, RecvTimeoutError};
use ropewalk_rt::net::{TcpListener, TcpStream};
use ropewalk_rt::sync::{Condvar, Mutex};
use ropewalk_rt::{JoinError, coroutine, thread};

use crate::stage::{in_coroutines, on_each, until, until_waiting};

const FAR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(3);

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

#[test]
fn a_deadline_ends_every_kind_of_wait() {
    on_each(|| {
        let timed = |what: &str, wait: &dyn Fn()| {
            let outcome = cancel::timeout(SOON, wait);
            assert!(outcome.is_err(), "{what} was not ended by the deadline");
        };
        timed("sleep", &|| coroutine::sleep(FAR));
        timed("cancel::sleep", &|| {
            let error = cancel::sleep(FAR).unwrap_err();
            assert!(error.is_timeout());
        });
        let (sender, receiver) = channel::bounded::<u32>(1);
        timed("recv", &|| assert_eq!(receiver.recv(), Err(RecvError)));
        timed("recv_timeout", &|| {
            assert_eq!(
                receiver.recv_timeout(FAR),
                Err(RecvTimeoutError::Disconnected)
            );
        });
        sender.send(1).unwrap();
        timed("send", &|| {
            assert_eq!(sender.send(2).unwrap_err().into_inner(), 2)
        });
        assert_eq!(
            receiver.recv(),
            Ok(1),
            "what was sent before is still there"
        );
        let (near, far) = pair();
        timed("read", &|| {
            let error = (&near).read(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        });
        timed("accept", &|| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::TimedOut);
        });
        timed("write", &|| {
            let chunk = vec![0; 1 << 20];
            let error = loop {
                if let Err(error) = (&near).write(&chunk) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        });
        drop(far);
        let gate = Arc::new(AtomicBool::new(false));
        let waiting = Arc::clone(&gate);
        let sleeper = coroutine::spawn(move || until(|| waiting.load(Ordering::SeqCst)));
        let sleeper = std::cell::Cell::new(Some(sleeper));
        timed("join", &|| {
            let handle = sleeper.take().unwrap();
            assert!(matches!(handle.join(), Err(JoinError::WaitCancelled)));
        });
        gate.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_value_that_was_produced_is_kept() {
    on_each(|| {
        assert_eq!(cancel::timeout(FAR, || 7).unwrap(), 7);
        // The time is over, but no wait was ended by that.
        let late = cancel::timeout(Duration::ZERO, || 8);
        assert_eq!(late.unwrap(), 8);
        let elapsed = cancel::timeout(SOON, || {
            coroutine::sleep(FAR);
            9
        });
        assert_eq!(elapsed.unwrap_err().into_inner(), 9);
    });
}

#[test]
fn cancelling_by_the_handle_ends_waits() {
    on_each(|| {
        let (_sender, receiver) = channel::bounded::<u32>(1);
        let (near, _far) = pair();
        type Wait = Box<dyn FnOnce() -> bool + Send>;
        let waits: Vec<(&str, Wait)> = vec![
            (
                "receiving",
                Box::new(move || receiver.recv() == Err(RecvError)),
            ),
            ("sleeping", Box::new(|| cancel::sleep(FAR).is_err())),
            (
                "reading",
                Box::new(move || {
                    let error = (&near).read(&mut [0; 8]).unwrap_err();
                    let source = error.get_ref().and_then(|inner| inner.downcast_ref());
                    matches!(source, Some(cancelled) if !Cancelled::is_timeout(cancelled))
                }),
            ),
        ];
        for (reason, wait) in waits {
            let handle = coroutine::spawn(move || {
                let ended = wait();
                // It stays cancelled; and each refused wait gives way.
                ended && cancel::check().is_err() && cancel::sleep(FAR).is_err()
            });
            until_waiting(handle.id(), reason);
            handle.cancel();
            assert!(handle.join().unwrap(), "{reason}");
        }
    });
}

#[test]
fn threads_are_cancelled_too() {
    on_each(|| {
        let (near, _far) = pair();
        let (told, heard) = channel::unbounded();
        let reader = thread::spawn(move || {
            told.send(()).unwrap();
            (&near).read(&mut [0; 8]).unwrap_err().to_string()
        });
        heard.recv().unwrap();
        reader.cancel();
        assert_eq!(reader.join().unwrap(), "cancelled");

        let (told, heard) = channel::unbounded();
        let (_sender, receiver) = channel::bounded::<u32>(1);
        let waiter = thread::spawn(move || {
            told.send(()).unwrap();
            receiver.recv()
        });
        heard.recv().unwrap();
        waiter.cancel();
        assert_eq!(waiter.join().unwrap(), Err(RecvError));
    });
}

#[test]
fn what_has_not_started_never_does() {
    crate::stage::with_workers(1, || {
        let ran = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ran);
        let handle = coroutine::spawn(move || counted.fetch_add(1, Ordering::SeqCst));
        // One worker, and we have it: it can't have started.
        handle.cancel();
        assert!(handle.join().unwrap_err().is_cancelled());

        let token = Token::new();
        let counted = Arc::clone(&ran);
        let handle = token.run(|| coroutine::spawn(move || counted.fetch_add(1, Ordering::SeqCst)));
        token.cancel();
        assert!(handle.join().unwrap_err().is_cancelled());
        assert_eq!(ran.load(Ordering::SeqCst), 0);
        assert_eq!(Arc::strong_count(&ran), 1, "the closures are gone");
    });
}

#[test]
fn locks_are_not_cancellation_points() {
    in_coroutines(|| {
        let lock = Arc::new(Mutex::new(0));
        let held = lock.lock();
        let theirs = Arc::clone(&lock);
        let handle = coroutine::spawn(move || {
            *theirs.lock() += 1;
            cancel::check().is_err()
        });
        until_waiting(handle.id(), "locking");
        handle.cancel();
        for _ in 0..10 {
            coroutine::yield_now();
        }
        assert!(!handle.is_finished());
        drop(held);
        assert!(handle.join().unwrap());
        assert_eq!(*lock.lock(), 1);
    });
}

#[test]
fn a_condition_is_not_a_cancellation_point() {
    in_coroutines(|| {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = Arc::clone(&shared);
        let handle = coroutine::spawn(move || {
            let mut ready = theirs.0.lock();
            theirs.1.wait_while(&mut ready, |ready| !*ready);
            *ready
        });
        until_waiting(handle.id(), "waiting for a condition");
        handle.cancel();
        coroutine::yield_now();
        *shared.0.lock() = true;
        shared.1.notify_one();
        assert!(handle.join().unwrap());
    });
}

#[test]
fn a_loop_that_ignores_its_cancellation_lets_others_run() {
    crate::stage::with_workers(1, || {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let stubborn = coroutine::spawn(move || {
            let mut refused = 0_u64;
            while !seen.load(Ordering::SeqCst) {
                refused += u64::from(cancel::sleep(FAR).is_err());
            }
            refused
        });
        until_waiting(stubborn.id(), "sleeping");
        stubborn.cancel();
        for _ in 0..100 {
            coroutine::yield_now();
        }
        stop.store(true, Ordering::SeqCst);
        assert!(stubborn.join().unwrap() > 1);
    });
}

#[test]
fn the_join_of_a_scope_is_not_cancelled() {
    in_coroutines(|| {
        let gate = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&gate);
        let owner = coroutine::spawn(move || {
            let mut borrowed = 0;
            coroutine::scope(|s| {
                s.spawn(|| {
                    until(|| theirs.load(Ordering::SeqCst));
                    borrowed = 5;
                });
            });
            borrowed
        });
        until_waiting(owner.id(), "waiting for a scope's children");
        owner.cancel();
        coroutine::yield_now();
        assert!(!owner.is_finished());
        gate.store(true, Ordering::SeqCst);
        assert_eq!(owner.join().unwrap(), 5);
    });
}
