//! Channels of capacity 0: a send and a receive meet, or neither happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::channel::{
    RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError, bounded,
};
use ropewalk_rt::coroutine;

use crate::fixture::{FAR, Tally, join_all, start, until_waits};
use crate::stage::{on_each, until};

// A send returns when its message has been received, not before.
#[test]
fn a_send_waits_for_its_receive() {
    on_each(|| {
        for kind in 0..2 {
            let (sender, receiver) = bounded(0);
            let returned = Arc::new(AtomicBool::new(false));
            let giver = start(kind, {
                let returned = Arc::clone(&returned);
                move || {
                    sender.send(1).unwrap();
                    returned.store(true, Ordering::SeqCst);
                }
            });
            until_waits(&giver, "sending");
            (0..20).for_each(|_| coroutine::yield_now());
            assert!(!returned.load(Ordering::SeqCst));
            assert_eq!(receiver.recv(), Ok(1));
            giver.join().unwrap();
            assert!(returned.load(Ordering::SeqCst));
        }
    });
}

// Each receiver that waits takes one message of a sender that only tries.
#[test]
fn trying_to_send_meets_who_waits() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        assert_eq!(sender.try_send(0), Err(TrySendError::Full(0)));
        let takers: Vec<_> = (0..4)
            .map(|n| {
                let receiver = receiver.clone();
                start(n, move || receiver.recv().unwrap())
            })
            .collect();
        takers
            .iter()
            .for_each(|taker| until_waits(taker, "receiving"));
        for n in 0..4 {
            assert_eq!(sender.try_send(n), Ok(()));
        }
        assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
        let mut got = join_all(takers);
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3]);
    });
}

// A receiver that only tries takes from each sender that waits.
#[test]
fn trying_to_receive_meets_who_waits() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let givers: Vec<_> = (0..4)
            .map(|n| {
                let sender = sender.clone();
                start(n, move || sender.send(n).unwrap())
            })
            .collect();
        givers
            .iter()
            .for_each(|giver| until_waits(giver, "sending"));
        let mut got: Vec<_> = (0..4).map(|_| receiver.try_recv().unwrap()).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3]);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        join_all(givers);
    });
}

// Those who wait are served in the order in which they came.
#[test]
fn first_come_first_served() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let mut givers = Vec::new();
        for n in 0..6 {
            let sender = sender.clone();
            givers.push(start(n, move || sender.send(n).unwrap()));
            until_waits(&givers[n], "sending");
        }
        for n in 0..6 {
            assert_eq!(receiver.recv(), Ok(n));
        }
        join_all(givers);
        let mut takers = Vec::new();
        for n in 0..6 {
            let receiver = receiver.clone();
            takers.push(start(n, move || receiver.recv().unwrap()));
            until_waits(&takers[n], "receiving");
        }
        (0..6).for_each(|n| sender.send(n).unwrap());
        assert!(join_all(takers).into_iter().eq(0..6));
    });
}

// A sender that gave up is not met; the one behind it is.
#[test]
fn who_gives_up_is_skipped() {
    on_each(|| {
        for kind in 0..2 {
            let (sender, receiver) = bounded(0);
            let hasty = start(kind, {
                let sender = sender.clone();
                move || sender.send_timeout("hasty", Duration::from_millis(1))
            });
            let steady = start(kind, move || sender.send("steady"));
            assert_eq!(
                hasty.join().unwrap(),
                Err(SendTimeoutError::Timeout("hasty"))
            );
            until_waits(&steady, "sending");
            assert_eq!(receiver.recv(), Ok("steady"));
            steady.join().unwrap().unwrap();

            let (sender, receiver) = bounded(0);
            let hasty = start(kind, {
                let receiver = receiver.clone();
                move || receiver.recv_timeout(Duration::from_millis(1))
            });
            let steady = start(kind, move || receiver.recv());
            assert_eq!(hasty.join().unwrap(), Err(RecvTimeoutError::Timeout));
            until_waits(&steady, "receiving");
            sender.try_send("here").unwrap();
            assert_eq!(steady.join().unwrap(), Ok("here"));
        }
    });
}

// The same box comes back from a send that timed out, and arrives from one that didn't.
#[test]
fn the_message_itself_is_passed() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let message = Box::new([1_u8; 64]);
        let address = message.as_ptr() as usize;
        let back = sender.send_timeout(message, Duration::from_micros(100));
        let message = back.unwrap_err().into_inner();
        assert_eq!(message.as_ptr() as usize, address);
        let giver = start(1, move || sender.send(message));
        let message = receiver.recv().unwrap();
        assert_eq!(message.as_ptr() as usize, address);
        giver.join().unwrap().unwrap();
    });
}

// Both sides give up at about the same time: they have met, or both know that they have not.
#[test]
fn both_sides_agree_whether_they_met() {
    on_each(|| {
        let tally = Tally::default();
        let (mut met, mut missed) = (0, 0);
        for round in 0..400_u64 {
            let (sender, receiver) = bounded(0);
            let message = tally.message();
            let giver = start(usize::from(round % 8 == 0), move || {
                sender
                    .send_timeout(message, Duration::from_micros(round % 30))
                    .is_ok()
            });
            let patience = Duration::from_micros((round * 7) % 30);
            let received = receiver.recv_timeout(patience).is_ok();
            // Our receiver must outlive the sender's try, or it would hear of the end instead.
            let sent = giver.join().unwrap();
            assert_eq!(sent, received, "round {round}");
            if sent { met += 1 } else { missed += 1 }
        }
        assert_eq!((met + missed, tally.alive()), (400, 0));
    });
}

// Two tasks that swap: each sends and receives in turn, over and over.
#[test]
fn there_and_back() {
    on_each(|| {
        for kind in 0..2 {
            let (there, here) = bounded(0);
            let (back, home) = bounded(0);
            let partner = start(kind, move || {
                for n in here {
                    back.send(n + 1).unwrap();
                }
            });
            for n in 0..500 {
                there.send(n).unwrap();
                assert_eq!(home.recv(), Ok(n + 1));
            }
            drop(there);
            partner.join().unwrap();
        }
    });
}

// At any time at most as many sends have returned as receives have begun.
#[test]
fn sends_never_run_ahead() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let begun = Arc::new(AtomicUsize::new(0));
        let sources: Vec<_> = (0..3)
            .map(|n| {
                let (sender, begun) = (sender.clone(), Arc::clone(&begun));
                start(n, move || {
                    for sent in 0..150 {
                        sender.send(()).unwrap();
                        assert!(begun.load(Ordering::SeqCst) > sent);
                    }
                })
            })
            .collect();
        drop(sender);
        loop {
            begun.fetch_add(1, Ordering::SeqCst);
            if receiver.recv().is_err() {
                break;
            }
        }
        assert_eq!(begun.load(Ordering::SeqCst), 451);
        join_all(sources);
    });
}

// Nobody is left waiting when as many send as receive, whoever comes first.
#[test]
fn pairs_find_each_other() {
    on_each(|| {
        for receivers_first in [true, false] {
            let (sender, receiver) = bounded::<usize>(0);
            let takers = || -> Vec<_> {
                (0..40)
                    .map(|n| {
                        let receiver = receiver.clone();
                        start(n % 8, move || receiver.recv_timeout(FAR).unwrap())
                    })
                    .collect()
            };
            let givers = || -> Vec<_> {
                (0..40)
                    .map(|n| {
                        let sender = sender.clone();
                        start(n % 9, move || sender.send(n).unwrap())
                    })
                    .collect()
            };
            let (takers, givers) = if receivers_first {
                let takers = takers();
                (takers, givers())
            } else {
                let givers = givers();
                (takers(), givers)
            };
            let mut got = join_all(takers);
            join_all(givers);
            got.sort_unstable();
            assert!(got.into_iter().eq(0..40));
        }
    });
}

// A receiver that polls meets one sender after another, and no message is seen twice.
#[test]
fn a_poller_meets_senders() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let source = start(1, move || (0..200).for_each(|n| sender.send(n).unwrap()));
        let mut expected = 0;
        until(|| match receiver.try_recv() {
            Ok(n) => {
                assert_eq!(n, expected);
                expected += 1;
                false
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => true,
        });
        assert_eq!(expected, 200);
        source.join().unwrap();
    });
}
