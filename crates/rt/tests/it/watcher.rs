//! Coroutines that keep their worker: who is told of, how often, and what others do meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::{Runtime, channel, coroutine};

use crate::process::{alone, text, well_alone};
use crate::stage::{close, drivers, until};

fn watched(workers: usize, patience: Duration) -> Runtime {
    Runtime::builder()
        .driver(drivers()[0])
        .workers(workers)
        .watch(patience)
        .build()
        .expect("a runtime")
}

/// Computes until somebody else says that it is enough.
#[inline(never)]
fn compute_until(enough: &AtomicBool) -> u64 {
    let mut sum = 0u64;
    while !enough.load(Ordering::Relaxed) {
        sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
    }
    sum
}

/// Keeps a worker by `keep` until the watcher has counted it.
fn keep_until_counted(runtime: &Runtime, name: &str, keep: fn(&AtomicBool)) {
    let enough = Arc::new(AtomicBool::new(false));
    let (go, gate) = channel::bounded::<()>(1);
    let builder = coroutine::Builder::new().name(name.to_owned());
    let told = Arc::clone(&enough);
    let kept = runtime.run(move || {
        builder.spawn(move || {
            gate.recv().unwrap();
            keep(&told);
        })
    });
    // From here on there is nobody else whom it could count, on however busy a machine.
    let before = runtime.kept();
    go.send(()).unwrap();
    while runtime.kept() == before {
        std::thread::sleep(Duration::from_millis(1));
    }
    enough.store(true, Ordering::Relaxed);
    kept.unwrap().join().unwrap();
}

#[test]
fn one_who_computes_is_told_of_once_with_name_site_and_stack() {
    let output = alone(
        "watcher::one_who_computes_is_told_of_once_with_name_site_and_stack",
        &[],
        || {
            let runtime = watched(1, Duration::from_millis(10));
            for _ in 0..3 {
                keep_until_counted(&runtime, "cruncher", |enough| {
                    compute_until(enough);
                });
            }
            assert_eq!(runtime.kept(), 3);
            close(runtime);
        },
    );
    let Some(output) = output else { return };
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        said.matches("has kept worker 0 (of 1)").count(),
        1,
        "{said}"
    );
    assert!(said.contains("coroutine 'cruncher' (id "), "{said}");
    assert!(said.contains("watcher.rs:"), "the spawn site: {said}");
    if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        assert!(said.contains("compute_until"), "the stack: {said}");
    }
}

#[test]
fn one_who_blocks_the_thread_is_told_of_too() {
    let output = alone(
        "watcher::one_who_blocks_the_thread_is_told_of_too",
        &[],
        || {
            let runtime = watched(2, Duration::from_millis(10));
            keep_until_counted(&runtime, "sleeper", |enough| {
                while !enough.load(Ordering::Relaxed) {
                    // Longer than any patience: in the system for good, as far as it goes.
                    std::thread::sleep(Duration::from_millis(40));
                }
            });
            close(runtime);
        },
    );
    let Some(output) = output else { return };
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("coroutine 'sleeper' (id "), "{said}");
    if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        assert!(said.contains("sleep"), "the stack: {said}");
    }
}

/// With `RUST_BACKTRACE=1` a panic takes long to print, and the watcher added a second, longer
/// stack to it: that of the printing.
#[test]
fn one_who_explains_a_panic_is_not_told_of() {
    static ENOUGH: AtomicBool = AtomicBool::new(false);
    let output = alone(
        "watcher::one_who_explains_a_panic_is_not_told_of",
        &[],
        || {
            std::panic::set_hook(Box::new(|_| {
                compute_until(&ENOUGH);
            }));
            let runtime = watched(1, Duration::from_millis(10));
            let panics = runtime.spawn(|| panic!("on purpose"));
            while runtime.kept() == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            ENOUGH.store(true, Ordering::Relaxed);
            panics.join().unwrap_err();
            close(runtime);
        },
    );
    let Some(output) = output else { return };
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("has kept worker"), "{said}");
}

#[test]
fn those_who_wait_and_those_who_yield_are_not_told_of() {
    well_alone(&[], || {
        let runtime = watched(1, Duration::from_millis(10));
        runtime.run(|| {
            coroutine::sleep(Duration::from_millis(60));
            ropewalk_rt::unblock(|| std::thread::sleep(Duration::from_millis(60)));
            // As much computing as takes long, in short pieces.
            let begun = std::time::Instant::now();
            while begun.elapsed() < Duration::from_millis(60) {
                for n in 0..100 {
                    std::hint::black_box(n);
                }
                coroutine::yield_now();
            }
        });
        assert_eq!(runtime.kept(), 0);
        close(runtime);
    });
}

#[test]
fn switched_off_it_is_not_there() {
    let watchers = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("/proc");
        let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
        names
            .flatten()
            .filter(|name| name.trim_end() == "ropewalk/watche")
            .count()
    };
    well_alone(&[("ROPEWALK_WATCH", "off")], || {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        assert_eq!(watchers(), 0);
        close(runtime);
        let runtime = watched(1, Duration::from_millis(10));
        // It names itself when it begins.
        until(|| watchers() == 1);
        let other = watched(1, Duration::from_millis(20));
        assert_eq!(watchers(), 1, "one for all");
        close(runtime);
        assert_eq!(watchers(), 1);
        close(other);
        // None without a runtime. A thread that was joined takes a moment to leave `/proc`.
        until(|| watchers() == 0);
    });
}

#[test]
fn a_patience_that_makes_no_sense_is_an_error() {
    let error = Runtime::builder()
        .watch(Duration::from_micros(10))
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
    for (said, good) in [
        ("often", false),
        ("10", false),
        ("0ms", false),
        ("-1s", false),
        ("20ms", true),
        ("1s", true),
        ("", true),
    ] {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "watcher::helper_start", "--include-ignored"])
            .env("ROPEWALK_WATCH", said)
            .output()
            .expect("the executable runs again");
        assert_eq!(output.status.success(), good, "{said:?}: {}", text(&output));
        assert!(
            good || text(&output).contains("ROPEWALK_WATCH="),
            "{said:?}"
        );
    }
}

#[test]
#[ignore = "run by another test"]
fn helper_start() {
    let runtime = Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    close(runtime);
}

#[test]
fn what_a_kept_worker_has_not_started_others_run() {
    const FRESH: usize = 200;
    for driver in drivers() {
        let runtime = Runtime::builder()
            .driver(driver)
            .workers(2)
            .watch(Duration::from_millis(10))
            .build()
            .unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        let enough = Arc::new(AtomicBool::new(false));
        let keeper = {
            let (ran, enough) = (Arc::clone(&ran), Arc::clone(&enough));
            runtime.spawn(move || {
                for _ in 0..FRESH {
                    let ran = Arc::clone(&ran);
                    ropewalk_rt::spawn(move || ran.fetch_add(1, Ordering::SeqCst));
                }
                compute_until(&enough);
                ran.load(Ordering::SeqCst)
            })
        };
        until(|| ran.load(Ordering::SeqCst) == FRESH);
        enough.store(true, Ordering::SeqCst);
        assert_eq!(keeper.join().unwrap(), FRESH, "while the keeper ran");
        close(runtime);
    }
}

#[test]
fn a_handler_of_the_programs_own_is_left_alone() {
    let output = alone(
        "watcher::a_handler_of_the_programs_own_is_left_alone",
        &[],
        || {
            static CALLED: AtomicUsize = AtomicUsize::new(0);
            extern "C" fn own(_signal: libc::c_int) {
                CALLED.fetch_add(1, Ordering::SeqCst);
            }
            let own = own as extern "C" fn(libc::c_int) as libc::sighandler_t;
            // SAFETY: a handler that only counts.
            unsafe { libc::signal(libc::SIGURG, own) };
            let runtime = watched(1, Duration::from_millis(10));
            keep_until_counted(&runtime, "cruncher", |enough| {
                compute_until(enough);
            });
            close(runtime);
            assert_eq!(CALLED.load(Ordering::SeqCst), 0);
            // SAFETY: as above.
            assert_eq!(unsafe { libc::signal(libc::SIGURG, own) }, own);
        },
    );
    let Some(output) = output else { return };
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("coroutine 'cruncher'"), "{said}");
    assert!(said.contains("could not be looked at"), "{said}");
}
