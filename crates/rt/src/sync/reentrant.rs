//! The mutex that its holder may lock again.
//!
//! `lock_api` does the counting, over the mutex of this crate; what is ours is who the holder
//! is: the task, by an id that is never reused. Two coroutines on one worker have two. A guard
//! must not leave its thread, but an async task does: so it has another id in each of its polls. (A
//! guard can outlive the poll, if it is moved to a local coroutine.)

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use lock_api::GetThreadId;
use ropewalk_kernel::cancel::current_turn_id;

use super::RawMutex;
use crate::cancel::Cancelled;

/// Tells tasks from one another, for [`ReentrantMutex`].
#[derive(Default)]
pub struct TaskId(());

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskId")
    }
}

const _: () = assert!(size_of::<u64>() == size_of::<usize>(), "ids must fit");

// SAFETY: no two tasks ever have the same id, a coroutine another than the thread it runs on; and
// no id is ever used on two threads.
unsafe impl GetThreadId for TaskId {
    const INIT: TaskId = TaskId(());

    #[inline]
    fn nonzero_thread_id(&self) -> NonZeroUsize {
        NonZeroUsize::new(current_turn_id() as usize).expect("ids begin at 1")
    }
}

/// Mutual exclusion between tasks, where the holder may lock again; Python's `RLock`.
///
/// It is free when every guard is gone. Guards are not `Send`, and give shared access only:
/// put a `Cell` or `RefCell` inside. `lock()` is not a cancellation point;
/// [`lock_cancellable`](ReentrantMutexExt::lock_cancellable) and the timed forms are.
///
/// There is no locking it in `async` code: a future has no identity of its own.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use ropewalk_rt::sync::ReentrantMutex;
///
/// static DEPTH: ReentrantMutex<Cell<u32>> = ReentrantMutex::new(Cell::new(0));
///
/// fn descend(left: u32) {
///     let depth = DEPTH.lock();
///     depth.set(depth.get() + 1);
///     if left > 0 {
///         descend(left - 1);
///     }
/// }
///
/// descend(3);
/// assert_eq!(DEPTH.lock().get(), 4);
/// ```
///
/// Guards stay with the task that locked:
///
/// ```compile_fail
/// use ropewalk_rt::sync::ReentrantMutexGuard;
///
/// fn is_send<T: Send>() {}
/// is_send::<ReentrantMutexGuard<'static, ()>>();
/// ```
pub type ReentrantMutex<T> = lock_api::ReentrantMutex<RawMutex, TaskId, T>;

/// A locked [`ReentrantMutex`].
pub type ReentrantMutexGuard<'a, T> = lock_api::ReentrantMutexGuard<'a, RawMutex, TaskId, T>;

/// A locked [`ReentrantMutex`], narrowed to a part of what it guards.
pub type MappedReentrantMutexGuard<'a, T> =
    lock_api::MappedReentrantMutexGuard<'a, RawMutex, TaskId, T>;

/// As [`ReentrantMutexGuard`], keeping the mutex alive.
pub type ArcReentrantMutexGuard<T> = lock_api::ArcReentrantMutexGuard<RawMutex, TaskId, T>;

/// What a [`ReentrantMutex`] offers beside `lock_api`'s methods.
pub trait ReentrantMutexExt<T: ?Sized> {
    /// Locks, unless the caller is cancelled while it waits.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits. A mutex that is free or held by the caller
    /// counts first.
    fn lock_cancellable(&self) -> Result<ReentrantMutexGuard<'_, T>, Cancelled>;
}

impl<T: ?Sized> ReentrantMutexExt<T> for ReentrantMutex<T> {
    fn lock_cancellable(&self) -> Result<ReentrantMutexGuard<'_, T>, Cancelled> {
        self.try_lock_for(Duration::MAX)
            .ok_or_else(Cancelled::current)
    }
}
