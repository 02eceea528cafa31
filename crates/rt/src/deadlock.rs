//! Deadlocks of locks: found when they close, reported with every stack in the circle.
//!
//! In builds with debug assertions, and where `ROPEWALK_DEADLOCKS=1` is set or [`track`] says so,
//! a task that must wait for a [`Mutex`](crate::sync::Mutex), a
//! [`ReentrantMutex`](crate::sync::ReentrantMutex) or an [`RwLock`](crate::sync::RwLock) without a
//! deadline looks whether that closes a circle of tasks each of which waits for a lock that the
//! next one holds, itself included. The report goes to standard error, or to a hook; the tasks go
//! on waiting, as they must.
//!
//! The holder is the task that locked: a guard that was sent to another still counts as the
//! first one's. A circle with a timed or cancellable wait in it, or with a read-write lock that is
//! held for reading, is not reported.
//!
//! A program under `#[ropewalk::main]`, or a test under `#[ropewalk::test]`, in which *all*
//! coroutines are asleep, whatever they wait for, and nothing is left that could wake one, is
//! ended with a report and exit code 101.

pub use ropewalk_kernel::locks::{Deadlock, Member, is_tracking, set_hook, take_hook, track};
