//! Many producers and consumers of all kinds on one queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ropewalk_rt::queue::{Discipline, Fifo, LifoQueue, PriorityQueue, Queue, QueueOf};
use ropewalk_rt::{JoinHandle, coroutine, spawn, thread};

use crate::stage::on_each;
use crate::who::Who;

const PRODUCERS: usize = 6;
const CONSUMERS: usize = 6;
const EACH: usize = 2_000;

/// Producers and consumers of each kind; gives what each consumer got, in its order.
fn run<D>(
    queue: &Arc<QueueOf<D>>,
    make: impl Fn(usize) -> D::Item + Copy + Send + Sync + 'static,
) -> Vec<Vec<D::Item>>
where
    D: Discipline + Send + 'static,
    D::Item: Send + 'static,
{
    let high = Arc::new(AtomicUsize::new(0));
    let consumers: Vec<JoinHandle<Vec<D::Item>>> = (0..CONSUMERS)
        .map(|n| {
            let (one, two) = (Arc::clone(queue), Arc::clone(queue));
            let high = Arc::clone(&high);
            Who::ALL[n % 3].wait(
                move || {
                    let mut got = Vec::new();
                    loop {
                        high.fetch_max(one.len(), Ordering::Relaxed);
                        let Ok(item) = one.get() else { return got };
                        got.push(item);
                        one.task_done().unwrap();
                    }
                },
                async move {
                    let mut got = Vec::new();
                    while let Ok(item) = two.get_async().await {
                        got.push(item);
                        two.task_done().unwrap();
                    }
                    got
                },
            )
        })
        .collect();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let (one, two) = (Arc::clone(queue), Arc::clone(queue));
            let items = producer * EACH..(producer + 1) * EACH;
            let items_too = items.clone();
            Who::ALL[producer % 3].wait(
                move || items.for_each(|n| one.put(make(n)).unwrap()),
                async move {
                    for n in items_too {
                        two.put_async(make(n)).await.unwrap();
                    }
                },
            )
        })
        .collect();
    for producer in producers {
        producer.join().unwrap();
    }
    queue.join().unwrap();
    assert!(queue.is_empty());
    assert_eq!(queue.unfinished(), 0);
    queue.close();
    let got = consumers.into_iter().map(|c| c.join().unwrap()).collect();
    if queue.maxsize() > 0 {
        let high = high.load(Ordering::Relaxed);
        assert!(high <= queue.maxsize(), "{high} items at a time");
    }
    got
}

/// Each number was got once.
fn assert_all(mut got: Vec<usize>) {
    got.sort_unstable();
    assert!(got.iter().copied().eq(0..PRODUCERS * EACH));
}

#[test]
fn fifo_loses_nothing_and_keeps_each_producers_order() {
    on_each(|| {
        for maxsize in [0, 1, 7] {
            let got = run(&Arc::new(Queue::<usize>::with_maxsize(maxsize)), |n| n);
            for one in &got {
                let mut last = [None; PRODUCERS];
                for &n in one {
                    assert!(last[n / EACH] < Some(n), "overtaken");
                    last[n / EACH] = Some(n);
                }
            }
            assert_all(got.concat());
        }
    });
}

#[test]
fn lifo_loses_nothing() {
    on_each(|| {
        for maxsize in [0, 3] {
            let queue = Arc::new(LifoQueue::<usize>::with_maxsize(maxsize));
            assert_all(run(&queue, |n| n).concat());
        }
    });
}

#[test]
fn by_priority_nothing_is_lost() {
    on_each(|| {
        for maxsize in [0, 3] {
            let queue = Arc::new(PriorityQueue::<usize, usize>::with_maxsize(maxsize));
            let got = run(&queue, |n| (n % 5, n)).concat();
            assert_all(got.into_iter().map(|(_, n)| n).collect());
        }
    });
}

// As many items alive between "before put" and "after get" as the limit and the tasks allow.
#[test]
fn a_slow_consumer_holds_the_producers_back() {
    on_each(|| {
        const MAXSIZE: usize = 4;
        let queue = Arc::new(Queue::with_maxsize(MAXSIZE));
        let inside = Arc::new(AtomicUsize::new(0));
        let producers: Vec<_> = (0..3)
            .map(|_| {
                let (queue, inside) = (Arc::clone(&queue), Arc::clone(&inside));
                spawn(move || {
                    for n in 0..300 {
                        queue.put(n).unwrap();
                        inside.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let mut high = 0;
        for _ in 0..900 {
            coroutine::yield_now();
            high = high.max(queue.len());
            // Counted after the put and before the get: no more than are in the queue.
            let counted = inside.load(Ordering::SeqCst);
            assert!(counted <= MAXSIZE, "{counted} are inside");
            queue.get().unwrap();
            // Its putter may not have counted it yet.
            crate::stage::until(|| {
                inside
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                    .is_ok()
            });
        }
        assert!(high <= MAXSIZE, "{high}");
        for producer in producers {
            producer.join().unwrap();
        }
        assert!(queue.is_empty());
    });
}

// Again and again: a join that returns finds each item of its batch worked on.
#[test]
fn join_returns_when_all_is_done_and_not_before() {
    on_each(|| {
        let queue: Arc<QueueOf<Fifo<Arc<AtomicBool>>>> = Arc::new(Queue::with_maxsize(8));
        let workers: Vec<_> = (0..4)
            .map(|n| {
                let own = Arc::clone(&queue);
                let body = move || {
                    while let Ok(done) = own.get() {
                        if n % 2 == 0 {
                            coroutine::yield_now();
                        }
                        done.store(true, Ordering::SeqCst);
                        own.task_done().unwrap();
                    }
                };
                if n == 3 {
                    thread::spawn(body)
                } else {
                    spawn(body)
                }
            })
            .collect();
        for batch in 0..300 {
            let flags: Vec<_> = (0..1 + batch % 20)
                .map(|_| Arc::new(AtomicBool::new(false)))
                .collect();
            for flag in &flags {
                queue.put(Arc::clone(flag)).unwrap();
            }
            queue.join().unwrap();
            assert!(flags.iter().all(|flag| flag.load(Ordering::SeqCst)));
            assert_eq!(queue.unfinished(), 0);
        }
        queue.close();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}
