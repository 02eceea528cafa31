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
        path: "rt/src/sync/mutex.rs",
        to: "rt/mutex.rs",
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
    #[path = "$OUT/rt/mutex.rs"]
    pub(crate) mod mutex;
}
"#;
