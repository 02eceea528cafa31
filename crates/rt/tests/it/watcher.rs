//! Coroutines that keep their worker: who is told of, how often, and what others do meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ropewalk_rt::{Runtime, coroutine};

use crate::process::{alone, text};
use crate::stage::{close, drivers};

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
    let before = runtime.kept();
    let kept = {
        let enough = Arc::clone(&enough);
        let name = name.to_string();
        runtime.spawn(move || {
            let inner = coroutine::Builder::new()
                .name(name)
                .spawn(move || keep(&enough));
            inner.unwrap().join().unwrap();
        })
    };
    while runtime.kept() == before {
        std::thread::sleep(Duration::from_millis(1));
    }
    enough.store(true, Ordering::Relaxed);
    kept.join().unwrap();
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
