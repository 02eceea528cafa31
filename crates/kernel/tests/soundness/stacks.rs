//! Rules 1 and 2: what has started is never unwound, and never loses its stack.

use std::hint::black_box;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_kernel::runtime::Runtime;
use ropewalk_kernel::wait::{self, Limit, Reason, WaitQueue};

use super::{runtime_with, spawn};

fn park_for_ever() {
    static NEVER: WaitQueue = WaitQueue::new();
    loop {
        NEVER.lock().wait(0, Reason::Condition, 0, Limit::NONE);
    }
}

/// How many threads of this process have a name that starts so.
fn threads_called(prefix: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with(prefix))
        .count()
}

/// Waits until nobody is left of a runtime but one coroutine, which has parked for ever.
fn until_one_is_parked(runtime: &Runtime) {
    loop {
        match &runtime.living()[..] {
            [one] if one.reason == Reason::Condition => return,
            _ => std::thread::yield_now(),
        }
    }
}

/// Rule 1. A coroutine parks with a pattern on its stack whose address is known outside. Its
/// runtime is shut down. Then its thread is still there, and however many stacks are used
/// after, the pattern stands.
///
/// Broken on purpose: let `worker_thread` return, and retire the host, in the place of the
/// endless `thread::park`.
#[test]
fn an_abandoned_coroutine_keeps_its_thread_and_stack() {
    static ADDRESS: AtomicUsize = AtomicUsize::new(0);
    const PATTERN: [u8; 64] = [0xa5; 64];

    let runtime = runtime_with(1, None, "rule1");
    runtime.run(Location::caller(), || {
        drop(spawn(|| {
            let pattern = black_box(PATTERN);
            ADDRESS.store(pattern.as_ptr() as usize, Ordering::SeqCst);
            park_for_ever();
            black_box(pattern);
        }));
        while ADDRESS.load(Ordering::SeqCst) == 0 {
            wait::yield_now();
        }
    });
    until_one_is_parked(&runtime);
    let left = runtime
        .shutdown(Duration::ZERO)
        .expect_err("one is left")
        .left;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].reason, Reason::Condition);
    assert_eq!(threads_called("rule1"), 1, "the worker's thread stays");

    let others = runtime_with(1, None, "rule1b");
    others.run(Location::caller(), || {
        let deep: Vec<_> = (0..250)
            .map(|n: u8| {
                spawn(move || {
                    let filled = black_box([n; 16 * 1024]);
                    wait::yield_now();
                    black_box(filled)[0]
                })
            })
            .collect();
        for handle in deep {
            handle.join().expect("no panic");
        }
    });
    others
        .shutdown(Duration::from_secs(10))
        .expect("nobody is left");

    let address = ADDRESS.load(Ordering::SeqCst) as *const [u8; 64];
    // SAFETY: the rule under test: the frame is there for ever, and nobody writes to it.
    let pattern = unsafe { address.read_volatile() };
    assert_eq!(pattern, PATTERN);
}

/// Rule 2. What a parked coroutine owns is not dropped by the end of its runtime: an unwinding
/// that ran the guard would have been forced through frames that did not expect it.
///
/// Broken on purpose: drop the host's switch when its worker stops (corosensei unwinds).
#[test]
fn the_end_of_a_runtime_unwinds_nobody() {
    static DROPPED: AtomicBool = AtomicBool::new(false);

    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            DROPPED.store(true, Ordering::SeqCst);
        }
    }

    for workers in [1, 2] {
        let runtime = runtime_with(workers, None, "rule2");
        runtime.run(Location::caller(), || {
            drop(spawn(|| {
                let _guard = Guard;
                park_for_ever();
            }));
        });
        until_one_is_parked(&runtime);
        let left = runtime.shutdown(Duration::ZERO).expect_err("one is left");
        assert_eq!(left.left.len(), 1);
        assert!(
            left.to_string().contains("waiting for a condition"),
            "{left}"
        );
        assert!(!DROPPED.load(Ordering::SeqCst));
    }
}

/// A coroutine that recurses without end dies with a message that names it, where it was
/// spawned, how large its stack was and how to raise it; nothing else is overwritten first.
///
/// Broken on purpose: leave out `overflow::install_thread` in `worker_thread` (the handler has
/// no stack to run on), or `describe_with` in `Runtime::new`.
#[test]
fn an_overflow_names_the_coroutine_and_the_remedy() {
    #[expect(unconditional_recursion, reason = "that is what it is for")]
    fn recurse(depth: u64) -> u64 {
        let frame = black_box([depth; 64]);
        recurse(depth + 1) + black_box(frame)[7]
    }

    if super::is_deed() {
        let runtime = runtime_with(1, None, "deep");
        runtime.run(Location::caller(), || {
            let options = ropewalk_kernel::task::Options {
                name: Some("bottomless".into()),
                ..Default::default()
            };
            // SAFETY: `'static`.
            let handle = unsafe {
                ropewalk_kernel::runtime::spawn_unchecked(options, None, Location::caller(), || {
                    recurse(0)
                })
            };
            handle.expect("a runtime").join().expect("never ends")
        });
        return;
    }
    let name = "stacks::an_overflow_names_the_coroutine_and_the_remedy";
    let output = super::run_deed(name);
    let text = super::text(&output);
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&output.status),
        Some(6),
        "{text}"
    );
    for expected in ["'bottomless'", "stacks.rs", "overflow", "KiB", "stack_size"] {
        assert!(text.contains(expected), "{expected:?} is missing: {text}");
    }
}
