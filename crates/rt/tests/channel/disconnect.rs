//! One side goes: in all orders, while the other waits, sends, receives or goes as well.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk_rt::channel::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError, bounded, unbounded,
};
use ropewalk_rt::coroutine;

use crate::fixture::{BUFFERED, CAPACITIES, FAR, Tally, join_all, make, start, until_waits};
use crate::stage::on_each;

fn assert_no_receivers(sender: &Sender<u32>) {
    assert_eq!(sender.send(1), Err(SendError(1)));
    assert_eq!(sender.try_send(2), Err(TrySendError::Disconnected(2)));
    let error = sender.send_timeout(3, FAR).unwrap_err();
    assert_eq!(error, SendTimeoutError::Disconnected(3));
}

fn assert_no_senders(receiver: &Receiver<u32>) {
    assert_eq!(receiver.recv(), Err(RecvError));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    let error = receiver.recv_timeout(FAR).unwrap_err();
    assert_eq!(error, RecvTimeoutError::Disconnected);
    assert_eq!(
        (receiver.iter().count(), receiver.try_iter().count()),
        (0, 0)
    );
}

// Only the last of several ends disconnects, in whichever order they go.
#[test]
fn the_last_end_disconnects() {
    on_each(|| {
        for capacity in CAPACITIES {
            for order in [
                [0, 1, 2],
                [0, 2, 1],
                [1, 0, 2],
                [1, 2, 0],
                [2, 0, 1],
                [2, 1, 0],
            ] {
                let (sender, receiver) = make::<u32>(capacity);
                let mut senders = [Some(sender.clone()), Some(sender.clone()), Some(sender)];
                for (gone, &which) in order.iter().enumerate() {
                    senders[which] = None;
                    let expected = if gone == 2 {
                        TryRecvError::Disconnected
                    } else {
                        TryRecvError::Empty
                    };
                    assert_eq!(receiver.try_recv(), Err(expected));
                }
                assert_no_senders(&receiver);

                let (sender, receiver) = make::<u32>(capacity);
                let mut receivers = [
                    Some(receiver.clone()),
                    Some(receiver.clone()),
                    Some(receiver),
                ];
                for (gone, &which) in order.iter().enumerate() {
                    receivers[which] = None;
                    let disconnected = sender.try_send(0).is_err_and(|e| e.is_disconnected());
                    assert_eq!(disconnected, gone == 2);
                }
                assert_no_receivers(&sender);
            }
        }
    });
}

// Messages survive their senders, not their receivers.
#[test]
fn what_lies_in_the_channel() {
    on_each(|| {
        for capacity in BUFFERED {
            let tally = Tally::default();
            let (sender, receiver) = make(capacity);
            let room = capacity.unwrap_or(40);
            (0..room).for_each(|_| assert!(sender.send(tally.message()).is_ok()));
            drop(sender);
            for n in 0..room {
                assert_eq!(receiver.len(), room - n);
                assert_eq!(receiver.recv().map(|message| message.number), Ok(n));
            }
            assert!(receiver.recv().is_err());

            let (sender, receiver) = make(capacity);
            (0..room).for_each(|_| assert!(sender.send(tally.message()).is_ok()));
            assert_eq!(tally.alive(), room);
            drop(receiver);
            // The sender is still there; the messages are not.
            assert_eq!((tally.alive(), sender.len()), (0, 0));
            assert!(sender.send(tally.message()).is_err());
        }
    });
}

// All who wait are told, threads and coroutines, in timed and endless forms.
#[test]
fn all_who_wait_are_told() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make::<usize>(capacity);
            let takers: Vec<_> = (0..6)
                .map(|n| {
                    let receiver = receiver.clone();
                    start(n, move || {
                        if n % 3 == 0 {
                            receiver.recv_timeout(FAR).unwrap_err().is_disconnected()
                        } else {
                            receiver.recv().is_err()
                        }
                    })
                })
                .collect();
            takers
                .iter()
                .for_each(|taker| until_waits(taker, "receiving"));
            drop(sender);
            assert!(join_all(takers).into_iter().all(|told| told));

            let Some(room) = capacity else { continue };
            let (sender, receiver) = make::<usize>(capacity);
            (0..room).for_each(|_| sender.send(usize::MAX).unwrap());
            let givers: Vec<_> = (0..6)
                .map(|n| {
                    let sender = sender.clone();
                    start(n, move || {
                        if n % 3 == 0 {
                            sender.send_timeout(n, FAR).unwrap_err().into_inner()
                        } else {
                            sender.send(n).unwrap_err().into_inner()
                        }
                    })
                })
                .collect();
            givers
                .iter()
                .for_each(|giver| until_waits(giver, "sending"));
            drop(receiver);
            // Each has its own message back.
            assert!(join_all(givers).into_iter().eq(0..6));
        }
    });
}

// An end that is dropped by unwinding counts as dropped.
#[test]
fn a_panicking_owner_disconnects() {
    on_each(|| {
        for kind in 0..2 {
            let (sender, receiver) = bounded::<u32>(0);
            let owner = start(kind, move || {
                let _held = &sender;
                std::panic::resume_unwind(Box::new("on purpose"));
            });
            assert_eq!(receiver.recv(), Err(RecvError));
            assert!(owner.join().is_err());
            let (sender, receiver) = bounded::<u32>(0);
            let owner = start(kind, move || {
                let _held = &receiver;
                std::panic::resume_unwind(Box::new("on purpose"));
            });
            assert_eq!(sender.send(1), Err(SendError(1)));
            assert!(owner.join().is_err());
        }
    });
}

// The receiver goes while messages are on their way: each is received, dropped or comes back.
#[test]
fn the_receiver_goes_midway() {
    on_each(|| {
        for capacity in CAPACITIES {
            for round in 0..8 {
                let tally = Tally::default();
                let (sender, receiver) = make(capacity);
                let source = start(round, {
                    let tally = tally.clone();
                    move || while sender.send(tally.message()).is_ok() {}
                });
                for n in 0..round * 20 {
                    assert_eq!(receiver.recv().map(|message| message.number), Ok(n));
                }
                drop(receiver);
                source.join().unwrap();
                assert_eq!(tally.alive(), 0);
                assert!(tally.made() > round * 20);
            }
        }
    });
}

// The senders go while somebody receives: all messages come, then the end.
#[test]
fn the_senders_go_midway() {
    on_each(|| {
        for capacity in CAPACITIES {
            for round in 0..8 {
                let (sender, receiver) = make(capacity);
                let sources: Vec<_> = (0..3)
                    .map(|n| {
                        let sender = sender.clone();
                        start(round + n, move || {
                            (0..round * 10).for_each(|n| sender.send(n).unwrap());
                        })
                    })
                    .collect();
                drop(sender);
                assert_eq!(receiver.iter().count(), round * 30);
                join_all(sources);
            }
        }
    });
}

// Both go at the same time, with or without a message between them.
#[test]
fn both_sides_go_at_once() {
    on_each(|| {
        for capacity in CAPACITIES {
            for round in 0..40 {
                let tally = Tally::default();
                let (sender, receiver) = make(capacity);
                let message = tally.message();
                let giver = start(round, move || {
                    if round % 4 < 2 {
                        let _ = sender.try_send(message);
                    }
                    drop(sender);
                });
                if round % 8 < 4 {
                    let _ = receiver.try_recv();
                }
                drop(receiver);
                giver.join().unwrap();
                assert_eq!(tally.alive(), 0);
            }
        }
    });
}

// One message and one end that goes: it is received or comes back, never both, never neither.
#[test]
fn a_send_races_with_the_last_receiver() {
    on_each(|| {
        for capacity in CAPACITIES {
            let tally = Tally::default();
            for round in 0..60 {
                let (sender, receiver) = make(capacity);
                let message = tally.message();
                let giver = start(round, move || sender.send(message).is_ok());
                if round % 3 == 0 {
                    coroutine::yield_now();
                }
                let received = receiver.try_recv().is_ok();
                drop(receiver);
                let sent = giver.join().unwrap();
                assert!(sent || !received);
                assert_eq!(tally.alive(), 0);
            }
            assert_eq!(tally.made(), 60);
        }
    });
}

// One message and a sender that goes right after: it is received.
#[test]
fn a_message_outruns_its_sender() {
    on_each(|| {
        for capacity in CAPACITIES {
            for round in 0..60 {
                let (sender, receiver) = make(capacity);
                let giver = start(round, move || sender.send(Box::new(round)));
                if round % 3 == 0 {
                    coroutine::yield_now();
                }
                assert_eq!(receiver.recv(), Ok(Box::new(round)));
                assert_eq!(receiver.recv(), Err(RecvError));
                giver.join().unwrap().unwrap();
            }
        }
    });
}

// Many receivers wait for one message and the end: one has it, all others the end.
#[test]
fn one_message_among_many() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make::<u8>(capacity);
            let got = Arc::new(AtomicUsize::new(0));
            let takers: Vec<_> = (0..8)
                .map(|n| {
                    let (receiver, got) = (receiver.clone(), Arc::clone(&got));
                    start(n, move || {
                        got.fetch_add(receiver.iter().count(), Ordering::SeqCst)
                    })
                })
                .collect();
            sender.send(1).unwrap();
            drop(sender);
            join_all(takers);
            assert_eq!(got.load(Ordering::SeqCst), 1);
        }
    });
}

// A channel's own end in one of its messages: it goes with the last receiver.
#[test]
fn an_end_inside_its_own_channel() {
    on_each(|| {
        let (sender, receiver) = unbounded::<Box<dyn Any + Send>>();
        sender.send(Box::new(sender.clone())).unwrap();
        sender.send(Box::new(Sender::clone(&sender))).unwrap();
        drop(receiver);
        assert!(sender.send(Box::new(())).is_err());

        let (sender, receiver) = unbounded::<Box<dyn Any + Send>>();
        sender.send(Box::new(receiver.clone())).unwrap();
        let inner = receiver.recv().unwrap();
        let inner = inner.downcast::<Receiver<Box<dyn Any + Send>>>().unwrap();
        drop(receiver);
        sender.send(Box::new(7)).unwrap();
        assert_eq!(inner.recv().unwrap().downcast_ref::<i32>(), Some(&7));
        drop(inner);
        assert!(sender.send(Box::new(())).is_err());
    });
}
