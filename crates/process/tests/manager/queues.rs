//! Queues within one process.

use ropewalk_process::manager::{Refusal, Value};
use ropewalk_rt::coroutine;

use super::stage::{LONG, SHORT, await_stats, on_each, served};

#[test]
fn every_item_arrives_once() {
    on_each(|| {
        let (_server, manager) = served();
        let queue = manager.bounded_queue(4).unwrap();
        let sum = coroutine::scope(|scope| {
            for worker in 0..4_u32 {
                let queue = &queue;
                scope.spawn(move || {
                    for item in 0..50 {
                        queue.put(worker * 50 + item).unwrap();
                    }
                });
            }
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let items = (0..50).map(|_| queue.get::<u32>().unwrap());
                        items.sum::<u32>()
                    })
                })
                .collect();
            takers
                .into_iter()
                .map(|one| one.join().unwrap())
                .sum::<u32>()
        });
        assert_eq!(sum, (0..200).sum());
        assert!(queue.is_empty().unwrap());
    });
}

#[test]
fn full_and_empty() {
    on_each(|| {
        let (_server, manager) = served();
        let queue = manager.bounded_queue(1).unwrap();
        assert_eq!(queue.try_get::<Value>().unwrap(), None);
        assert_eq!(queue.get_timeout::<Value>(SHORT).unwrap(), None);
        assert!(queue.try_put(1).unwrap());
        assert!(!queue.try_put(2).unwrap());
        assert!(!queue.put_timeout(2, SHORT).unwrap());
        coroutine::scope(|scope| {
            let putter = scope.spawn(|| queue.put("second").unwrap());
            await_stats(&manager, "the putter", |stats| stats.waiting == 1);
            assert_eq!(queue.get::<u8>().unwrap(), 1);
            putter.join().unwrap();
        });
        assert_eq!(
            queue.get_timeout::<String>(LONG).unwrap().unwrap(),
            "second"
        );
        assert_eq!(manager.stats().unwrap().waiting, 0);
    });
}

#[test]
fn joined_when_all_is_done() {
    on_each(|| {
        let (_server, manager) = served();
        let queue = manager.queue().unwrap();
        queue.join().unwrap();
        queue.put(1).unwrap();
        queue.put(2).unwrap();
        assert!(!queue.join_timeout(SHORT).unwrap());
        coroutine::scope(|scope| {
            let joiner = scope.spawn(|| queue.join());
            for _ in 0..2 {
                queue.get::<u8>().unwrap();
                queue.task_done().unwrap();
            }
            joiner.join().unwrap().unwrap();
        });
        let too_many = queue.task_done().unwrap_err();
        assert_eq!(too_many.refusal(), Some(&Refusal::TooManyDone));
    });
}

#[test]
fn closed() {
    on_each(|| {
        let (_server, manager) = served();
        let queue = manager.bounded_queue(1).unwrap();
        queue.put("last").unwrap();
        coroutine::scope(|scope| {
            let putter = scope.spawn(|| queue.put("never"));
            await_stats(&manager, "the putter", |stats| stats.waiting == 1);
            queue.close().unwrap();
            let refused = putter.join().unwrap().unwrap_err();
            assert_eq!(refused.refusal(), Some(&Refusal::Closed));
        });
        assert!(queue.is_closed().unwrap());
        assert_eq!(queue.get::<String>().unwrap(), "last");
        for refused in [
            queue.get::<Value>().map(drop),
            queue.put(1),
            queue.try_put(1).map(drop),
        ] {
            assert_eq!(refused.unwrap_err().refusal(), Some(&Refusal::Closed));
        }
        assert!(manager.bounded_queue(0).is_err());
    });
}
