//! Messages between threads, and between coroutines: the same code for all.

use std::hint::black_box;
use std::time::Duration;

use super::ends::{Ends, Select};
use crate::channel::CAPACITY;
use crate::peers::waiting::{split, timed};

/// Something that runs beside others.
pub(super) trait Strand {
    /// What to join it by.
    type Handle;
    /// Starts one.
    fn spawn(f: impl FnOnce() + Send + 'static) -> Self::Handle;
    /// Waits for its end.
    fn join(handle: Self::Handle);
}

/// Threads.
pub(super) struct Threads;

impl Strand for Threads {
    type Handle = std::thread::JoinHandle<()>;

    fn spawn(f: impl FnOnce() + Send + 'static) -> Self::Handle {
        std::thread::spawn(f)
    }

    fn join(handle: Self::Handle) {
        handle.join().expect("no panics");
    }
}

/// Ropewalk's coroutines.
pub(super) struct Coroutines;

impl Strand for Coroutines {
    type Handle = ropewalk::coroutine::JoinHandle<()>;

    fn spawn(f: impl FnOnce() + Send + 'static) -> Self::Handle {
        ropewalk::spawn(f)
    }

    fn join(handle: Self::Handle) {
        handle.join().expect("no panics");
    }
}

/// May's coroutines.
pub(super) struct MayCoroutines;

impl Strand for MayCoroutines {
    type Handle = may::coroutine::JoinHandle<()>;

    fn spawn(f: impl FnOnce() + Send + 'static) -> Self::Handle {
        // SAFETY: the patterns here touch no thread-local storage and use little stack.
        unsafe { may::coroutine::spawn(f) }
    }

    fn join(handle: Self::Handle) {
        handle.join().expect("no panics");
    }
}

/// Sends `n` messages from so many to so many.
pub(super) fn stream<E: Ends, S: Strand>(
    capacity: Option<usize>,
    senders: u64,
    receivers: u64,
    n: u64,
) -> Duration {
    timed(|| {
        let (sender, receiver) = E::make(capacity);
        let another = |_| E::another(&receiver).expect("several receivers");
        let mut all_receivers: Vec<E::Receiver> = (1..receivers).map(another).collect();
        all_receivers.push(receiver);
        let mut strands = Vec::new();
        for receiver in all_receivers {
            strands.push(S::spawn(move || {
                while let Some(message) = E::recv(&receiver) {
                    black_box(message);
                }
            }));
        }
        for share in split(n, senders) {
            let sender = sender.clone();
            strands.push(S::spawn(move || {
                (0..share).for_each(|message| E::send(&sender, message));
            }));
        }
        drop(sender);
        strands.into_iter().for_each(S::join);
    })
}

/// Sends a message to and fro, `n` hops.
pub(super) fn hops<E: Ends, S: Strand>(capacity: Option<usize>, n: u64) -> Duration {
    timed(|| {
        let (there, from_here) = E::make(capacity);
        let (back, from_there) = E::make(capacity);
        let other = S::spawn(move || {
            while let Some(message) = E::recv(&from_here) {
                E::send(&back, message);
            }
        });
        for message in 0..n / 2 {
            E::send(&there, message);
            black_box(E::recv(&from_there).expect("an answer"));
        }
        drop(there);
        S::join(other);
    })
}

/// One fills so many channels in turn, the other takes `n` messages from them.
pub(super) fn select<E: Select, S: Strand>(channels: u64, n: u64) -> Duration {
    timed(|| {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..channels).map(|_| E::make(Some(CAPACITY))).unzip();
        // Senders that outlive the last message: a channel without one is always ready.
        let _kept = senders.clone();
        let other = S::spawn(move || {
            for (message, sender) in (0..n).zip(senders.iter().cycle()) {
                E::send(sender, message);
            }
        });
        for _ in 0..n {
            black_box(E::select(&receivers));
        }
        S::join(other);
    })
}
