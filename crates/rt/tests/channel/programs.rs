//! Shapes that are known to break channels: what Go's and std's tests have been trying for years,
//! told anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk_rt::channel::{
    Receiver, Select, Sender, TryRecvError, bounded, never, select, unbounded,
};
use ropewalk_rt::{coroutine, spawn, thread};

use crate::fixture::{BUFFERED, CAPACITIES, Dice, join_all, make, start};
use crate::stage::{on_each, until};

// A source sends each number to one of four at random by one select; a select never sends twice.
#[test]
fn a_select_sends_once() {
    const NUMBERS: usize = 1_000;
    on_each(|| {
        for capacity in [0, 1, 10] {
            let channels: Vec<_> = (0..4).map(|_| bounded(capacity)).collect();
            let (senders, receivers): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
            let (out, all) = bounded(0);
            let source = spawn(move || {
                for n in 0..NUMBERS {
                    select! {
                        send(senders[0], n) -> sent => sent.unwrap(),
                        send(senders[1], n) -> sent => sent.unwrap(),
                        send(senders[2], n) -> sent => sent.unwrap(),
                        send(senders[3], n) -> sent => sent.unwrap(),
                    }
                }
            });
            let relays: Vec<_> = receivers
                .into_iter()
                .enumerate()
                .map(|(n, receiver)| {
                    let out = out.clone();
                    start(n, move || {
                        receiver.iter().for_each(|n| out.send(n).unwrap())
                    })
                })
                .collect();
            drop(out);
            let mut seen = vec![false; NUMBERS];
            for n in all {
                assert!(!std::mem::replace(&mut seen[n], true), "{n} was sent twice");
            }
            assert!(seen.into_iter().all(|seen| seen));
            source.join().unwrap();
            join_all(relays);
        }
    });
}

// A non-blocking receive that finds nothing must not have missed what was there before.
#[test]
fn what_was_sent_before_is_found() {
    on_each(|| {
        for capacity in BUFFERED {
            for round in 0..60 {
                let (sender, receiver) = make(capacity);
                let sent = Arc::new(AtomicUsize::new(0));
                let partner = start(round, {
                    let sent = Arc::clone(&sent);
                    move || {
                        sender.send(1).unwrap();
                        sent.store(1, Ordering::SeqCst);
                        sender
                    }
                });
                until(|| {
                    let before = sent.load(Ordering::SeqCst);
                    let found = receiver.try_recv();
                    assert!(before == 0 || found == Ok(1));
                    found.is_ok()
                });
                drop(partner.join().unwrap());
                assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
            }
        }
    });
}

// Who has put one in finds one by a select with a default, as nobody takes two; the other
// channels in its list stay empty.
#[test]
fn a_select_finds_what_there_is() {
    on_each(|| {
        for capacity in [Some(4), None] {
            let (sender, receiver) = make(capacity);
            let partners: Vec<_> = (0..4)
                .map(|who| {
                    let (sender, receiver) = (sender.clone(), receiver.clone());
                    start(who, move || {
                        let (_other, empty) = bounded::<usize>(1);
                        for n in 0..300 {
                            sender.try_send(n).unwrap();
                            select! {
                                recv(empty) -> _ => unreachable!(),
                                recv(receiver) -> n => assert!(n.is_ok()),
                                default => panic!("there is one for each"),
                            }
                        }
                    })
                })
                .collect();
            join_all(partners);
            assert!(receiver.is_empty());
        }
    });
}

// One task selects on both ends of one channel: it can't talk to itself at a rendezvous, and
// can through a buffer.
#[test]
fn talking_to_oneself() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            for n in 0..20 {
                let mut select = Select::new();
                let (send, _recv) = (select.send(&sender), select.recv(&receiver));
                match select.try_select() {
                    Err(_) => assert_eq!(capacity, Some(0)),
                    Ok(operation) if operation.index() == send => {
                        operation.send(&sender, n).unwrap();
                    }
                    Ok(operation) => drop(operation.recv(&receiver).unwrap()),
                }
            }
        }
        // Two of them do find each other.
        let (sender, receiver) = bounded(0);
        let counts: Vec<_> = (0..2)
            .map(|n| {
                let (sender, receiver) = (sender.clone(), receiver.clone());
                start(n, move || {
                    let mut received = 0_i32;
                    for _ in 0..300 {
                        select! {
                            send(sender, n) -> sent => { sent.unwrap(); received -= 1 }
                            recv(receiver) -> from => {
                                assert_ne!(from, Ok(n));
                                received += 1;
                            }
                        }
                    }
                    received
                })
            })
            .collect();
        assert_eq!(join_all(counts).into_iter().sum::<i32>(), 0);
    });
}

// Four channels, each used by plain sends and receives and by selects on both sides; all in
// the same number, so that everything ends.
#[test]
fn everybody_on_four_channels() {
    const EACH: usize = 150;
    on_each(|| {
        let channels: Vec<(Sender<usize>, Receiver<usize>)> =
            [0, 1, 2, 8].map(bounded).into_iter().collect();
        let mut partners = Vec::new();
        for (n, (sender, receiver)) in channels.iter().cloned().enumerate() {
            partners.push(start(n, move || {
                (0..EACH).for_each(|n| sender.send(n).unwrap())
            }));
            partners.push(start(n + 1, move || {
                (0..EACH).for_each(|_| assert!(receiver.recv().is_ok()))
            }));
        }
        // One that sends as often to each in whichever order, and one that receives so.
        let (senders, receivers): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
        partners.push(start(0, {
            let senders = senders.clone();
            move || {
                let mut left = [EACH; 4];
                let mut select = Select::new();
                senders.iter().for_each(|sender| {
                    select.send(sender);
                });
                for _ in 0..4 * EACH {
                    let operation = select.select();
                    let index = operation.index();
                    operation.send(&senders[index], 1).unwrap();
                    left[index] -= 1;
                    if left[index] == 0 {
                        select.remove(index);
                    }
                }
            }
        }));
        let rest = receivers.clone();
        partners.push(start(1, move || {
            let nothing = never();
            let mut left = [EACH; 4];
            for _ in 0..4 * EACH {
                let open = |n: usize| if left[n] > 0 { &receivers[n] } else { &nothing };
                let which = select! {
                    recv(open(3)) -> n => { n.unwrap(); 3 }
                    recv(open(2)) -> n => { n.unwrap(); 2 }
                    recv(open(0)) -> n => { n.unwrap(); 0 }
                    recv(open(1)) -> n => { n.unwrap(); 1 }
                };
                left[which] -= 1;
            }
        }));
        drop(senders);
        join_all(partners);
        for receiver in rest {
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
        }
    });
}

// A barrier of channels: each round all send, one gathers and lets all go on.
#[test]
fn rounds_in_step() {
    const PARTS: usize = 5;
    on_each(|| {
        let (arrive, arrived) = bounded(0);
        let round = Arc::new(AtomicUsize::new(0));
        let parts: Vec<_> = (0..PARTS)
            .map(|n| {
                let (arrive, round) = (arrive.clone(), Arc::clone(&round));
                start(n, move || {
                    for expected in 0..40 {
                        assert_eq!(round.load(Ordering::SeqCst), expected);
                        let (go, gone) = bounded::<()>(0);
                        arrive.send(go).unwrap();
                        assert!(gone.recv().is_err());
                    }
                })
            })
            .collect();
        for _ in 0..40 {
            let waiting: Vec<_> = arrived.iter().take(PARTS).collect();
            round.fetch_add(1, Ordering::SeqCst);
            drop(waiting);
        }
        join_all(parts);
    });
}

// A receive that is waiting while its channel's other handles come and go.
#[test]
fn handles_come_and_go() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let sink = start(1, {
                let receiver = receiver.clone();
                move || receiver.iter().sum::<usize>()
            });
            let mut dice = Dice::new(4);
            let mut sum = 0;
            for n in 0..200 {
                let clone = sender.clone();
                drop(receiver.clone());
                match dice.below(3) {
                    0 => drop(clone),
                    1 => {
                        clone.send(n).unwrap();
                        sum += n;
                    }
                    _ => {
                        sum += n;
                        let partner = start(0, move || clone.send(n).unwrap());
                        if dice.below(2) == 0 {
                            partner.join().unwrap();
                        }
                    }
                }
            }
            drop((sender, receiver));
            assert_eq!(sink.join().unwrap(), sum);
        }
    });
}

// From a thread that the runtime has never seen, and to one.
#[test]
fn foreign_threads() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let (back, answers) = make(capacity);
            let thread = std::thread::spawn(move || {
                for n in receiver {
                    back.send(n + 1).unwrap();
                }
            });
            for n in 0..50 {
                sender.send(n).unwrap();
                assert_eq!(answers.recv(), Ok(n + 1));
            }
            drop(sender);
            until(|| thread.is_finished());
            thread.join().unwrap();
        }
    });
}

// From a destructor of a thread's own data, when little of the thread is left.
#[test]
fn from_a_thread_that_ends() {
    struct Last(Option<Sender<u8>>, Option<Receiver<u8>>);
    impl Drop for Last {
        fn drop(&mut self) {
            let (sender, receiver) = (self.0.take().unwrap(), self.1.take().unwrap());
            let got = select! {
                recv(receiver) -> n => n.unwrap(),
                recv(never()) -> n => n.unwrap(),
            };
            sender.send(got + 1).unwrap();
        }
    }
    thread_local! {
        static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) };
    }
    on_each(|| {
        for capacity in [Some(0), Some(1), None] {
            let (question, questions) = make(capacity);
            let (answer, answers) = make(capacity);
            let thread = thread::spawn(move || {
                LAST.set(Some(Last(Some(answer), Some(questions))));
            });
            question.send(6).unwrap();
            assert_eq!(answers.recv(), Ok(7));
            thread.join().unwrap();
        }
    });
}

// Whole programs started and thrown away, over and over: nothing is left of them.
#[test]
fn small_programs_by_the_hundred() {
    on_each(|| {
        for round in 0..100 {
            let (sender, receiver) = if round % 2 == 0 {
                bounded(round % 4)
            } else {
                unbounded()
            };
            let tasks: Vec<_> = (0..4)
                .map(|n| {
                    let (sender, receiver) = (sender.clone(), receiver.clone());
                    spawn(move || {
                        if n % 2 == 0 {
                            let _ = sender.send(n);
                        } else {
                            let _ = receiver.recv();
                        }
                        coroutine::yield_now();
                    })
                })
                .collect();
            drop((sender, receiver));
            join_all(tasks);
        }
    });
}
