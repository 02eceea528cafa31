//! Who owns a message: each is dropped once, wherever it was when its channel went.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk_rt::channel::{Receiver, Select, Sender, bounded, unbounded};
use ropewalk_rt::spawn;

use crate::fixture::{BUFFERED, CAPACITIES, Dice, SOON, Tally, join_all, make, start, until_waits};
use crate::stage::on_each;

// A random number goes through, a random number stays: none lives longer than the channel.
#[test]
fn what_stays_is_dropped_once() {
    on_each(|| {
        let mut dice = Dice::new(3);
        for capacity in BUFFERED {
            for round in 0..12 {
                let tally = Tally::default();
                let through = dice.below(300) as usize;
                let left = dice.below(capacity.unwrap_or(100) as u64 + 1) as usize;
                let (sender, receiver) = make(capacity);
                let source = start(round, {
                    let tally = tally.clone();
                    move || {
                        for _ in 0..through {
                            assert!(sender.send(tally.message()).is_ok());
                        }
                        sender
                    }
                });
                for n in 0..through {
                    let message = receiver.recv().unwrap();
                    assert_eq!(message.number, n);
                }
                let sender = source.join().unwrap();
                assert_eq!((tally.made(), tally.alive()), (through, 0));
                (0..left).for_each(|_| assert!(sender.try_send(tally.message()).is_ok()));
                assert_eq!(tally.alive(), left);
                if round % 2 == 0 {
                    drop(sender);
                    assert_eq!(tally.alive(), left);
                    drop(receiver);
                } else {
                    drop(receiver);
                    assert_eq!(tally.alive(), 0);
                    drop(sender);
                }
                assert_eq!(tally.alive(), 0);
            }
        }
    });
}

// A message that can't be sent comes back, and is dropped by whom it comes back to.
#[test]
fn what_comes_back_is_dropped_once() {
    on_each(|| {
        for capacity in [0, 1, 5] {
            let tally = Tally::default();
            let (sender, receiver) = bounded(capacity);
            (0..capacity).for_each(|_| assert!(sender.send(tally.message()).is_ok()));
            let back = sender.try_send(tally.message()).unwrap_err().into_inner();
            assert_eq!((back.number, tally.alive()), (capacity, capacity + 1));
            drop(back);
            drop(sender.send_timeout(tally.message(), SOON));
            assert_eq!(tally.alive(), capacity);
            let givers: Vec<_> = (0..4)
                .map(|n| {
                    let (sender, message) = (sender.clone(), tally.message());
                    start(n, move || {
                        sender.send(message).map_err(|error| error.into_inner())
                    })
                })
                .collect();
            givers
                .iter()
                .for_each(|giver| until_waits(giver, "sending"));
            assert_eq!(tally.alive(), capacity + 4);
            drop(receiver);
            let back = join_all(givers);
            assert_eq!(tally.alive(), 4);
            assert!(back.iter().all(|result| result.is_err()));
            drop(back);
            assert_eq!(tally.alive(), 0);
        }
    });
}

static EMPTY_DROPS: AtomicUsize = AtomicUsize::new(0);

/// Of no size, and yet counted.
struct Empty;

impl Drop for Empty {
    fn drop(&mut self) {
        EMPTY_DROPS.fetch_add(1, Ordering::SeqCst);
    }
}

// Messages of no size are counted like others.
#[test]
fn messages_of_no_size() {
    let expected = AtomicUsize::new(0);
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let source = spawn(move || {
                for _ in 0..300 {
                    assert!(sender.send(Empty).is_ok());
                }
            });
            let received = receiver.iter().take(250).count();
            assert_eq!(received, 250);
            if capacity == Some(100) || capacity.is_none() {
                source.join().unwrap();
                assert_eq!(receiver.len(), 50);
                drop(receiver);
            } else {
                assert_eq!(receiver.iter().count(), 50);
                source.join().unwrap();
            }
            let expected = expected.fetch_add(300, Ordering::SeqCst) + 300;
            assert_eq!(EMPTY_DROPS.load(Ordering::SeqCst), expected);
        }
    });
}

#[derive(Clone, PartialEq)]
struct Large([u64; 600]);

impl Large {
    fn new(seed: u64) -> Large {
        let mut large = Large([seed; 600]);
        for (n, word) in large.0.iter_mut().enumerate() {
            *word = word.wrapping_mul(n as u64 + 1);
        }
        large
    }
}

// Large messages arrive whole, from frame to frame and through buffers.
#[test]
fn large_messages() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let source = start(capacity.unwrap_or(3), move || {
                (0..100).for_each(|n| assert!(sender.send(Large::new(n)).is_ok()));
            });
            for n in 0..100 {
                assert!(receiver.recv().unwrap() == Large::new(n), "{capacity:?}");
            }
            source.join().unwrap();
        }
    });
}

// Messages with an alignment of their own lie where they may.
#[test]
fn aligned_messages() {
    #[repr(align(128))]
    struct Aligned(u8);
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let source = spawn(move || {
                (0..50).for_each(|n| assert!(sender.send(Aligned(n)).is_ok()));
            });
            for n in 0..50 {
                let message = receiver.recv().unwrap();
                assert_eq!(message.0, n);
                assert_eq!(std::ptr::from_ref(&message) as usize % 128, 0);
            }
            source.join().unwrap();
        }
    });
}

// A drop that panics goes through to who dropped the receiver; nothing is dropped twice.
#[test]
fn a_drop_that_panics() {
    struct Bad(Arc<AtomicUsize>, bool);
    impl Drop for Bad {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            if self.1 && !std::thread::panicking() {
                std::panic::resume_unwind(Box::new("a bad drop"));
            }
        }
    }
    on_each(|| {
        for capacity in [Some(10), None] {
            for receiver_last in [true, false] {
                let drops = Arc::new(AtomicUsize::new(0));
                let (sender, receiver) = make(capacity);
                for n in 0..6 {
                    assert!(sender.send(Bad(Arc::clone(&drops), n == 2)).is_ok());
                }
                let mut sender = Some(sender);
                if receiver_last {
                    sender = None;
                }
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(receiver)));
                assert!(dropped.is_err());
                drop(sender);
                let dropped = drops.load(Ordering::SeqCst);
                assert!((3..=6).contains(&dropped), "{dropped}");
            }
        }
    });
}

/// Looks at its own channel when it is dropped.
struct Curious {
    sender: Sender<Option<Curious>>,
    receiver: Option<Receiver<Option<Curious>>>,
    looks: Arc<AtomicUsize>,
}

impl Drop for Curious {
    fn drop(&mut self) {
        let _ = (self.sender.len(), self.sender.is_full());
        let _ = self.sender.try_send(None);
        if let Some(receiver) = &self.receiver {
            let _ = receiver.try_recv();
        }
        self.looks.fetch_add(1, Ordering::SeqCst);
    }
}

// The drop of a message may use the channel the message came from: no lock is held.
#[test]
fn a_drop_that_uses_the_channel() {
    on_each(|| {
        for capacity in BUFFERED {
            let looks = Arc::new(AtomicUsize::new(0));
            let (sender, receiver) = make(capacity);
            let curious = |sender: &Sender<_>, receiver: Option<&Receiver<_>>| {
                Some(Curious {
                    sender: sender.clone(),
                    receiver: receiver.cloned(),
                    looks: Arc::clone(&looks),
                })
            };
            assert!(sender.send(curious(&sender, Some(&receiver))).is_ok());
            drop(receiver.recv());
            assert_eq!(looks.load(Ordering::SeqCst), 1);
            // In a channel whose receivers go, it meets one that is closing.
            let (other, closing) = make(capacity);
            assert!(other.send(curious(&other, None)).is_ok());
            drop(closing);
            assert_eq!(looks.load(Ordering::SeqCst), 2);
            assert_eq!(receiver.try_iter().count(), 0);
        }
    });
}

// Receiving for what is to be sent on the same channel.
#[test]
fn receiving_while_sending() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let first = start(1, {
                let sender = sender.clone();
                move || sender.send(1)
            });
            let second = start(0, {
                let (sender, receiver) = (sender.clone(), receiver.clone());
                move || sender.send(receiver.recv().unwrap() + 1)
            });
            first.join().unwrap().unwrap();
            // At a rendezvous the second has the message by now, and waits for us.
            if capacity == Some(0) {
                assert_eq!(receiver.recv(), Ok(2));
                second.join().unwrap().unwrap();
            } else {
                second.join().unwrap().unwrap();
                assert_eq!(receiver.recv(), Ok(2));
            }
        }
    });
}

// A channel is sent through a channel is sent through a channel.
#[test]
fn channels_through_channels() {
    struct Link(Receiver<Box<Link>>);
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let source = spawn(move || {
                let mut sender = sender;
                for _ in 0..200 {
                    let (next, link) = make(capacity);
                    assert!(sender.send(Box::new(Link(link))).is_ok());
                    sender = next;
                }
            });
            let mut receiver = receiver;
            for _ in 0..200 {
                receiver = receiver.recv().unwrap().0;
            }
            assert!(receiver.recv().is_err());
            source.join().unwrap();
        }
    });
}

// Dropping a long list, and a deep one: neither takes deep recursion in the channel.
#[test]
fn many_messages_are_dropped() {
    on_each(|| {
        let tally = Tally::default();
        let (sender, receiver) = unbounded();
        (0..20_000).for_each(|_| assert!(sender.send(tally.message()).is_ok()));
        drop(receiver);
        assert_eq!(tally.alive(), 0);
        let (sender, receiver) = unbounded();
        (0..20_000).for_each(|_| assert!(sender.send(tally.message()).is_ok()));
        drop((sender, receiver));
        assert_eq!((tally.made(), tally.alive()), (40_000, 0));
    });
}

// An operation that was selected and forgotten keeps its place for ever, and nothing else: who
// tries doesn't wait for it, and what lies before and behind it is dropped with the channel.
#[test]
fn a_forgotten_operation() {
    on_each(|| {
        for capacity in [Some(4), Some(64), None] {
            for receiver_first in [true, false] {
                let tally = Tally::default();
                let (sender, receiver) = make(capacity);
                assert!(sender.send(tally.message()).is_ok());
                let mut select = Select::new();
                select.send(&sender);
                std::mem::forget(select.select());
                assert!(sender.send(tally.message()).is_ok());
                assert_eq!(receiver.try_recv().map(|m| m.number), Ok(0));
                let _ = receiver.try_recv();
                let _ = receiver.recv_timeout(SOON);
                if receiver_first {
                    drop(receiver);
                    assert!(sender.try_send(tally.message()).is_err());
                    drop(sender);
                } else {
                    drop(sender);
                    drop(receiver);
                }
                assert_eq!(tally.alive(), 0);
            }
        }
        let (sender, receiver) = bounded::<u8>(0);
        let mut select = Select::new();
        select.send(&sender);
        select.recv(&receiver);
        assert!(select.try_select().is_err());
    });
}

/// A message that must not leave its thread, and notes where it is dropped.
struct Homely {
    home: std::thread::ThreadId,
    strays: Arc<AtomicUsize>,
    alive: Arc<AtomicUsize>,
    _stays: PhantomData<*const ()>,
}

impl Homely {
    fn new(strays: &Arc<AtomicUsize>, alive: &Arc<AtomicUsize>) -> Homely {
        alive.fetch_add(1, Ordering::SeqCst);
        Homely {
            home: std::thread::current().id(),
            strays: Arc::clone(strays),
            alive: Arc::clone(alive),
            _stays: PhantomData,
        }
    }
}

impl Drop for Homely {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
        if std::thread::current().id() != self.home {
            self.strays.fetch_add(1, Ordering::SeqCst);
        }
    }
}

// A list of operations may go to another thread though the messages may not: an operation that is
// given up there leaks its message, or leaves those behind its place to the channel.
#[test]
fn messages_that_stay_in_their_thread() {
    on_each(|| {
        let (strays, alive) = Default::default();
        for capacity in BUFFERED {
            let (sender, receiver) = make(capacity);
            sender.send(Homely::new(&strays, &alive)).unwrap();
            let mut select = Select::new();
            select.recv(&receiver);
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    let operation = select.select();
                    assert!(catch_unwind(AssertUnwindSafe(|| drop(operation))).is_err());
                });
            });
            drop((sender, receiver));
        }
        assert_eq!(alive.swap(0, Ordering::SeqCst), BUFFERED.len(), "leaked");

        let (sender, receiver) = bounded(8);
        let (held, given_up) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            let mut select = Select::new();
            select.send(&sender);
            let (held, given_up) = (&held, &given_up);
            scope.spawn(move || {
                let operation = select.select();
                held.wait();
                given_up.wait();
                assert!(catch_unwind(AssertUnwindSafe(|| drop(operation))).is_err());
            });
            held.wait();
            sender.send(Homely::new(&strays, &alive)).unwrap();
            drop(receiver);
            given_up.wait();
        });
        drop(sender);
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        assert_eq!(strays.load(Ordering::SeqCst), 0);
    });
}
