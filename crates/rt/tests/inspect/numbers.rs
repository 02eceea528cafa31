//! What the metrics count.

use std::time::Duration;

use ropewalk_rt::channel::bounded;
use ropewalk_rt::inspect::{Counters, metrics};
use ropewalk_rt::{coroutine, spawn, spawn_async, time, unblock};

use crate::stage::{dump_until, on_each};

/// Each test in a process of its own would be exact; here others count too.
fn total() -> Counters {
    metrics().total
}

#[test]
fn they_count_what_was_done() {
    on_each(|runtime| {
        let before = metrics();
        runtime.run(|| {
            let tasks: Vec<_> = (0..100)
                .map(|_| {
                    spawn(|| {
                        coroutine::yield_now();
                        time::sleep(Duration::from_millis(1));
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
            let (sender, receiver) = bounded(1);
            let waits = spawn_async(async move { receiver.recv_async().await });
            dump_until(runtime, |dump| {
                let mut groups = dump.groups.iter();
                groups.any(|group| group.reason == Some("waiting for a waker"))
            });
            sender.send(1).unwrap();
            assert_eq!(waits.join().unwrap(), Ok(1));
            assert_eq!(unblock(|| 1), 1);
        });
        let after = metrics();
        let more = |of: fn(&Counters) -> u64| of(&after.total) - of(&before.total);
        assert!(more(|c| c.spawned) >= 102);
        assert!(more(|c| c.started) >= 102);
        assert!(more(|c| c.completed) >= 101);
        assert!(more(|c| c.resumed) >= 200);
        assert!(more(|c| c.parks.iter().sum()) >= 200);
        // One that is paused until its time is over sets none.
        assert!(more(|c| c.timers) > 0);
        assert!(more(|c| c.polls) > 0);
        assert!(more(|c| c.paused) >= 1);
        assert!(more(|c| c.latency.count()) > 0);
        assert!(after.blocking_jobs > before.blocking_jobs);
        assert!(after.stack_address_bytes > 0);
    });
}

/// Counters never fall, also when a runtime goes.
#[test]
fn they_outlive_their_runtime() {
    let mut last = total();
    for _ in 0..5 {
        let runtime = crate::stage::runtime(2);
        runtime.run(|| spawn(coroutine::yield_now).join().unwrap());
        drop(runtime);
        let now = total();
        assert!(now.spawned >= last.spawned + 2);
        assert!(now.completed >= last.completed);
        last = now;
    }
}

#[test]
fn quantiles_lie_between_the_bounds() {
    let mut latency = ropewalk_rt::inspect::Latency::default();
    assert_eq!((latency.quantile_ns(0.5), latency.count()), (0, 0));
    // 90 times below 128 ns, 10 below 2^20 ns.
    latency.buckets[7] = 90;
    latency.buckets[20] = 10;
    latency.max_ns = 1_000_000;
    assert_eq!(latency.quantile_ns(0.5), 127);
    assert_eq!(latency.quantile_ns(0.9), 127);
    assert_eq!(latency.quantile_ns(0.91), 1_000_000);
    assert_eq!(latency.quantile_ns(1.0), 1_000_000);
}
