//! Waiting for items, for room and for the end, in all pairings and forms.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{self, Token, WaitError};
use ropewalk_rt::queue::{GetError, LifoQueue, PriorityQueue, PutError, Queue};
use ropewalk_rt::{coroutine, spawn, spawn_async};

use crate::stage::{on_each, until, until_waiting};
use crate::who::{Polled, Who, in_pairings};

const WAITS: &str = "waiting for a queue";
const MOMENT: Duration = Duration::from_millis(5);

#[test]
fn an_item_wakes_who_waits_for_it() {
    in_pairings(|taker, putter| {
        let queue = Arc::new(Queue::unbounded());
        let (one, two) = (Arc::clone(&queue), Arc::clone(&queue));
        let got = taker.wait(move || one.get(), async move { two.get_async().await });
        if taker == Who::Coroutine {
            until_waiting(got.id(), WAITS);
        }
        let own = Arc::clone(&queue);
        putter.act(move || own.put("item")).join().unwrap().unwrap();
        assert_eq!(got.join().unwrap(), Ok("item"));
        assert!(queue.is_empty());
    });
}

#[test]
fn room_wakes_who_waits_for_it() {
    in_pairings(|putter, taker| {
        let queue = Arc::new(LifoQueue::with_maxsize(1));
        queue.put(1).unwrap();
        let (one, two) = (Arc::clone(&queue), Arc::clone(&queue));
        let put = putter.wait(move || one.put(2), async move { two.put_async(2).await });
        if putter == Who::Coroutine {
            until_waiting(put.id(), WAITS);
        }
        let own = Arc::clone(&queue);
        assert_eq!(taker.act(move || own.get()).join().unwrap(), Ok(1));
        put.join().unwrap().unwrap();
        assert_eq!(queue.get(), Ok(2));
    });
}

#[test]
fn the_last_task_done_wakes_who_joins() {
    in_pairings(|joiner, worker| {
        let queue = Arc::new(Queue::unbounded());
        queue.put(1).unwrap();
        queue.put(2).unwrap();
        let early = Arc::new(AtomicBool::new(true));
        let (one, two) = (Arc::clone(&queue), Arc::clone(&queue));
        let (seen, seen_too) = (Arc::clone(&early), Arc::clone(&early));
        let joined = joiner.wait(
            move || {
                one.join().unwrap();
                seen.load(Ordering::SeqCst)
            },
            async move {
                two.join_async().await;
                seen_too.load(Ordering::SeqCst)
            },
        );
        queue.task_done().unwrap();
        coroutine::yield_now();
        let own = Arc::clone(&queue);
        worker
            .act(move || {
                early.store(false, Ordering::SeqCst);
                own.task_done()
            })
            .join()
            .unwrap()
            .unwrap();
        assert!(!joined.join().unwrap(), "joined before all was done");
    });
}

// All was done, if only for a moment: who waited for that doesn't wait for what came next.
#[test]
fn a_join_does_not_miss_the_end() {
    on_each(|| {
        let queue = Arc::new(Queue::unbounded());
        queue.put(1).unwrap();
        let own = Arc::clone(&queue);
        let joined = spawn(move || own.join());
        until_waiting(joined.id(), WAITS);
        let mut future = Polled::waiting(queue.join_async());
        queue.task_done().unwrap();
        queue.put(2).unwrap();
        joined.join().unwrap().unwrap();
        assert_eq!(future.wakes(), 1);
        assert_eq!(future.poll(), Some(()));
        assert_eq!(queue.unfinished(), 1);
    });
}

#[test]
fn a_wait_lasts_as_long_as_it_may() {
    on_each(|| {
        let queue = Queue::with_maxsize(1);
        let begun = Instant::now();
        assert_eq!(queue.get_timeout(MOMENT), Err(GetError::Empty));
        assert!(begun.elapsed() >= MOMENT);
        assert_eq!(
            queue.get_deadline(Instant::now() + MOMENT),
            Err(GetError::Empty)
        );
        queue.put(1).unwrap();
        let begun = Instant::now();
        assert_eq!(queue.put_timeout(2, MOMENT), Err(PutError::Full(2)));
        assert!(begun.elapsed() >= MOMENT);
        assert_eq!(
            queue.put_deadline(2, Instant::now() + MOMENT),
            Err(PutError::Full(2))
        );
        assert_eq!(queue.join_timeout(MOMENT), Err(WaitError::Timeout));
        assert_eq!(
            queue.join_deadline(Instant::now() + MOMENT),
            Err(WaitError::Timeout)
        );
        // What is there is had without any time left.
        let past = Instant::now();
        assert_eq!(queue.get_deadline(past), Ok(1));
        queue.put_timeout(3, Duration::ZERO).unwrap();
        assert_eq!(queue.get_timeout(Duration::ZERO), Ok(3));
        queue.task_done().unwrap();
        queue.task_done().unwrap();
        queue.join_deadline(past).unwrap();
    });
}

#[test]
fn a_timed_wait_ends_when_there_is_something() {
    on_each(|| {
        let long = Duration::from_secs(3600);
        let queue = Arc::new(PriorityQueue::with_maxsize(1));
        let own = Arc::clone(&queue);
        let got = spawn(move || (own.get_timeout(long), own.get_timeout(Duration::MAX)));
        until_waiting(got.id(), WAITS);
        queue.put((1, 'a')).unwrap();
        queue.put_timeout((2, 'b'), long).unwrap();
        assert_eq!(got.join().unwrap(), (Ok((1, 'a')), Ok((2, 'b'))));
        let own = Arc::clone(&queue);
        let joined = spawn(move || own.join_timeout(long));
        queue.task_done().unwrap();
        queue.task_done().unwrap();
        joined.join().unwrap().unwrap();
    });
}

#[test]
fn every_wait_can_be_cancelled() {
    on_each(|| {
        for patience in [None, Some(Duration::from_secs(3600))] {
            let queue = Arc::new(Queue::with_maxsize(1));
            let own = Arc::clone(&queue);
            let get = spawn(move || match patience {
                None => own.get(),
                Some(patience) => own.get_timeout(patience),
            });
            until_waiting(get.id(), WAITS);
            get.cancel();
            assert_eq!(get.join().unwrap(), Err(GetError::Cancelled));

            queue.put(1).unwrap();
            let own = Arc::clone(&queue);
            let put = spawn(move || match patience {
                None => own.put(2),
                Some(patience) => own.put_timeout(2, patience),
            });
            until_waiting(put.id(), WAITS);
            put.cancel();
            assert_eq!(put.join().unwrap(), Err(PutError::Cancelled(2)));

            let own = Arc::clone(&queue);
            let join = spawn(move || match patience {
                None => own.join().is_err(),
                Some(patience) => own.join_timeout(patience) == Err(WaitError::Cancelled),
            });
            until_waiting(join.id(), WAITS);
            join.cancel();
            assert!(join.join().unwrap());
            assert_eq!(queue.close_now(), [1]);
        }
    });
}

#[test]
fn an_ambient_deadline_ends_a_wait() {
    on_each(|| {
        let queue = Queue::<u8>::unbounded();
        let late = cancel::timeout(MOMENT, || queue.get()).unwrap_err();
        assert_eq!(late.into_inner(), Err(GetError::Cancelled));
        let late = cancel::timeout(MOMENT, || queue.get_timeout(Duration::from_secs(3600)));
        assert_eq!(late.unwrap_err().into_inner(), Err(GetError::Cancelled));
    });
}

// Cancelled before: what is there is had, what is not is not waited for.
#[test]
fn who_is_cancelled_takes_what_is_there() {
    on_each(|| {
        let queue = Queue::with_maxsize(1);
        let token = Token::root();
        token.cancel();
        token.run(|| {
            queue.put(1).unwrap();
            assert_eq!(queue.put(2), Err(PutError::Cancelled(2)));
            assert!(queue.join().is_err());
            assert_eq!(queue.get(), Ok(1));
            assert_eq!(queue.get(), Err(GetError::Cancelled));
        });
    });
}

#[test]
fn a_cancelled_async_task_has_taken_nothing() {
    on_each(|| {
        let queue = Arc::new(Queue::with_maxsize(1));
        let own = Arc::clone(&queue);
        let started = Arc::new(AtomicBool::new(false));
        let started_too = Arc::clone(&started);
        let task = spawn_async(async move {
            started_too.store(true, Ordering::SeqCst);
            own.get_async().await
        });
        until(|| started.load(Ordering::SeqCst));
        task.cancel();
        let end = task.join();
        assert!(end.is_err(), "{end:?}");
        queue.put(1).unwrap();
        assert_eq!(queue.len(), 1);
    });
}

// A woken future is dropped, or ready by something else: the next waiter goes on.
#[test]
fn a_future_passes_its_wake_on() {
    on_each(|| {
        let queue = Arc::new(Queue::with_maxsize(1));
        let first = Polled::waiting(queue.get_async());
        let own = Arc::clone(&queue);
        let second = spawn(move || own.get());
        until_waiting(second.id(), WAITS);
        queue.put(1).unwrap();
        assert_eq!(first.wakes(), 1);
        drop(first);
        assert_eq!(second.join().unwrap(), Ok(1));

        queue.put(2).unwrap();
        let first = Polled::waiting(queue.put_async(3));
        let own = Arc::clone(&queue);
        let second = spawn(move || own.put(4));
        until_waiting(second.id(), WAITS);
        assert_eq!(queue.get(), Ok(2));
        assert_eq!(first.wakes(), 1);
        drop(first);
        second.join().unwrap().unwrap();
        assert_eq!(queue.get(), Ok(4));
    });
}

#[test]
fn a_future_dropped_unwoken_is_out_of_the_way() {
    on_each(|| {
        let queue = Queue::with_maxsize(1);
        drop(Polled::waiting(queue.get_async()));
        let mut second = Polled::waiting(queue.get_async());
        queue.put(Box::new(1)).unwrap();
        assert_eq!(second.poll(), Some(Ok(Box::new(1))));
        queue.put(Box::new(2)).unwrap();
        drop(Polled::waiting(queue.put_async(Box::new(3))));
        let mut put = Polled::waiting(queue.put_async(Box::new(4)));
        assert_eq!(queue.get(), Ok(Box::new(2)));
        assert_eq!(put.poll(), Some(Ok(())));
        assert_eq!(queue.get(), Ok(Box::new(4)));
    });
}

// A future that was woken and finds nothing, as another was faster, waits on.
#[test]
fn a_future_that_came_late_waits_on() {
    on_each(|| {
        let queue = Queue::unbounded();
        let mut future = Polled::waiting(queue.get_async());
        queue.put(1).unwrap();
        assert_eq!(queue.get(), Ok(1));
        assert_eq!(future.poll(), None);
        queue.put(2).unwrap();
        assert_eq!(future.wakes(), 2);
        assert_eq!(future.poll(), Some(Ok(2)));
    });
}
