//! What a channel says of itself, the forms of sending and receiving, and their errors.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use ropewalk_rt::channel::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError, after, bounded, never, tick, unbounded,
};

use crate::fixture::{BUFFERED, CAPACITIES, FAR, SOON, make, start, until_waits};
use crate::stage::on_each;

// Both ends and their clones give the capacity that was asked for, used or not.
#[test]
fn the_capacity_is_as_asked() {
    on_each(|| {
        for capacity in (0..10).chain([100, 1_000, 65_537]) {
            let (sender, receiver) = bounded::<u8>(capacity);
            assert_eq!(sender.capacity(), Some(capacity));
            assert_eq!(receiver.clone().capacity(), Some(capacity));
            let sent = (0..).take_while(|_| sender.try_send(1).is_ok()).count();
            assert_eq!(sent, capacity);
            assert_eq!(sender.clone().capacity(), Some(capacity));
        }
        let (sender, receiver) = unbounded::<u8>();
        assert_eq!((sender.capacity(), receiver.capacity()), (None, None));
        // More than any memory holds is a panic, not an abort.
        assert!(std::panic::catch_unwind(|| bounded::<u64>(usize::MAX)).is_err());
        assert!(std::panic::catch_unwind(|| bounded::<()>(isize::MAX as usize)).is_err());
    });
}

// Filled and drained over several laps, from each offset: lengths, fullness and emptiness are
// right at each step, and the same from both ends.
#[test]
fn lengths_follow_each_step() {
    on_each(|| {
        for capacity in BUFFERED {
            let room = capacity.unwrap_or(200);
            let (sender, receiver) = make(capacity);
            let look = |len: usize| {
                assert_eq!((sender.len(), receiver.len()), (len, len));
                assert_eq!(
                    (sender.is_empty(), receiver.is_empty()),
                    (len == 0, len == 0)
                );
                let full = capacity == Some(len);
                assert_eq!((sender.is_full(), receiver.is_full()), (full, full));
            };
            for lap in 0..room.min(9) + 2 {
                look(0);
                for n in 0..room {
                    sender.send(lap * 1_000 + n).unwrap();
                    look(n + 1);
                }
                for n in 0..room {
                    assert_eq!(receiver.recv(), Ok(lap * 1_000 + n));
                    look(room - n - 1);
                }
                // The next lap begins one place further on.
                sender.send(0).unwrap();
                assert_eq!(receiver.try_recv(), Ok(0));
            }
        }
    });
}

// A rendezvous is full and empty at once, also while somebody waits at it.
#[test]
fn a_rendezvous_never_holds_anything() {
    on_each(|| {
        for kind in 0..2 {
            let (sender, receiver) = bounded::<u8>(0);
            let look = |sender: &Sender<u8>, receiver: &Receiver<u8>| {
                assert_eq!((sender.len(), receiver.len()), (0, 0));
                assert!(sender.is_empty() && receiver.is_empty());
                assert!(sender.is_full() && receiver.is_full());
            };
            look(&sender, &receiver);
            let giver = start(kind, {
                let sender = sender.clone();
                move || sender.send(1)
            });
            until_waits(&giver, "sending");
            look(&sender, &receiver);
            assert_eq!(receiver.recv(), Ok(1));
            giver.join().unwrap().unwrap();
            let taker = start(kind, {
                let receiver = receiver.clone();
                move || receiver.recv()
            });
            until_waits(&taker, "receiving");
            look(&sender, &receiver);
            sender.send(2).unwrap();
            assert_eq!(taker.join().unwrap(), Ok(2));
            look(&sender, &receiver);
        }
    });
}

// While one sends and one receives, the length stays within the capacity.
#[test]
fn the_length_never_exceeds_the_capacity() {
    on_each(|| {
        for capacity in [1, 3, 64] {
            let (sender, receiver) = bounded(capacity);
            let source = start(capacity / 2, move || {
                for n in 0..1_500 {
                    sender.send(n).unwrap();
                    assert!(sender.len() <= capacity);
                }
            });
            for n in 0..1_500 {
                assert!(receiver.len() <= capacity);
                assert_eq!(receiver.recv(), Ok(n));
            }
            source.join().unwrap();
            assert!(receiver.is_empty());
        }
    });
}

// The forms that don't wait: empty, full, and what they find after a disconnection.
#[test]
fn trying() {
    on_each(|| {
        for capacity in BUFFERED {
            let (sender, receiver) = make(capacity);
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
            let room = capacity.unwrap_or(50);
            for n in 0..room {
                assert_eq!(sender.try_send(n), Ok(()));
            }
            if capacity.is_some() {
                assert_eq!(sender.try_send(99), Err(TrySendError::Full(99)));
                assert_eq!(receiver.try_recv(), Ok(0));
                assert_eq!(sender.try_send(room), Ok(()));
                assert_eq!(sender.try_send(99), Err(TrySendError::Full(99)));
            }
            drop(sender);
            let left = room - usize::from(capacity.is_none());
            let first = usize::from(capacity.is_some());
            for n in first..=left {
                assert_eq!(receiver.try_recv(), Ok(n), "{capacity:?}");
            }
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
        }
    });
}

// A receiver waits for the message, a sender for room; whichever kind of task they are.
#[test]
fn waiting() {
    on_each(|| {
        for kind in 0..2 {
            for capacity in CAPACITIES {
                let (sender, receiver) = make::<String>(capacity);
                let taker = start(kind, move || (receiver.recv(), receiver));
                until_waits(&taker, "receiving");
                sender.send("first".to_owned()).unwrap();
                let (first, receiver) = taker.join().unwrap();
                assert_eq!(first.as_deref(), Ok("first"));
                let Some(room) = capacity else { continue };
                for n in 0..room {
                    sender.send(n.to_string()).unwrap();
                }
                let giver = start(kind, move || sender.send("last".to_owned()));
                until_waits(&giver, "sending");
                let got: Vec<_> = (0..=room).map(|_| receiver.recv().unwrap()).collect();
                assert_eq!(got.last().unwrap(), "last");
                assert!((0..room).eq(got[..room].iter().map(|n| n.parse().unwrap())));
                giver.join().unwrap().unwrap();
                assert_eq!(receiver.recv(), Err(RecvError));
            }
        }
    });
}

// Time runs out, never too early; then the same channel works on.
#[test]
fn time_runs_out_on_both_sides() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make::<usize>(capacity);
            for patience in [Duration::ZERO, Duration::from_nanos(1), SOON] {
                let begun = Instant::now();
                let error = receiver.recv_timeout(patience).unwrap_err();
                assert_eq!(error, RecvTimeoutError::Timeout);
                assert!(begun.elapsed() >= patience);
                let end = Instant::now() + patience;
                assert!(receiver.recv_deadline(end).unwrap_err().is_timeout());
                assert!(Instant::now() >= end);
            }
            let Some(room) = capacity else { continue };
            (0..room).for_each(|n| sender.send_timeout(n, Duration::ZERO).unwrap());
            for patience in [Duration::ZERO, Duration::from_nanos(1), SOON] {
                let begun = Instant::now();
                let error = sender.send_timeout(77, patience).unwrap_err();
                assert_eq!(error, SendTimeoutError::Timeout(77));
                assert!(begun.elapsed() >= patience);
                let end = Instant::now() + patience;
                assert!(sender.send_deadline(78, end).unwrap_err().is_timeout());
                assert!(Instant::now() >= end);
            }
            // What timed out was not sent.
            assert!(receiver.try_iter().eq(0..room));
        }
    });
}

// A time that is over is no hindrance to what can be done at once; and an endless one is none to
// being woken.
#[test]
fn expired_and_endless_times() {
    on_each(|| {
        for capacity in BUFFERED {
            let (sender, receiver) = make(capacity);
            let past = Instant::now();
            sender.send_deadline(1, past).unwrap();
            assert_eq!(receiver.recv_deadline(past), Ok(1));
            sender.send_timeout(2, Duration::ZERO).unwrap();
            assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(2));
        }
        for kind in 0..2 {
            let (sender, receiver) = bounded(0);
            let taker = start(kind, move || {
                (receiver.recv_timeout(Duration::MAX), receiver)
            });
            until_waits(&taker, "receiving");
            sender.send_timeout(3, Duration::MAX).unwrap();
            let (got, receiver) = taker.join().unwrap();
            assert_eq!(got, Ok(3));
            let giver = start(kind, move || sender.send_timeout(4, Duration::MAX));
            until_waits(&giver, "sending");
            drop(receiver);
            let error = giver.join().unwrap().unwrap_err();
            assert_eq!(error, SendTimeoutError::Disconnected(4));
        }
    });
}

// A timed wait ends as soon as the other side acts: its hour is not over.
#[test]
fn a_timed_wait_is_ended_by_the_other_side() {
    on_each(|| {
        for kind in 0..2 {
            for capacity in CAPACITIES {
                let (sender, receiver) = make(capacity);
                let taker = start(kind, move || (receiver.recv_timeout(FAR), receiver));
                until_waits(&taker, "receiving");
                sender.send(5).unwrap();
                let (got, receiver) = taker.join().unwrap();
                assert_eq!(got, Ok(5));
                let Some(room) = capacity else { continue };
                (0..room).for_each(|n| sender.send(n).unwrap());
                let giver = start(kind, move || sender.send_timeout(room, FAR));
                until_waits(&giver, "sending");
                assert!((0..=room).all(|n| receiver.recv() == Ok(n)));
                giver.join().unwrap().unwrap();
            }
        }
    });
}

#[test]
fn which_ends_belong_together() {
    let (senders, receivers): (Vec<_>, Vec<_>) = CAPACITIES.map(make::<u8>).into_iter().unzip();
    for (n, sender) in senders.iter().enumerate() {
        for (m, other) in senders.iter().enumerate() {
            assert_eq!(sender.same_channel(&other.clone()), n == m);
            assert_eq!(receivers[n].clone().same_channel(&receivers[m]), n == m);
        }
    }
    let (late, later) = (after(SOON), after(SOON));
    assert!(late.same_channel(&late.clone()) && !late.same_channel(&later));
    let (slow, slower) = (tick(FAR), tick(FAR));
    assert!(slow.same_channel(&slow.clone()) && !slow.same_channel(&slower));
    assert!(!slow.same_channel(&late));
    assert!(never::<u8>().same_channel(&never()));
    assert!(!never::<u8>().same_channel(&receivers[0]));
}

#[test]
fn errors_say_what_they_are() {
    assert_eq!(
        SendError(1).to_string(),
        "sending on a disconnected channel"
    );
    assert_eq!(
        TrySendError::from(SendError(1)),
        TrySendError::Disconnected(1)
    );
    assert_eq!(
        SendTimeoutError::from(SendError(1)),
        SendTimeoutError::Disconnected(1)
    );
    assert_eq!(TryRecvError::from(RecvError), TryRecvError::Disconnected);
    assert_eq!(
        RecvTimeoutError::from(RecvError),
        RecvTimeoutError::Disconnected
    );
    // A message need not be printable.
    struct Mute;
    let errors: [Box<dyn std::error::Error + Send>; 5] = [
        Box::new(SendError(Mute)),
        Box::new(TrySendError::Full(Mute)),
        Box::new(SendTimeoutError::Timeout(Mute)),
        Box::new(RecvError),
        Box::new(TryRecvError::Empty),
    ];
    for error in errors {
        assert!(!error.to_string().is_empty());
        assert!(!format!("{error:?}").contains("Mute"));
    }
    assert!(TrySendError::Full(1).is_full() && TryRecvError::Empty.is_empty());
    assert!(TryRecvError::Disconnected.is_disconnected());
}

#[test]
fn ends_can_go_anywhere() {
    fn anywhere<T: Send + Sync + UnwindSafe + RefUnwindSafe + Clone>(end: &T) -> &T {
        end
    }
    let (sender, receiver) = bounded::<std::cell::Cell<u8>>(1);
    assert_eq!(format!("{:?}", anywhere(&sender)), "Sender { .. }");
    assert_eq!(format!("{:?}", anywhere(&receiver)), "Receiver { .. }");
}
