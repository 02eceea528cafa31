//! Who waits and who wakes: threads, coroutines and async tasks, in all pairings; and futures
//! polled by hand.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use ropewalk_rt::{JoinHandle, spawn, spawn_async, thread};

use crate::stage::on_each;

/// What a waiter or a waker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Thread,
    Coroutine,
    Task,
}

impl Who {
    pub(crate) const ALL: [Who; 3] = [Who::Thread, Who::Coroutine, Who::Task];

    /// Waits: in the blocking form, or as a future.
    pub(crate) fn wait<T: Send + 'static>(
        self,
        blocking: impl FnOnce() -> T + Send + 'static,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        match self {
            Who::Thread => thread::spawn(blocking),
            Who::Coroutine => spawn(blocking),
            Who::Task => spawn_async(future),
        }
    }

    /// Does something that doesn't wait.
    pub(crate) fn act<T: Send + 'static>(
        self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        match self {
            Who::Thread => thread::spawn(act),
            Who::Coroutine => spawn(act),
            Who::Task => spawn_async(async { act() }),
        }
    }
}

/// Runs `body` for each waiter and waker, on each stage.
pub(crate) fn in_pairings(body: impl Fn(Who, Who) + Sync) {
    on_each(|| {
        for waiter in Who::ALL {
            for waker in Who::ALL {
                let pair = Pair(waiter, waker);
                body(waiter, waker);
                std::mem::forget(pair);
            }
        }
    });
}

/// Says which pairing failed.
struct Pair(Who, Who);

impl Drop for Pair {
    fn drop(&mut self) {
        eprintln!("failed with {self}");
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} as waiter, {:?} as waker", self.0, self.1)
    }
}

/// A future polled by hand, whose wakes are counted.
pub(crate) struct Polled<F> {
    future: Pin<Box<F>>,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl<F: Future> Polled<F> {
    pub(crate) fn new(future: F) -> Polled<F> {
        Polled {
            future: Box::pin(future),
            wakes: Arc::default(),
        }
    }

    /// A future that has been polled and was not ready.
    pub(crate) fn waiting(future: F) -> Polled<F> {
        let mut polled = Polled::new(future);
        assert!(polled.poll().is_none(), "ready at once");
        polled
    }

    pub(crate) fn poll(&mut self) -> Option<F::Output> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// How often it was woken.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::SeqCst)
    }
}
