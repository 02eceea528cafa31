//! What needs no second task: orders, limits, errors, counts.

use std::cmp::Reverse;
use std::sync::Arc;

use ropewalk_rt::queue::{GetError, LifoQueue, PriorityQueue, PutError, Queue, TooManyDone};

use crate::stage::on_each;

#[test]
fn first_in_first_out() {
    on_each(|| {
        let queue = Queue::unbounded();
        for n in 0..100 {
            queue.put(n).unwrap();
        }
        assert_eq!(queue.len(), 100);
        for n in 0..100 {
            assert_eq!(queue.get(), Ok(n));
        }
        assert_eq!(queue.try_get(), Err(GetError::Empty));
    });
}

#[test]
fn last_in_first_out() {
    on_each(|| {
        let queue = LifoQueue::unbounded();
        for n in 0..100 {
            queue.put(n).unwrap();
        }
        for n in (50..100).rev() {
            assert_eq!(queue.get(), Ok(n));
        }
        queue.put(1000).unwrap();
        assert_eq!(queue.get(), Ok(1000));
        assert_eq!(queue.get(), Ok(49));
    });
}

// The payload can't be compared; equal priorities keep their order, also across gets.
#[test]
fn the_smallest_priority_first_and_the_oldest_of_equals() {
    struct Payload(usize);
    on_each(|| {
        let queue = PriorityQueue::unbounded();
        let mut dice = 7u64;
        let mut model: Vec<(u64, usize)> = Vec::new();
        for n in 0..2000 {
            dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1);
            let priority = dice >> 61;
            queue.put((priority, Payload(n))).unwrap();
            model.push((priority, n));
            if n % 3 == 0 {
                let (priority, Payload(n)) = queue.get().unwrap();
                let best = *model.iter().min().unwrap();
                assert_eq!((priority, n), best);
                model.retain(|&pair| pair != best);
            }
        }
        model.sort();
        for pair in model {
            let (priority, Payload(n)) = queue.get().unwrap();
            assert_eq!((priority, n), pair);
        }
        assert!(queue.is_empty());
    });
}

#[test]
fn the_largest_priority_first_with_reverse() {
    let queue = PriorityQueue::unbounded();
    for n in [3, 9, 1] {
        queue.put((Reverse(n), ())).unwrap();
    }
    assert_eq!(queue.get().unwrap().0.0, 9);
    assert_eq!(queue.close_now(), [(Reverse(3), ()), (Reverse(1), ())]);
}

#[test]
fn a_full_queue_gives_the_item_back() {
    on_each(|| {
        let queue = Queue::with_maxsize(2);
        assert_eq!(queue.maxsize(), 2);
        queue.try_put("a".to_string()).unwrap();
        assert!(!queue.is_full());
        queue.try_put("b".to_string()).unwrap();
        assert!(queue.is_full());
        let error = queue.try_put("c".to_string()).unwrap_err();
        assert!(error.is_full() && !error.is_closed() && !error.is_cancelled());
        assert_eq!(error.to_string(), "the queue is full");
        assert_eq!(error.into_inner(), "c");
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.try_get().unwrap(), "a");
        queue.try_put("d".to_string()).unwrap();
        assert_eq!(queue.close_now(), ["b", "d"]);
    });
}

#[test]
fn every_kind_has_a_limit() {
    let lifo = LifoQueue::with_maxsize(1);
    lifo.try_put(1).unwrap();
    assert_eq!(lifo.try_put(2), Err(PutError::Full(2)));
    let priority = PriorityQueue::with_maxsize(1);
    priority.try_put((1, 'a')).unwrap();
    assert_eq!(priority.try_put((0, 'b')), Err(PutError::Full((0, 'b'))));
    assert_eq!(priority.get(), Ok((1, 'a')));
}

#[test]
fn without_a_limit_it_is_never_full() {
    let queue = Queue::with_maxsize(0);
    for n in 0..10_000 {
        assert!(!queue.is_full());
        queue.try_put(n).unwrap();
    }
    assert_eq!(queue.maxsize(), 0);
    assert_eq!(queue.len(), 10_000);
}

// Python counts at put and at `task_done`, not at get.
#[test]
fn counts_what_is_not_done() {
    on_each(|| {
        let queue = Queue::unbounded();
        assert_eq!(queue.task_done(), Err(TooManyDone));
        queue.join().unwrap();
        for n in 0..3 {
            queue.put(n).unwrap();
        }
        queue.get().unwrap();
        assert_eq!(queue.unfinished(), 3);
        for left in (0..3).rev() {
            queue.task_done().unwrap();
            assert_eq!(queue.unfinished(), left);
        }
        queue.join().unwrap();
        assert_eq!(queue.task_done(), Err(TooManyDone));
        assert_eq!(queue.len(), 2, "the counts are not the items");
    });
}

#[test]
fn items_are_dropped_with_the_queue() {
    let item = Arc::new(());
    let fifo = Queue::unbounded();
    let lifo = LifoQueue::unbounded();
    let priority = PriorityQueue::unbounded();
    for n in 0..3 {
        fifo.put(Arc::clone(&item)).unwrap();
        lifo.put(Arc::clone(&item)).unwrap();
        priority.put((n, Arc::clone(&item))).unwrap();
    }
    drop(fifo.get());
    assert_eq!(Arc::strong_count(&item), 9);
    drop((fifo, lifo, priority));
    assert_eq!(Arc::strong_count(&item), 1);
}

#[test]
fn what_it_says_of_itself() {
    static QUEUE: Queue<u8> = Queue::with_maxsize(4);
    QUEUE.put(1).unwrap();
    let text = format!("{QUEUE:?}");
    assert!(
        text.contains("len: 1") && text.contains("maxsize: 4"),
        "{text}"
    );
    assert_eq!(
        GetError::Closed.to_string(),
        "the queue is closed and empty"
    );
    assert_eq!(format!("{:?}", PutError::Closed(())), "Closed(..)");
    assert!(TooManyDone.to_string().contains("more items"));
    let empty: PriorityQueue<u8, ()> = PriorityQueue::default();
    assert_eq!(empty.maxsize(), 0);
}

#[test]
fn it_is_shared_and_sent() {
    fn both<T: Send + Sync>(_: T) {}
    fn sent<T: Send>(_: T) {}
    let queue = Queue::<std::cell::Cell<u8>>::unbounded();
    sent(queue.get_async());
    sent(queue.join_async());
    both(&queue);
    both(LifoQueue::<u8>::unbounded());
    both(PriorityQueue::<u8, std::cell::Cell<u8>>::unbounded());
}
