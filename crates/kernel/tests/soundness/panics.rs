//! Rule 6: waiting while a panic is under way.

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use ropewalk_kernel::runtime::Runtime;
use ropewalk_kernel::wait::{self, Limit, Reason, WaitQueue};

use super::{is_deed, run_deed, runtime_with, spawn, text};

/// A `Drop` that runs while its coroutine unwinds waits for another coroutine of the only
/// worker: it must give way, or neither goes on.
///
/// Broken on purpose: treat a panicking coroutine as a plain thread in `Context::current`:
/// this test hangs.
#[test]
fn a_wait_inside_drop_while_unwinding_lets_others_run() {
    static FLAG: AtomicBool = AtomicBool::new(false);

    struct WaitsInDrop;
    impl Drop for WaitsInDrop {
        fn drop(&mut self) {
            while !FLAG.load(Ordering::SeqCst) {
                wait::yield_now();
            }
        }
    }

    let before = wait::panicked_waits();
    let runtime = runtime_with(1, None, "rule6");
    runtime.run(Location::caller(), || {
        let unwinding = spawn(|| {
            let _waits = WaitsInDrop;
            panic!("on purpose");
        });
        let helper = spawn(|| FLAG.store(true, Ordering::SeqCst));
        assert!(unwinding.join().is_err());
        helper.join().expect("no panic");
        assert!(!std::thread::panicking(), "the count is even again");
    });
    assert!(wait::panicked_waits() > before);
    runtime
        .shutdown(Duration::from_secs(10))
        .expect("nobody is left");
}

/// Two coroutines of one worker unwind at once, each waiting in a `Drop` for the other, and
/// each catches its own panic.
#[test]
fn two_unwindings_of_one_worker_interleave() {
    static TURN: AtomicU32 = AtomicU32::new(0);

    struct Alternates;
    impl Drop for Alternates {
        fn drop(&mut self) {
            for _ in 0..10 {
                TURN.fetch_add(1, Ordering::SeqCst);
                wait::yield_now();
            }
        }
    }

    let runtime = runtime_with(1, None, "rule6");
    runtime.run(Location::caller(), || {
        let both = [1u32, 2].map(|n| {
            spawn(move || {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    let _alternates = Alternates;
                    std::panic::panic_any(n);
                }));
                *caught
                    .expect_err("a panic")
                    .downcast::<u32>()
                    .expect("its own payload")
            })
        });
        let values = both.map(|handle| handle.join().expect("caught inside"));
        assert_eq!(values, [1, 2]);
        assert_eq!(TURN.load(Ordering::SeqCst), 20);
    });
    runtime
        .shutdown(Duration::from_secs(10))
        .expect("nobody is left");
}

/// A panic hook that waits blocks its thread: if another coroutine ran meanwhile and panicked,
/// std would abort the process ("panicked while processing panic").
///
/// Broken on purpose: let `Context::while_panicking` ignore the hook's mark: the process
/// aborts.
#[test]
fn a_wait_inside_a_panic_hook_blocks_the_thread() {
    if !is_deed() {
        let output = run_deed("panics::a_wait_inside_a_panic_hook_blocks_the_thread");
        assert!(output.status.success(), "{}", text(&output));
        assert!(text(&output).contains("hook waited"), "{}", text(&output));
        return;
    }
    static QUEUE: WaitQueue = WaitQueue::new();
    static WOKEN: AtomicBool = AtomicBool::new(false);
    static HOOKS: AtomicU32 = AtomicU32::new(0);
    std::panic::set_hook(Box::new(|_| {
        if HOOKS.fetch_add(1, Ordering::SeqCst) > 0 {
            return;
        }
        let waker = std::thread::spawn(|| {
            while !QUEUE.wake_one() {
                std::thread::yield_now();
            }
        });
        let guard = QUEUE.lock();
        guard.wait(0, Reason::Condition, 0, Limit::NONE);
        WOKEN.store(true, Ordering::SeqCst);
        let _ = waker.join();
        println!("hook waited");
    }));
    let runtime: Runtime = runtime_with(1, None, "hook");
    runtime.run(Location::caller(), || {
        let first = spawn(|| panic!("first"));
        let second = spawn(|| {
            assert!(WOKEN.load(Ordering::SeqCst), "ran while the hook waited");
            panic!("second");
        });
        assert!(first.join().is_err());
        assert!(second.join().is_err());
    });
    runtime
        .shutdown(Duration::from_secs(10))
        .expect("nobody is left");
}
