//! Waiting from `async` code, and for `async` code from anywhere else.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::queue::{Kind, Node, QueueGuard, Rivals, WAITING, Wait, WaitQueue};
use super::{Limit, Outcome, Reason};
use crate::cancel::Cancelled;

/// A waiter that is a [`Waker`]: stands in one queue at a time.
///
/// It is woken, never handed anything: the future looks again when it is polled.
pub struct AsyncWait {
    parts: Option<Pin<Box<Parts>>>,
}

struct Parts {
    wait: Wait,
    node: Option<Node>,
    /// The waker of the poll under way, cloned before the queue's lock is taken.
    newest: Option<Waker>,
}

// SAFETY: the parts are only touched by their owner and, while linked, under the queue's
// lock.
unsafe impl Send for AsyncWait {}
// SAFETY: no method takes `&self`.
unsafe impl Sync for AsyncWait {}

impl Default for AsyncWait {
    fn default() -> Self {
        Self::new()
    }
}

impl AsyncWait {
    /// A waiter that stands in no queue.
    pub const fn new() -> AsyncWait {
        AsyncWait { parts: None }
    }

    /// Takes the waker of the poll under way: call it before taking the queue's lock, as
    /// cloning a waker runs foreign code.
    pub fn prepare(&mut self, context: &Context<'_>) {
        let waker = Some(context.waker().clone());
        match &mut self.parts {
            // SAFETY: `newest` is not part of what others may refer to.
            Some(parts) => unsafe { parts.as_mut().get_unchecked_mut().newest = waker },
            None => {
                let wait = Wait::new(Kind::Waker(None.into()), Rivals::None);
                self.parts = Some(Box::pin(Parts {
                    wait,
                    node: None,
                    newest: waker,
                }));
            }
        }
    }

    /// Joins `guard`'s queue with the prepared waker, or stays in it with that one in the
    /// place of the old, and lets go of the lock.
    ///
    /// # Safety
    ///
    /// The waiter [`leave`](Self::leave)s this queue before the queue or the waiter goes,
    /// and before it joins another.
    ///
    /// # Panics
    ///
    /// If [`prepare`](Self::prepare) was not called.
    pub unsafe fn join(&mut self, mut guard: QueueGuard<'_>) {
        let parts = self.parts.as_mut().expect("`prepare` comes before `join`");
        // SAFETY: nothing is moved out of the box.
        let parts = unsafe { parts.as_mut().get_unchecked_mut() };
        let Kind::Waker(slot) = &parts.wait.kind else {
            unreachable!("a wait of a future")
        };
        // SAFETY: the slot is ours under the queue's lock.
        let old = unsafe { std::mem::replace(&mut *slot.get(), parts.newest.take()) };
        let linked = parts.node.as_ref().is_some_and(|node| node.linked.get());
        if !linked {
            parts.wait.claim.store(WAITING, Ordering::Relaxed);
            let node = Node::new(&parts.wait, 0, 0);
            let node = parts.node.insert(node);
            // SAFETY: unlinked, boxed, and unlinked again before the box goes.
            unsafe { guard.link(node) };
        }
        drop(guard);
        drop(old);
    }

    /// Leaves `queue`, if it still stands in it; says whether it was woken since it joined.
    ///
    /// A future that was woken and then dropped before it looked must pass the wake on.
    #[inline]
    pub fn leave(&mut self, queue: &WaitQueue) -> bool {
        self.parts
            .as_ref()
            .is_some_and(|parts| parts.node.is_some())
            && self.leave_slow(queue)
    }

    #[cold]
    fn leave_slow(&mut self, queue: &WaitQueue) -> bool {
        let Some(parts) = &mut self.parts else {
            return false;
        };
        // SAFETY: nothing is moved out of the box while it is linked.
        let parts = unsafe { parts.as_mut().get_unchecked_mut() };
        let Some(node) = &parts.node else {
            return false;
        };
        let Kind::Waker(slot) = &parts.wait.kind else {
            unreachable!("a wait of a future")
        };
        let mut guard = queue.lock();
        let linked = node.linked.get();
        if linked {
            // SAFETY: linked in this queue, by the contract of `join`.
            unsafe { guard.unlink(node) };
        }
        // SAFETY: the slot is ours under the queue's lock.
        let old = unsafe { (*slot.get()).take() };
        drop(guard);
        parts.node = None;
        drop(old);
        !linked
    }
}

struct Signal {
    queue: WaitQueue,
    notified: AtomicBool,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.notified.swap(true, Ordering::SeqCst) {
            self.queue.wake_one();
        }
    }
}

/// Runs a future to its end, waiting between polls: a coroutine parks, a thread blocks.
///
/// The future must not need another runtime's reactor. This is not a cancellation point:
/// [`block_on_cancellable`] is.
///
/// # Panics
///
/// As the future does; and when it must wait inside [`no_wait`](super::no_wait).
pub fn block_on<F: Future>(future: F) -> F::Output {
    match drive(future, Limit::NONE) {
        Ok(output) => output,
        Err(_) => unreachable!("a wait without limit was cancelled"),
    }
}

/// As [`block_on`], and ends when the caller is cancelled: the future is dropped then.
///
/// # Errors
///
/// [`Cancelled`], also if the caller was cancelled before; a future that is ready at once is
/// taken all the same.
///
/// # Panics
///
/// As [`block_on`].
pub fn block_on_cancellable<F: Future>(future: F) -> Result<F::Output, Cancelled> {
    drive(future, Limit::cancellable(None))
}

fn drive<F: Future>(future: F, limit: Limit) -> Result<F::Output, Cancelled> {
    let mut future = pin!(future);
    let signal = Arc::new(Signal {
        queue: WaitQueue::new(),
        notified: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        let guard = signal.queue.lock();
        if !signal.notified.swap(false, Ordering::SeqCst) {
            let object = Arc::as_ptr(&signal) as usize;
            if guard.wait(0, Reason::Future, object, limit) == Outcome::Cancelled {
                return Err(Cancelled::current());
            }
            signal.notified.swap(false, Ordering::SeqCst);
            continue;
        }
        drop(guard);
        // Woken while it was polled, perhaps by itself: others have their turn between.
        if super::in_coroutine() && super::may_wait() {
            super::yield_now();
        }
    }
}
