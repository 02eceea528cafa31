//! What one should not do ends in an error or a panic, and the queue is whole afterwards.

use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ropewalk_rt::queue::{PriorityQueue, Queue, TooManyDone};
use ropewalk_rt::{coroutine, spawn};

use crate::stage::{on_each, until_waiting};

fn panics<T>(body: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(body)).err().expect("a panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().expect("text").to_string(),
    }
}

#[test]
fn more_done_than_put_is_an_error() {
    on_each(|| {
        let queue = Queue::unbounded();
        assert_eq!(queue.task_done(), Err(TooManyDone));
        queue.put(1).unwrap();
        queue.task_done().unwrap();
        assert_eq!(queue.task_done(), Err(TooManyDone));
        // And it does no harm.
        queue.put(2).unwrap();
        assert_eq!(queue.unfinished(), 1);
        queue.task_done().unwrap();
        queue.join().unwrap();
    });
}

#[test]
fn any_limit_will_do_and_takes_no_memory_ahead() {
    for maxsize in [usize::MAX, usize::MAX / 2 + 1, isize::MAX as usize] {
        let queue = Queue::with_maxsize(maxsize);
        queue.put([0u64; 64]).unwrap();
        assert!(!queue.is_full());
        assert_eq!(queue.maxsize(), maxsize);
        let queue = PriorityQueue::with_maxsize(maxsize);
        queue.put((1, 1)).unwrap();
        assert!(!queue.is_full());
    }
}

#[test]
fn waiting_inside_no_wait_panics() {
    on_each(|| {
        let queue = Queue::with_maxsize(1);
        panics(|| coroutine::no_wait(|| queue.get()));
        // What need not wait is fine.
        coroutine::no_wait(|| queue.put(1)).unwrap();
        panics(|| coroutine::no_wait(|| queue.put(2)));
        panics(|| coroutine::no_wait(|| queue.join()));
        assert_eq!(coroutine::no_wait(|| queue.get()), Ok(1));
        queue.put(3).unwrap();
        assert_eq!(queue.get(), Ok(3));
    });
}

/// A priority whose comparison does as it is told.
struct Odd<'q> {
    rank: u32,
    act: Act<'q>,
}

#[derive(Clone, Copy)]
enum Act<'q> {
    Nothing,
    Panic,
    Wait,
    Look(&'q Looked<'q>),
}

type Looked<'q> = dyn Fn() -> usize + Sync + 'q;

impl Odd<'_> {
    fn plain(rank: u32) -> Self {
        Odd {
            rank,
            act: Act::Nothing,
        }
    }
}

impl Ord for Odd<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        for act in [self.act, other.act] {
            match act {
                Act::Nothing => {}
                Act::Panic => panic!("can't be compared"),
                Act::Wait => coroutine::yield_now(),
                Act::Look(look) => assert!(look() < 1000),
            }
        }
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Odd<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Odd<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Odd<'_> {}

#[test]
fn a_comparison_that_panics_waits_or_comes_back_leaves_the_queue_whole() {
    on_each(|| {
        let queue = PriorityQueue::with_maxsize(20);
        let look = || queue.len();
        let item = Arc::new(());
        for rank in [5, 3, 8, 1] {
            queue.put((Odd::plain(rank), Arc::clone(&item))).unwrap();
        }
        let acts = [
            (Act::Panic, "can't be compared"),
            (Act::Wait, "no_wait"),
            (Act::Look(&look), "uses the queue"),
        ];
        for (act, text) in acts {
            let odd = Odd { rank: 4, act };
            let said = panics(|| queue.put((odd, Arc::clone(&item))));
            assert!(said.contains(text), "{said}");
        }
        assert_eq!(queue.len(), 4);
        assert_eq!(queue.unfinished(), 4);
        assert_eq!(Arc::strong_count(&item), 5, "what was refused is dropped");
        let ranks: Vec<_> = (0..4).map(|_| queue.get().unwrap().0.rank).collect();
        assert_eq!(ranks, [1, 3, 5, 8]);
    });
}

// From `on_done`, where waiting is forbidden, a queue is the way out.
#[test]
fn putting_into_a_queue_from_on_done() {
    on_each(|| {
        let queue = Arc::new(Queue::unbounded());
        let own = Arc::clone(&queue);
        let got = spawn(move || own.get());
        until_waiting(got.id(), "waiting for a queue");
        let own = Arc::clone(&queue);
        spawn(|| 7).on_done(move |result| own.put(*result.as_ref().unwrap()).unwrap());
        assert_eq!(got.join().unwrap(), Ok(7));
    });
}
