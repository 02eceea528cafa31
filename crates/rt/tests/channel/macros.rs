//! `select!` and `select_biased!`: their syntax, what they evaluate and when, and control flow
//! out of their arms.

use std::cell::Cell;
use std::ops::Deref;
use std::time::Duration;

use ropewalk_rt::channel::{
    Receiver, RecvError, SendError, Sender, bounded, never, select, select_biased, unbounded,
};
use ropewalk_rt::spawn;

use crate::fixture::{FAR, SOON, start, until_waits};
use crate::stage::on_each;

// Each kind of arm and of body, with and without commas.
#[test]
fn bodies_and_commas() {
    let (sender, receiver) = unbounded::<i32>();
    let (full, _kept) = bounded::<i32>(0);
    sender.send(1).unwrap();
    select! {
        recv(receiver) -> n => assert_eq!(n, Ok(1)),
        send(full, 1) -> _ => unreachable!(),
    }
    let value = select! {
        recv(receiver) -> _ => 1,
        send(full, 1) -> _ => { 2 }
        default => 3
    };
    assert_eq!(value, 3);
    let value = select! {
        recv(receiver) -> _ => { 1 },
        default(Duration::ZERO) => { 2 },
    };
    assert_eq!(value, 2);
    select! { send(sender, 5) -> done => done.unwrap() }
    select! {
        recv(receiver,) -> n => assert!(n.is_ok()),
        send(full, 1,) -> _ => {},
        default(SOON,) => {}
    }
    select! { default => {} }
    select! { default() => {} }
    select! { default(Duration::ZERO) => {} }
    select_biased! {
        recv(receiver) -> _ => unreachable!(),
        default => (),
    }
    // As an expression inside others.
    let sum = 1 + select! { recv(receiver) -> _ => 2, default => 3 };
    assert_eq!(sum, 4);
}

// Patterns at the arrow, and shadowing.
#[test]
fn patterns() {
    let (sender, receiver) = unbounded::<(i32, Option<&str>)>();
    sender.send((1, Some("a"))).unwrap();
    let result = "outside";
    select! {
        recv(receiver) -> result => assert_eq!(result, Ok((1, Some("a")))),
        send(sender, (0, None)) -> _result => assert_eq!(result, "outside"),
    }
    let (one, first) = bounded(1);
    let (two, second) = bounded(1);
    one.send(1).unwrap();
    two.send(2).unwrap();
    let mut sum = 0;
    for _ in 0..2 {
        select! {
            recv(first) -> n => sum += n.unwrap(),
            recv(second) -> n => sum += n.unwrap(),
        }
    }
    assert_eq!(sum, 3);
    select! {
        recv(first) -> mut n => { n = Ok(9); assert_eq!(n, Ok(9)) }
        default => {}
    }
}

// What stands for an end is evaluated once, before the wait; a message only if it is sent.
#[test]
fn what_is_evaluated() {
    on_each(|| {
        let (sender, receiver) = bounded(1);
        let (other, silent) = bounded::<i32>(1);
        let steps = Cell::new(0);
        let end = |number: i32, receiver: &Receiver<i32>| {
            steps.set(steps.get() * 10 + number);
            receiver.clone()
        };
        select! {
            recv(end(1, &silent)) -> _ => unreachable!(),
            recv(end(2, &silent)) -> _ => unreachable!(),
            send(sender, { steps.set(steps.get() * 10 + 3); 7 }) -> sent => sent.unwrap(),
        }
        assert_eq!(steps.get(), 123);
        select! {
            send(sender, { steps.set(0); 8 }) -> _ => unreachable!(),
            recv(receiver) -> n => assert_eq!((n, steps.get()), (Ok(7), 123)),
        }
        other.send(1).unwrap();
        let timeout = || {
            steps.set(4);
            FAR
        };
        select! {
            recv(silent) -> n => assert_eq!(n, Ok(1)),
            default(timeout()) => unreachable!(),
        }
        assert_eq!(steps.get(), 4);
    });
}

// The types follow from the arms alone.
#[test]
fn types_are_inferred() {
    let (sender, receiver) = unbounded();
    select! {
        recv(receiver) -> n => { let _: Result<u16, RecvError> = n; }
        send(sender, 3) -> sent => { let _: Result<(), SendError<u16>> = sent; }
    }
    let (sender, receiver) = unbounded();
    select! {
        send(sender, "text") -> sent => sent.unwrap(),
        recv(receiver) -> _ => unreachable!(),
    }
    assert_eq!(receiver.recv(), Ok("text"));
}

struct Own<T>(T);

impl<T> Deref for Own<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

// Ends behind references, boxes, other smart pointers, in lists, made on the spot.
#[test]
fn ends_in_all_places() {
    on_each(|| {
        let (sender, receiver) = unbounded::<i32>();
        let (boxed, owned) = (Box::new(receiver.clone()), Own(receiver.clone()));
        let list = [receiver.clone()];
        let lent: &&Receiver<i32> = &&receiver;
        let lent_mutably = &mut receiver.clone();
        for which in 0..6 {
            sender.send(which).unwrap();
            let got = match which {
                0 => select! { recv(boxed) -> n => n, recv(never::<i32>()) -> n => n },
                1 => select! { recv(owned) -> n => n, recv(never::<i32>()) -> n => n },
                2 => select! { recv(list[0]) -> n => n, recv(&never::<i32>()) -> n => n },
                3 => select! { recv(lent) -> n => n, recv(&&never::<i32>()) -> n => n },
                4 => select! { recv(lent_mutably) -> n => n, recv(never::<i32>()) -> n => n },
                _ => select! {
                    recv({ assert!(receiver.len() == 1); &receiver }) -> n => n,
                    recv(unbounded::<i32>().1) -> n => n,
                },
            };
            // A channel made on the spot is disconnected by then.
            assert!(got == Ok(which) || which == 5);
            receiver.try_iter().count();
        }
        let senders: Vec<Box<Sender<i32>>> = vec![Box::new(sender)];
        select! {
            send(senders[0], 1) -> sent => sent.unwrap(),
            send(&*senders[0], 2) -> sent => sent.unwrap(),
        }
        assert_eq!(receiver.len(), 1);
    });
}

// Control flow leaves a select as it would any block.
#[test]
fn leaving_an_arm() {
    fn returns(receiver: &Receiver<i32>) -> i32 {
        loop {
            select! {
                recv(receiver) -> n => match n {
                    Ok(n) if n < 3 => continue,
                    Ok(n) => return n,
                    Err(_) => break,
                },
                default(FAR) => return -1,
            }
        }
        -2
    }
    fn fails(receiver: &Receiver<i32>) -> Result<i32, RecvError> {
        let n = select! {
            recv(receiver) -> n => n?,
            default => return Ok(-1),
        };
        Ok(n + 1)
    }
    on_each(|| {
        let (sender, receiver) = unbounded();
        (0..6).for_each(|n| sender.send(n).unwrap());
        assert_eq!(returns(&receiver), 3);
        assert_eq!(fails(&receiver), Ok(5));
        assert_eq!(receiver.try_iter().count(), 1);
        assert_eq!(fails(&receiver), Ok(-1));
        drop(sender);
        assert_eq!((returns(&receiver), fails(&receiver)), (-2, Err(RecvError)));
        let mut rounds = 0;
        let found = 'outer: loop {
            while rounds < 3 {
                rounds += 1;
                select! {
                    recv(receiver) -> _ => if rounds == 3 { break 'outer rounds },
                    recv(never::<u8>()) -> _ => break,
                }
            }
        };
        assert_eq!(found, 3);
    });
}

// An arm's body may move, replace or use again what was selected from.
#[test]
fn ends_in_bodies() {
    on_each(|| {
        let (sender, receiver) = bounded(2);
        let mut receiver = Some(receiver);
        let mut current = sender.clone();
        sender.send(1).unwrap();
        let taken = select! {
            recv(receiver.as_ref().unwrap()) -> n => (n, receiver.take()),
            recv(never::<u8>()) -> _ => unreachable!(),
        };
        assert_eq!(taken.0, Ok(1));
        let receiver = taken.1.unwrap();
        select! {
            send(current, 2) -> sent => {
                sent.unwrap();
                current = unbounded().0;
            }
            recv(receiver) -> _ => unreachable!(),
        }
        assert!(!current.same_channel(&sender));
        select! {
            recv(receiver) -> n => { sender.send(n.unwrap() + 1).unwrap(); drop(sender) }
            default => unreachable!(),
        }
        assert!(receiver.iter().eq([3]));
    });
}

// An end or a message is moved into the select that uses it up.
#[test]
fn moved_into_a_select() {
    let (sender, receiver) = bounded::<Box<str>>(1);
    let message: Box<str> = "only one".into();
    let moved = || sender;
    select! {
        send(moved(), message) -> sent => sent.unwrap(),
    }
    let moved = || receiver;
    select! {
        recv(moved()) -> message => assert_eq!(message.as_deref(), Ok("only one")),
    }
}

// A select in an arm's body, in an arm's message, in what stands for an end.
#[test]
fn nested() {
    on_each(|| {
        let (sender, receiver) = unbounded();
        let (other, silent) = unbounded::<i32>();
        select! {
            recv(silent) -> _ => unreachable!(),
            send(sender, select! { recv(silent) -> _ => unreachable!(), default => 4 }) -> sent => {
                sent.unwrap();
                select! {
                    recv(receiver) -> n => select! {
                        send(other, n.unwrap()) -> sent => sent.unwrap(),
                        default => unreachable!(),
                    },
                    default => unreachable!(),
                }
            }
        }
        let pick = || select! { recv(receiver) -> _ => &receiver, default => &silent };
        select! {
            recv(pick()) -> n => assert_eq!(n, Ok(4)),
            default => unreachable!(),
        }
    });
}

// Made by another macro, arm by arm.
#[test]
fn inside_other_macros() {
    macro_rules! first_of {
        ($($receiver:expr),+) => {
            select! { $(recv($receiver) -> message => message.ok(),)+ default => None }
        };
    }
    let (sender, receiver) = unbounded();
    assert_eq!(first_of!(receiver), None);
    sender.send(1).unwrap();
    assert_eq!(first_of!(never(), receiver, never()), Some(1));
}

// A dozen arms, each of which is found.
#[test]
fn many_arms() {
    on_each(|| {
        let (s, r): (Vec<_>, Vec<_>) = (0..12).map(|_| bounded(1)).unzip();
        for n in (0..12).cycle().take(36) {
            s[n].send(n).unwrap();
            let got = select! {
                recv(r[0]) -> n => (0, n), recv(r[1]) -> n => (1, n), recv(r[2]) -> n => (2, n),
                recv(r[3]) -> n => (3, n), recv(r[4]) -> n => (4, n), recv(r[5]) -> n => (5, n),
                recv(r[6]) -> n => (6, n), recv(r[7]) -> n => (7, n), recv(r[8]) -> n => (8, n),
                recv(r[9]) -> n => (9, n), recv(r[10]) -> n => (10, n), recv(r[11]) -> n => (11, n),
            };
            assert_eq!(got, (n, Ok(n)));
        }
    });
}

// All arms that are ready have their turns; in a biased one the first has all of them.
#[test]
fn fair_and_biased() {
    on_each(|| {
        let (sender, receiver) = unbounded();
        let (other, second) = unbounded();
        (0..3_000).for_each(|n| sender.send(n).unwrap());
        (0..3_000).for_each(|n| other.send(n).unwrap());
        let mut counts = [0; 3];
        for _ in 0..1_500 {
            select! {
                recv(receiver) -> _ => counts[0] += 1,
                recv(second) -> _ => counts[1] += 1,
                send(sender, 0) -> _ => counts[2] += 1,
            }
        }
        assert!(counts.iter().all(|&count| count > 150), "{counts:?}");
        for _ in 0..100 {
            select_biased! {
                recv(never::<u8>()) -> _ => unreachable!(),
                recv(second) -> n => assert!(n.is_ok()),
                recv(receiver) -> _ => unreachable!(),
                default => unreachable!(),
            }
            select_biased! {
                send(sender, 1) -> sent => sent.unwrap(),
                recv(receiver) -> _ => unreachable!(),
                default(FAR) => unreachable!(),
            }
        }
    });
}

// A default with a time waits for that time, and no longer than the message takes.
#[test]
fn a_default_with_a_time() {
    on_each(|| {
        for kind in 0..2 {
            let (sender, receiver) = bounded(0);
            let begun = std::time::Instant::now();
            select! {
                recv(receiver) -> _ => unreachable!(),
                default(SOON) => assert!(begun.elapsed() >= SOON),
            }
            let waiter = start(kind, move || {
                select! {
                    recv(receiver) -> n => n.unwrap(),
                    recv(never()) -> n => n.unwrap(),
                    default(FAR) => 0,
                }
            });
            until_waits(&waiter, "selecting");
            sender.send(4).unwrap();
            assert_eq!(waiter.join().unwrap(), 4);
        }
    });
}

// One arm alone is a plain operation, also when its channel is disconnected.
#[test]
fn one_arm() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let giver = spawn(move || select! { send(sender, 3) -> sent => sent.is_ok() });
        select! { recv(receiver) -> n => assert_eq!(n, Ok(3)) }
        assert!(giver.join().unwrap());
        select! { recv(receiver) -> n => assert_eq!(n, Err(RecvError)) }
        select! { recv(receiver) -> n => assert!(n.is_err()), default => unreachable!() }
        select! { recv(receiver) -> n => assert!(n.is_err()), default(FAR) => unreachable!() }
    });
}
