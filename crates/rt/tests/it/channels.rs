//! Channels of every capacity, from both kinds of callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::channel::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError, bounded, unbounded,
};
use ropewalk_rt::{coroutine, spawn, thread};

use crate::stage::{in_coroutines, on_each, until, until_waiting};

const CAPACITIES: [Option<usize>; 5] = [Some(0), Some(1), Some(2), Some(10), None];

fn channel<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    capacity.map_or_else(unbounded, bounded)
}

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(2);

// Messages of one sender arrive in the order in which they were sent, whatever the capacity.
#[test]
fn messages_keep_their_order() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = channel(capacity);
            let source = spawn(move || (0..1_000).for_each(|n| sender.send(n).unwrap()));
            assert!(receiver.iter().eq(0..1_000), "{capacity:?}");
            source.join().unwrap();
        }
    });
}

// What a channel holds, and how it says that it is full or empty.
#[test]
fn lengths_and_capacities() {
    on_each(|| {
        let (sender, receiver) = bounded(2);
        assert_eq!((sender.capacity(), receiver.capacity()), (Some(2), Some(2)));
        assert!(sender.is_empty() && receiver.is_empty() && !sender.is_full());
        sender.try_send(1).unwrap();
        sender.send(2).unwrap();
        assert_eq!((sender.len(), receiver.len()), (2, 2));
        assert!(sender.is_full() && receiver.is_full());
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Ok(2));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));

        let (sender, receiver) = bounded::<u8>(0);
        assert_eq!(sender.capacity(), Some(0));
        assert!(sender.is_full() && receiver.is_full() && receiver.is_empty());

        let (sender, receiver) = unbounded();
        assert_eq!(receiver.capacity(), None);
        (0..5_000).for_each(|n| sender.send(n).unwrap());
        assert!(!sender.is_full());
        assert_eq!(receiver.len(), 5_000);
        assert!(receiver.try_iter().eq(0..5_000));
    });
}

// Nobody waits on the other side of a rendezvous: nothing is sent. With a receiver waiting it
// is, at once; and the other way round.
#[test]
fn a_rendezvous_needs_two() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let taker = spawn({
            let receiver = receiver.clone();
            move || receiver.recv().unwrap()
        });
        until(|| sender.try_send(7).is_ok());
        assert_eq!(taker.join().unwrap(), 7);
        let giver = spawn({
            let sender = sender.clone();
            move || sender.send(8).unwrap()
        });
        let mut taken = None;
        until(|| {
            taken = receiver.try_recv().ok();
            taken.is_some()
        });
        assert_eq!(taken, Some(8));
        giver.join().unwrap();
    });
}

// A send to a channel without receivers gives the message back, in each of its forms, also
// when what was sent before is still there.
#[test]
fn sending_to_nobody_gives_the_message_back() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = channel(capacity);
            let _ = sender.try_send("held".to_owned());
            drop(receiver);
            let message = || "undelivered".to_owned();
            let error = sender.send(message()).unwrap_err();
            assert_eq!(error, SendError(message()));
            assert_eq!(error.to_string(), "sending on a disconnected channel");
            assert_eq!(error.into_inner(), message());
            let error = sender.try_send(message()).unwrap_err();
            assert!(error.is_disconnected() && !error.is_full());
            assert_eq!(error.into_inner(), message());
            let error = sender.send_timeout(message(), HOUR).unwrap_err();
            assert!(error.is_disconnected() && !error.is_timeout());
            assert_eq!(error, SendTimeoutError::Disconnected(message()));
            let error = sender.send_deadline(message(), Instant::now()).unwrap_err();
            assert_eq!(error.into_inner(), message());
        }
    });
}

// What was sent before the last sender went can still be received; then there is an end.
#[test]
fn what_was_sent_survives_its_sender() {
    on_each(|| {
        for capacity in [Some(2), Some(10), None] {
            let (sender, receiver) = channel(capacity);
            let other = sender.clone();
            sender.send(1).unwrap();
            other.send(2).unwrap();
            drop((sender, other));
            assert_eq!(receiver.recv(), Ok(1));
            assert_eq!(receiver.recv_timeout(HOUR), Ok(2));
            assert_eq!(receiver.recv(), Err(RecvError));
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
            assert_eq!(
                receiver.recv_timeout(HOUR),
                Err(RecvTimeoutError::Disconnected)
            );
            let error = receiver.recv_deadline(Instant::now()).unwrap_err();
            assert_eq!(error, RecvTimeoutError::Disconnected);
            assert_eq!(error.to_string(), "channel is empty and disconnected");
            assert_eq!(receiver.iter().next(), None);
        }
    });
}

// Time-outs on both sides; a message whose time was up comes back and was not delivered.
#[test]
fn timing_out() {
    on_each(|| {
        for capacity in [Some(0), Some(1), Some(3)] {
            let (sender, receiver) = channel(capacity);
            let begun = Instant::now();
            assert_eq!(
                receiver.recv_timeout(MOMENT),
                Err(RecvTimeoutError::Timeout)
            );
            assert!(begun.elapsed() >= MOMENT);
            assert_eq!(
                receiver.recv_timeout(Duration::ZERO),
                Err(RecvTimeoutError::Timeout)
            );
            let past = Instant::now();
            assert_eq!(receiver.recv_deadline(past), Err(RecvTimeoutError::Timeout));
            let held = capacity.unwrap();
            for n in 0..held {
                // There is room: a deadline in the past is no hindrance.
                sender.send_deadline(n, past).unwrap();
            }
            let begun = Instant::now();
            let error = sender.send_timeout(99, MOMENT).unwrap_err();
            assert_eq!(error, SendTimeoutError::Timeout(99));
            assert!(error.is_timeout() && begun.elapsed() >= MOMENT);
            let error = sender.send_deadline(98, past).unwrap_err();
            assert_eq!(error.into_inner(), 98);
            // There are messages: likewise.
            for n in 0..held {
                assert_eq!(receiver.recv_deadline(past), Ok(n));
            }
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        }
    });
}

// The last receiver goes while senders wait: each gets its message back. The last sender goes
// while receivers wait: each is told.
#[test]
fn disconnection_reaches_those_who_wait() {
    in_coroutines(|| {
        for capacity in [0, 1, 2] {
            let (sender, receiver) = bounded(capacity);
            (0..capacity).for_each(|_| sender.send(usize::MAX).unwrap());
            let senders: Vec<_> = (0..20)
                .map(|n| {
                    let sender = sender.clone();
                    spawn(move || {
                        if n % 2 == 0 {
                            sender.send(n).unwrap_err().into_inner()
                        } else {
                            sender.send_timeout(n, HOUR).unwrap_err().into_inner()
                        }
                    })
                })
                .collect();
            for handle in &senders {
                until_waiting(handle.id(), "sending");
            }
            drop(receiver);
            for (n, handle) in senders.into_iter().enumerate() {
                assert_eq!(handle.join().unwrap(), n);
            }

            let (sender, receiver) = bounded::<usize>(capacity);
            let receivers: Vec<_> = (0..20)
                .map(|n| {
                    let receiver = receiver.clone();
                    spawn(move || {
                        if n % 2 == 0 {
                            receiver.recv().is_err()
                        } else {
                            receiver.recv_timeout(HOUR) == Err(RecvTimeoutError::Disconnected)
                        }
                    })
                })
                .collect();
            for handle in &receivers {
                until_waiting(handle.id(), "receiving");
            }
            drop(sender);
            for handle in receivers {
                assert!(handle.join().unwrap());
            }
        }
    });
}

// Threads that wait are told as well.
#[test]
fn disconnection_reaches_threads() {
    on_each(|| {
        for _ in 0..50 {
            let (sender, receiver) = bounded::<u8>(0);
            let thread = thread::spawn(move || receiver.recv());
            coroutine::yield_now();
            drop(sender);
            assert_eq!(thread.join().unwrap(), Err(RecvError));
            let (sender, receiver) = bounded::<u8>(0);
            let thread = thread::spawn(move || sender.send(9));
            coroutine::yield_now();
            drop(receiver);
            assert_eq!(thread.join().unwrap(), Err(SendError(9)));
        }
    });
}

// Iterators end with the senders; the trying one with what is there.
#[test]
fn iterators() {
    on_each(|| {
        let (sender, receiver) = bounded(3);
        let source = spawn(move || {
            for n in 0..10 {
                sender.send(n).unwrap();
            }
        });
        let mut seen = Vec::new();
        for n in &receiver {
            seen.push(n);
            if n == 4 {
                break;
            }
        }
        seen.extend(receiver);
        assert!(seen.into_iter().eq(0..10));
        source.join().unwrap();

        let (sender, receiver) = unbounded();
        sender.send(1).unwrap();
        assert!(receiver.try_iter().eq([1]));
        sender.send(2).unwrap();
        assert!(receiver.try_iter().eq([2]));
        assert_eq!(receiver.try_iter().next(), None);
    });
}

// Messages that nobody took are dropped with the channel, each once.
#[test]
fn what_is_left_is_dropped() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    on_each(|| {
        for capacity in [Some(10), None] {
            for receiver_first in [true, false] {
                let drops = Arc::new(AtomicUsize::new(0));
                let (sender, receiver) = channel(capacity);
                for _ in 0..10 {
                    assert!(sender.send(Counted(Arc::clone(&drops))).is_ok());
                }
                drop(receiver.recv().ok());
                assert_eq!(drops.load(Ordering::SeqCst), 1);
                if receiver_first {
                    drop(receiver);
                    assert_eq!(drops.load(Ordering::SeqCst), 10);
                } else {
                    drop(sender);
                    drop(receiver);
                }
                assert_eq!(drops.load(Ordering::SeqCst), 10);
            }
        }
    });
}

// Many senders and many receivers, threads and coroutines: what is received adds up to what was
// sent.
#[test]
fn many_to_many() {
    const EACH: u64 = 2_000;
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = channel(capacity);
            let send =
                |sender: Sender<u64>| move || (0..EACH).for_each(|n| sender.send(n).unwrap());
            let receive = |receiver: Receiver<u64>| move || receiver.iter().sum::<u64>();
            let mut sources: Vec<_> = (0..4).map(|_| spawn(send(sender.clone()))).collect();
            sources.push(thread::spawn(send(sender)));
            let mut sinks: Vec<_> = (0..3).map(|_| spawn(receive(receiver.clone()))).collect();
            sinks.push(thread::spawn(receive(receiver)));
            sources
                .into_iter()
                .for_each(|source| source.join().unwrap());
            let total: u64 = sinks.into_iter().map(|sink| sink.join().unwrap()).sum();
            assert_eq!(total, 5 * EACH * (EACH - 1) / 2, "{capacity:?}");
        }
    });
}

// Time-outs on both sides race with hand-overs: each message is received once, or comes back
// to its sender, and nothing is lost or doubled.
#[test]
fn time_outs_race_with_hand_overs() {
    const ROUNDS: u32 = 20_000;
    const SENDERS: u32 = 4;
    fn race(capacity: usize, rounds: u32) {
        let (sender, receiver) = bounded::<u32>(capacity);
        let receivers: Vec<_> = (0..4u64)
            .map(|who| {
                let receiver = receiver.clone();
                spawn(move || {
                    let mut got = Vec::new();
                    for round in 0u64.. {
                        let patience = Duration::from_micros((who * 13 + round * 7) % 40);
                        match receiver.recv_timeout(patience) {
                            Ok(message) => got.push(message),
                            Err(RecvTimeoutError::Timeout) => {}
                            Err(RecvTimeoutError::Disconnected) => break,
                        }
                    }
                    got
                })
            })
            .collect();
        let senders: Vec<_> = (0..SENDERS)
            .map(|who| {
                let sender = sender.clone();
                spawn(move || {
                    let mut back = Vec::new();
                    for n in 0..rounds / SENDERS {
                        let message = who * rounds + n;
                        let patience = Duration::from_micros(u64::from(n * 11 % 40));
                        match sender.send_timeout(message, patience) {
                            Ok(()) => {}
                            Err(SendTimeoutError::Timeout(same)) => back.push(same),
                            Err(SendTimeoutError::Disconnected(_)) => {
                                unreachable!("receivers live")
                            }
                        }
                    }
                    back
                })
            })
            .collect();
        drop((sender, receiver));
        let handles = senders.into_iter().chain(receivers);
        let mut all: Vec<u32> = handles.flat_map(|handle| handle.join().unwrap()).collect();
        all.sort_unstable();
        let sent =
            (0..SENDERS).flat_map(|who| (0..rounds / SENDERS).map(move |n| who * rounds + n));
        assert!(all.into_iter().eq(sent), "capacity {capacity}");
    }
    on_each(|| {
        race(0, ROUNDS);
        race(1, ROUNDS / 4);
    });
}

// A channel of what isn't `Clone`, through a chain of a thousand coroutines.
#[test]
fn a_chain_of_a_thousand() {
    on_each(|| {
        let (first, mut last) = bounded::<Box<u32>>(0);
        for _ in 0..1_000 {
            let (sender, receiver) = bounded(0);
            let from = std::mem::replace(&mut last, receiver);
            spawn(move || {
                for mut message in from {
                    *message += 1;
                    sender.send(message).unwrap();
                }
            });
        }
        for n in 0..3 {
            first.send(Box::new(n)).unwrap();
        }
        for n in 0..3 {
            assert_eq!(*last.recv().unwrap(), n + 1_000);
        }
        drop(first);
        assert!(last.recv().is_err());
    });
}
