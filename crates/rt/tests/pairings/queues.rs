//! Queues of each order, watched values and broadcasts.

use std::sync::{Arc, Mutex};

use ropewalk_rt::channel::{broadcast, watch};
use ropewalk_rt::queue::{LifoQueue, PriorityQueue, Queue};

use crate::pair::{Case, PARTIES};

#[test]
fn get() {
    let case = Case {
        make: Queue::<u32>::unbounded,
        wait: |queue: &Queue<u32>| queue.get() == Ok(3),
        wait_async: |queue: Arc<Queue<u32>>| async move { queue.get_async().await == Ok(3) },
        wake: |queue: &Queue<u32>| queue.put(3).unwrap(),
        wake_async: |queue: Arc<Queue<u32>>| async move { queue.put_async(3).await.unwrap() },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn put() {
    let case = Case {
        make: || {
            let queue = LifoQueue::with_maxsize(1);
            queue.put(1).unwrap();
            queue
        },
        wait: |queue: &LifoQueue<u32>| queue.put(2).is_ok(),
        wait_async: |queue: Arc<LifoQueue<u32>>| async move { queue.put_async(2).await.is_ok() },
        wake: |queue: &LifoQueue<u32>| {
            queue.get().unwrap();
        },
        wake_async: |queue: Arc<LifoQueue<u32>>| async move {
            queue.get_async().await.unwrap();
        },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn join() {
    let case = Case {
        make: || {
            let queue = PriorityQueue::unbounded();
            queue.put((1, "task")).unwrap();
            queue
        },
        wait: |queue: &PriorityQueue<u32, &'static str>| {
            queue.join().is_ok() && queue.unfinished() == 0
        },
        wait_async: |queue: Arc<PriorityQueue<u32, &'static str>>| async move {
            queue.join_async().await;
            queue.unfinished() == 0
        },
        wake: |queue: &PriorityQueue<u32, &'static str>| {
            queue.get().unwrap();
            queue.task_done().unwrap();
        },
        wake_async: |queue: Arc<PriorityQueue<u32, &'static str>>| async move {
            queue.get_async().await.unwrap();
            queue.task_done().unwrap();
        },
    };
    case.run(&PARTIES, &PARTIES);
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
