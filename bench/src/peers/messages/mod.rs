//! The contenders' side of `channel`: which of them does what, and on what.
//!
//! `ends` has the channels that are used by plain calls, `calls` what threads and coroutines
//! do with them, `futures` the same with tokio's tasks.

mod calls;
mod ends;
mod futures;

use std::time::Duration;

use super::waiting::{Fixed, run_on_may};
use crate::channel::CAPACITY;
use calls::{Coroutines, MayCoroutines, Strand, Threads, hops, select, stream};
use ends::{Crossbeam, Flume, MayMpmc, MayMpsc, Ropewalk, Select, Std};
use futures::{Bounded, FlumeBounded, FlumeUnbounded, Unbounded};

/// What is done with the channels.
#[derive(Clone, Copy)]
enum Pattern {
    /// From so many to so many.
    Stream {
        bounded: bool,
        senders: u64,
        receivers: u64,
    },
    /// To and fro.
    Hops { capacity: Option<usize> },
    /// From one through so many channels to one.
    Select { channels: u64 },
}

impl Pattern {
    fn parse(words: &str, first: u64, second: u64) -> Option<Pattern> {
        let hops = |capacity| Pattern::Hops { capacity };
        let stream = |bounded| Pattern::Stream {
            bounded,
            senders: first,
            receivers: second,
        };
        Some(match words {
            "stream-bounded" => stream(true),
            "stream-unbounded" => stream(false),
            "hops-rendezvous" => hops(Some(0)),
            "hops-bounded" => hops(Some(1)),
            "hops-unbounded" => hops(None),
            "select" => Pattern::Select { channels: first },
            _ => return None,
        })
    }
}

/// A library that has it all.
fn whole<E: Select, S: Strand>(pattern: Pattern, n: u64) -> Duration {
    match pattern {
        Pattern::Select { channels } => select::<E, S>(channels, n),
        _ => without_select::<E, S>(pattern, n).expect("the other patterns"),
    }
}

/// A library without a `select`.
fn without_select<E: ends::Ends, S: Strand>(pattern: Pattern, n: u64) -> Option<Duration> {
    match pattern {
        Pattern::Stream {
            bounded,
            senders,
            receivers,
        } => {
            let capacity = bounded.then_some(CAPACITY);
            Some(stream::<E, S>(capacity, senders, receivers, n))
        }
        Pattern::Hops { capacity } => Some(hops::<E, S>(capacity, n)),
        Pattern::Select { .. } => None,
    }
}

/// `tokio::sync::mpsc`, which has one receiver and no rendezvous.
fn tokio(runtime: &tokio::runtime::Runtime, pattern: Pattern, n: u64) -> Option<Duration> {
    Some(match pattern {
        Pattern::Stream {
            bounded: true,
            senders,
            receivers,
        } => futures::stream::<Bounded>(runtime, senders, receivers, n),
        Pattern::Stream {
            senders, receivers, ..
        } => futures::stream::<Unbounded>(runtime, senders, receivers, n),
        Pattern::Hops { capacity: Some(0) } => return None,
        Pattern::Hops {
            capacity: Some(capacity),
        } => futures::hops::<Bounded>(runtime, capacity, n),
        Pattern::Hops { capacity: None } => futures::hops::<Unbounded>(runtime, 0, n),
        Pattern::Select { channels } => futures::select(runtime, channels, n),
    })
}

/// flume's channels in tokio's tasks.
fn flume_on_tokio(runtime: &tokio::runtime::Runtime, pattern: Pattern, n: u64) -> Option<Duration> {
    Some(match pattern {
        Pattern::Stream {
            bounded: true,
            senders,
            receivers,
        } => futures::stream::<FlumeBounded>(runtime, senders, receivers, n),
        Pattern::Stream {
            senders, receivers, ..
        } => futures::stream::<FlumeUnbounded>(runtime, senders, receivers, n),
        Pattern::Hops {
            capacity: Some(capacity),
        } => futures::hops::<FlumeBounded>(runtime, capacity, n),
        Pattern::Hops { capacity: None } => futures::hops::<FlumeUnbounded>(runtime, 0, n),
        Pattern::Select { .. } => return None,
    })
}

/// May's channels in its coroutines: mpmc where there is more than one receiver.
fn may(workers: u64, pattern: Pattern, n: u64) -> Option<Duration> {
    run_on_may(workers, move || match pattern {
        Pattern::Stream { receivers: 2.., .. } => {
            without_select::<MayMpmc, MayCoroutines>(pattern, n)
        }
        _ => without_select::<MayMpsc, MayCoroutines>(pattern, n),
    })
}

/// Sends `n` messages as `command` says, `threads-PATTERN` or `tasks-PATTERN` (on one worker,
/// `tasks-2-PATTERN` on two); `None` if the contender has no such thing.
pub(super) fn run(
    fixed: &mut Fixed,
    contender: &str,
    command: &str,
    [first, second, n]: [u64; 3],
) -> Option<Duration> {
    if let Some(words) = command.strip_prefix("threads-") {
        let pattern = Pattern::parse(words, first, second)?;
        return match contender {
            "ropewalk" => Some(whole::<Ropewalk, Threads>(pattern, n)),
            "crossbeam" => Some(whole::<Crossbeam, Threads>(pattern, n)),
            "flume" => Some(whole::<Flume, Threads>(pattern, n)),
            "std" => without_select::<Std, Threads>(pattern, n),
            _ => None,
        };
    }
    let words = command.strip_prefix("tasks-")?;
    let (workers, words) = match words.strip_prefix("2-") {
        Some(words) => (2, words),
        None => (1, words),
    };
    let pattern = Pattern::parse(words, first, second)?;
    match contender {
        "ropewalk" => {
            let runtime = fixed.ropewalk(workers);
            Some(runtime.run(|| whole::<Ropewalk, Coroutines>(pattern, n)))
        }
        "tokio" => tokio(fixed.tokio(workers), pattern, n),
        "flume-on-tokio" => flume_on_tokio(fixed.tokio(workers), pattern, n),
        "may" => may(workers, pattern, n),
        _ => None,
    }
}
