//! Selects against selects: many tasks, all flavors, nothing lost and nobody stuck.

use std::time::Duration;

use ropewalk_rt::channel::{Receiver, RecvError, Select, Sender, bounded, select, unbounded};

use crate::fixture::{CAPACITIES, Dice, Tally, join_all, make, start, until_waits};
use crate::stage::on_each;

/// Receives from all until all are disconnected.
fn drain<T>(receivers: &[Receiver<T>]) -> Vec<T> {
    let mut seen = Vec::new();
    let mut select = Select::new();
    receivers.iter().for_each(|receiver| {
        select.recv(receiver);
    });
    let mut open = receivers.len();
    while open > 0 {
        let operation = select.select();
        let index = operation.index();
        match operation.recv(&receivers[index]) {
            Ok(message) => seen.push(message),
            Err(_) => {
                select.remove(index);
                open -= 1;
            }
        }
    }
    seen
}

/// Sends into whichever has room, or receives.
fn send_anywhere<T>(senders: &[Sender<T>], messages: impl Iterator<Item = T>) {
    let mut select = Select::new();
    senders.iter().for_each(|sender| {
        select.send(sender);
    });
    for message in messages {
        let operation = select.select();
        let index = operation.index();
        assert!(operation.send(&senders[index], message).is_ok());
    }
}

// Selected sends on one side and selected receives on the other, over all flavors.
#[test]
fn selects_on_both_sides() {
    const PARTS: usize = 3;
    const EACH: usize = 250;
    on_each(|| {
        let lists: [&[Option<usize>]; 4] = [
            &[Some(0), Some(0)],
            &[Some(1), Some(2)],
            &[Some(0), Some(3)],
            &CAPACITIES,
        ];
        for capacities in lists {
            let (senders, receivers): (Vec<_>, Vec<_>) =
                capacities.iter().map(|&capacity| make(capacity)).unzip();
            let mut sources = Vec::new();
            let mut sinks = Vec::new();
            for who in 0..PARTS {
                let senders = senders.clone();
                sources.push(start(who, move || {
                    send_anywhere(&senders, who * EACH..(who + 1) * EACH);
                }));
                let receivers = receivers.clone();
                sinks.push(start(who + 1, move || drain(&receivers)));
            }
            drop((senders, receivers));
            join_all(sources);
            let mut all: Vec<_> = join_all(sinks).into_iter().flatten().collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..PARTS * EACH), "{capacities:?}");
        }
    });
}

// Selects on one side, plain sends and receives on the other.
#[test]
fn selects_against_plain_operations() {
    const EACH: usize = 200;
    on_each(|| {
        for capacity in CAPACITIES {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| make(capacity)).unzip();
            let sources: Vec<_> = senders
                .into_iter()
                .enumerate()
                .map(|(who, sender)| {
                    start(who, move || {
                        (0..EACH).for_each(|n| sender.send((who, n)).unwrap())
                    })
                })
                .collect();
            // From each one in its order, by one who selects.
            let mut next = [0; 3];
            for (who, n) in drain(&receivers) {
                assert_eq!(next[who], n);
                next[who] += 1;
            }
            assert_eq!(next, [EACH; 3]);
            join_all(sources);

            let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| make(capacity)).unzip();
            let sinks: Vec<_> = receivers
                .into_iter()
                .enumerate()
                .map(|(who, receiver)| start(who, move || receiver.iter().collect::<Vec<_>>()))
                .collect();
            send_anywhere(&senders, 0..3 * EACH);
            drop(senders);
            let lists = join_all(sinks);
            assert!(lists.iter().all(|list| list.is_sorted()));
            let mut all: Vec<_> = lists.into_iter().flatten().collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..3 * EACH));
        }
    });
}

// Everybody can send or receive on one rendezvous: all pair up, nobody meets himself.
#[test]
fn matching() {
    on_each(|| {
        for capacity in [0, 1] {
            for leftover in 0..2 {
                let crowd = 24 + leftover;
                let (sender, receiver) = bounded::<usize>(capacity);
                let partners: Vec<_> = (0..crowd)
                    .map(|who| {
                        let (sender, receiver) = (sender.clone(), receiver.clone());
                        start(usize::from(who % 5 == 0), move || {
                            select! {
                                recv(receiver) -> other => {
                                    let other = other.unwrap();
                                    assert!(capacity > 0 || other != who);
                                    Some(other)
                                }
                                send(sender, who) -> sent => {
                                    sent.unwrap();
                                    None
                                }
                            }
                        })
                    })
                    .collect();
                // Who is left over sends to us, or to the buffer.
                let left = if leftover == 1 {
                    receiver.recv().ok()
                } else {
                    None
                };
                let met = join_all(partners).into_iter().flatten().count();
                let there = receiver.len() + usize::from(left.is_some());
                assert_eq!(2 * met + there, crowd);
            }
        }
    });
}

// Two tasks select on each other's channels, in the same and in opposite order.
#[test]
fn each_on_the_other() {
    on_each(|| {
        for capacity in [0, 1, 2] {
            for opposite in [false, true] {
                let (to_one, one) = bounded(capacity);
                let (to_two, two) = bounded(capacity);
                let talk = |out: Sender<u32>, inward: Receiver<u32>, reverse: bool| {
                    move || {
                        let (mut sent, mut seen) = (0, 0);
                        while sent < 200 || seen < 200 {
                            let mut select = Select::new();
                            let (mut send, mut recv) = (usize::MAX, usize::MAX);
                            if reverse && seen < 200 {
                                recv = select.recv(&inward);
                            }
                            if sent < 200 {
                                send = select.send(&out);
                            }
                            if !reverse && seen < 200 {
                                recv = select.recv(&inward);
                            }
                            let operation = select.select();
                            if operation.index() == send {
                                operation.send(&out, sent).unwrap();
                                sent += 1;
                            } else {
                                assert_eq!(operation.index(), recv);
                                assert_eq!(operation.recv(&inward), Ok(seen));
                                seen += 1;
                            }
                        }
                    }
                };
                let partner = start(1, talk(to_one, two, opposite));
                talk(to_two, one, false)();
                partner.join().unwrap();
            }
        }
    });
}

// Each of a circle of tasks selects between its own and its neighbour's channel.
#[test]
fn a_circle_of_selects() {
    const LINKS: usize = 6;
    on_each(|| {
        for capacity in [0, 1] {
            let channels: Vec<_> = (0..LINKS).map(|_| bounded::<usize>(capacity)).collect();
            let partners: Vec<_> = (0..LINKS)
                .map(|who| {
                    let out = channels[(who + 1) % LINKS].0.clone();
                    let inward = channels[who].1.clone();
                    start(who, move || {
                        let (mut sent, mut seen) = (0, 0);
                        while sent < 100 || seen < 100 {
                            let never = ropewalk_rt::channel::never();
                            let inward = if seen < 100 { &inward } else { &never };
                            if sent < 100 {
                                select! {
                                    recv(inward) -> n => { assert_eq!(n, Ok(seen)); seen += 1 }
                                    send(out, sent) -> done => { done.unwrap(); sent += 1 }
                                }
                            } else {
                                assert_eq!(inward.recv(), Ok(seen));
                                seen += 1;
                            }
                        }
                    })
                })
                .collect();
            drop(channels);
            join_all(partners);
        }
    });
}

// Selects that give up race with those who would meet them: what was sent was received.
#[test]
fn impatient_selects() {
    on_each(|| {
        let tally = Tally::default();
        for capacities in [[0, 0], [1, 1], [0, 2]] {
            let (senders, receivers): (Vec<_>, Vec<_>) =
                capacities.map(bounded).into_iter().unzip();
            let sources: Vec<_> = (0..3)
                .map(|who| {
                    let (senders, tally) = (senders.clone(), tally.clone());
                    start(who, move || {
                        let mut dice = Dice::new(who + 7);
                        let mut sent = 0;
                        for _ in 0..250 {
                            let patience = Duration::from_micros(dice.below(30));
                            let message = tally.message();
                            let mut select = Select::new();
                            senders.iter().for_each(|sender| {
                                select.send(sender);
                            });
                            if let Ok(operation) = select.select_timeout(patience) {
                                let index = operation.index();
                                assert!(operation.send(&senders[index], message).is_ok());
                                sent += 1;
                            }
                        }
                        sent
                    })
                })
                .collect();
            let sinks: Vec<_> = (0..2)
                .map(|who| {
                    let receivers = receivers.clone();
                    start(who, move || {
                        let mut dice = Dice::new(who + 70);
                        let (mut seen, mut open) = (0, receivers.len());
                        let mut select = Select::new();
                        receivers.iter().for_each(|receiver| {
                            select.recv(receiver);
                        });
                        while open > 0 {
                            let patience = Duration::from_micros(dice.below(30));
                            let Ok(operation) = select.select_timeout(patience) else {
                                continue;
                            };
                            let index = operation.index();
                            match operation.recv(&receivers[index]) {
                                Ok(_) => seen += 1,
                                Err(_) => {
                                    select.remove(index);
                                    open -= 1;
                                }
                            }
                        }
                        seen
                    })
                })
                .collect();
            drop((senders, receivers));
            let sent: usize = join_all(sources).into_iter().sum();
            let seen: usize = join_all(sinks).into_iter().sum();
            assert_eq!((sent, tally.alive()), (seen, 0));
        }
    });
}

// With a default each round ends at once; still every message arrives in its order.
#[test]
fn with_a_default() {
    on_each(|| {
        let (sender, receiver) = bounded(1);
        let (end, ended) = bounded::<()>(0);
        let source = start(1, move || {
            let _end = end;
            let mut n = 0;
            while n < 100 {
                select! {
                    send(sender, n) -> sent => { sent.unwrap(); n += 1 }
                    default => ropewalk_rt::coroutine::yield_now(),
                }
            }
        });
        let mut expected = 0;
        loop {
            select! {
                recv(receiver) -> n => match n {
                    Ok(n) => { assert_eq!(n, expected); expected += 1 }
                    Err(_) => break,
                },
                recv(ended) -> _ => {
                    // The end goes just before the sender does.
                    for n in &receiver {
                        assert_eq!(n, expected);
                        expected += 1;
                    }
                    break;
                }
                default => ropewalk_rt::coroutine::yield_now(),
            }
        }
        assert_eq!(expected, 100);
        source.join().unwrap();
    });
}

// One arm disconnects while the other goes on.
#[test]
fn one_arm_ends() {
    on_each(|| {
        for kind in 0..2 {
            let (short, one) = unbounded();
            let (long, two) = unbounded();
            let (tell, told) = unbounded();
            let sink = start(kind, move || {
                let mut one = Some(one);
                loop {
                    let nothing = ropewalk_rt::channel::never();
                    select! {
                        recv(one.as_ref().unwrap_or(&nothing)) -> n => {
                            tell.send(n).unwrap();
                            if n.is_err() {
                                one = None;
                            }
                        }
                        recv(two) -> n => {
                            tell.send(n).unwrap();
                            if n.is_err() {
                                return;
                            }
                        }
                    }
                }
            });
            until_waits(&sink, "selecting");
            short.send(1).unwrap();
            assert_eq!(told.recv(), Ok(Ok(1)));
            drop(short);
            assert_eq!(told.recv(), Ok(Err(RecvError)));
            until_waits(&sink, "selecting");
            long.send(2).unwrap();
            assert_eq!(told.recv(), Ok(Ok(2)));
            drop(long);
            assert_eq!(told.recv(), Ok(Err(RecvError)));
            sink.join().unwrap();
        }
    });
}
