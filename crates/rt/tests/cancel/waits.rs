//! Waits for what never comes, for `every_wait`: locks, meetings and messages.

use std::sync::Arc;
use std::time::Duration;

use ropewalk_rt::cancel::{self, Token, WaitError};
use ropewalk_rt::channel::{self, RecvError, Select, SendError, broadcast, watch};
use ropewalk_rt::queue::{GetError, PutError, Queue};
use ropewalk_rt::sync::{
    Barrier, Condvar, Event, Mutex, MutexExt, RateLimiter, ReentrantMutex, ReentrantMutexExt,
    RwLock, RwLockExt, Semaphore, WaitGroup,
};
use ropewalk_rt::{select, thread};

/// Never in a test.
pub(crate) const FAR: Duration = Duration::from_secs(3600);

/// Waits for what never comes, and says whether it ended as it should.
pub(crate) type Wait = Box<dyn FnOnce() -> bool + Send>;

pub(crate) fn locks() -> Vec<(&'static str, Wait)> {
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

pub(crate) fn meetings() -> Vec<(&'static str, Wait)> {
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

pub(crate) fn messages() -> Vec<(&'static str, Wait)> {
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
