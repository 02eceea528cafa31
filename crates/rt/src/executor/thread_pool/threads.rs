//! What a pool does on its threads: their names, the initialiser, the state of each.
//!
//! A thread serves one pool as long as it lives. Its state is in a thread-local cell, shared out
//! as an `Rc`: a task takes one when it begins and never leaves the thread. It is dropped by
//! [`leave`](Hooks::leave), after the last task that has begun here has ended.

use std::any::Any;
use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use ropewalk_kernel::remote::Remote;
use ropewalk_kernel::runtime::Hooks;
use ropewalk_kernel::wait::no_wait;

use super::core::Common;
use crate::{JoinError, PanicPayload};

pub(super) type Maker<S> = Box<dyn Fn() -> S + Send + Sync>;

thread_local! {
    static STATE: RefCell<Option<Rc<dyn Any>>> = const { RefCell::new(None) };
}

/// The state of the calling thread, which is one of a pool's with states of this type.
pub(super) fn state<S: 'static>() -> Rc<S> {
    let state = STATE.with_borrow(Clone::clone);
    let state = state.expect("a pool's thread has its state before it runs a task");
    match state.downcast() {
        Ok(state) => state,
        Err(_) => unreachable!("a thread serves one pool"),
    }
}

/// A pool's initialiser, or what makes its threads' state, has panicked: it runs nothing any
/// more.
#[derive(Clone, Debug)]
pub struct PoolBroken {
    message: Arc<str>,
}

impl PoolBroken {
    /// What the panic said, if it was a string.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Has `remote` drop what has not started.
    fn refuse(self, remote: &Remote) {
        remote.refuse_handed_in(Box::new(move || JoinError::Failed(Box::new(self.clone()))));
    }
}

impl fmt::Display for PoolBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a thread of the pool could not be prepared: its initialiser panicked: {}",
            self.message
        )
    }
}

impl Error for PoolBroken {}

pub(super) struct Threads<S> {
    pub(super) common: Arc<Common>,
    pub(super) name: Option<Box<dyn Fn(usize) -> String + Send + Sync>>,
    pub(super) initializer: Option<Box<dyn Fn() + Send + Sync>>,
    pub(super) state: Maker<S>,
}

impl<S: 'static> Hooks for Threads<S> {
    fn name(&self, worker: usize) -> Option<String> {
        let name = self.name.as_ref()?;
        // The pool's threads are locked. A name that panics, or can't be a thread's, is not worth
        // a pool.
        let name = catch_unwind(AssertUnwindSafe(|| no_wait(|| name(worker)))).ok()?;
        if name.contains('\0') {
            return None;
        }
        if let Some(place) = self.common.names.get(worker) {
            let _named_before = place.set(name.clone());
        }
        Some(name)
    }

    fn enter(&self, runtime: &Remote, _worker: usize) -> bool {
        if self.common.broken.get().is_some() {
            return false;
        }
        let prepare = AssertUnwindSafe(|| {
            if let Some(initializer) = &self.initializer {
                initializer();
            }
            (self.state)()
        });
        match catch_unwind(prepare) {
            Ok(state) => {
                let before = STATE.replace(Some(Rc::new(state)));
                debug_assert!(before.is_none(), "`leave` has taken it");
                true
            }
            Err(payload) => {
                let payload = PanicPayload::from(payload);
                let message = payload.message().unwrap_or("(not a string)");
                let broken = self.common.broken.get_or_init(|| PoolBroken {
                    message: message.into(),
                });
                broken.clone().refuse(runtime);
                false
            }
        }
    }

    fn leave(&self, _worker: usize) {
        let state = STATE.take();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(state))) {
            // The hook has told of the panic; the payload's drop may panic in turn.
            std::mem::forget(payload);
        }
    }
}
