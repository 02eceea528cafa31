//! All that can be waited for: each wait is ended by a deadline, by the handle of the coroutine or
//! thread that waits, and by a token that was cancelled before; and says so by its own error.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_rt::cancel::{self, Cancelled, Token, WaitError};
use ropewalk_rt::channel::{self, RecvError, Select, SendError, broadcast, watch};
use ropewalk_rt::executor::CoroutinePool;
use ropewalk_rt::net::unix::UnixStream;
use ropewalk_rt::net::{TcpListener, UdpSocket};
use ropewalk_rt::process::Command;
use ropewalk_rt::queue::{GetError, PutError, Queue};
use ropewalk_rt::results::{as_completed, join_all, race, wait_first};
use ropewalk_rt::sync::{
    Barrier, Condvar, Event, Mutex, MutexExt, RateLimiter, ReentrantMutex, ReentrantMutexExt,
    RwLock, RwLockExt, Semaphore, WaitGroup,
};
use ropewalk_rt::{Group, JoinError, coroutine, promise, select, thread};

use crate::stage::{in_coroutines, on_each, until};

/// Never in a test.
const FAR: Duration = Duration::from_secs(3600);

/// Waits for what never comes, and says whether it ended as it should.
type Wait = Box<dyn FnOnce() -> bool + Send>;

fn is_cancelled<T>(result: io::Result<T>) -> bool {
    let Err(error) = result else { return false };
    let source = error.get_ref();
    error.kind() == ErrorKind::TimedOut
        || source.is_some_and(|source| source.downcast_ref::<Cancelled>().is_some())
}

fn locks() -> Vec<(&'static str, Wait)> {
    fn held<L: Send + 'static>(lock: L, wait: impl Fn(&L) -> bool + Send + 'static) -> Wait {
        Box::new(move || wait(&lock))
    }
    let mutex = Arc::new(Mutex::new(()));
    std::mem::forget(Mutex::lock_arc(&mutex));
    let lock = Arc::new(RwLock::new(()));
    std::mem::forget(RwLock::write_arc(&lock));
    let read = Arc::new(RwLock::new(()));
    std::mem::forget(RwLock::read_arc(&read));
    let reentrant = Arc::new(ReentrantMutex::new(()));
    let holder = Arc::clone(&reentrant);
    thread::spawn(move || std::mem::forget(holder.lock()))
        .join()
        .unwrap();
    vec![
        (
            "Mutex::lock_cancellable",
            held(mutex.clone(), |lock| lock.lock_cancellable().is_err()),
        ),
        (
            "Mutex::try_lock_for",
            held(mutex, |lock| lock.try_lock_for(FAR).is_none()),
        ),
        (
            "ReentrantMutex::lock_cancellable",
            held(reentrant.clone(), |lock| lock.lock_cancellable().is_err()),
        ),
        (
            "ReentrantMutex::try_lock_for",
            held(reentrant, |lock| lock.try_lock_for(FAR).is_none()),
        ),
        (
            "RwLock::read_cancellable",
            held(lock.clone(), |lock| lock.read_cancellable().is_err()),
        ),
        (
            "RwLock::try_read_for",
            held(lock.clone(), |lock| lock.try_read_for(FAR).is_none()),
        ),
        (
            "RwLock::upgradable_read_cancellable",
            held(lock, |lock| lock.upgradable_read_cancellable().is_err()),
        ),
        (
            "RwLock::write_cancellable",
            held(read.clone(), |lock| lock.write_cancellable().is_err()),
        ),
        (
            "RwLock::try_upgrade_for",
            held(read, |lock| {
                let upgradable = lock.upgradable_read();
                lock_api::RwLockUpgradableReadGuard::try_upgrade_for(upgradable, FAR).is_err()
            }),
        ),
    ]
}

fn meetings() -> Vec<(&'static str, Wait)> {
    vec![
        (
            "Condvar::wait_cancellable",
            Box::new(|| {
                let (lock, changed) = (Mutex::new(()), Condvar::new());
                let mut guard = lock.lock();
                changed.wait_cancellable(&mut guard).is_err() && lock.is_locked()
            }),
        ),
        (
            "Semaphore::acquire",
            Box::new(|| Semaphore::new(0).acquire().is_err()),
        ),
        (
            "Semaphore::acquire_timeout",
            Box::new(|| Semaphore::new(0).acquire_timeout(FAR).err() == Some(WaitError::Cancelled)),
        ),
        ("Event::wait", Box::new(|| Event::new().wait().is_err())),
        (
            "Event::wait_timeout",
            Box::new(|| Event::new().wait_timeout(FAR) == Err(WaitError::Cancelled)),
        ),
        (
            "Barrier::wait_cancellable",
            Box::new(|| Barrier::new(2).wait_cancellable().is_err()),
        ),
        (
            "WaitGroup::wait_cancellable",
            Box::new(|| {
                let group = WaitGroup::new();
                let _member = group.clone();
                group.wait_cancellable().is_err()
            }),
        ),
        (
            "RateLimiter::acquire",
            Box::new(|| {
                let limiter = RateLimiter::new(1, FAR);
                limiter.acquire().is_ok() && limiter.acquire().is_err()
            }),
        ),
        (
            "Token::wait",
            Box::new(|| {
                let token = Token::root();
                token.wait();
                !token.is_cancelled()
            }),
        ),
        ("cancel::sleep", Box::new(|| cancel::sleep(FAR).is_err())),
    ]
}

fn messages() -> Vec<(&'static str, Wait)> {
    fn receives(capacity: Option<usize>) -> Wait {
        Box::new(move || {
            let (_sender, receiver) = capacity.map_or_else(channel::unbounded, channel::bounded);
            receiver.recv() == Err::<u8, _>(RecvError)
        })
    }
    fn sends(capacity: usize) -> Wait {
        Box::new(move || {
            let (sender, _receiver) = channel::bounded(capacity);
            (0..capacity).for_each(|_| sender.send(1).unwrap());
            sender.send(2) == Err(SendError(2))
        })
    }
    vec![
        ("recv, rendezvous", receives(Some(0))),
        ("recv, bounded", receives(Some(3))),
        ("recv, unbounded", receives(None)),
        ("send, rendezvous", sends(0)),
        ("send, bounded", sends(3)),
        (
            "recv of an alarm",
            Box::new(|| channel::after(FAR).recv().is_err()),
        ),
        (
            "recv of a ticker",
            Box::new(|| channel::tick(FAR).recv().is_err()),
        ),
        (
            "recv of nothing",
            Box::new(|| channel::never::<u8>().recv().is_err()),
        ),
        (
            "select!",
            Box::new(|| {
                let (sender, receiver) = channel::bounded::<u8>(0);
                select! {
                    recv(receiver) -> message => message.is_err(),
                    send(sender, 1) -> sent => sent.is_err(),
                    default(FAR) => false,
                }
            }),
        ),
        (
            "Select::select",
            Box::new(|| {
                let (_sender, receiver) = channel::unbounded::<u8>();
                let mut select = Select::new();
                select.recv(&receiver);
                select.select().recv(&receiver).is_err()
            }),
        ),
        (
            "Select::ready",
            Box::new(|| {
                let (_sender, receiver) = channel::unbounded::<u8>();
                let mut select = Select::new();
                let index = select.recv(&receiver);
                select.ready() == index && receiver.try_recv().is_err()
            }),
        ),
        (
            "watch: changed",
            Box::new(|| {
                let (_sender, mut receiver) = watch::channel(0);
                receiver.changed().is_err() && receiver.wait_for(|n| *n > 0).is_err()
            }),
        ),
        (
            "watch: closed",
            Box::new(|| {
                let (sender, _receiver) = watch::channel(0);
                sender.closed().is_err()
            }),
        ),
        (
            "broadcast: recv",
            Box::new(|| {
                let (_sender, mut receiver) = broadcast::channel::<u8>(1);
                receiver.recv().is_err()
            }),
        ),
        (
            "Queue::get",
            Box::new(|| Queue::<u8>::unbounded().get() == Err(GetError::Cancelled)),
        ),
        (
            "Queue::put",
            Box::new(|| {
                let queue = Queue::with_maxsize(1);
                queue.put(1).is_ok() && queue.put(2) == Err(PutError::Cancelled(2))
            }),
        ),
        (
            "Queue::join",
            Box::new(|| {
                let queue = Queue::unbounded();
                queue.put(1).is_ok() && queue.join().is_err()
            }),
        ),
    ]
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
