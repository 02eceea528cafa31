//! Closing in every state, with all kinds of waiters present.

use std::sync::Arc;
use std::time::Duration;

use ropewalk_rt::queue::{GetError, PriorityQueue, PutError, Queue};
use ropewalk_rt::{JoinHandle, spawn};

use crate::stage::{on_each, until_waiting};
use crate::who::{Polled, Who, in_pairings};

const WAITS: &str = "waiting for a queue";

fn close(queue: &Queue<u32>, now: bool) -> Vec<u32> {
    if now {
        queue.close_now()
    } else {
        queue.close();
        Vec::new()
    }
}

fn settle(who: Who, handle: &JoinHandle<impl Sized>) {
    if who == Who::Coroutine {
        until_waiting(handle.id(), WAITS);
    }
}

#[test]
fn a_closed_queue_gives_out_what_is_left() {
    on_each(|| {
        let queue = Queue::with_maxsize(3);
        queue.put(1).unwrap();
        queue.put(2).unwrap();
        assert!(!queue.is_closed());
        queue.close();
        queue.close();
        assert!(queue.is_closed());
        assert_eq!(queue.put(3), Err(PutError::Closed(3)));
        assert_eq!(queue.try_put(3), Err(PutError::Closed(3)));
        assert_eq!(
            queue.put_timeout(3, Duration::from_secs(3600)),
            Err(PutError::Closed(3))
        );
        assert_eq!(queue.get(), Ok(1));
        assert_eq!(queue.try_get(), Ok(2));
        assert_eq!(queue.get(), Err(GetError::Closed));
        assert_eq!(queue.try_get(), Err(GetError::Closed));
        assert_eq!(
            queue.get_timeout(Duration::from_secs(3600)),
            Err(GetError::Closed)
        );
        // The counts go on as before.
        queue.task_done().unwrap();
        queue.task_done().unwrap();
        queue.join().unwrap();
    });
}

#[test]
fn a_closed_full_queue_is_closed_before_it_is_full() {
    let queue = Queue::with_maxsize(1);
    queue.put(1).unwrap();
    queue.close();
    assert!(queue.is_full());
    assert_eq!(queue.try_put(2), Err(PutError::Closed(2)));
    assert_eq!(
        Polled::new(queue.put_async(2)).poll(),
        Some(Err(PutError::Closed(2)))
    );
    assert_eq!(Polled::new(queue.get_async()).poll(), Some(Ok(1)));
    assert_eq!(
        Polled::new(queue.get_async()).poll(),
        Some(Err(GetError::Closed))
    );
}

#[test]
fn closing_at_once_takes_everything_out() {
    on_each(|| {
        let queue = PriorityQueue::unbounded();
        for (n, name) in ["c", "a", "b", "a"].into_iter().enumerate() {
            queue.put((name, n)).unwrap();
        }
        let (first, _) = queue.get().unwrap();
        assert_eq!(first, "a");
        assert_eq!(queue.close_now(), [("a", 3), ("b", 2), ("c", 0)]);
        assert_eq!(queue.get(), Err(GetError::Closed));
        assert_eq!(queue.put(("d", 9)), Err(PutError::Closed(("d", 9))));
        assert_eq!(queue.close_now(), []);
        // One is still in work.
        assert_eq!(queue.unfinished(), 1);
        assert!(queue.join_timeout(Duration::ZERO).is_err());
        queue.task_done().unwrap();
        queue.join().unwrap();
        assert!(queue.task_done().is_err());
    });
}

#[test]
fn closing_at_once_after_closing_takes_what_is_left() {
    let queue = Queue::unbounded();
    queue.put(1).unwrap();
    queue.put(2).unwrap();
    queue.close();
    assert_eq!(queue.get(), Ok(1));
    assert_eq!(queue.close_now(), [2]);
    queue.task_done().unwrap();
    queue.join().unwrap();
}

// More were reported done than were got: as Python has it, the count stops at none.
#[test]
fn closing_at_once_does_not_count_below_nothing() {
    let queue = Queue::unbounded();
    queue.put(1).unwrap();
    queue.put(2).unwrap();
    queue.task_done().unwrap();
    assert_eq!(queue.close_now(), [1, 2]);
    assert_eq!(queue.unfinished(), 0);
    queue.join().unwrap();
}

#[test]
fn closing_tells_who_waits_for_an_item() {
    in_pairings(|taker, closer| {
        for now in [false, true] {
            let queue = Arc::new(Queue::<u32>::unbounded());
            let takers: Vec<_> = (0..3)
                .map(|_| {
                    let (one, two) = (Arc::clone(&queue), Arc::clone(&queue));
                    taker.wait(move || one.get(), async move { two.get_async().await })
                })
                .collect();
            takers.iter().for_each(|handle| settle(taker, handle));
            let own = Arc::clone(&queue);
            let left = closer.act(move || close(&own, now)).join().unwrap();
            assert!(left.is_empty());
            for handle in takers {
                assert_eq!(handle.join().unwrap(), Err(GetError::Closed));
            }
        }
    });
}

#[test]
fn closing_refuses_who_waits_for_room() {
    in_pairings(|putter, closer| {
        for now in [false, true] {
            let queue = Arc::new(Queue::with_maxsize(1));
            queue.put(0).unwrap();
            let putters: Vec<_> = (1..4)
                .map(|n| {
                    let (one, two) = (Arc::clone(&queue), Arc::clone(&queue));
                    putter.wait(move || one.put(n), async move { two.put_async(n).await })
                })
                .collect();
            putters.iter().for_each(|handle| settle(putter, handle));
            let own = Arc::clone(&queue);
            let mut left = closer.act(move || close(&own, now)).join().unwrap();
            for (n, handle) in (1..).zip(putters) {
                assert_eq!(handle.join().unwrap(), Err(PutError::Closed(n)));
            }
            left.extend(queue.close_now());
            assert_eq!(left, [0]);
        }
    });
}

// Nothing was in work: the join ends, though nobody did anything.
#[test]
fn closing_at_once_releases_who_joins() {
    in_pairings(|joiner, closer| {
        let queue = Arc::new(Queue::unbounded());
        queue.put(1).unwrap();
        queue.put(2).unwrap();
        let (one, two) = (Arc::clone(&queue), Arc::clone(&queue));
        let joined = joiner.wait(move || one.join().unwrap(), async move {
            two.join_async().await
        });
        settle(joiner, &joined);
        let own = Arc::clone(&queue);
        assert_eq!(closer.act(move || own.close_now()).join().unwrap(), [1, 2]);
        joined.join().unwrap();
    });
}

#[test]
fn closing_leaves_who_joins_waiting_for_what_is_in_work() {
    on_each(|| {
        for now in [false, true] {
            let queue = Arc::new(Queue::unbounded());
            queue.put(1).unwrap();
            let own = Arc::clone(&queue);
            let joined = spawn(move || own.join());
            until_waiting(joined.id(), WAITS);
            assert_eq!(queue.get(), Ok(1));
            close(&queue, now);
            assert!(!joined.is_finished());
            until_waiting(joined.id(), WAITS);
            queue.task_done().unwrap();
            joined.join().unwrap().unwrap();
        }
    });
}

// Python's documentation shows it: consumers that end by themselves.
#[test]
fn consumers_end_when_the_queue_is_drained() {
    on_each(|| {
        let queue = Arc::new(Queue::with_maxsize(4));
        let consumers: Vec<_> = (0..3)
            .map(|_| {
                let queue = Arc::clone(&queue);
                spawn(move || {
                    let mut sum = 0u64;
                    while let Ok(n) = queue.get() {
                        sum += n;
                        queue.task_done().unwrap();
                    }
                    sum
                })
            })
            .collect();
        for n in 1..=1000 {
            queue.put(n).unwrap();
        }
        queue.close();
        queue.join().unwrap();
        let sum: u64 = consumers.into_iter().map(|c| c.join().unwrap()).sum();
        assert_eq!(sum, 500_500);
    });
}
