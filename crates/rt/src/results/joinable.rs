//! What can be joined: the one view of all handles that the functions over many have.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ropewalk_kernel::cancel;
use ropewalk_kernel::wait::{Limit, Outcome, WaitQueue};

use crate::coroutine::ScopedJoinHandle;
use crate::promise::PromiseHandle;
use crate::{JoinError, JoinHandle};

/// A handle with a result to come: [`JoinHandle`], [`ScopedJoinHandle`] or [`PromiseHandle`].
///
/// It can't be implemented outside this crate.
pub trait Joinable: sealed::Source {}

impl<H: sealed::Source> Joinable for H {}

pub(crate) mod sealed {
    use super::*;

    /// What is needed of a handle.
    pub trait Source: Sized + Unpin {
        /// The type of its value.
        type Value;

        /// Where those stand who wait for the end.
        fn queue(&self) -> &WaitQueue;

        /// Says whether the end has come; with the queue's lock held, for sure.
        fn is_over(&self) -> bool;

        /// Waits for the end; not a cancellation point.
        fn wait_for_end(&self);

        /// Waits for the end, as long as `limit` allows.
        fn wait_within(&self, limit: Limit) -> Outcome;

        /// Takes the outcome after the end, once.
        fn take_result(&mut self) -> Result<Self::Value, JoinError>;

        fn poll_result(
            &mut self,
            context: &mut Context<'_>,
        ) -> Poll<Result<Self::Value, JoinError>>;

        fn call_off(&self);

        /// Calls `callback` with whether there is a value, shortly before the end is to be seen.
        fn before_end(&self, callback: impl FnOnce(bool) + Send + 'static);

        /// Panics if the caller is who would have to end first.
        fn check_not_self(&self);
    }

    impl<T> Source for JoinHandle<T> {
        type Value = T;

        fn queue(&self) -> &WaitQueue {
            self.done_queue()
        }

        fn is_over(&self) -> bool {
            self.is_done_now()
        }

        fn wait_for_end(&self) {
            self.wait(Limit::NONE);
        }

        fn wait_within(&self, limit: Limit) -> Outcome {
            self.wait(limit)
        }

        fn take_result(&mut self) -> Result<T, JoinError> {
            self.take_outcome()
        }

        fn poll_result(&mut self, context: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
            Pin::new(self).poll(context)
        }

        fn call_off(&self) {
            self.cancel();
        }

        fn before_end(&self, callback: impl FnOnce(bool) + Send + 'static) {
            self.on_done(move |outcome| callback(outcome.is_ok()));
        }

        fn check_not_self(&self) {
            if self.id() == cancel::current_id() {
                panic!("a task can't join itself: it would wait for ever");
            }
        }
    }

    impl<T> Source for ScopedJoinHandle<'_, T> {
        type Value = T;

        fn queue(&self) -> &WaitQueue {
            self.inner().queue()
        }

        fn is_over(&self) -> bool {
            self.inner().is_over()
        }

        fn wait_for_end(&self) {
            self.inner().wait_for_end();
        }

        fn wait_within(&self, limit: Limit) -> Outcome {
            self.inner().wait_within(limit)
        }

        fn take_result(&mut self) -> Result<T, JoinError> {
            self.inner_mut().take_result()
        }

        fn poll_result(&mut self, context: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
            self.inner_mut().poll_result(context)
        }

        fn call_off(&self) {
            self.inner().call_off();
        }

        fn before_end(&self, callback: impl FnOnce(bool) + Send + 'static) {
            self.inner().before_end(callback);
        }

        fn check_not_self(&self) {
            self.inner().check_not_self();
        }
    }

    impl<T> Source for PromiseHandle<T> {
        type Value = T;

        fn queue(&self) -> &WaitQueue {
            self.done_queue()
        }

        fn is_over(&self) -> bool {
            self.is_done_now()
        }

        fn wait_for_end(&self) {
            self.wait(Limit::NONE);
        }

        fn wait_within(&self, limit: Limit) -> Outcome {
            self.wait(limit)
        }

        fn take_result(&mut self) -> Result<T, JoinError> {
            self.take()
        }

        fn poll_result(&mut self, context: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
            Pin::new(self).poll(context)
        }

        fn call_off(&self) {
            self.cancel();
        }

        fn before_end(&self, callback: impl FnOnce(bool) + Send + 'static) {
            self.on_done(move |outcome| callback(outcome.is_ok()));
        }

        fn check_not_self(&self) {}
    }
}
