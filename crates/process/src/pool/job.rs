//! A task on its way through the pool: what it is to the pool, and how its outcome gets back into
//! the promise of its type.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ropewalk_rt::coroutine::no_wait;
use ropewalk_rt::executor::tasks::CallError;
use ropewalk_rt::{JoinError, Promise};

use super::wire::Code;
use crate::ring::payload::Payload;

/// A task with its arguments, which stay here until the outcome is known: a worker may die
/// with the copy it was given.
pub(super) struct Job<S: ?Sized = dyn Settle> {
    /// Jobs are numbered in the order in which they were submitted.
    pub(super) id: u64,
    pub(super) code: Code,
    pub(super) payload: Payload,
    /// How long it may run.
    pub(super) timeout: Option<Duration>,
    /// Whether it still takes up a place in the queue.
    pub(super) has_place: bool,
    settle: S,
}

/// The part that knows the result's type.
pub(super) trait Settle: Send {
    fn value(&mut self, bytes: &[u8]);
    fn error(&mut self, error: JoinError);
}

struct Typed<T> {
    promise: Option<Promise<T>>,
    decode: fn(&[u8]) -> Result<T, CallError>,
}

impl<T> Typed<T> {
    fn settle(&mut self, outcome: Result<T, JoinError>) {
        if let Some(promise) = self.promise.take() {
            // What nobody wants any more comes back, and is dropped here.
            let _ = promise.settle(outcome);
        }
    }
}

impl<T: Send> Settle for Typed<T> {
    fn value(&mut self, bytes: &[u8]) {
        if self.promise.as_ref().is_some_and(Promise::is_cancelled) {
            return;
        }
        // The type's own code, on a thread of the pool: it may neither wait nor end it.
        let decode = || no_wait(|| (self.decode)(bytes));
        let outcome = match catch_unwind(AssertUnwindSafe(decode)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let error = format!("the result can't be read: {error}");
                Err(JoinError::Failed(error.into()))
            }
            Err(panic) => Err(JoinError::Panicked(panic.into())),
        };
        self.settle(outcome);
    }

    fn error(&mut self, error: JoinError) {
        self.settle(Err(error));
    }
}

impl Job {
    pub(super) fn new<T: Send + 'static>(
        code: Code,
        payload: Payload,
        timeout: Option<Duration>,
        promise: Promise<T>,
        decode: fn(&[u8]) -> Result<T, CallError>,
    ) -> Box<Job> {
        Box::new(Job {
            id: 0,
            code,
            payload,
            timeout,
            has_place: true,
            settle: Typed {
                promise: Some(promise),
                decode,
            },
        })
    }

    /// The result has come, encoded.
    pub(super) fn value(&mut self, bytes: &[u8]) {
        self.settle.value(bytes);
    }

    /// There will be none.
    pub(super) fn error(&mut self, error: JoinError) {
        self.settle.error(error);
    }
}
