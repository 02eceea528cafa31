//! Queues of each order, in each way that one waits for them; watched values and broadcasts.

use std::sync::{Arc, Mutex};

use ropewalk_rt::channel::{broadcast, watch};
use ropewalk_rt::queue::{GetError, LifoQueue, PriorityQueue, Queue};

use crate::pair::{Case, PARTIES};

/// Getting from, putting into and joining a queue of one order.
macro_rules! orders {
    ($($name:ident: $queue:ty, $item:expr, $other:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn get() {
                let case = Case {
                    make: <$queue>::unbounded,
                    wait: |queue: &$queue| queue.get() == Ok($item),
                    wait_async: |queue: Arc<$queue>| async move {
                        queue.get_async().await == Ok($item)
                    },
                    wake: |queue: &$queue| queue.put($item).unwrap(),
                    wake_async: |queue: Arc<$queue>| async move {
                        queue.put_async($item).await.unwrap()
                    },
                };
                case.run(&PARTIES, &PARTIES);
            }

            #[test]
            fn put() {
                let case = Case {
                    make: || {
                        let queue = <$queue>::with_maxsize(1);
                        queue.put($item).unwrap();
                        queue
                    },
                    wait: |queue: &$queue| queue.put($other).is_ok(),
                    wait_async: |queue: Arc<$queue>| async move {
                        queue.put_async($other).await.is_ok()
                    },
                    wake: |queue: &$queue| assert_eq!(queue.get(), Ok($item)),
                    wake_async: |queue: Arc<$queue>| async move {
                        assert_eq!(queue.get_async().await, Ok($item));
                    },
                };
                case.run(&PARTIES, &PARTIES);
            }

            #[test]
            fn join() {
                let case = Case {
                    make: || {
                        let queue = <$queue>::unbounded();
                        queue.put($item).unwrap();
                        queue
                    },
                    wait: |queue: &$queue| queue.join().is_ok() && queue.unfinished() == 0,
                    wait_async: |queue: Arc<$queue>| async move {
                        queue.join_async().await;
                        queue.unfinished() == 0
                    },
                    wake: |queue: &$queue| {
                        queue.get().unwrap();
                        queue.task_done().unwrap();
                    },
                    wake_async: |queue: Arc<$queue>| async move {
                        queue.get_async().await.unwrap();
                        queue.task_done().unwrap();
                    },
                };
                case.run(&PARTIES, &PARTIES);
            }

            #[test]
            fn close() {
                let case = Case {
                    make: <$queue>::unbounded,
                    wait: |queue: &$queue| queue.get() == Err(GetError::Closed),
                    wait_async: |queue: Arc<$queue>| async move {
                        queue.get_async().await == Err(GetError::Closed)
                    },
                    wake: |queue: &$queue| queue.close(),
                    wake_async: |queue: Arc<$queue>| async move { drop(queue.close_now()) },
                };
                case.run(&PARTIES, &PARTIES);
            }
        }
    )*};
}

orders! {
    fifo: Queue<u32>, 3, 4;
    lifo: LifoQueue<u32>, 3, 4;
    by_priority: PriorityQueue<u32, &'static str>, (1, "task"), (2, "other");
}

#[test]
fn watched() {
    type Ends = (watch::Sender<u32>, Mutex<Option<watch::Receiver<u32>>>);
    fn receiver(ends: &Ends) -> watch::Receiver<u32> {
        ends.1.lock().unwrap().take().unwrap()
    }
    let case = Case {
        make: || {
            let (sender, receiver) = watch::channel(0);
            (sender, Mutex::new(Some(receiver)))
        },
        wait: |ends: &Ends| {
            let mut receiver = receiver(ends);
            receiver.changed().unwrap();
            *receiver.borrow() == 6
        },
        wait_async: |ends: Arc<Ends>| async move {
            let mut receiver = receiver(&ends);
            receiver.changed_async().await.unwrap();
            *receiver.borrow() == 6
        },
        wake: |(sender, _): &Ends| sender.send(6).unwrap(),
        wake_async: |ends: Arc<Ends>| async move { ends.0.send(6).unwrap() },
    };
    case.run(&PARTIES, &PARTIES);
}

// The other way: a sender waits until nobody watches any more.
#[test]
fn watchers_gone() {
    type Ends = (watch::Sender<u32>, Mutex<Option<watch::Receiver<u32>>>);
    let case = Case {
        make: || {
            let (sender, receiver) = watch::channel(0);
            (sender, Mutex::new(Some(receiver)))
        },
        wait: |(sender, _): &Ends| sender.closed().is_ok() && sender.is_closed(),
        wait_async: |ends: Arc<Ends>| async move {
            ends.0.closed_async().await;
            ends.0.is_closed()
        },
        wake: |(_, receiver): &Ends| drop(receiver.lock().unwrap().take()),
        wake_async: |ends: Arc<Ends>| async move { drop(ends.1.lock().unwrap().take()) },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn broadcasts() {
    type Ends = (
        broadcast::Sender<u32>,
        Mutex<Option<broadcast::Receiver<u32>>>,
    );
    fn receiver(ends: &Ends) -> broadcast::Receiver<u32> {
        ends.1.lock().unwrap().take().unwrap()
    }
    let case = Case {
        make: || {
            let (sender, receiver) = broadcast::channel(4);
            (sender, Mutex::new(Some(receiver)))
        },
        wait: |ends: &Ends| receiver(ends).recv() == Ok(8),
        wait_async: |ends: Arc<Ends>| async move {
            let mut receiver = receiver(&ends);
            receiver.recv_async().await == Ok(8)
        },
        // Whoever has not received yet holds its end: nobody is missed, and none is left at the end.
        wake: |(sender, _): &Ends| {
            let _ = sender.send(8);
        },
        wake_async: |ends: Arc<Ends>| async move {
            let _ = ends.0.send(8);
        },
    };
    case.run(&PARTIES, &PARTIES);
}
