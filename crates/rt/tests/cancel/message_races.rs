//! Watched values, broadcasts and queues: a wait that is cancelled, or whose time is over, against
//! the message. What was not received by the one is there for the next.

use std::sync::Arc;

use ropewalk_rt::channel::{broadcast, watch};
use ropewalk_rt::queue::{LifoQueue, PriorityQueue, PutError, Queue};
use ropewalk_rt::results::{as_completed, wait_first, wait_first_deadline, wait_first_timeout};
use ropewalk_rt::{coroutine, promise};

use crate::duel::{Form, Score, duel, rounds};
use crate::stage::in_coroutines;

// A change that was not told of is still one.
#[test]
fn watched_values() {
    in_coroutines(|| {
        let (sender, mut receiver) = watch::channel(0);
        let mut score = Score::default();
        for round in 0..rounds() {
            let mut own = receiver.clone();
            let told = duel(
                round,
                move |form| {
                    let told = match form {
                        Form::Plain => own.changed().is_ok(),
                        Form::Timeout(limit) => own.changed_timeout(limit).is_ok(),
                        Form::Deadline(when) => own.changed_deadline(when).is_ok(),
                    };
                    let now = *own.borrow();
                    (
                        told,
                        now,
                        told || now == round || own.has_changed() == Ok(true),
                    )
                },
                || sender.send(round + 1).unwrap(),
            );
            if let Some((told, now, consistent)) = told {
                assert!(consistent && (!told || now == round + 1), "round {round}");
                score.count(told);
            }
            receiver.changed().unwrap();
            assert_eq!(*receiver.borrow(), round + 1);
        }
        score.assert_both_seen();
    });
}

// The sender waits for the last receiver to go.
#[test]
fn watchers_gone() {
    in_coroutines(|| {
        let mut score = Score::default();
        for round in 0..rounds() {
            let (sender, receiver) = watch::channel(());
            let sender = Arc::new(sender);
            let own = Arc::clone(&sender);
            let gone = duel(
                round,
                move |form| match form {
                    Form::Plain => own.closed().is_ok(),
                    Form::Timeout(limit) => own.closed_timeout(limit).is_ok(),
                    Form::Deadline(when) => own.closed_deadline(when).is_ok(),
                },
                || drop(receiver),
            );
            score.count(gone == Some(true));
            assert!(sender.closed().is_ok());
        }
        score.assert_both_seen();
    });
}

// The receiver goes round: it has each message once, in order.
#[test]
fn broadcasts() {
    in_coroutines(|| {
        let (sender, mut receiver) = broadcast::channel(4);
        let mut score = Score::default();
        for round in 0..rounds() {
            let mut own = receiver.resubscribe();
            let received = duel(
                round,
                move |form| {
                    let received = match form {
                        Form::Plain => own.recv().ok(),
                        Form::Timeout(limit) => own.recv_timeout(limit).ok(),
                        Form::Deadline(when) => own.recv_deadline(when).ok(),
                    };
                    (received, own)
                },
                || assert!(sender.send(round).is_ok()),
            );
            if let Some((received, mut own)) = received {
                score.count(received.is_some());
                let message = received.or_else(|| own.try_recv().ok());
                assert_eq!(message, Some(round));
                assert!(own.try_recv().is_err());
            }
            assert_eq!(receiver.try_recv(), Ok(round));
        }
        score.assert_both_seen();
    });
}

/// Getting, putting and joining, with a queue of one order.
macro_rules! queue_races {
    ($($name:ident: $queue:ty, $item:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn getting() {
                in_coroutines(|| {
                    let queue = Arc::new(<$queue>::unbounded());
                    let mut score = Score::default();
                    for round in 0..rounds() {
                        let own = Arc::clone(&queue);
                        let got = duel(
                            round,
                            move |form| match form {
                                Form::Plain => own.get().ok(),
                                Form::Timeout(limit) => own.get_timeout(limit).ok(),
                                Form::Deadline(when) => own.get_deadline(when).ok(),
                            },
                            || queue.put($item(round)).unwrap(),
                        );
                        let got = got.flatten();
                        score.count(got.is_some());
                        let item = got.or_else(|| queue.try_get().ok());
                        assert_eq!(item, Some($item(round)));
                        assert!(queue.is_empty());
                    }
                    score.assert_both_seen();
                });
            }

            #[test]
            fn putting() {
                in_coroutines(|| {
                    let queue = Arc::new(<$queue>::with_maxsize(1));
                    let mut score = Score::default();
                    for round in 0..rounds() {
                        queue.put($item(u64::MAX)).unwrap();
                        let own = Arc::clone(&queue);
                        let put = duel(
                            round,
                            move |form| match form {
                                Form::Plain => own.put($item(round)),
                                Form::Timeout(limit) => own.put_timeout($item(round), limit),
                                Form::Deadline(when) => own.put_deadline($item(round), when),
                            },
                            || assert_eq!(queue.get(), Ok($item(u64::MAX))),
                        );
                        let is_in = matches!(put, Some(Ok(())));
                        score.count(is_in);
                        if let Some(Err(PutError::Full(back) | PutError::Cancelled(back))) = put {
                            assert_eq!(back, $item(round));
                        }
                        assert_eq!(queue.try_get().ok(), is_in.then(|| $item(round)));
                    }
                    score.assert_both_seen();
                });
            }

            #[test]
            fn joining() {
                in_coroutines(|| {
                    let queue = Arc::new(<$queue>::unbounded());
                    let mut score = Score::default();
                    for round in 0..rounds() {
                        queue.put($item(round)).unwrap();
                        queue.get().unwrap();
                        let (own, other) = (Arc::clone(&queue), Arc::clone(&queue));
                        let patient = coroutine::spawn(move || other.join());
                        let joined = duel(
                            round,
                            move |form| match form {
                                Form::Plain => own.join().is_ok(),
                                Form::Timeout(limit) => own.join_timeout(limit).is_ok(),
                                Form::Deadline(when) => own.join_deadline(when).is_ok(),
                            },
                            || queue.task_done().unwrap(),
                        );
                        score.count(joined == Some(true));
                        assert!(patient.join().unwrap().is_ok());
                    }
                    score.assert_both_seen();
                });
            }
        }
    )*};
}

queue_races! {
    fifo: Queue<u64>, std::convert::identity;
    lifo: LifoQueue<u64>, std::convert::identity;
    by_priority: PriorityQueue<u64, &'static str>, |number| (number, "item");
}

// The first of several results, and results as they come: what was not taken is still there.
#[test]
fn results() {
    in_coroutines(|| {
        let mut score = Score::default();
        for round in 0..rounds() {
            let (sides, handles): (Vec<_>, Vec<_>) = (0..2).map(|_| promise()).unzip();
            let [first, second] = sides.try_into().unwrap();
            let iterates = round & 64 == 0;
            let left = duel(
                round,
                move |form| {
                    let mut handles = handles;
                    if iterates {
                        let mut results = as_completed(handles);
                        let next = match form {
                            Form::Plain => results.next(),
                            Form::Timeout(limit) => results.next_timeout(limit),
                            Form::Deadline(when) => results.next_deadline(when),
                        };
                        return (
                            next.map(|(_, value)| value.unwrap()),
                            results.into_handles(),
                        );
                    }
                    let next = match form {
                        Form::Plain => wait_first(&mut handles),
                        Form::Timeout(limit) => wait_first_timeout(&mut handles, limit),
                        Form::Deadline(when) => wait_first_deadline(&mut handles, when),
                    };
                    (next.map(|(_, value)| value.unwrap()), handles)
                },
                || {
                    // Refused, where the reader was cancelled before it began.
                    let _ = first.set(1);
                    let _ = second.set(2);
                },
            );
            if let Some((taken, rest)) = left {
                score.count(taken.is_some());
                let rest: u32 = rest.into_iter().map(|handle| handle.join().unwrap()).sum();
                assert_eq!(taken.unwrap_or(0) + rest, 3);
            }
        }
        score.assert_both_seen();
    });
}
