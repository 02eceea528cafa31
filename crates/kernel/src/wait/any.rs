//! One wait in several queues: what `select!` and `wait_first` stand on.
//!
//! The wait has a node in each queue and one claim word; whoever moves the word decides the
//! wait, and every other waker passes over it. While the queues are joined one after another,
//! the wait may be decided already: the waiter then parks all the same, to take the one
//! unpark that its claimer owes it.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use super::context::{Context, check_may_wait};
use super::queue::{
    DECISION, EXPIRED, INDEX_SHIFT, Kind, Node, QueueGuard, Rivals, WAITING, WOKEN, Wait,
};
use super::thread::ThreadParker;
use super::waiting::{Bound, block_until_decided, bound_of_thread, park_until_decided};
use super::{AbortOnUnwind, Limit, Outcome, Reason};

/// How a wait in several queues ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selected {
    /// The object with this index was ready when it was looked at; nobody has claimed the
    /// waiter.
    Ready(usize),
    /// A waker claimed the waiter in the queue with this index.
    Woken(usize),
    /// The deadline passed first.
    Expired,
    /// The waiter was cancelled.
    Cancelled,
}

/// A waiter's place in one of the queues it is about to join.
pub struct Place<'w, 'q> {
    node: &'w Node,
    wait: &'w Wait,
    queues: PhantomData<fn(&'q ()) -> &'q ()>,
}

/// Says that a [`Place`] was taken.
#[derive(Debug)]
pub struct Joined(());

impl<'q> Place<'_, 'q> {
    /// Joins the queue and lets go of its lock. `token` is what a waker reads.
    pub fn join(self, mut guard: QueueGuard<'q>, token: usize) -> Joined {
        self.node.token.set(token);
        // SAFETY: the node stays until `wait_any` returns, which takes it out before; the
        // queue outlives that call, as `'q` does.
        unsafe { guard.link(self.node) };
        Joined(())
    }

    /// A number that is this wait's own as long as it lasts; for
    /// [`QueueGuard::anyone_waiting`].
    pub fn id(&self) -> usize {
        std::ptr::from_ref(self.wait) as usize
    }
}

/// Waits in `count` queues at once, until one wakes the caller, or as long as `limit` allows.
///
/// `join` is called for each index in turn. It locks that object; if there is nothing to wait
/// for it gives `None`, which ends the wait as [`Selected::Ready`], else it joins the object's
/// queue through the place and gives what that returns. It must not unwind (the process is
/// aborted) nor wait.
///
/// # Panics
///
/// Inside [`no_wait`](super::no_wait).
pub fn wait_any<'q>(
    count: usize,
    reason: Reason,
    object: usize,
    limit: Limit,
    join: &mut dyn FnMut(usize, Place<'_, 'q>) -> Option<Joined>,
) -> Selected {
    const INLINE: usize = 8;
    check_may_wait();
    assert!(
        count < (u32::MAX >> INDEX_SHIFT) as usize,
        "too many queues to wait in"
    );
    let mut inline = [const { MaybeUninit::<Node>::uninit() }; INLINE];
    let mut boxed = Vec::new();
    let nodes: &mut [MaybeUninit<Node>] = if count <= INLINE {
        &mut inline[..count]
    } else {
        boxed.resize_with(count, MaybeUninit::uninit);
        &mut boxed
    };
    match Context::current() {
        Context::Coroutine(worker, record) => {
            let Some(bound) = Bound::of_coroutine(limit, record) else {
                worker.yield_now(record);
                return Selected::Cancelled;
            };
            let wait = Wait::new(Kind::Coroutine(NonNull::from(record)), Rivals::All);
            let ended = stand_in_all(&wait, nodes, join, &mut || {
                // SAFETY: `stand_in_all` aborts on unwinding.
                unsafe { park_until_decided(worker, record, &wait, &bound, (reason, object)) }
            });
            selected(ended, &bound, Some(record))
        }
        Context::Thread => {
            let Some((bound, slot)) = bound_of_thread(limit) else {
                std::thread::yield_now();
                return Selected::Cancelled;
            };
            ThreadParker::with(|parker| {
                let wait = Wait::new(Kind::Thread(NonNull::from(parker)), Rivals::All);
                let ended = stand_in_all(&wait, nodes, join, &mut || {
                    block_until_decided(parker, &wait, &bound, slot.as_deref(), (reason, object))
                });
                selected(ended, &bound, None)
            })
        }
    }
}

/// The claim word, or the index of the object that was ready.
type Ended = Result<u32, usize>;

fn stand_in_all<'q>(
    wait: &Wait,
    nodes: &mut [MaybeUninit<Node>],
    join: &mut dyn FnMut(usize, Place<'_, 'q>) -> Option<Joined>,
    park: &mut dyn FnMut() -> u32,
) -> Ended {
    let guard = AbortOnUnwind;
    let mut joined = 0;
    let mut ready = None;
    for (index, slot) in nodes.iter_mut().enumerate() {
        let node = &*slot.write(Node::new(wait, index as u32, 0));
        joined += 1;
        let place = Place {
            node,
            wait,
            queues: PhantomData,
        };
        if join(index, place).is_none() {
            ready = Some(index);
            break;
        }
        if wait.claim.load(Ordering::Relaxed) != WAITING {
            break;
        }
    }
    let ended = match ready {
        Some(index) if wait.decide(EXPIRED).is_ok() => Err(index),
        _ => Ok(park()),
    };
    for slot in &nodes[..joined] {
        // SAFETY: written above.
        let node = unsafe { slot.assume_init_ref() };
        // SAFETY: its queue outlives the call, and the wait is decided.
        unsafe { node.leave() };
    }
    std::mem::forget(guard);
    ended
}

fn selected(ended: Ended, bound: &Bound, record: Option<&crate::record::Record>) -> Selected {
    match ended {
        Err(index) => Selected::Ready(index),
        Ok(claim) if claim & DECISION == WOKEN => Selected::Woken((claim >> INDEX_SHIFT) as usize),
        Ok(claim) => match bound.outcome(claim & DECISION, record) {
            Outcome::Expired => Selected::Expired,
            _ => Selected::Cancelled,
        },
    }
}
