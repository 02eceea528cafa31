//! Producers and consumers killed at each step of putting and getting.

use super::Queue;
use crate::shared::crashes::{another, at_each_step};

fn item(number: usize) -> Vec<u8> {
    vec![number as u8; number % 37]
}

/// So small that the ring wraps all the time.
fn queue() -> Queue<Vec<u8>> {
    Queue::with_capacity(8, 120).unwrap()
}

#[test]
fn a_killed_producer_has_put_its_item_or_not() {
    for before in 0..12 {
        let queue = queue();
        for number in 0..before {
            queue.try_put(item(number + 20)).unwrap();
            queue.try_get().unwrap();
        }
        queue.try_put(item(1)).unwrap();
        let steps = at_each_step(
            || Queue::<Vec<u8>>::of(another(&queue.mapping)).unwrap(),
            |victim| victim.try_put(item(30)).unwrap(),
            |step, killed| {
                assert_eq!(queue.get().unwrap(), item(1), "step {step}");
                match queue.try_get() {
                    Ok(got) => assert_eq!(got, item(30), "step {step}"),
                    Err(error) => assert!(killed && error.is_empty(), "step {step}: {error}"),
                }
                assert!(queue.is_empty());
                queue.try_put(item(1)).unwrap();
            },
        );
        assert!(steps > 8, "{steps}");
    }
}

#[test]
fn a_killed_consumer_takes_its_item_along_or_not() {
    for before in 0..12 {
        let queue = queue();
        for number in 0..before {
            queue.try_put(item(number + 20)).unwrap();
            queue.try_get().unwrap();
        }
        at_each_step(
            || {
                queue.try_put(item(30)).unwrap();
                queue.try_put(item(31)).unwrap();
                Queue::<Vec<u8>>::of(another(&queue.mapping)).unwrap()
            },
            |victim| assert_eq!(victim.try_get().unwrap(), item(30)),
            |step, killed| {
                let mut left: Vec<_> = std::iter::from_fn(|| queue.try_get().ok()).collect();
                assert_eq!(left.pop().unwrap(), item(31), "step {step}");
                assert!(
                    left.is_empty() || killed && left == [item(30)],
                    "step {step}"
                );
                assert!(queue.try_get().unwrap_err().is_empty());
            },
        );
    }
}
