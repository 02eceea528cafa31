//! Producers and consumers killed at each step of putting and getting, and damaged memory.

use std::sync::atomic::Ordering;

use super::{BODY, GetError, HEAD, LEN, MAXSIZE, PutError, Queue, RING, TAIL, USED};
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

/// A process that writes at random into the queue's words and ring gets others errors at worst.
#[test]
fn damaged_memory_is_an_error() {
    let mut seed = 1_u32;
    let mut random = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 8
    };
    let (mut damaged, mut wrong) = (0, 0);
    for _ in 0..3000 {
        let queue = queue();
        for number in 0..random() % 5 {
            _ = queue.try_put(item(number as usize + 20));
        }
        for _ in 0..1 + random() % 2 {
            let words = [
                LEN,
                USED,
                HEAD,
                TAIL,
                RING,
                MAXSIZE,
                BODY,
                BODY + 24,
                BODY + 48,
            ];
            let word = words[random() as usize % words.len()];
            let value = match random() % 4 {
                0 => u32::MAX,
                1 => random() % 200,
                2 => random() % 30 * 4,
                _ => random() << 8,
            };
            queue
                .mapping
                .region
                .word(word)
                .store(value, Ordering::Relaxed);
        }
        for _ in 0..6 {
            match queue.try_get() {
                Ok(_) => {}
                Err(GetError::Damaged) => damaged += 1,
                Err(GetError::Decode(_)) => wrong += 1,
                Err(error) => assert!(error.is_empty(), "{error}"),
            }
            match queue.try_put(item(30)) {
                Ok(()) => {}
                Err(PutError::Damaged(_)) => damaged += 1,
                Err(error) => assert!(error.is_full(), "{error}"),
            }
        }
    }
    assert!(damaged > 100 && wrong > 10, "{damaged}, {wrong}");
}
