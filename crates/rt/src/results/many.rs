//! Waiting for all of many, or for the first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{Limit, Outcome, Reason, Selected, spend, wait_any};

use super::completed::Arrivals;
use super::joinable::Joinable;
use crate::JoinError;

/// Joins all of them, and gives what each one gave, in their order.
///
/// # Errors
///
/// None of its own. If the caller is cancelled while it waits, those that have not ended give
/// [`JoinError::WaitCancelled`] and go on.
///
/// # Panics
///
/// As [`JoinHandle::join`](crate::JoinHandle::join).
pub fn join_all<H: Joinable>(
    handles: impl IntoIterator<Item = H>,
) -> Vec<Result<H::Value, JoinError>> {
    // All are to have begun before the first is waited for.
    let handles: Vec<H> = handles.into_iter().collect();
    let join = |mut handle: H| match handle.wait_within(Limit::cancellable(None)) {
        Outcome::Woken => handle.take_result(),
        _ => Err(JoinError::WaitCancelled),
    };
    handles.into_iter().map(join).collect()
}

/// Joins all of them, and gives their values in their order; or the first error to come.
///
/// With an error the others are [cancelled](crate::JoinHandle::cancel) and left to come to their
/// ends by themselves; [`try_scope`](super::try_scope) waits for them.
///
/// # Errors
///
/// That of the one that failed first; [`JoinError::WaitCancelled`] if the caller was cancelled
/// while it waited, which cancels the others too.
///
/// # Panics
///
/// As [`JoinHandle::join`](crate::JoinHandle::join).
pub fn try_join_all<H: Joinable>(
    handles: impl IntoIterator<Item = H>,
) -> Result<Vec<H::Value>, JoinError> {
    let mut all = super::as_completed(handles);
    let mut values: Vec<Option<H::Value>> = Vec::new();
    values.resize_with(all.len(), || None);
    let mut error = None;
    for (index, result) in all.by_ref() {
        match result {
            Ok(value) => values[index] = Some(value),
            Err(failure) => {
                error = Some(failure);
                break;
            }
        }
    }
    let left = all.into_handles();
    if error.is_none() && left.is_empty() {
        let values = values.into_iter();
        return Ok(values.map(|value| value.expect("each has ended")).collect());
    }
    call_off(&left);
    Err(error.unwrap_or(JoinError::WaitCancelled))
}

/// When [`wait`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReturnWhen {
    /// As soon as all have ended.
    All,
    /// As soon as one has ended.
    First,
    /// As soon as one has ended without a value, or all have ended.
    FirstError,
}

/// Waits until `when` holds, for `timeout` at most if there is one, and tells those that have
/// ended from those that have not. Both keep their order. Mirrors Python's
/// `concurrent.futures.wait`.
///
/// It also returns if the caller is cancelled while it waits; [`check`](crate::cancel::check)
/// tells. No handle is lost.
///
/// # Panics
///
/// In one of the tasks itself, and if it must wait inside
/// [`no_wait`](crate::coroutine::no_wait).
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{coroutine, results::{ReturnWhen, wait}};
///
/// let handles = (0..3).map(|n| coroutine::spawn(move || n));
/// let (done, not_done) = wait(handles, ReturnWhen::All, None);
/// assert_eq!((done.len(), not_done.len()), (3, 0));
/// ```
pub fn wait<H: Joinable>(
    handles: impl IntoIterator<Item = H>,
    when: ReturnWhen,
    timeout: Option<Duration>,
) -> (Vec<H>, Vec<H>) {
    let handles: Vec<H> = handles.into_iter().collect();
    let limit = Limit::cancellable(timeout.map(clock::deadline_after));
    match when {
        ReturnWhen::All => {
            for handle in &handles {
                if handle.wait_within(limit) != Outcome::Woken {
                    break;
                }
            }
        }
        ReturnWhen::First => {
            first_over(&handles, limit);
        }
        ReturnWhen::FirstError => wait_for_error(&handles, limit),
    }
    handles.into_iter().partition(H::is_over)
}

/// Waits for the first of them to end, takes it out of `handles`, and gives the index it had and
/// its result. Of several that have ended, it is the one with the lowest index. `None` if there
/// are none, or the caller was cancelled while it waited.
///
/// Costs as much as there are handles: to take many one after another, see
/// [`as_completed`](super::as_completed).
///
/// # Panics
///
/// As [`wait`].
pub fn wait_first<H: Joinable>(
    handles: &mut Vec<H>,
) -> Option<(usize, Result<H::Value, JoinError>)> {
    take_first(handles, Limit::cancellable(None))
}

/// As [`wait_first`], for `timeout` at most.
///
/// # Panics
///
/// As [`wait`].
pub fn wait_first_timeout<H: Joinable>(
    handles: &mut Vec<H>,
    timeout: Duration,
) -> Option<(usize, Result<H::Value, JoinError>)> {
    let deadline = clock::deadline_after(timeout);
    take_first(handles, Limit::cancellable(Some(deadline)))
}

/// As [`wait_first`], until a point in time at most.
///
/// # Panics
///
/// As [`wait`].
pub fn wait_first_deadline<H: Joinable>(
    handles: &mut Vec<H>,
    deadline: Instant,
) -> Option<(usize, Result<H::Value, JoinError>)> {
    let deadline = clock::instant_to_ns(deadline);
    take_first(handles, Limit::cancellable(Some(deadline)))
}

/// Gives the result of the first of them to end, whether value or error, and
/// [cancels](crate::JoinHandle::cancel) the others, without waiting for them.
///
/// # Errors
///
/// That of the winner; [`JoinError::WaitCancelled`] if the caller was cancelled while it waited,
/// which cancels them all.
///
/// # Panics
///
/// If there are none; and as [`wait`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use ropewalk_rt::{cancel, coroutine, results};
///
/// let quick = coroutine::spawn(|| "quick");
/// let slow = coroutine::spawn(|| match cancel::sleep(Duration::from_secs(60)) {
///     Ok(()) => "slow",
///     Err(_) => "cancelled",
/// });
/// assert_eq!(results::race([quick, slow]).unwrap(), "quick");
/// ```
pub fn race<H: Joinable>(handles: impl IntoIterator<Item = H>) -> Result<H::Value, JoinError> {
    let mut handles: Vec<H> = handles.into_iter().collect();
    check_race(&handles);
    let winner = take_first(&mut handles, Limit::cancellable(None));
    call_off(&handles);
    winner.map_or(Err(JoinError::WaitCancelled), |(_, result)| result)
}

/// As [`race`], but gives the handles back if none has ended after `timeout`.
///
/// # Errors
///
/// The handles, also if the caller was cancelled: none of theirs was.
///
/// # Panics
///
/// As [`race`].
pub fn race_timeout<H: Joinable>(
    handles: impl IntoIterator<Item = H>,
    timeout: Duration,
) -> Result<Result<H::Value, JoinError>, Vec<H>> {
    race_until(handles, clock::deadline_after(timeout))
}

/// As [`race_timeout`], until a point in time.
///
/// # Errors
///
/// As [`race_timeout`].
///
/// # Panics
///
/// As [`race`].
pub fn race_deadline<H: Joinable>(
    handles: impl IntoIterator<Item = H>,
    deadline: Instant,
) -> Result<Result<H::Value, JoinError>, Vec<H>> {
    race_until(handles, clock::instant_to_ns(deadline))
}

fn race_until<H: Joinable>(
    handles: impl IntoIterator<Item = H>,
    deadline: u64,
) -> Result<Result<H::Value, JoinError>, Vec<H>> {
    let mut handles: Vec<H> = handles.into_iter().collect();
    check_race(&handles);
    match take_first(&mut handles, Limit::cancellable(Some(deadline))) {
        Some((_, result)) => {
            call_off(&handles);
            Ok(result)
        }
        None => Err(handles),
    }
}

pub(super) fn check_race<H>(handles: &[H]) {
    assert!(!handles.is_empty(), "a race without runners has no winner");
}

pub(super) fn call_off<H: Joinable>(handles: &[H]) {
    for handle in handles {
        handle.call_off();
    }
}

fn take_first<H: Joinable>(
    handles: &mut Vec<H>,
    limit: Limit,
) -> Option<(usize, Result<H::Value, JoinError>)> {
    let index = first_over(handles, limit)?;
    Some((index, handles.remove(index).take_result()))
}

/// Waits for one of them to be over.
fn first_over<H: Joinable>(handles: &[H], limit: Limit) -> Option<usize> {
    if let Some(index) = handles.iter().position(H::is_over) {
        spend();
        return Some(index);
    }
    if handles.is_empty() {
        return None;
    }
    // Joining an own queue would wait for ever, if all others do.
    for handle in handles {
        handle.check_not_self();
    }
    loop {
        let selected = wait_any(
            handles.len(),
            Reason::Select,
            handles.as_ptr() as usize,
            limit,
            &mut |index, place| {
                let guard = handles[index].queue().lock();
                if handles[index].is_over() {
                    return None;
                }
                Some(place.join(guard, 0))
            },
        );
        match selected {
            Selected::Ready(index) => return Some(index),
            Selected::Woken(index) if handles[index].is_over() => return Some(index),
            // Woken for nothing.
            Selected::Woken(_) => {}
            Selected::Expired | Selected::Cancelled => {
                // Perhaps one ended in the same moment.
                return handles.iter().position(H::is_over);
            }
        }
    }
}

/// Waits for one of them to end without a value, or for all to end.
fn wait_for_error<H: Joinable>(handles: &[H], limit: Limit) {
    let failed = Arc::new(Arrivals::new());
    let left = Arc::new(AtomicUsize::new(handles.len()));
    for (index, handle) in handles.iter().enumerate() {
        handle.check_not_self();
        let failed = Arc::clone(&failed);
        let left = Arc::clone(&left);
        handle.before_end(move |is_value| {
            let was_last = left.fetch_sub(1, Ordering::AcqRel) == 1;
            if !is_value || was_last {
                failed.add(index);
            }
        });
    }
    if !handles.is_empty()
        && let Outcome::Woken = failed.wait(limit)
    {
        // Those that were told of are about to end.
        while let Some(index) = failed.take() {
            handles[index].wait_for_end();
        }
        if left.load(Ordering::Acquire) == 0 {
            for handle in handles {
                handle.wait_for_end();
            }
        }
    }
}
