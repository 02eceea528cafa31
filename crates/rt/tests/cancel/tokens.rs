//! Tokens as a tree, shields, and what is inherited.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{self, Token, TokenExt, shield};
use ropewalk_rt::{block_on, channel, coroutine, thread};

use crate::stage::{on_each, until, until_waiting};

const FAR: Duration = Duration::from_secs(3600);

#[test]
fn a_tree_is_cancelled_from_a_node_downwards() {
    on_each(|| {
        let root = Token::root();
        let left = root.child();
        let right = root.child();
        let leaf = left.child();
        left.cancel();
        assert!(left.is_cancelled() && leaf.is_cancelled());
        assert!(!root.is_cancelled() && !right.is_cancelled());
        assert!(left.child().is_cancelled(), "born cancelled");
        root.cancel();
        assert!(right.is_cancelled());
    });
}

#[test]
fn what_is_spawned_stands_under_the_spawners_token() {
    on_each(|| {
        let token = Token::new();
        let ended = Arc::new(AtomicUsize::new(0));
        let (told, heard) = channel::unbounded();
        let tasks: Vec<_> = token.run(|| {
            (0..10)
                .map(|_| {
                    let (ended, told) = (Arc::clone(&ended), told.clone());
                    coroutine::spawn(move || {
                        // And their children.
                        let (theirs, told) = (Arc::clone(&ended), told.clone());
                        let child = coroutine::spawn(move || {
                            told.send(coroutine::current().id()).unwrap();
                            assert!(cancel::sleep(FAR).is_err());
                            theirs.fetch_add(1, Ordering::SeqCst);
                        });
                        assert!(cancel::sleep(FAR).is_err());
                        shield(|| child.join()).unwrap();
                        ended.fetch_add(1, Ordering::SeqCst);
                    })
                })
                .collect()
        });
        for _ in 0..10 {
            until_waiting(heard.recv().unwrap(), "sleeping");
        }
        token.cancel();
        for task in tasks {
            task.join().unwrap();
        }
        assert_eq!(ended.load(Ordering::SeqCst), 20);
        assert!(cancel::check().is_ok(), "the caller is not concerned");
    });
}

#[test]
fn threads_inherit_as_well() {
    on_each(|| {
        let token = Token::new();
        let (told, heard) = channel::unbounded();
        let sleeper = token.run(|| {
            thread::spawn(move || {
                told.send(()).unwrap();
                cancel::sleep(FAR).is_err()
            })
        });
        heard.recv().unwrap();
        token.cancel();
        assert!(sleeper.join().unwrap());
    });
}

#[test]
fn the_earliest_deadline_counts() {
    on_each(|| {
        let soon = Instant::now() + Duration::from_millis(5);
        let outer = cancel::deadline(soon, || {
            let inner = cancel::timeout(FAR, || cancel::sleep(FAR));
            // It was the outer's deadline: the inner one has nothing to report.
            inner.unwrap()
        });
        let error = outer.unwrap_err().into_inner().unwrap_err();
        assert!(error.is_timeout());
        assert!(cancel::check().is_ok());
    });
}

#[test]
fn a_shield_holds_it_off() {
    on_each(|| {
        let token = Token::new();
        let (told, heard) = channel::unbounded();
        let (go, gate) = channel::unbounded();
        let task = token.run(|| {
            coroutine::spawn(move || {
                let shielded = shield(|| {
                    told.send(()).unwrap();
                    let received = gate.recv();
                    received.is_ok()
                        && cancel::check().is_ok()
                        && cancel::sleep(Duration::ZERO).is_ok()
                });
                (shielded, cancel::sleep(FAR).is_err())
            })
        });
        heard.recv().unwrap();
        token.cancel();
        task.cancel();
        go.send(()).unwrap();
        assert_eq!(task.join().unwrap(), (true, true));
    });
}

#[test]
fn a_token_can_be_waited_for() {
    on_each(|| {
        let token = Token::root();
        let theirs = token.clone();
        let waiter = coroutine::spawn(move || {
            theirs.wait();
            theirs.is_cancelled()
        });
        let theirs = token.clone();
        let awaiting = ropewalk_rt::spawn_async(async move { theirs.cancelled().await });
        until_waiting(waiter.id(), "waiting for an event");
        token.cancel();
        assert!(waiter.join().unwrap());
        awaiting.join().unwrap();
        block_on(Token::with_timeout(Duration::from_millis(2)).cancelled());
    });
}

/// A canceller that had taken a thread's name from the token's list ended whichever wait the
/// thread was in by the time it got there.
#[test]
fn a_token_that_a_thread_has_left_ends_none_of_its_waits() {
    use ropewalk_rt::channel::RecvTimeoutError;
    use std::future::Future;
    use std::sync::atomic::AtomicBool;
    use std::task::{Context, Wake, Waker};

    /// Holds the canceller up between taking the names and telling them.
    #[derive(Default)]
    struct Holdup {
        reached: AtomicBool,
        left: AtomicBool,
    }
    impl Wake for Holdup {
        fn wake(self: Arc<Self>) {
            self.reached.store(true, Ordering::SeqCst);
            while !self.left.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            // Until the thread waits again, most likely.
            for _ in 0..2000 {
                std::thread::yield_now();
            }
        }
    }

    let token = Token::root();
    let holdup = Arc::new(Holdup::default());
    let mut cancelled = Box::pin(token.cancelled());
    let waker = Waker::from(Arc::clone(&holdup));
    let mut context = Context::from_waker(&waker);
    assert!(cancelled.as_mut().poll(&mut context).is_pending());
    let (told, heard) = channel::bounded(1);
    let (theirs, shared) = (token.clone(), Arc::clone(&holdup));
    let thread = thread::spawn(move || {
        let (_sender, never) = channel::bounded::<()>(1);
        theirs.run(|| {
            told.send(()).unwrap();
            until(|| shared.reached.load(Ordering::SeqCst));
        });
        shared.left.store(true, Ordering::SeqCst);
        never.recv_timeout(Duration::from_millis(300))
    });
    heard.recv().unwrap();
    token.cancel();
    assert_eq!(thread.join().unwrap(), Err(RecvTimeoutError::Timeout));
}

#[test]
fn tokens_come_and_go_without_a_trace() {
    on_each(|| {
        let root = Token::root();
        for round in 0..1000 {
            let child = root.child();
            if round % 3 == 0 {
                child.cancel();
            }
            let value = child.run(|| coroutine::spawn(move || round));
            drop(child);
            let _ = value.join();
        }
        // A chain that is dropped from its end.
        let mut end = root.child();
        for _ in 0..100_000 {
            end = end.child();
        }
        drop(end);
        assert!(!root.is_cancelled());
    });
}

#[test]
fn a_hundred_thousand_are_cancelled_at_once() {
    let runtime = crate::stage::any_runtime(2);
    runtime.run(|| {
        let token = Token::new();
        let ended = Arc::new(AtomicUsize::new(0));
        let asleep = Arc::new(AtomicUsize::new(0));
        let count = if cfg!(debug_assertions) {
            5_000
        } else {
            100_000
        };
        let tasks: Vec<_> = token.run(|| {
            (0..count)
                .map(|_| {
                    let (ended, asleep) = (Arc::clone(&ended), Arc::clone(&asleep));
                    coroutine::spawn(move || {
                        asleep.fetch_add(1, Ordering::SeqCst);
                        if cancel::sleep(FAR).is_err() {
                            ended.fetch_add(1, Ordering::SeqCst);
                        }
                    })
                })
                .collect()
        });
        until(|| asleep.load(Ordering::SeqCst) == count);
        token.cancel();
        for task in tasks {
            task.join().unwrap();
        }
        assert_eq!(ended.load(Ordering::SeqCst), count);
    });
    crate::stage::close(runtime);
}
