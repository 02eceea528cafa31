//! `Select`, waiting: who wakes it, what of its operations happens, and lists that grow.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ropewalk_rt::channel::{Receiver, RecvError, Select, Sender, TryRecvError, bounded, unbounded};
use ropewalk_rt::{coroutine, spawn};

use crate::fixture::{CAPACITIES, Tally, join_all, make, start, until_waits};
use crate::stage::on_each;

// Who waits in a select is woken by a message, room, or a disconnection, on each channel of it.
#[test]
fn who_waits_is_woken() {
    type Ends = (Sender<usize>, Receiver<usize>);
    type Wake = fn(&mut Vec<Option<Ends>>, usize);
    let by_message: Wake = |ends, which| ends[which].as_ref().unwrap().0.send(5).unwrap();
    let by_leaving: Wake = |ends, which| ends[which] = None;
    on_each(|| {
        for kind in 0..2 {
            for (wake, expected) in [(by_message, Ok(5)), (by_leaving, Err(RecvError))] {
                for which in 0..CAPACITIES.len() {
                    let mut ends: Vec<Option<Ends>> = CAPACITIES
                        .iter()
                        .map(|&capacity| Some(make(capacity)))
                        .collect();
                    let receivers: Vec<_> = ends
                        .iter()
                        .map(|ends| ends.as_ref().unwrap().1.clone())
                        .collect();
                    let waiter = start(kind, move || {
                        let mut select = Select::new();
                        for receiver in &receivers {
                            select.recv(receiver);
                        }
                        let operation = select.select();
                        let index = operation.index();
                        (index, operation.recv(&receivers[index]))
                    });
                    until_waits(&waiter, "selecting");
                    wake(&mut ends, which);
                    assert_eq!(waiter.join().unwrap(), (which, expected));
                }
            }
        }
    });
}

// The same for sends.
#[test]
fn who_waits_to_send_is_woken() {
    on_each(|| {
        for kind in 0..2 {
            for leaving in [false, true] {
                for which in 0..3 {
                    let (senders, receivers): (Vec<_>, Vec<_>) =
                        [0, 1, 3].map(bounded).into_iter().unzip();
                    for (sender, room) in senders.iter().zip([0, 1, 3]) {
                        (0..room).for_each(|_| sender.send(0).unwrap());
                    }
                    let mut receivers: Vec<_> = receivers.into_iter().map(Some).collect();
                    let waiter = start(kind, move || {
                        let mut select = Select::new();
                        for sender in &senders {
                            select.send(sender);
                        }
                        let operation = select.select();
                        let index = operation.index();
                        (index, operation.send(&senders[index], 8))
                    });
                    until_waits(&waiter, "selecting");
                    if leaving {
                        receivers[which] = None;
                    } else {
                        let receiver = receivers[which].as_ref().unwrap();
                        while receiver.recv().unwrap() != 8 {}
                    }
                    let (index, sent) = waiter.join().unwrap();
                    assert_eq!((index, sent.is_err()), (which, leaving));
                }
            }
        }
    });
}

// One that waits on several rendezvous is met once, though two try.
#[test]
fn a_select_is_met_once() {
    on_each(|| {
        for kind in 0..2 {
            let (first, one) = bounded(0);
            let (second, two) = bounded(0);
            let waiter = start(kind, move || {
                let mut select = Select::new();
                select.recv(&one);
                select.recv(&two);
                let operation = select.select();
                let index = operation.index();
                let got = operation.recv([&one, &two][index]);
                (index, got, one, two)
            });
            until_waits(&waiter, "selecting");
            assert_eq!(first.try_send(10), Ok(()));
            assert!(second.try_send(20).is_err());
            let (index, got, one, _two) = waiter.join().unwrap();
            assert_eq!((index, got), (0, Ok(10)));
            assert_eq!(one.try_recv(), Err(TryRecvError::Empty));
        }
    });
}

// Only one operation happens: what the others could have taken is still there.
#[test]
fn only_one_happens() {
    on_each(|| {
        let tally = Tally::default();
        let channels: Vec<_> = CAPACITIES.into_iter().skip(1).map(make).collect();
        for (sender, _) in &channels {
            assert!(sender.send(tally.message()).is_ok());
        }
        for left in (0..channels.len()).rev() {
            let mut select = Select::new();
            for (_, receiver) in &channels {
                select.recv(receiver);
            }
            let operation = select.select();
            let index = operation.index();
            assert_eq!(
                operation.recv(&channels[index].1).map(|m| m.number),
                Ok(index)
            );
            assert_eq!(tally.alive(), left);
            let there: usize = channels.iter().map(|(_, receiver)| receiver.len()).sum();
            assert_eq!(there, left);
        }
    });
}

// A list of channels that grows while it is selected from: each message may bring a new channel.
#[test]
fn a_growing_list() {
    struct Visitor(usize, Receiver<Visitor>);
    on_each(|| {
        let (root, door) = unbounded();
        let mut doors = vec![door];
        for n in 0..5 {
            let (sender, receiver) = unbounded();
            assert!(root.send(Visitor(n, receiver)).is_ok());
            spawn(move || {
                for m in 0..5 {
                    let (last, end) = unbounded();
                    drop(last);
                    assert!(sender.send(Visitor(10 + n * 5 + m, end)).is_ok());
                }
            });
        }
        drop(root);
        let mut seen = Vec::new();
        while !doors.is_empty() {
            let mut select = Select::new();
            doors.iter().for_each(|door| {
                select.recv(door);
            });
            let operation = select.select();
            let index = operation.index();
            match operation.recv(&doors[index]) {
                Ok(Visitor(number, door)) => {
                    seen.push(number);
                    doors.push(door);
                }
                Err(_) => drop(doors.swap_remove(index)),
            }
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq((0..5).chain(10..35)));
    });
}

// A selected send holds its place in a bounded channel before it has a message: what is sent
// behind it reaches all who wait, once the place is filled or given up.
#[test]
fn behind_a_held_place() {
    on_each(|| {
        for capacity in [4, 64] {
            for completed in [true, false] {
                let (sender, receiver) = bounded(capacity);
                let takers: Vec<_> = (0..4)
                    .map(|n| {
                        let receiver = receiver.clone();
                        start(n, move || receiver.recv().unwrap())
                    })
                    .collect();
                takers
                    .iter()
                    .for_each(|taker| until_waits(taker, "receiving"));
                let mut select = Select::new();
                select.send(&sender);
                let operation = select.select();
                (1..4).for_each(|n| sender.send(n).unwrap());
                // Those who were woken for nothing wait again.
                (0..20).for_each(|_| coroutine::yield_now());
                takers
                    .iter()
                    .for_each(|taker| until_waits(taker, "receiving"));
                assert!(takers.iter().all(|taker| !taker.is_finished()));
                if completed {
                    operation.send(&sender, 0).unwrap();
                } else {
                    assert!(catch_unwind(AssertUnwindSafe(|| drop(operation))).is_err());
                    sender.send(0).unwrap();
                }
                let mut got = join_all(takers);
                got.sort_unstable();
                assert_eq!(got, [0, 1, 2, 3]);
            }
        }
    });
}
