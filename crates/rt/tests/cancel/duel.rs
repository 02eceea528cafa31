//! One round of a race: a wait that somebody completes, and that a cancellation, a time limit or
//! a point in time would end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::Token;
use ropewalk_rt::coroutine;

use crate::stage::until;

/// As many on each stage as the issue asks for, and fewer where tests run unoptimised.
pub(crate) fn rounds() -> u64 {
    if cfg!(debug_assertions) {
        2_000
    } else {
        100_000
    }
}

/// In which form to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// Until it is done, or cancelled.
    Plain,
    Timeout(Duration),
    Deadline(Instant),
}

impl Form {
    fn of(round: u64) -> Form {
        let soon = Duration::from_nanos(round % 11 * 150);
        match round % 3 {
            0 => Form::Plain,
            1 => Form::Timeout(soon),
            _ => Form::Deadline(Instant::now() + soon),
        }
    }
}

/// Says whether the waiter of this round is cancelled at all. If not, it must be completed.
pub(crate) fn is_cancelled(round: u64) -> bool {
    round >> 2 & 3 != NEVER
}

/// When a cancellation comes.
const EARLY: u64 = 0;
const JUST_BEFORE: u64 = 1;
const NEVER: u64 = 3;

/// Has a coroutine wait, in the form that the round says, while `complete` races with a
/// cancellation: from here or from another coroutine, before or after, with the waiter in its
/// wait for sure or not. Gives what the waiter returned, or nothing if it was cancelled before it
/// began.
pub(crate) fn duel<T: Send + 'static>(
    round: u64,
    wait: impl FnOnce(Form) -> T + Send + 'static,
    complete: impl FnOnce(),
) -> Option<T> {
    let token = Token::root();
    let begun = Arc::new(AtomicBool::new(false));
    let begins = Arc::clone(&begun);
    let waiter = token.run(|| {
        coroutine::spawn(move || {
            begins.store(true, Ordering::Release);
            // From now on, so that it is not over before.
            wait(Form::of(round))
        })
    });
    if round & 1 == 0 {
        until(|| begun.load(Ordering::Acquire));
    }
    let mut canceller = None;
    let mut cancel = || {
        if round & 2 == 0 {
            let token = token.clone();
            canceller = Some(coroutine::spawn(move || token.cancel()));
        } else {
            token.cancel();
        }
    };
    match round >> 2 & 3 {
        EARLY => {
            cancel();
            (0..round & 16).for_each(|_| coroutine::yield_now());
            complete();
        }
        JUST_BEFORE => {
            cancel();
            complete();
        }
        NEVER => complete(),
        _ => {
            if round & 16 == 0 {
                coroutine::yield_now();
            }
            complete();
            cancel();
        }
    }
    if let Some(canceller) = canceller {
        canceller.join().unwrap();
    }
    match waiter.join() {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(error.is_cancelled(), "{error}");
            None
        }
    }
}

/// Counts how the rounds ended. Both ends must be seen, or it was no race.
#[derive(Debug, Default)]
pub(crate) struct Score {
    won: u64,
    lost: u64,
}

impl Score {
    pub(crate) fn count(&mut self, won: bool) {
        if won {
            self.won += 1;
        } else {
            self.lost += 1;
        }
    }

    pub(crate) fn assert_both_seen(&self) {
        assert!(self.won > 0 && self.lost > 0, "{self:?}");
    }
}
