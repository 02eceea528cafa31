//! The switch: the one place that knows how a coroutine's stack is entered and left.
//!
//! Two implementations of one small contract. The real one is corosensei's. Under
//! `--cfg ropewalk_thread_switch` each coroutine is an OS thread and a switch hands a
//! baton over, so that sanitizers and checkers which don't understand switched stacks
//! see the rest of the kernel; thread-locals of user code are then each coroutine's own.
//!
//! # Contract
//!
//! `resume` runs the body until it suspends or returns, and says whether it returned.
//! Only the thread that resumed it first may resume it again. A switch that is
//! suspended is never dropped: nothing here unwinds a stack.

#[cfg(not(ropewalk_thread_switch))]
pub(crate) use native::{Switch, Yielder};
#[cfg(ropewalk_thread_switch)]
pub(crate) use threaded::{Switch, Yielder};

#[cfg(not(ropewalk_thread_switch))]
mod native {
    use corosensei::CoroutineResult;

    use crate::stack::Stack;

    pub(crate) type Yielder = corosensei::Yielder<(), ()>;

    pub(crate) struct Switch(corosensei::Coroutine<(), (), (), Stack>);

    impl Switch {
        pub(crate) fn new(stack: Stack, body: impl FnOnce(&Yielder) + 'static) -> Switch {
            Switch(corosensei::Coroutine::with_stack(stack, |yielder, ()| {
                body(yielder)
            }))
        }

        #[inline]
        pub(crate) fn resume(&mut self) -> bool {
            matches!(self.0.resume(()), CoroutineResult::Return(()))
        }

        /// Takes the stack back from a body that has returned.
        pub(crate) fn into_stack(self) -> Stack {
            self.0.into_stack()
        }
    }

    #[inline]
    pub(crate) fn suspend(yielder: &Yielder) {
        yielder.suspend(());
    }
}

#[cfg(not(ropewalk_thread_switch))]
pub(crate) use native::suspend;
#[cfg(ropewalk_thread_switch)]
pub(crate) use threaded::suspend;

#[cfg(ropewalk_thread_switch)]
mod threaded {
    use std::sync::{Arc, Condvar, Mutex, PoisonError};
    use std::thread;

    use crate::stack::Stack;
    use crate::worker::Worker;

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Baton {
        Resumer,
        Body,
        Returned,
    }

    struct Shared {
        baton: Mutex<Baton>,
        moved: Condvar,
    }

    impl Shared {
        fn pass(&self, to: Baton) {
            *self.baton.lock().unwrap_or_else(PoisonError::into_inner) = to;
            self.moved.notify_all();
        }

        fn await_until(&self, stop: impl Fn(Baton) -> bool) -> Baton {
            let mut baton = self.baton.lock().unwrap_or_else(PoisonError::into_inner);
            while !stop(*baton) {
                baton = self
                    .moved
                    .wait(baton)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            *baton
        }
    }

    pub(crate) struct Yielder(Arc<Shared>);

    pub(crate) struct Switch {
        shared: Arc<Shared>,
        stack: Stack,
    }

    struct AssertSend<T>(T);
    // SAFETY: the body runs only while the resumer waits for the baton, so at each moment
    // one thread alone uses what it captured: this is what the contract's user relies on
    // in the native switch, where it is the same thread.
    unsafe impl<T> Send for AssertSend<T> {}

    impl Switch {
        pub(crate) fn new(stack: Stack, body: impl FnOnce(&Yielder) + 'static) -> Switch {
            let shared = Arc::new(Shared {
                baton: Mutex::new(Baton::Resumer),
                moved: Condvar::new(),
            });
            let body = AssertSend((body, Worker::current_ptr()));
            let theirs = Arc::clone(&shared);
            thread::Builder::new()
                .stack_size(stack.usable_bytes())
                .spawn(move || {
                    let AssertSend((body, worker)) = { body };
                    theirs.await_until(|baton| baton == Baton::Body);
                    Worker::set_current(worker);
                    body(&Yielder(Arc::clone(&theirs)));
                    Worker::set_current(std::ptr::null());
                    theirs.pass(Baton::Returned);
                })
                .expect("a thread for the thread-backed switch");
            Switch { shared, stack }
        }

        pub(crate) fn resume(&mut self) -> bool {
            self.shared.pass(Baton::Body);
            self.shared.await_until(|baton| baton != Baton::Body) == Baton::Returned
        }

        pub(crate) fn into_stack(self) -> Stack {
            self.stack
        }
    }

    pub(crate) fn suspend(yielder: &Yielder) {
        yielder.0.pass(Baton::Resumer);
        yielder.0.await_until(|baton| baton == Baton::Body);
    }
}
