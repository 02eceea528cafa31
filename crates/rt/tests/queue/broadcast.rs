//! Messages for everybody: each receiver sees each, in order, or is told how many it missed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::Token;
use ropewalk_rt::channel::SendError;
use ropewalk_rt::channel::broadcast::{self, RecvError, RecvTimeoutError, TryRecvError};
use ropewalk_rt::{coroutine, spawn, thread};

use crate::stage::{on_each, until_waiting};
use crate::who::{Polled, Who, in_pairings};

#[test]
fn each_receiver_sees_each_message() {
    on_each(|| {
        let (sender, mut first) = broadcast::channel(8);
        let mut second = sender.subscribe();
        assert_eq!(sender.receiver_count(), 2);
        for n in 0..5 {
            assert_eq!(sender.send(n), Ok(2));
        }
        assert_eq!((first.len(), second.len(), sender.len()), (5, 5, 5));
        for n in 0..5 {
            assert_eq!(first.recv(), Ok(n));
        }
        assert_eq!((first.len(), second.len(), sender.len()), (0, 5, 5));
        assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
        for n in 0..5 {
            assert_eq!(second.try_recv(), Ok(n));
            assert_eq!(sender.len(), 4 - n);
        }
        assert!(sender.is_empty() && first.is_empty());
    });
}

#[test]
fn who_comes_late_sees_what_comes_later() {
    on_each(|| {
        let (sender, mut first) = broadcast::channel(8);
        sender.send(1).unwrap();
        let mut late = first.resubscribe();
        let mut later = sender.subscribe();
        assert_eq!(late.try_recv(), Err(TryRecvError::Empty));
        sender.send(2).unwrap();
        assert_eq!((first.recv(), first.recv()), (Ok(1), Ok(2)));
        assert_eq!((late.recv(), later.recv()), (Ok(2), Ok(2)));
        assert!(late.same_channel(&later) && sender.same_channel(&sender.clone()));
    });
}

#[test]
fn who_is_slow_is_told_how_many_it_missed() {
    on_each(|| {
        let (sender, mut slow) = broadcast::channel(3);
        let mut quick = sender.subscribe();
        for n in 0..3 {
            sender.send(n).unwrap();
            assert_eq!(quick.recv(), Ok(n));
        }
        assert_eq!(slow.len(), 3);
        sender.send(3).unwrap();
        sender.send(4).unwrap();
        assert_eq!((slow.len(), quick.len(), sender.len()), (3, 2, 3));
        assert_eq!(slow.recv(), Err(RecvError::Lagged(2)));
        assert_eq!((slow.recv(), slow.recv()), (Ok(2), Ok(3)));
        for n in 5..100 {
            sender.send(n).unwrap();
        }
        assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(93)));
        assert_eq!(
            quick.recv_timeout(Duration::ZERO),
            Err(RecvTimeoutError::Lagged(94))
        );
        drop(sender);
        for receiver in [&mut slow, &mut quick] {
            for n in 97..100 {
                assert_eq!(receiver.recv(), Ok(n));
            }
            assert_eq!(receiver.recv(), Err(RecvError::Closed));
        }
    });
}

#[test]
fn the_end_comes_after_what_is_left() {
    on_each(|| {
        let (sender, mut receiver) = broadcast::channel(4);
        let second = sender.clone();
        sender.send('a').unwrap();
        drop(sender);
        assert!(!receiver.is_closed());
        second.send('b').unwrap();
        drop(second);
        assert!(receiver.is_closed());
        assert_eq!((receiver.recv(), receiver.recv()), (Ok('a'), Ok('b')));
        assert_eq!(receiver.recv(), Err(RecvError::Closed));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
        let long = Duration::from_secs(3600);
        assert_eq!(receiver.recv_timeout(long), Err(RecvTimeoutError::Closed));
        assert_eq!(
            Polled::new(receiver.recv_async()).poll(),
            Some(Err(RecvError::Closed))
        );
        let mut late = receiver.resubscribe();
        assert_eq!(late.recv(), Err(RecvError::Closed));
    });
}

#[test]
fn without_receivers_a_message_comes_back() {
    on_each(|| {
        let (sender, receiver) = broadcast::channel(4);
        sender.send(String::from("a")).unwrap();
        drop(receiver);
        assert_eq!(sender.len(), 0);
        assert_eq!(
            sender.send(String::from("b")),
            Err(SendError(String::from("b")))
        );
        let mut receiver = sender.subscribe();
        sender.send(String::from("c")).unwrap();
        assert_eq!(receiver.recv(), Ok(String::from("c")));
    });
}

/// Counts its clones, and how many are alive.
struct Counted {
    alive: Arc<AtomicUsize>,
    clones: Arc<AtomicUsize>,
}

impl Counted {
    fn new(alive: &Arc<AtomicUsize>, clones: &Arc<AtomicUsize>) -> Counted {
        alive.fetch_add(1, Ordering::SeqCst);
        Counted {
            alive: Arc::clone(alive),
            clones: Arc::clone(clones),
        }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Counted {
        self.clones.fetch_add(1, Ordering::SeqCst);
        Counted::new(&self.alive, &self.clones)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn a_message_goes_when_all_have_seen_it() {
    on_each(|| {
        let (alive, clones) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let count = || alive.load(Ordering::SeqCst);
        let (sender, mut first) = broadcast::channel(2);
        let mut second = sender.subscribe();
        for _ in 0..2 {
            assert!(sender.send(Counted::new(&alive, &clones)).is_ok());
        }
        drop(first.recv());
        assert_eq!(count(), 2);
        drop(second.recv());
        assert_eq!(count(), 1);
        assert_eq!(
            clones.load(Ordering::SeqCst),
            1,
            "the last gets it as it is"
        );
        // One that leaves has seen everything.
        drop(first.recv());
        assert_eq!(count(), 1);
        drop(second);
        assert_eq!(count(), 0);
        // So has one that lags and leaves.
        let mut third = sender.subscribe();
        for _ in 0..5 {
            assert!(sender.send(Counted::new(&alive, &clones)).is_ok());
        }
        assert_eq!(count(), 2);
        assert_eq!(third.recv().err(), Some(RecvError::Lagged(3)));
        drop(first);
        assert_eq!(count(), 2);
        drop(third.recv());
        assert_eq!(count(), 1);
        drop(third);
        assert_eq!(count(), 0);
        assert!(sender.send(Counted::new(&alive, &clones)).is_err());
        assert_eq!(count(), 0);
        let fourth = sender.subscribe();
        assert!(sender.send(Counted::new(&alive, &clones)).is_ok());
        drop((sender, fourth));
        assert_eq!(count(), 0);
    });
}

#[test]
fn a_clone_that_panics_counts_as_received() {
    struct Fragile(u8);
    impl Clone for Fragile {
        fn clone(&self) -> Fragile {
            assert!(self.0 != 1, "can't be cloned");
            Fragile(self.0)
        }
    }
    on_each(|| {
        let (sender, mut receiver) = broadcast::channel(4);
        let _other = sender.subscribe();
        for n in 0..3 {
            assert!(sender.send(Fragile(n)).is_ok());
        }
        assert_eq!(receiver.recv().map(|f| f.0), Ok(0));
        assert!(catch_unwind(AssertUnwindSafe(|| receiver.recv())).is_err());
        assert_eq!(receiver.recv().map(|f| f.0), Ok(2));
    });
}

#[test]
fn a_message_wakes_everybody() {
    in_pairings(|waiter, waker| {
        let (sender, receiver) = broadcast::channel(1);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let (mut one, mut two) = (receiver.resubscribe(), receiver.resubscribe());
                let waits = waiter.wait(move || one.recv(), async move { two.recv_async().await });
                if waiter == Who::Coroutine {
                    until_waiting(waits.id(), "receiving");
                }
                waits
            })
            .collect();
        let sent = waker.act(move || sender.send(7).map(|_| ()));
        sent.join().unwrap().unwrap();
        for handle in waiters {
            assert_eq!(handle.join().unwrap(), Ok(7));
        }
    });
}

#[test]
fn the_end_wakes_everybody() {
    in_pairings(|waiter, waker| {
        let (sender, receiver) = broadcast::channel::<u8>(1);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let (mut one, mut two) = (receiver.resubscribe(), receiver.resubscribe());
                waiter.wait(move || one.recv(), async move { two.recv_async().await })
            })
            .collect();
        waker.act(move || drop(sender)).join().unwrap();
        for handle in waiters {
            assert_eq!(handle.join().unwrap(), Err(RecvError::Closed));
        }
    });
}

#[test]
fn a_receive_waits_as_long_as_it_may() {
    on_each(|| {
        const MOMENT: Duration = Duration::from_millis(5);
        let (sender, mut receiver) = broadcast::channel(1);
        let begun = Instant::now();
        assert_eq!(
            receiver.recv_timeout(MOMENT),
            Err(RecvTimeoutError::Timeout)
        );
        assert!(begun.elapsed() >= MOMENT);
        assert_eq!(
            receiver.recv_deadline(Instant::now() + MOMENT),
            Err(RecvTimeoutError::Timeout)
        );
        sender.send(1).unwrap();
        assert_eq!(receiver.recv_deadline(begun), Ok(1));
    });
}

#[test]
fn a_receive_can_be_cancelled() {
    on_each(|| {
        let (sender, mut receiver) = broadcast::channel(1);
        let mut other = receiver.resubscribe();
        let waits = spawn(move || other.recv());
        until_waiting(waits.id(), "receiving");
        waits.cancel();
        assert_eq!(waits.join().unwrap(), Err(RecvError::Closed));
        sender.send(1).unwrap();
        let token = Token::root();
        token.cancel();
        token.run(|| {
            assert_eq!(receiver.recv(), Ok(1));
            assert_eq!(receiver.recv(), Err(RecvError::Closed));
        });
    });
}

#[test]
fn a_dropped_future_has_received_nothing() {
    on_each(|| {
        let (sender, mut receiver) = broadcast::channel(2);
        let future = Polled::waiting(receiver.recv_async());
        sender.send(1).unwrap();
        assert_eq!(future.wakes(), 1);
        drop(future);
        assert_eq!(receiver.recv(), Ok(1));
        drop(Polled::waiting(receiver.recv_async()));
        sender.send(2).unwrap();
        assert_eq!(Polled::new(receiver.recv_async()).poll(), Some(Ok(2)));
    });
}

#[test]
fn any_capacity_but_none_will_do() {
    assert!(catch_unwind(|| broadcast::channel::<u8>(0)).is_err());
    let (sender, mut receiver) = broadcast::channel(usize::MAX);
    assert_eq!(sender.capacity(), usize::MAX);
    sender.send([0u64; 64]).unwrap();
    assert!(receiver.recv().is_ok());
}

#[test]
fn errors_have_words() {
    assert!(RecvError::Lagged(3).to_string().contains("missed 3"));
    assert!(TryRecvError::Empty.to_string().contains("empty"));
    assert!(RecvTimeoutError::Timeout.to_string().contains("timed out"));
    assert_eq!(
        RecvError::Closed.to_string(),
        RecvTimeoutError::Closed.to_string()
    );
}

// Everybody of each kind gets each message of each sender, in its order, or misses as many
// as it is told; with timeouts that are too short.
#[test]
fn what_is_received_and_what_is_missed_is_all() {
    const SENDERS: usize = 4;
    const EACH: usize = 25_000;
    on_each(|| {
        for capacity in [4, SENDERS * EACH] {
            let (sender, receiver) = broadcast::channel(capacity);
            let receivers: Vec<_> = (0..6)
                .map(|n| {
                    let (mut one, mut two) = (receiver.resubscribe(), receiver.resubscribe());
                    let mut tally = Tally::default();
                    let mut tally_too = Tally::default();
                    Who::ALL[n % 3].wait(
                        move || {
                            let patience = Duration::from_micros(n as u64);
                            loop {
                                match one.recv_timeout(patience) {
                                    Ok(message) => tally.got(message),
                                    Err(RecvTimeoutError::Lagged(n)) => tally.missed += n,
                                    Err(RecvTimeoutError::Timeout) => {}
                                    Err(RecvTimeoutError::Closed) => return tally,
                                }
                            }
                        },
                        async move {
                            loop {
                                match two.recv_async().await {
                                    Ok(message) => tally_too.got(message),
                                    Err(RecvError::Lagged(n)) => tally_too.missed += n,
                                    Err(RecvError::Closed) => return tally_too,
                                }
                            }
                        },
                    )
                })
                .collect();
            let senders: Vec<_> = (0..SENDERS)
                .map(|n| {
                    let sender = sender.clone();
                    let send = move || {
                        for round in 0..EACH {
                            sender.send((n, round)).unwrap();
                            if round % 32 == 0 {
                                coroutine::yield_now();
                            }
                        }
                    };
                    if n == 0 {
                        thread::spawn(send)
                    } else {
                        spawn(send)
                    }
                })
                .collect();
            for handle in senders {
                handle.join().unwrap();
            }
            drop(sender);
            for handle in receivers {
                let tally = handle.join().unwrap();
                assert_eq!(tally.received + tally.missed, (SENDERS * EACH) as u64);
                if capacity == SENDERS * EACH {
                    assert_eq!(tally.missed, 0);
                }
            }
        }
    });

    #[derive(Default)]
    struct Tally {
        received: u64,
        missed: u64,
        last: [Option<usize>; SENDERS],
    }

    impl Tally {
        fn got(&mut self, (sender, round): (usize, usize)) {
            self.received += 1;
            assert!(self.last[sender] < Some(round), "out of order");
            self.last[sender] = Some(round);
        }
    }
}
