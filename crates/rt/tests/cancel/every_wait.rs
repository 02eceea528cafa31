//! All that can be waited for: each wait is ended by a deadline, by the handle of the coroutine or
//! thread that waits, and by a token that was cancelled before; and says so by its own error.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_rt::cancel::{self, Cancelled, Token};
use ropewalk_rt::channel;
use ropewalk_rt::executor::CoroutinePool;
use ropewalk_rt::net::unix::UnixStream;
use ropewalk_rt::net::{TcpListener, UdpSocket};
use ropewalk_rt::process::Command;
use ropewalk_rt::results::{as_completed, join_all, race, wait_first};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{Group, JoinError, coroutine, promise, thread};

use crate::stage::{in_coroutines, on_each, until};
use crate::waits::{FAR, Wait, locks, meetings, messages};

fn is_cancelled<T>(result: io::Result<T>) -> bool {
    let Err(error) = result else { return false };
    let source = error.get_ref();
    error.kind() == ErrorKind::TimedOut
        || source.is_some_and(|source| source.downcast_ref::<Cancelled>().is_some())
}

/// Keeps tasks waiting until it is dropped.
#[derive(Default)]
struct Gate(Arc<Event>);

impl Gate {
    /// A task's body, which no cancellation of its caller ends.
    fn closed(&self) -> impl FnOnce() + Send + 'static {
        let gate = Arc::clone(&self.0);
        move || cancel::shield(|| gate.wait()).unwrap()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.set();
    }
}

fn full_pool(gate: &Gate) -> CoroutinePool {
    cancel::shield(|| {
        let pool = CoroutinePool::with_queue(1, 1);
        while pool.try_spawn(gate.closed()).is_ok() {}
        pool
    })
}

fn results() -> Vec<(&'static str, Wait)> {
    let wait_cancelled = |error: JoinError| matches!(error, JoinError::WaitCancelled);
    vec![
        (
            "PromiseHandle::join",
            Box::new(move || {
                let (_promise, handle) = promise::<u8>();
                handle.join().is_err_and(wait_cancelled)
            }),
        ),
        (
            "PromiseHandle::join_timeout",
            Box::new(|| {
                let (_promise, handle) = promise::<u8>();
                handle.join_timeout(FAR).is_err()
            }),
        ),
        (
            "join_all",
            Box::new(move || {
                let (_promise, handle) = promise::<u8>();
                join_all([handle]).remove(0).is_err_and(wait_cancelled)
            }),
        ),
        (
            "race",
            Box::new(move || {
                let (_promise, handle) = promise::<u8>();
                race([handle]).is_err_and(wait_cancelled)
            }),
        ),
        (
            "wait_first",
            Box::new(|| {
                let (_promise, handle) = promise::<u8>();
                wait_first(&mut vec![handle]).is_none()
            }),
        ),
        (
            "as_completed",
            Box::new(|| {
                let (_promise, handle) = promise::<u8>();
                as_completed([handle]).next().is_none()
            }),
        ),
        (
            "JoinHandle::join",
            Box::new(move || {
                let gate = Gate::default();
                let handle = cancel::shield(|| coroutine::spawn(gate.closed()));
                handle.join().is_err_and(wait_cancelled)
            }),
        ),
        (
            "JoinHandle::join_timeout",
            Box::new(|| {
                let gate = Gate::default();
                let handle = cancel::shield(|| coroutine::spawn(gate.closed()));
                handle.join_timeout(FAR).is_err()
            }),
        ),
        (
            "Group::join",
            Box::new(|| {
                let gate = Gate::default();
                let group = cancel::shield(|| {
                    let group = Group::new();
                    drop(group.spawn(gate.closed()));
                    group
                });
                group.join().is_err()
            }),
        ),
        (
            "CoroutinePool::spawn",
            Box::new(|| {
                let gate = Gate::default();
                let pool = full_pool(&gate);
                let refused = pool.spawn(gate.closed()).is_err();
                // The pool waits for its tasks when it is dropped.
                drop(gate);
                refused
            }),
        ),
        (
            "CoroutinePool::join",
            Box::new(|| {
                let gate = Gate::default();
                let pool = full_pool(&gate);
                pool.close();
                let ended = pool.join().is_err();
                drop(gate);
                ended
            }),
        ),
    ]
}

fn sockets() -> Vec<(&'static str, Wait)> {
    let local = (Ipv4Addr::LOCALHOST, 0);
    vec![
        (
            "read",
            Box::new(|| {
                let (near, _far) = UnixStream::pair().unwrap();
                is_cancelled((&near).read(&mut [0; 8]))
            }),
        ),
        (
            "write",
            Box::new(|| {
                let (near, _far) = UnixStream::pair().unwrap();
                let full = (0..10_000).find_map(|_| (&near).write(&[0; 65_536]).err());
                is_cancelled(full.map_or(Ok(()), Err))
            }),
        ),
        (
            "accept",
            Box::new(move || is_cancelled(TcpListener::bind(local).unwrap().accept())),
        ),
        (
            "recv_from",
            Box::new(move || is_cancelled(UdpSocket::bind(local).unwrap().recv_from(&mut [0; 8]))),
        ),
        (
            "peek_from",
            Box::new(move || is_cancelled(UdpSocket::bind(local).unwrap().peek_from(&mut [0; 8]))),
        ),
        (
            "reading a pipe",
            Box::new(|| {
                let (mut reader, _writer) = ropewalk_rt::io::pipe().unwrap();
                is_cancelled(reader.read(&mut [0; 8]))
            }),
        ),
    ]
}

/// A child's end; apart, as each is a process.
fn children() -> Vec<(&'static str, Wait)> {
    vec![(
        "Child::wait",
        Box::new(|| {
            let mut child = cancel::shield(|| Command::new("sleep").arg("3600").spawn()).unwrap();
            let ended = is_cancelled(child.wait());
            cancel::shield(|| {
                child.kill().unwrap();
                child.wait().unwrap();
            });
            ended
        }),
    )]
}

fn all() -> impl Iterator<Item = (&'static str, Wait)> {
    [
        locks(),
        meetings(),
        messages(),
        results(),
        sockets(),
        children(),
    ]
    .into_iter()
    .flatten()
}

#[test]
fn by_a_deadline() {
    on_each(|| {
        for (what, wait) in all() {
            let outcome = cancel::timeout(Duration::from_millis(2), wait);
            let ended = outcome.map_err(cancel::Elapsed::into_inner);
            assert_eq!(ended, Err(true), "{what}");
        }
    });
}

#[test]
fn by_a_token_that_is_cancelled_already() {
    on_each(|| {
        for (what, wait) in all() {
            let token = Token::root();
            token.cancel();
            assert!(token.run(wait), "{what}");
            assert!(cancel::check().is_ok());
        }
    });
}

#[test]
fn by_the_handle_of_a_coroutine() {
    in_coroutines(|| {
        for (what, wait) in all() {
            let waiter = coroutine::spawn(wait);
            until(|| {
                let tasks = coroutine::list();
                let task = tasks.iter().find(|task| task.id() == waiter.id());
                task.is_some_and(|task| !["running", "runnable"].contains(&task.waits_for()))
            });
            waiter.cancel();
            assert!(waiter.join().unwrap(), "{what}");
        }
    });
}

#[test]
fn by_the_handle_of_a_thread() {
    on_each(|| {
        for (what, wait) in all() {
            let (began, begins) = channel::bounded(1);
            let waiter = thread::spawn(move || {
                began.send(()).unwrap();
                wait()
            });
            begins.recv().unwrap();
            coroutine::yield_now();
            waiter.cancel();
            assert!(waiter.join().unwrap(), "{what}");
        }
    });
}
