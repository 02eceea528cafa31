//! Threads, coroutines and async tasks on both sides, in all nine pairings and for each flavor.

use std::sync::Arc;

use ropewalk_rt::channel::{Receiver, Sender, after, bounded};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{JoinHandle, spawn_async};

use crate::fixture::{CAPACITIES, SOON, join_all, make};
use crate::who::{Who, in_pairings};

/// Sends `messages`, then leaves; gives how many were taken.
fn source<T: Send + 'static>(
    who: Who,
    sender: Sender<T>,
    messages: impl Iterator<Item = T> + Clone + Send + 'static,
) -> JoinHandle<usize> {
    let (blocking, theirs) = (sender.clone(), messages.clone());
    who.wait(
        move || {
            theirs
                .map_while(|message| blocking.send(message).ok())
                .count()
        },
        async move {
            let mut sent = 0;
            for message in messages {
                if sender.send_async(message).await.is_err() {
                    break;
                }
                sent += 1;
            }
            sent
        },
    )
}

/// Receives up to `most` messages, then leaves.
fn sink<T: Send + 'static>(who: Who, receiver: Receiver<T>, most: usize) -> JoinHandle<Vec<T>> {
    let blocking = receiver.clone();
    who.wait(
        move || blocking.into_iter().take(most).collect(),
        async move {
            let mut seen = Vec::new();
            while seen.len() < most {
                match receiver.recv_async().await {
                    Ok(message) => seen.push(message),
                    Err(_) => break,
                }
            }
            seen
        },
    )
}

// In order, all of them, and then the end.
#[test]
fn a_stream() {
    in_pairings(|receiving, sending| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let sink = sink(receiving, receiver, usize::MAX);
            let source = source(sending, sender, 0..150);
            assert_eq!(source.join().unwrap(), 150);
            assert!(sink.join().unwrap().into_iter().eq(0..150), "{capacity:?}");
        }
    });
}

// The receiver has enough: the sender hears of it, wherever it waits; and one that never waits
// gives way.
#[test]
fn a_stream_that_is_cut() {
    in_pairings(|receiving, sending| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let sink = sink(receiving, receiver, 20);
            let source = source(sending, sender, 0_u64..);
            assert!(sink.join().unwrap().into_iter().eq(0..20));
            assert!(source.join().unwrap() >= 20);
        }
    });
}

// Several on each side; each message once, each sender's in its order.
#[test]
fn crowds() {
    in_pairings(|receiving, sending| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let sources: Vec<_> = (0..3)
                .map(|part| source(sending, sender.clone(), (0..40).map(move |n| (part, n))))
                .collect();
            let sinks: Vec<_> = (0..3)
                .map(|_| sink(receiving, receiver.clone(), usize::MAX))
                .collect();
            drop((sender, receiver));
            assert_eq!(join_all(sources), [40, 40, 40]);
            let mut all = Vec::new();
            for seen in join_all(sinks) {
                for part in 0..3 {
                    assert!(seen.iter().filter(|(from, _)| *from == part).is_sorted());
                }
                all.extend(seen);
            }
            all.sort_unstable();
            assert!(
                all.into_iter()
                    .eq((0..3).flat_map(|part| (0..40).map(move |n| (part, n))))
            );
        }
    });
}

// A question and its answer, over two channels, many times.
#[test]
fn questions_and_answers() {
    in_pairings(|asking, answering| {
        for capacity in [Some(0), Some(1), None] {
            let (question, questions) = make::<u32>(capacity);
            let (answer, answers) = make(capacity);
            let (blocking_questions, blocking_answer) = (questions.clone(), answer.clone());
            let server = answering.wait(
                move || {
                    for n in blocking_questions {
                        blocking_answer.send(n * 2).unwrap();
                    }
                },
                async move {
                    while let Ok(n) = questions.recv_async().await {
                        answer.send_async(n * 2).await.unwrap();
                    }
                },
            );
            let (blocking_question, blocking_answers) = (question.clone(), answers.clone());
            let client = asking.wait(
                move || {
                    for n in 0..60 {
                        blocking_question.send(n).unwrap();
                        assert_eq!(blocking_answers.recv(), Ok(n * 2));
                    }
                },
                async move {
                    for n in 0..60 {
                        question.send_async(n).await.unwrap();
                        assert_eq!(answers.recv_async().await, Ok(n * 2));
                    }
                },
            );
            client.join().unwrap();
            server.join().unwrap();
        }
    });
}

// An end that goes without a word wakes who waits.
#[test]
fn leaving() {
    in_pairings(|waiting, leaving| {
        for capacity in [Some(0), Some(1), None] {
            let (sender, receiver) = make::<u8>(capacity);
            let begun = Arc::new(Event::new());
            let sink = sink(waiting, receiver, 1);
            let go = Arc::clone(&begun);
            let leaver = leaving.wait(
                {
                    let (go, sender) = (Arc::clone(&go), sender.clone());
                    move || {
                        go.wait().unwrap();
                        drop(sender);
                    }
                },
                {
                    let sender = sender.clone();
                    async move {
                        go.wait_async().await;
                        drop(sender);
                    }
                },
            );
            drop(sender);
            assert!(!sink.is_finished());
            begun.set();
            leaver.join().unwrap();
            assert!(sink.join().unwrap().is_empty());
        }
        let (sender, receiver) = bounded(0);
        let source = source(waiting, sender, 0..1);
        let leaver = leaving.act(move || drop(receiver));
        leaver.join().unwrap();
        assert_eq!(source.join().unwrap(), 0);
    });
}

// Time is received in all three ways.
#[test]
fn time() {
    crate::stage::on_each(|| {
        for who in Who::ALL {
            let late = after(SOON);
            let begun = std::time::Instant::now();
            let blocking = late.clone();
            let fired = who
                .wait(
                    move || blocking.recv(),
                    async move { late.recv_async().await },
                )
                .join()
                .unwrap();
            assert!(std::time::Instant::now() >= fired.unwrap());
            assert!(fired.unwrap() <= begun + SOON);
        }
    });
}

// Async tasks may use the blocking forms as well: only they wait.
#[test]
fn blocking_inside_async() {
    crate::stage::on_each(|| {
        let (sender, receiver) = bounded(0);
        let tasks: Vec<_> = (0..20)
            .map(|n| {
                let (sender, receiver) = (sender.clone(), receiver.clone());
                spawn_async(async move {
                    if n % 2 == 0 {
                        sender.send(n).unwrap();
                        0
                    } else {
                        receiver.recv().unwrap()
                    }
                })
            })
            .collect();
        let sum: i32 = join_all(tasks).into_iter().sum();
        assert_eq!(sum, (0..20).step_by(2).sum());
    });
}
