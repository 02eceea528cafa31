//! `Select`'s readiness: who could go on, without anything happening.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ropewalk_rt::channel::{
    RecvTimeoutError, Select, TryRecvError, TrySendError, bounded, never, unbounded,
};
use ropewalk_rt::coroutine;

use crate::fixture::{BUFFERED, CAPACITIES, FAR, SOON, join_all, make, start, until_waits};
use crate::stage::on_each;

// A message that is there, room, or a disconnection make ready, and stay after being seen.
#[test]
fn what_is_ready() {
    on_each(|| {
        for capacity in BUFFERED {
            let (sender, receiver) = make(capacity);
            let (_other, silent) = make::<u8>(capacity);
            let mut select = Select::new();
            select.recv(&silent);
            select.recv(&receiver);
            assert!(select.try_ready().is_err());
            sender.send(3).unwrap();
            for _ in 0..3 {
                assert_eq!(select.try_ready(), Ok(1));
                assert_eq!(select.ready(), 1);
                assert_eq!(select.ready_timeout(SOON), Ok(1));
                assert_eq!(select.ready_deadline(Instant::now()), Ok(1));
            }
            assert_eq!(receiver.try_recv(), Ok(3));
            assert!(select.try_ready().is_err());
            drop(sender);
            assert_eq!(
                (select.ready(), receiver.try_recv()),
                (1, Err(TryRecvError::Disconnected))
            );
        }
        let (sender, receiver) = bounded(1);
        let mut select = Select::new();
        select.send(&sender);
        assert_eq!(select.ready(), 0);
        sender.send(1).unwrap();
        assert!(select.try_ready().is_err());
        drop(receiver);
        assert_eq!(select.ready(), 0);
        assert_eq!(sender.try_send(2), Err(TrySendError::Disconnected(2)));
    });
}

// At a rendezvous who waits on the other side makes ready.
#[test]
fn ready_to_meet() {
    on_each(|| {
        for kind in 0..2 {
            let (sender, receiver) = bounded(0);
            let mut sending = Select::new();
            sending.send(&sender);
            let mut receiving = Select::new();
            receiving.recv(&receiver);
            assert!(sending.try_ready().is_err() && receiving.try_ready().is_err());
            let taker = start(kind, {
                let receiver = receiver.clone();
                move || receiver.recv()
            });
            assert_eq!(sending.ready(), 0);
            assert!(receiving.try_ready().is_err());
            sender.try_send(1).unwrap();
            assert_eq!(taker.join().unwrap(), Ok(1));
            let giver = start(kind, {
                let sender = sender.clone();
                move || sender.send(2)
            });
            assert_eq!(receiving.ready(), 0);
            assert!(sending.try_ready().is_err());
            assert_eq!(receiver.try_recv(), Ok(2));
            giver.join().unwrap().unwrap();
            assert!(sending.try_ready().is_err() && receiving.try_ready().is_err());
        }
    });
}

// Nothing gets ready: each form ends when its time is over, the endless one wants operations.
#[test]
fn nothing_gets_ready() {
    on_each(|| {
        let (sender, receiver) = bounded(1);
        sender.send(1_u8).unwrap();
        let (_other, silent) = unbounded::<u8>();
        let nothing = never::<u8>();
        let mut select = Select::new();
        select.send(&sender);
        select.recv(&silent);
        select.recv(&nothing);
        for patience in [Duration::ZERO, SOON] {
            let begun = Instant::now();
            assert!(select.ready_timeout(patience).is_err());
            assert!(begun.elapsed() >= patience);
            let end = Instant::now() + patience;
            assert!(select.ready_deadline(end).is_err());
            assert!(Instant::now() >= end);
        }
        assert_eq!(receiver.len(), 1);
        let mut nothing = Select::new();
        assert!(nothing.try_ready().is_err());
        let begun = Instant::now();
        assert!(nothing.ready_timeout(SOON).is_err());
        assert!(begun.elapsed() >= SOON);
        assert!(catch_unwind(AssertUnwindSafe(|| nothing.ready())).is_err());
    });
}

// Who waits is woken by each kind of event, on each channel of the list.
#[test]
fn waiting_to_be_ready() {
    on_each(|| {
        for kind in 0..2 {
            for leaving in [false, true] {
                for which in 0..CAPACITIES.len() {
                    let channels: Vec<_> = CAPACITIES.map(make::<u8>).into_iter().collect();
                    let receivers: Vec<_> = channels.iter().map(|(_, r)| r.clone()).collect();
                    let waiter = start(kind, move || {
                        let mut select = Select::new();
                        receivers.iter().for_each(|receiver| {
                            select.recv(receiver);
                        });
                        let index = select.ready();
                        // At a rendezvous it is told that somebody comes: there we wait.
                        (index, receivers[index].recv_timeout(FAR))
                    });
                    until_waits(&waiter, "selecting");
                    let mut channels: Vec<_> = channels.into_iter().map(Some).collect();
                    let (sender, _receiver) = channels[which].take().unwrap();
                    if leaving {
                        drop(sender);
                        let (index, got) = waiter.join().unwrap();
                        assert_eq!((index, got), (which, Err(RecvTimeoutError::Disconnected)));
                    } else {
                        sender.send(4).unwrap();
                        assert_eq!(waiter.join().unwrap(), (which, Ok(4)));
                    }
                }
            }
        }
    });
}

// Nobody is taken by being ready: a second one finds the same.
#[test]
fn several_may_see_it() {
    on_each(|| {
        let (sender, receiver) = bounded(1);
        let waiters: Vec<_> = (0..4)
            .map(|n| {
                let receiver = receiver.clone();
                start(n, move || {
                    let mut select = Select::new();
                    select.recv(&receiver);
                    let ready = select.ready();
                    (ready, receiver.try_recv().is_ok())
                })
            })
            .collect();
        waiters
            .iter()
            .for_each(|waiter| until_waits(waiter, "selecting"));
        sender.send(1).unwrap();
        // Those who come too late, and those who haven't been told, see the end.
        drop(sender);
        let results = join_all(waiters);
        assert!(results.iter().all(|&(ready, _)| ready == 0));
        assert_eq!(results.iter().filter(|&&(_, got)| got).count(), 1);
    });
}

// Loops of waiting and trying, many of them: all messages are received once.
#[test]
fn loops_lose_nothing() {
    on_each(|| {
        for capacity in [Some(1), Some(3), None] {
            let channels: Vec<_> = (0..3).map(|_| make(capacity)).collect();
            let (senders, receivers): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
            let sinks: Vec<_> = (0..3)
                .map(|who| {
                    let receivers = receivers.clone();
                    start(who, move || {
                        let mut seen = Vec::new();
                        let mut select = Select::new();
                        receivers.iter().for_each(|receiver| {
                            select.recv(receiver);
                        });
                        let mut open = receivers.len();
                        while open > 0 {
                            let index = select.ready();
                            match receivers[index].try_recv() {
                                Ok(message) => seen.push(message),
                                Err(TryRecvError::Empty) => {}
                                Err(TryRecvError::Disconnected) => {
                                    select.remove(index);
                                    open -= 1;
                                }
                            }
                        }
                        seen
                    })
                })
                .collect();
            let sources: Vec<_> = (0..3)
                .map(|who| {
                    let senders = senders.clone();
                    start(who, move || {
                        for n in 0..150 {
                            let mut message = who * 150 + n;
                            let mut select = Select::new();
                            senders.iter().for_each(|sender| {
                                select.send(sender);
                            });
                            loop {
                                match senders[select.ready()].try_send(message) {
                                    Ok(()) => break,
                                    Err(error) => message = error.into_inner(),
                                }
                            }
                        }
                    })
                })
                .collect();
            drop((senders, receivers));
            join_all(sources);
            let mut all: Vec<_> = join_all(sinks).into_iter().flatten().collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..450));
        }
    });
}

// The same at a rendezvous, where those who are ready meet those who really wait.
#[test]
fn loops_at_a_rendezvous() {
    on_each(|| {
        let channels: Vec<_> = (0..2).map(|_| bounded(0)).collect();
        let (senders, receivers): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
        let sources: Vec<_> = senders
            .into_iter()
            .enumerate()
            .map(|(who, sender)| {
                start(who, move || {
                    (0..150).for_each(|n| sender.send(who * 150 + n).unwrap())
                })
            })
            .collect();
        let mut select = Select::new();
        receivers.iter().for_each(|receiver| {
            select.recv(receiver);
        });
        let (mut seen, mut open) = (Vec::new(), 2);
        while open > 0 {
            let index = select.ready();
            match receivers[index].try_recv() {
                Ok(message) => seen.push(message),
                Err(TryRecvError::Empty) => coroutine::yield_now(),
                Err(TryRecvError::Disconnected) => {
                    select.remove(index);
                    open -= 1;
                }
            }
        }
        join_all(sources);
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..300));
    });
}

// Impatient on both sides, with readiness as the only sign.
#[test]
fn impatient_loops() {
    on_each(|| {
        for capacity in [1, 4] {
            let (sender, receiver) = bounded(capacity);
            let source = start(capacity, move || {
                let mut select = Select::new();
                select.send(&sender);
                for n in 0..80 {
                    loop {
                        if select.ready_timeout(Duration::from_micros(40)).is_ok() {
                            // The only sender: room stays room.
                            sender.try_send(n).unwrap();
                            break;
                        }
                    }
                }
            });
            let mut select = Select::new();
            select.recv(&receiver);
            let mut expected = 0;
            loop {
                match select.ready_timeout(Duration::from_micros(60)) {
                    Err(_) => continue,
                    Ok(_) => match receiver.try_recv() {
                        Ok(n) => {
                            assert_eq!(n, expected);
                            expected += 1;
                        }
                        Err(error) => {
                            assert_eq!(error, TryRecvError::Disconnected);
                            break;
                        }
                    },
                }
            }
            assert_eq!(expected, 80);
            source.join().unwrap();
        }
    });
}

// Of several that are ready each has its share; in a biased list the first has all.
#[test]
fn shares() {
    on_each(|| {
        let channels: Vec<_> = (0..3).map(|_| bounded(1)).collect();
        channels
            .iter()
            .for_each(|(sender, _)| sender.send(1).unwrap());
        for biased in [false, true] {
            let mut select = if biased {
                Select::new_biased()
            } else {
                Select::new()
            };
            channels.iter().for_each(|(_, receiver)| {
                select.recv(receiver);
            });
            let mut counts = [0; 3];
            (0..900).for_each(|_| counts[select.ready()] += 1);
            if biased {
                assert_eq!(counts, [900, 0, 0]);
            } else {
                assert!(counts.iter().all(|&count| count > 90), "{counts:?}");
            }
        }
    });
}
