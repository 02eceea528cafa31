//! Semaphores, events, barriers, groups and tokens.

use std::sync::Arc;

use ropewalk_rt::cancel::{Token, TokenExt};
use ropewalk_rt::sync::{Barrier, BoundedSemaphore, Event, Mutex, Semaphore, WaitGroup};

use crate::pair::{Case, PARTIES};

#[test]
fn semaphore() {
    let case = Case {
        make: || Semaphore::new(0),
        wait: |semaphore: &Semaphore| {
            semaphore.acquire_many(2).unwrap().forget();
            semaphore.available_permits() == 0
        },
        wait_async: |semaphore: Arc<Semaphore>| async move {
            semaphore.acquire_many_async(2).await.forget();
            semaphore.available_permits() == 0
        },
        wake: |semaphore: &Semaphore| {
            semaphore.release();
            semaphore.release();
        },
        wake_async: |semaphore: Arc<Semaphore>| async move { semaphore.add_permits(2) },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn bounded_semaphore() {
    struct Taken(Arc<BoundedSemaphore>);
    let case = Case {
        make: || {
            let semaphore = Arc::new(BoundedSemaphore::new(1));
            semaphore.try_acquire_owned().unwrap().forget();
            Taken(semaphore)
        },
        wait: |taken: &Taken| taken.0.acquire().is_ok(),
        wait_async: |taken: Arc<Taken>| async move { taken.0.acquire_async().await.permits() == 1 },
        wake: |taken: &Taken| taken.0.release().unwrap(),
        wake_async: |taken: Arc<Taken>| async move { taken.0.release().unwrap() },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn event() {
    let case = Case {
        make: Event::new,
        wait: |event: &Event| event.wait().is_ok(),
        wait_async: |event: Arc<Event>| async move {
            event.wait_async().await;
            true
        },
        wake: Event::set,
        wake_async: |event: Arc<Event>| async move { event.set() },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn barrier() {
    let case = Case {
        make: || Barrier::new(2),
        wait: |barrier: &Barrier| {
            barrier.wait();
            true
        },
        wait_async: |barrier: Arc<Barrier>| async move {
            barrier.wait_async().await;
            true
        },
        wake: |barrier: &Barrier| {
            barrier.wait();
        },
        wake_async: |barrier: Arc<Barrier>| async move {
            barrier.wait_async().await;
        },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn wait_group() {
    type Halves = Mutex<Vec<WaitGroup>>;
    fn take(halves: &Halves) -> WaitGroup {
        halves.lock().pop().unwrap()
    }
    let case = Case {
        make: || {
            let group = WaitGroup::new();
            Mutex::new(vec![group.clone(), group])
        },
        wait: |halves: &Halves| {
            let group = take(halves);
            group.wait();
            true
        },
        wait_async: |halves: Arc<Halves>| async move {
            let group = take(&halves);
            group.wait_async().await;
            true
        },
        wake: |halves: &Halves| drop(take(halves)),
        wake_async: |halves: Arc<Halves>| async move { drop(take(&halves)) },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn token() {
    let case = Case {
        make: Token::root,
        wait: |token: &Token| {
            token.wait();
            token.is_cancelled()
        },
        wait_async: |token: Arc<Token>| async move {
            token.cancelled().await;
            token.is_cancelled()
        },
        wake: Token::cancel,
        wake_async: |token: Arc<Token>| async move { token.cancel() },
    };
    case.run(&PARTIES, &PARTIES);
}
