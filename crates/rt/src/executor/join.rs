//! Fork and join: two closures, of which the second may run on another worker.

use std::panic::Location;

use ropewalk_kernel::job;

/// Runs `a` and `b`, perhaps at the same time, and gives what they gave. Both may borrow.
///
/// `b` is put where idle workers of the caller's runtime find it, and `a` is run at once. If
/// nobody has taken `b` by then, the caller takes it back and runs it on its own stack: that is
/// what happens to nearly all of many nested joins, and costs about as much as a few calls of
/// a function. Else the caller waits for whoever has it. So work that is split in halves over
/// and over spreads over the workers of the runtime, without a queue and without an allocation.
///
/// Inside a coroutine it uses the workers of that coroutine's runtime, so also those of a pool
/// whose workers are coroutines'. From a plain thread both run on the global runtime, and the
/// thread waits. Where nothing may wait (inside [`no_wait`](crate::coroutine::no_wait), in an
/// `on_done` callback), and in a forked child without a runtime, `a` runs and then `b`, here.
///
/// What computes for long keeps its worker from all else that lives there, as any coroutine does:
/// a runtime that serves connections is better kept apart from it.
///
/// # Waiting inside
///
/// Either half may wait for anything, as coroutines do. While `a` waits, `b` begins: if not on
/// another worker, then on this one, as a coroutine of its own; also with one worker only. So
/// `a` may wait for what `b` does, but not the other way round: whether `b` begins before `a`
/// has ended is not said.
///
/// A `b` that was taken by a worker is a task of its own: it has another
/// [id](crate::Task::id) and its own [`coroutine_local!`](crate::coroutine_local) values.
/// It stands under the caller's [`Token`](crate::cancel::Token), and is cancelled when the
/// caller is, while that waits for it.
///
/// # Cancellation
///
/// Both halves run in any case, also if the caller is cancelled: what they wait for ends then,
/// and what they return is returned. The wait for `b` itself does not end early: `b` may borrow
/// from the caller.
///
/// # Panics
///
/// If one half panics, with its panic, once the other is over; if both do, with `a`'s. A `b`
/// that had not begun when `a` panicked never runs, and is dropped.
///
/// # Stack
///
/// Nested joins nest on the stack: a coroutine has 192 KiB of it (960 KiB in debug builds) unless
/// it [asks for more](crate::coroutine::Builder::stack_size). Recursion that halves its work
/// is far from that; one that takes one element off at a time is not.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::executor::join;
///
/// fn sum(numbers: &[u64]) -> u64 {
///     if numbers.len() <= 1000 {
///         return numbers.iter().sum();
///     }
///     let (left, right) = numbers.split_at(numbers.len() / 2);
///     let (left, right) = join(|| sum(left), || sum(right));
///     left + right
/// }
///
/// let numbers: Vec<u64> = (1..=100_000).collect();
/// assert_eq!(sum(&numbers), 5_000_050_000);
/// ```
///
/// What a half uses must be safe to use from another thread:
///
/// ```compile_fail
/// let count = std::cell::Cell::new(0);
/// ropewalk_rt::executor::join(|| count.set(1), || count.set(2));
/// ```
#[inline]
#[track_caller]
pub fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    job::join(Location::caller(), a, b)
}
