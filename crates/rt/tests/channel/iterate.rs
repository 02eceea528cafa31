//! Iterators: ending with the senders, with what is there, or in the middle.

use ropewalk_rt::channel::{after, bounded, never, unbounded};
use ropewalk_rt::{coroutine, spawn};

use crate::fixture::{
    BUFFERED, CAPACITIES, SOON, Tally, join_all, make, start, until_settled, until_waits,
};
use crate::stage::{on_each, until};

// All messages, then the end, by each of the three ways to iterate.
#[test]
fn to_the_end() {
    on_each(|| {
        for capacity in CAPACITIES {
            for way in 0..3 {
                let (sender, receiver) = make(capacity);
                let source = start(way, move || (0..200).for_each(|n| sender.send(n).unwrap()));
                match way {
                    0 => assert!(receiver.iter().eq(0..200)),
                    1 => {
                        let mut expected = 0..200;
                        for n in &receiver {
                            assert_eq!(Some(n), expected.next());
                        }
                        assert_eq!(expected.next(), None);
                    }
                    _ => assert!(receiver.into_iter().eq(0..200)),
                }
                source.join().unwrap();
            }
        }
    });
}

// What one iterator left, the next one gives.
#[test]
fn stopping_and_going_on() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let source = spawn(move || (0..30).for_each(|n| sender.send(n).unwrap()));
            let mut seen = Vec::new();
            for n in receiver.iter() {
                seen.push(n);
                if n == 9 {
                    break;
                }
            }
            seen.extend(receiver.iter().take(10));
            seen.extend(receiver);
            assert!(seen.into_iter().eq(0..30));
            source.join().unwrap();
        }
    });
}

// An iterator that has ended stays ended, and asking it again doesn't wait.
#[test]
fn the_end_stays() {
    on_each(|| {
        let (sender, receiver) = bounded(2);
        sender.send(1).unwrap();
        drop(sender);
        let mut borrowed = receiver.iter();
        assert_eq!(
            (borrowed.next(), borrowed.next(), borrowed.next()),
            (Some(1), None, None)
        );
        let mut owned = receiver.into_iter();
        assert_eq!((owned.next(), owned.next()), (None, None));
    });
}

// An iterator inside another one's loop, both on one channel.
#[test]
fn nested() {
    on_each(|| {
        let (sender, receiver) = unbounded();
        (0..10).for_each(|n| sender.send(n).unwrap());
        drop(sender);
        let mut seen = Vec::new();
        for outer in &receiver {
            seen.push(outer);
            seen.extend(receiver.iter().take(2));
        }
        assert!(seen.into_iter().eq(0..10));
    });
}

// The trying iterator gives what is there, and goes on when more is.
#[test]
fn what_is_there() {
    on_each(|| {
        for capacity in BUFFERED {
            let (sender, receiver) = make(capacity);
            let mut iterator = receiver.try_iter();
            assert_eq!(iterator.next(), None);
            sender.send(1).unwrap();
            assert_eq!((iterator.next(), iterator.next()), (Some(1), None));
            sender.send(2).unwrap();
            drop(sender);
            assert_eq!((iterator.next(), iterator.next()), (Some(2), None));
        }
    });
}

// It takes from senders that wait, at a rendezvous and at a full buffer.
#[test]
fn what_waits_to_be_sent() {
    on_each(|| {
        for capacity in [0, 2] {
            let (sender, receiver) = bounded(capacity);
            let givers: Vec<_> = (0..capacity + 3)
                .map(|n| {
                    let sender = sender.clone();
                    start(n, move || sender.send(n).unwrap())
                })
                .collect();
            givers
                .iter()
                .for_each(|giver| until_settled(giver, "sending"));
            let mut seen = Vec::new();
            seen.extend(receiver.try_iter());
            // At a buffer they are woken to send; at a rendezvous they have sent.
            assert!(capacity > 0 || seen.len() == 3);
            until(|| {
                seen.extend(receiver.try_iter());
                seen.len() == capacity + 3
            });
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..capacity + 3));
            join_all(givers);
        }
    });
}

// A ping answered by a pong that a trying loop waits for.
#[test]
fn request_and_response() {
    on_each(|| {
        let (request, requests) = unbounded();
        let (response, responses) = unbounded();
        let server = start(1, move || {
            let mut sum = 0;
            loop {
                for n in requests.try_iter() {
                    sum += n;
                    if sum == 6 {
                        return sum;
                    }
                }
                response.send(()).unwrap();
                coroutine::yield_now();
            }
        });
        for _ in responses.iter() {
            if request.send(2).is_err() {
                break;
            }
        }
        assert_eq!(server.join().unwrap(), 6);
    });
}

// Several iterate over clones: together they see all.
#[test]
fn shared_by_clones() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let sinks: Vec<_> = (0..4)
                .map(|n| {
                    let receiver = receiver.clone();
                    start(n, move || receiver.into_iter().sum::<u32>())
                })
                .collect();
            drop(receiver);
            (0..500).for_each(|n| sender.send(n).unwrap());
            drop(sender);
            assert_eq!(join_all(sinks).into_iter().sum::<u32>(), 500 * 499 / 2);
        }
    });
}

// An iterator that owns the receiver disconnects when it is dropped in the middle.
#[test]
fn dropping_one_in_the_middle() {
    on_each(|| {
        for capacity in CAPACITIES {
            let tally = Tally::default();
            let (sender, receiver) = make(capacity);
            let source = start(1, {
                let tally = tally.clone();
                move || while sender.send(tally.message()).is_ok() {}
            });
            let mut iterator = receiver.into_iter();
            let first: Vec<_> = iterator
                .by_ref()
                .take(3)
                .map(|message| message.number)
                .collect();
            assert_eq!(first, [0, 1, 2]);
            drop(iterator);
            source.join().unwrap();
            assert_eq!(tally.alive(), 0);
        }
    });
}

// An iterator waits in the middle, too.
#[test]
fn waiting_for_the_next() {
    on_each(|| {
        for kind in 0..2 {
            let (sender, receiver) = bounded(1);
            let sink = start(kind, move || receiver.iter().collect::<Vec<_>>());
            for n in 0..3 {
                until_waits(&sink, "receiving");
                sender.send(n).unwrap();
            }
            until_waits(&sink, "receiving");
            drop(sender);
            assert_eq!(sink.join().unwrap(), [0, 1, 2]);
        }
    });
}

// Channels that time fills can be iterated over as well; they have no end.
#[test]
fn over_time() {
    on_each(|| {
        let late = after(SOON);
        assert_eq!(late.iter().take(1).count(), 1);
        assert_eq!(late.try_iter().count(), 0);
        assert_eq!(never::<u8>().try_iter().count(), 0);
    });
}
