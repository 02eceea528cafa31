//! Calls that a runtime makes later: in order, one after the other, on one coroutine.
//!
//! The calls stand in a map by time and number. The coroutine that makes them is there while
//! there are any: it takes the first that is due, calls it, and else waits for the first one's
//! time or for an earlier one. So a call never runs beside another, and those of the same time
//! run as they were asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ropewalk_kernel::cancel::Token;
use ropewalk_kernel::clock;
use ropewalk_kernel::remote::Remote;
use ropewalk_kernel::task::Options;
use ropewalk_kernel::wait::no_wait;

use crate::sync::{Condvar, Mutex};

type Call = Box<dyn FnOnce() + Send>;
/// Clock nanoseconds, and what tells those of the same time apart.
type Key = (u64, u64);

/// What a runtime is to call.
pub(super) struct Calls {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    calls: BTreeMap<Key, Call>,
    next: u64,
    /// Whether there is a coroutine that makes them.
    served: bool,
    closed: bool,
}

/// The runtime was shut down: it calls nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the runtime was shut down")
    }
}

impl std::error::Error for Closed {}

impl Calls {
    pub(super) const fn new() -> Calls {
        Calls {
            state: Mutex::new(State {
                calls: BTreeMap::new(),
                next: 0,
                served: false,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Has `call` called at `when`, in clock nanoseconds.
    pub(super) fn add(
        self: &Arc<Self>,
        remote: &Remote,
        when: u64,
        call: Call,
    ) -> Result<DelayedCall, Closed> {
        let mut state = self.state.lock();
        if state.closed || remote.is_stopped() {
            drop(state);
            drop(call);
            return Err(Closed);
        }
        let key = (when, state.next);
        state.next += 1;
        state.calls.insert(key, call);
        let first = state.calls.first_key_value().map(|(key, _)| *key) == Some(key);
        let serve = !std::mem::replace(&mut state.served, true);
        drop(state);
        if serve {
            let calls = Arc::clone(self);
            let options = Options {
                name: Some("calls".into()),
                daemon: Some(true),
                ..Options::default()
            };
            let site = std::panic::Location::caller();
            // Not under the token of whoever happens to be the first to ask; and whoever asks
            // waits for nobody, so that this goes over a limit on coroutines.
            let spawned = Token::root()
                .run(|| no_wait(|| remote.spawn(options, site, move || calls.serve())));
            // In a forked child, where nobody would make the call.
            drop(spawned.unwrap_or_else(|error| panic!("{error}")));
        } else if first {
            self.changed.notify_one();
        }
        Ok(DelayedCall {
            calls: Arc::downgrade(self),
            key,
        })
    }

    /// Makes the calls until there are none.
    fn serve(&self) {
        let mut state = self.state.lock();
        while let Some((&key, _)) = state.calls.first_key_value() {
            let (when, _) = key;
            if when > clock::now_ns() {
                let deadline = clock::ns_to_instant(when);
                self.changed.wait_until(&mut state, deadline);
                continue;
            }
            let call = state.calls.remove(&key).expect("the first one");
            drop(state);
            // The panic hook has told of it; the others are called all the same, also when what it
            // panicked with panics once more as it is dropped.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(call))
                && let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
            {
                std::mem::forget(again);
            }
            state = self.state.lock();
        }
        state.served = false;
    }

    /// Takes no more calls; drops those that are not due.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let now = clock::now_ns();
        let later = state.calls.split_off(&(now.saturating_add(1), 0));
        drop(state);
        self.changed.notify_one();
        drop(later);
    }

    /// Drops what is left; nobody serves any more.
    pub(super) fn clear(&self) {
        self.close();
        let left = std::mem::take(&mut self.state.lock().calls);
        drop(left);
    }

    fn cancel(&self, key: Key) -> bool {
        let call = self.state.lock().calls.remove(&key);
        // Its captures go without the lock.
        call.is_some()
    }

    fn is_pending(&self, key: Key) -> bool {
        self.state.lock().calls.contains_key(&key)
    }
}

/// A call that a runtime is to make; from [`Runtime::call_later`] and its like.
///
/// Dropping it changes nothing.
///
/// [`Runtime::call_later`]: super::Runtime::call_later
#[derive(Clone)]
pub struct DelayedCall {
    calls: Weak<Calls>,
    key: Key,
}

impl DelayedCall {
    /// Has it not called, if it was not called yet; its closure is dropped at once. Says
    /// whether it was in time.
    pub fn cancel(&self) -> bool {
        self.calls
            .upgrade()
            .is_some_and(|calls| calls.cancel(self.key))
    }

    /// Says whether it is still to be called.
    pub fn is_pending(&self) -> bool {
        self.calls
            .upgrade()
            .is_some_and(|calls| calls.is_pending(self.key))
    }

    /// When it is, or was, to be called.
    pub fn when(&self) -> Instant {
        clock::ns_to_instant(self.key.0)
    }
}

impl fmt::Debug for DelayedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.key.0.saturating_sub(clock::now_ns());
        f.debug_struct("DelayedCall")
            .field("pending", &self.is_pending())
            .field("due_in", &Duration::from_nanos(left))
            .finish()
    }
}
