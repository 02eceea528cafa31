// Which sources the models check, and where they go; a part of `build.rs`.

const SOURCES: &[Source] = &[
    // The kernel.
    Source {
        path: "kernel/src/outcome.rs",
        to: "outcome.rs",
        parts: WHOLE,
        swaps: &[],
        around: ("", ""),
    },
    Source {
        path: "kernel/src/wait/mod.rs",
        to: "wait/mod.rs",
        parts: WHOLE,
        swaps: &[("", "mod context;", "use crate::shim::context;")],
        around: (
            "",
            "\n#[cfg(test)]\n#[path = \"$SRC/models/parker.rs\"]\nmod parker_model;\n",
        ),
    },
    Source {
        path: "kernel/src/wait/queue.rs",
        to: "wait/queue.rs",
        parts: WHOLE,
        swaps: &[],
        around: ("", ""),
    },
    Source {
        path: "kernel/src/wait/waiting.rs",
        to: "wait/waiting.rs",
        parts: WHOLE,
        swaps: &[],
        around: ("", ""),
    },
    Source {
        path: "kernel/src/wait/any.rs",
        to: "wait/any.rs",
        parts: WHOLE,
        swaps: &[],
        around: ("", ""),
    },
    Source {
        path: "kernel/src/wait/asynchronous.rs",
        to: "wait/asynchronous.rs",
        parts: WHOLE,
        swaps: &[],
        around: ("", ""),
    },
    Source {
        path: "kernel/src/wait/thread.rs",
        to: "wait/thread.rs",
        parts: &[("", "/// Blocks while `word` holds")],
        swaps: &[(
            "",
            "const { ThreadParker { state: AtomicU32::new(EMPTY) } }",
            "ThreadParker { state: AtomicU32::new(EMPTY) }",
        )],
        around: ("", "use crate::shim::futex::{futex_wait, futex_wake};\n"),
    },
    Source {
        path: "kernel/src/cancel.rs",
        to: "cancel.rs",
        parts: &[
            (
                "pub(crate) enum Standing {",
                "/// Where a coroutine stands.",
            ),
            (
                "/// Where a canceller finds",
                "/// Gives a thread that the kernel",
            ),
            (
                "/// Names `wait` in the slot",
                "/// Has the slot send `signal`",
            ),
        ],
        swaps: &[],
        around: (include_str!("shim/cancel_head.rs"), ""),
    },
    // The objects.
    Source {
        path: "rt/src/cancel.rs",
        to: "rt/cancel.rs",
        parts: &[(
            "/// Why a timed wait ended",
            "/// The deadline of a [`timeout`]",
        )],
        swaps: &[],
        around: (
            "use std::fmt;\nuse ropewalk_kernel::wait::Outcome;\n\
             pub(crate) use ropewalk_kernel::cancel::Cancelled;\n",
            "",
        ),
    },
    Source {
        path: "rt/src/sync/mod.rs",
        to: "rt/sync/mod.rs",
        parts: &[
            ("pub type Mutex<T>", "/// A locked [`Mutex`], narrowed"),
            ("/// Why a wait ended", "/// The error of a wait"),
            ("/// Waiters claimed under a queue's lock", ""),
        ],
        swaps: &[],
        around: (
            "pub(crate) mod condvar;\npub(crate) mod mutex;\n\
             pub(crate) mod semaphore { pub(crate) mod raw; }\n\
             use ropewalk_kernel::wait::{Claimed, Outcome};\n\
             use crate::cancel::WaitError;\npub(crate) use mutex::RawMutex;\n",
            "",
        ),
    },
    Source {
        path: "rt/src/sync/mutex.rs",
        to: "rt/sync/mutex.rs",
        parts: WHOLE,
        swaps: &[
            ("const INIT", "};", "} }"),
            (
                "",
                "const INIT: RawMutex = RawMutex {",
                "fn init() -> RawMutex { RawMutex {",
            ),
        ],
        around: ("", ""),
    },
    Source {
        path: "rt/src/sync/condvar.rs",
        to: "rt/sync/condvar.rs",
        parts: WHOLE,
        swaps: &[],
        around: ("", ""),
    },
    Source {
        path: "rt/src/sync/semaphore/raw.rs",
        to: "rt/sync/semaphore/raw.rs",
        parts: WHOLE,
        swaps: &[],
        around: ("", ""),
    },
    Source {
        path: "rt/src/promise.rs",
        to: "rt/promise.rs",
        parts: WHOLE,
        swaps: &[],
        around: ("", ""),
    },
    Source {
        path: "rt/src/channel/error.rs",
        to: "rt/channel/error.rs",
        parts: WHOLE,
        swaps: &[],
        around: ("", ""),
    },
    Source {
        path: "rt/src/channel/landing.rs",
        to: "rt/channel/landing.rs",
        parts: WHOLE,
        swaps: &[],
        around: ("", ""),
    },
    Source {
        path: "rt/src/channel/buffered.rs",
        to: "rt/channel/buffered.rs",
        parts: WHOLE,
        swaps: &[],
        around: ("", ""),
    },
    Source {
        path: "rt/src/channel/ring.rs",
        to: "rt/channel/ring.rs",
        parts: WHOLE,
        swaps: &[],
        around: ("", ""),
    },
    Source {
        path: "rt/src/channel/rendezvous.rs",
        to: "rt/channel/rendezvous.rs",
        parts: WHOLE,
        swaps: &[],
        around: ("", ""),
    },
];

const MODULES: &str = r#"
use shim::{clock, locks, record, worker};

#[path = "$OUT/outcome.rs"]
#[allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
pub(crate) mod outcome;
#[path = "$OUT/wait/mod.rs"]
#[allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
pub(crate) mod wait;
#[path = "$OUT/cancel.rs"]
#[allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
pub(crate) mod cancel;

#[allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
pub(crate) mod rt {
    pub(crate) use crate::outcome::JoinError;

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
