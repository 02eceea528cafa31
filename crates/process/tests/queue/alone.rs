//! What the queue does within one process.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ropewalk_process::Queue;
use ropewalk_process::queue::PutError;
use ropewalk_rt::cancel::Token;

use crate::stage::on_each;

const SHORT: Duration = Duration::from_millis(5);

#[test]
fn items_come_in_order_and_are_counted() {
    let queue = Queue::<(u32, String)>::new(3).unwrap();
    assert_eq!((queue.maxsize(), queue.len()), (3, 0));
    assert!(queue.is_empty() && queue.try_get().unwrap_err().is_empty());
    for number in 0..3 {
        queue.put((number, "x".repeat(number as usize))).unwrap();
    }
    assert!(queue.is_full());
    let refused = queue.try_put((9, String::new())).unwrap_err();
    assert!(refused.is_full());
    assert_eq!(refused.into_inner().0, 9);
    assert!(
        queue
            .put_timeout((9, String::new()), SHORT)
            .unwrap_err()
            .is_full()
    );
    assert_eq!(queue.len(), 3);
    for number in 0..3 {
        let (got, text) = queue.get().unwrap();
        assert_eq!((got, text.len()), (number, number as usize));
    }
    let before = Instant::now();
    assert!(queue.get_timeout(SHORT).unwrap_err().is_empty());
    assert!(queue.get_deadline(before).unwrap_err().is_empty());
    assert!(before.elapsed() >= SHORT);
}

#[test]
fn closing_lets_go_who_waits_and_keeps_what_is_there() {
    on_each(|| {
        let queue = Queue::<u8>::new(1).unwrap();
        queue.put(1).unwrap();
        ropewalk_rt::scope(|s| {
            let producer = s.spawn(|| queue.put(2).unwrap_err().is_closed());
            let empty = Queue::<u8>::new(1).unwrap();
            let again = empty.clone();
            let consumer = s.spawn(move || again.get().unwrap_err().is_closed());
            ropewalk_rt::coroutine::yield_now();
            queue.close();
            empty.close();
            assert!(producer.join().unwrap() && consumer.join().unwrap());
        });
        assert!(queue.is_closed());
        assert_eq!(queue.get().unwrap(), 1);
        assert!(queue.try_get().unwrap_err().is_closed());
        assert!(queue.try_put(3).unwrap_err().is_closed());
    });
}

#[test]
fn waits_are_cancelled_without_loss() {
    on_each(|| {
        let (full, empty) = (Queue::<u8>::new(1).unwrap(), Queue::<u8>::new(1).unwrap());
        full.put(1).unwrap();
        let token = Token::new();
        ropewalk_rt::scope(|s| {
            let producer = s.spawn(|| token.run(|| full.put(2)));
            let consumer = s.spawn(|| token.run(|| empty.get()));
            ropewalk_rt::coroutine::yield_now();
            token.cancel();
            assert!(producer.join().unwrap().unwrap_err().is_cancelled());
            assert!(consumer.join().unwrap().unwrap_err().is_cancelled());
        });
        assert_eq!((full.len(), empty.len()), (1, 0));
    });
}

#[test]
fn many_producers_and_consumers_lose_nothing() {
    on_each(|| {
        let queue = Queue::<u32>::new(4).unwrap();
        let got = ropewalk_rt::scope(|s| {
            let producers: Vec<_> = (0..4)
                .map(|producer| {
                    let queue = &queue;
                    s.spawn(move || {
                        for item in 0..100 {
                            queue.put(producer * 100 + item).unwrap();
                        }
                    })
                })
                .collect();
            let consumers: Vec<_> = (0..3)
                .map(|_| s.spawn(|| queue.iter().collect::<Vec<_>>()))
                .collect();
            for producer in producers {
                producer.join().unwrap();
            }
            queue.close();
            let got = consumers.into_iter().flat_map(|one| one.join().unwrap());
            got.collect::<Vec<_>>()
        });
        assert_eq!(got.len(), 400);
        assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), (0..400).collect());
    });
}

/// Sizes that make the ring wrap at every place.
#[test]
fn the_ring_wraps_wherever_messages_end() {
    let queue = Queue::<Vec<u8>>::with_capacity(0, 200).unwrap();
    assert_eq!(queue.maxsize(), 0);
    let mut expected = std::collections::VecDeque::new();
    let mut seed = 1_u32;
    for round in 0..5_000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let item = vec![round as u8; (seed >> 24) as usize % 90];
        if (seed >> 16).is_multiple_of(3) || queue.try_put(item.clone()).is_err() {
            assert_eq!(queue.try_get().ok(), expected.pop_front());
        } else {
            expected.push_back(item);
        }
        assert_eq!(queue.len(), expected.len());
    }
    while let Some(item) = expected.pop_front() {
        assert_eq!(queue.get().unwrap(), item);
    }
    assert!(queue.is_empty());
    // All of it is room for one again, and more than that is too large.
    queue.put(vec![7; 190]).unwrap();
    assert_eq!(queue.get().unwrap(), [7; 190]);
    let refused = queue.put(vec![7; 250]).unwrap_err();
    assert!(matches!(refused, PutError::TooLarge { .. }), "{refused}");
    assert_eq!(refused.into_inner().len(), 250);
}

#[test]
fn large_items_go_through() {
    on_each(|| {
        let queue = Queue::<Vec<u8>>::new(2).unwrap();
        let sent: Vec<u8> = (0..300_000_u32).map(|byte| byte as u8).collect();
        ropewalk_rt::scope(|s| {
            s.spawn(|| {
                for _ in 0..4 {
                    queue.put(sent.clone()).unwrap();
                }
            });
            for _ in 0..4 {
                assert!(queue.get().unwrap() == sent);
            }
        });
    });
    assert!(Queue::<u8>::with_capacity(1, 3 << 30).is_err());
}

/// Compiles only as long as the queue of one process can't be serialised: else which of the two
/// implementations is meant would be open.
#[test]
fn the_queue_of_one_process_cannot_be_given_away() {
    trait IsNotSerialize<A> {
        fn check() {}
    }
    struct Ambiguous;
    impl<T> IsNotSerialize<()> for T {}
    impl<T: serde::Serialize> IsNotSerialize<Ambiguous> for T {}

    <ropewalk_rt::queue::Queue<u32> as IsNotSerialize<_>>::check();
    <Queue<u32> as IsNotSerialize<Ambiguous>>::check();
}
