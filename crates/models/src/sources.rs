// Which sources the models check, and where they go; a part of `build.rs`.

const SOURCES: &[Source] = &[
    // The kernel.
    whole("kernel/src/outcome.rs", "outcome.rs"),
    Source {
        path: "kernel/src/wait/mod.rs",
        to: "wait/mod.rs",
        parts: &[
            Cut("", ""),
            Text("\n#[path = \"$SRC/models/parker.rs\"]\nmod parker_model;\n"),
        ],
        swaps: &[("", "mod context;", "use crate::shim::context;")],
    },
    Source {
        path: "kernel/src/wait/lot.rs",
        to: "wait/lot.rs",
        parts: &[Cut("", "#[cfg(test)]")],
        swaps: &[
            ("", "const QUEUES: usize = 256;", "const QUEUES: usize = 2;"),
            (
                "",
                "static TABLE: [Padded; QUEUES] = [const { Padded(WaitQueue::new()) }; QUEUES];",
                "loom::lazy_static! { static ref TABLE: [Padded; QUEUES] = \
                 std::array::from_fn(|_| Padded(WaitQueue::new())); }",
            ),
        ],
    },
    whole("kernel/src/wait/queue.rs", "wait/queue.rs"),
    whole("kernel/src/wait/waiting.rs", "wait/waiting.rs"),
    whole("kernel/src/wait/any.rs", "wait/any.rs"),
    whole("kernel/src/wait/asynchronous.rs", "wait/asynchronous.rs"),
    Source {
        path: "kernel/src/wait/thread.rs",
        to: "wait/thread.rs",
        parts: &[
            Cut("", "/// Blocks while `word` holds"),
            Text("use crate::shim::futex::{futex_wait, futex_wake};\n"),
        ],
        swaps: &[(
            "",
            "const { ThreadParker { state: AtomicU32::new(EMPTY) } }",
            "ThreadParker { state: AtomicU32::new(EMPTY) }",
        )],
    },
    Source {
        path: "kernel/src/cancel.rs",
        to: "cancel.rs",
        parts: &[
            Text(include_str!("shim/cancel.part")),
            Cut(
                "pub(crate) enum Standing {",
                "/// Where a coroutine stands.",
            ),
            Cut(
                "/// Where a canceller finds",
                "/// Gives a thread that the kernel",
            ),
            Cut(
                "/// Names `wait` in the slot",
                "/// Has the slot send `signal`",
            ),
        ],
        swaps: &[],
    },
    Source {
        path: "kernel/src/future.rs",
        to: "future.rs",
        parts: &[
            Text(include_str!("shim/future.part")),
            Cut("const OVER: u8", "/// What an async task's record"),
            Text("pub(crate) const QUEUED: u8 = SCHEDULED;\n"),
            Text("pub(crate) fn take_over(record: &Record) {\n"),
            Cut(
                "        record.phase.swap(RUNNING",
                "        if task::has_besides",
            ),
            Text("}\npub(crate) struct Phases;\nimpl Phases {\n"),
            Cut(
                "    fn pause(",
                "    /// # Safety\n    ///\n    /// The caller owns the payload",
            ),
            Text("}\n"),
            Cut(
                "/// Has an async task polled once",
                "unsafe fn raw_waker_of",
            ),
        ],
        swaps: &[("", "fn pause(", "pub(crate) fn pause(")],
    },
    Source {
        path: "kernel/src/record.rs",
        to: "ends_flags.rs",
        parts: &[Cut(
            "pub(crate) const DONE: u32",
            "/// It was spawned with `spawn_local`",
        )],
        swaps: &[],
    },
    Source {
        path: "kernel/src/task.rs",
        to: "ends.rs",
        parts: &[
            Text(include_str!("shim/ends.part")),
            Cut(
                "    /// Waits for the end, as long as",
                "    /// Waits for the end and takes the outcome;",
            ),
            Cut(
                "    pub fn on_done<F>",
                "    /// The queue of those who wait for the end",
            ),
            Cut(
                "    fn into_outcome",
                "    /// Polls for the outcome; ready once only.",
            ),
            Cut(
                "    pub fn poll(&mut self",
                "/// A task as others may refer to it",
            ),
            Text("pub(crate) use crate::ends_flags::{CALLBACKS, DETACHED, DONE, REF};\n"),
            Cut(
                "pub(crate) unsafe fn complete(",
                "/// # Safety\n///\n/// The outcome is in place, and the caller's.\nunsafe fn",
            ),
            Cut(
                "/// Gives up one reference.",
                "/// # Safety\n///\n/// No reference is left",
            ),
        ],
        swaps: &[],
    },
    Source {
        path: "kernel/src/job.rs",
        to: "job.rs",
        parts: &[
            Text(include_str!("shim/job.part")),
            Cut("/// What is in the deques", "/// Runs both closures, perhaps"),
            Cut("fn join_here", "/// From a plain thread"),
            Text("pub(crate) unsafe fn begin(record: &Record, JobRef(job): JobRef) {\n"),
            Cut("    let run = {", "    // Also if it is cancelled"),
            Text("    unsafe { run(job) };\n}\n"),
        ],
        swaps: &[("", "fn join_here", "pub(crate) fn join_here")],
    },
    // The objects.
    Source {
        path: "rt/src/cancel.rs",
        to: "rt/cancel.rs",
        parts: &[
            Text(
                "use std::fmt;\nuse ropewalk_kernel::wait::Outcome;\n\
             pub(crate) use ropewalk_kernel::cancel::Cancelled;\n",
            ),
            Cut(
                "/// Why a timed wait ended",
                "/// The deadline of a [`timeout`]",
            ),
        ],
        swaps: &[],
    },
    Source {
        path: "rt/src/sync/mod.rs",
        to: "rt/sync/mod.rs",
        parts: &[
            Text(
                "pub(crate) mod condvar;\npub(crate) mod mutex;\npub(crate) mod once;\n\
                 pub(crate) mod rwlock { pub(crate) mod api; pub(crate) mod raw; }\n\
                 pub(crate) mod semaphore { pub(crate) mod raw; }\n\
                 use std::time::{Duration, Instant};\nuse ropewalk_kernel::clock;\n\
                 use ropewalk_kernel::wait::{Claimed, Limit, Outcome};\n\
                 use crate::cancel::WaitError;\npub(crate) use mutex::RawMutex;\n",
            ),
            Cut("/// The limit of a wait for", "/// Why a wait ended"),
            Cut("pub type Mutex<T>", "/// A locked [`Mutex`], narrowed"),
            Cut("/// Why a wait ended", "/// The error of a wait"),
            Cut("/// Waiters claimed under a queue's lock", ""),
        ],
        swaps: &[],
    },
    Source {
        path: "rt/src/patience.rs",
        to: "rt/patience.rs",
        parts: &[Cut("", "#[cfg(test)]")],
        swaps: &[],
    },
    Source {
        path: "rt/src/sync/mutex.rs",
        to: "rt/sync/mutex.rs",
        parts: &[Cut("", "")],
        swaps: &[
            ("const INIT", "};", "} }"),
            (
                "",
                "const INIT: RawMutex = RawMutex {",
                "fn init() -> RawMutex { RawMutex {",
            ),
        ],
    },
    whole("rt/src/sync/condvar.rs", "rt/sync/condvar.rs"),
    whole("rt/src/sync/semaphore/raw.rs", "rt/sync/semaphore/raw.rs"),
    whole("rt/src/sync/rwlock/raw.rs", "rt/sync/rwlock/raw.rs"),
    Source {
        path: "rt/src/sync/rwlock/api.rs",
        to: "rt/sync/rwlock/api.rs",
        parts: &[
            Text("use std::sync::atomic::Ordering;\n"),
            Text("use super::raw::{READER, RawRwLock, UPGRADING, WAITERS, readers};\n"),
            Text("use ropewalk_kernel::wait::note_given_up;\n"),
            Cut("fn is_awaited", "// SAFETY: WRITER is only set"),
            Text("impl RawRwLock {\n"),
            Cut(
                "    unsafe fn unlock_shared",
                "    #[inline]\n    fn lock_exclusive",
            ),
            Text("}\n"),
        ],
        swaps: &[(
            "",
            "unsafe fn unlock_shared",
            "pub(crate) unsafe fn unlock_shared",
        )],
    },
    whole("rt/src/sync/once.rs", "rt/sync/once.rs"),
    whole("rt/src/promise.rs", "rt/promise.rs"),
    whole("rt/src/channel/error.rs", "rt/channel/error.rs"),
    whole("rt/src/channel/landing.rs", "rt/channel/landing.rs"),
    whole("rt/src/channel/buffered.rs", "rt/channel/buffered.rs"),
    whole("rt/src/channel/ring.rs", "rt/channel/ring.rs"),
    whole("rt/src/channel/rendezvous.rs", "rt/channel/rendezvous.rs"),
];

const MODULES: &str = r#"
use shim::{clock, locks, record, task, worker};

#[path = "$OUT/outcome.rs"]
#[allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
pub(crate) mod outcome;
#[path = "$OUT/wait/mod.rs"]
#[allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
pub(crate) mod wait;
#[path = "$OUT/cancel.rs"]
#[allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
pub(crate) mod cancel;
#[path = "$OUT/future.rs"]
#[allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
pub(crate) mod future;
#[path = "$OUT/job.rs"]
#[allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
pub(crate) mod job;
#[path = "$OUT/ends_flags.rs"]
#[allow(warnings)]
mod ends_flags;
#[path = "$OUT/ends.rs"]
#[allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
pub(crate) mod ends;

#[allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
pub(crate) mod rt {
    pub(crate) use crate::outcome::JoinError;

    #[path = "$OUT/rt/patience.rs"]
    pub(crate) mod patience;
    #[path = "$OUT/rt/cancel.rs"]
    pub(crate) mod cancel;
    #[path = "$OUT/rt/sync/mod.rs"]
    pub(crate) mod sync;
    #[path = "$OUT/rt/promise.rs"]
    pub(crate) mod promise;
    #[path = "$OUT/rt/channel"]
    pub(crate) mod channel {
        pub(crate) mod buffered;
        pub(crate) mod error;
        pub(crate) mod landing;
        pub(crate) mod rendezvous;
        pub(crate) mod ring;
    }
}
"#;
