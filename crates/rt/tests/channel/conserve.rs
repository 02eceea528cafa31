//! Nothing is lost, nothing is doubled, and what one sender sends stays in its order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::channel::{
    RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError, bounded,
};
use ropewalk_rt::{coroutine, spawn};

use crate::fixture::{CAPACITIES, Dice, join_all, make, start};
use crate::stage::on_each;

// One to one, in order, between each two kinds of tasks.
#[test]
fn one_to_one() {
    on_each(|| {
        for capacity in CAPACITIES {
            for kinds in 0..4 {
                let (sender, receiver) = make(capacity);
                let source = start(kinds % 2, move || {
                    (0..400).for_each(|n| sender.send(n).unwrap());
                });
                let sink = start(kinds / 2, move || {
                    (0..400).for_each(|n| assert_eq!(receiver.recv(), Ok(n)));
                    assert!(receiver.recv().is_err());
                });
                source.join().unwrap();
                sink.join().unwrap();
            }
        }
    });
}

// Many to one: each sender's messages come in the order it sent them.
#[test]
fn many_to_one_keeps_each_order() {
    const SENDERS: usize = 6;
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let sources: Vec<_> = (0..SENDERS)
                .map(|who| {
                    let sender = sender.clone();
                    start(who, move || {
                        (0..200).for_each(|n| sender.send((who, n)).unwrap());
                    })
                })
                .collect();
            drop(sender);
            let mut next = [0; SENDERS];
            for (who, n) in &receiver {
                assert_eq!(next[who], n, "from {who}, capacity {capacity:?}");
                next[who] += 1;
            }
            assert_eq!(next, [200; SENDERS]);
            join_all(sources);
        }
    });
}

// One to many: each receiver sees its messages in the order of sending.
#[test]
fn one_to_many_keeps_the_order() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let sinks: Vec<_> = (0..5)
                .map(|who| {
                    let receiver = receiver.clone();
                    start(who, move || receiver.iter().collect::<Vec<u32>>())
                })
                .collect();
            (0..1_000).for_each(|n| sender.send(n).unwrap());
            drop(sender);
            let mut all = Vec::new();
            for seen in join_all(sinks) {
                assert!(seen.is_sorted());
                all.extend(seen);
            }
            all.sort_unstable();
            assert!(all.into_iter().eq(0..1_000));
        }
    });
}

// Many to many: each message once.
#[test]
fn many_to_many_each_once() {
    const PARTS: usize = 4;
    const EACH: usize = 400;
    on_each(|| {
        for capacity in CAPACITIES {
            let counts: Arc<Vec<AtomicUsize>> =
                Arc::new((0..PARTS * EACH).map(|_| AtomicUsize::new(0)).collect());
            let (sender, receiver) = make(capacity);
            let mut partners = Vec::new();
            for who in 0..PARTS {
                let sender = sender.clone();
                partners.push(start(who, move || {
                    (0..EACH).for_each(|n| sender.send(who * EACH + n).unwrap());
                }));
                let (receiver, counts) = (receiver.clone(), Arc::clone(&counts));
                partners.push(start(who / 2, move || {
                    for message in receiver {
                        counts[message].fetch_add(1, Ordering::SeqCst);
                    }
                }));
            }
            drop((sender, receiver));
            join_all(partners);
            assert!(counts.iter().all(|count| count.load(Ordering::SeqCst) == 1));
        }
    });
}

// Each of a few tasks sends one and receives one, over and over: a message is always there for
// who has sent, as nobody takes two.
#[test]
fn who_puts_in_may_take_out() {
    on_each(|| {
        for capacity in [Some(4), Some(9), None] {
            let (sender, receiver) = make(capacity);
            let partners: Vec<_> = (0..4)
                .map(|who| {
                    let (sender, receiver) = (sender.clone(), receiver.clone());
                    start(who, move || {
                        for n in 0..500 {
                            sender.try_send(n).unwrap();
                            receiver.try_recv().unwrap();
                        }
                    })
                })
                .collect();
            join_all(partners);
            assert!(receiver.is_empty());
        }
    });
}

// A channel of its own for each message.
#[test]
fn channels_for_one_message() {
    on_each(|| {
        for capacity in CAPACITIES {
            for round in 0..120 {
                let (sender, receiver) = make(capacity);
                let giver = start(round, move || sender.send(round).unwrap());
                if capacity != Some(0) && round % 3 == 0 {
                    giver.join().unwrap();
                    assert_eq!(receiver.recv(), Ok(round));
                } else {
                    assert_eq!(receiver.recv(), Ok(round));
                    giver.join().unwrap();
                }
            }
        }
    });
}

// By trying only, on both sides.
#[test]
fn by_trying() {
    on_each(|| {
        for capacity in [Some(1), Some(5), None] {
            let (sender, receiver) = make(capacity);
            let source = start(1, move || {
                for n in 0..40 {
                    let mut message = n;
                    while let Err(error) = sender.try_send(message) {
                        match error {
                            TrySendError::Full(back) => message = back,
                            TrySendError::Disconnected(_) => panic!("the receiver lives"),
                        }
                        coroutine::yield_now();
                    }
                }
            });
            let mut expected = 0;
            loop {
                match receiver.try_recv() {
                    Ok(n) => {
                        assert_eq!(n, expected);
                        expected += 1;
                    }
                    Err(TryRecvError::Empty) => coroutine::yield_now(),
                    Err(TryRecvError::Disconnected) => break,
                }
            }
            assert_eq!(expected, 40);
            source.join().unwrap();
        }
    });
}

// Both sides are impatient, and one is slower than the other: every message arrives in order,
// those that came back are sent again.
#[test]
fn impatient_on_both_sides() {
    on_each(|| {
        for capacity in [0, 1, 2, 7] {
            for slow in 0..2 {
                let (sender, receiver) = bounded(capacity);
                let source = start(slow, move || {
                    for n in 0..60 {
                        if slow == 0 && n % 10 == 0 {
                            coroutine::sleep(Duration::from_micros(300));
                        }
                        let mut message = n;
                        loop {
                            match sender.send_timeout(message, Duration::from_micros(50)) {
                                Ok(()) => break,
                                Err(SendTimeoutError::Timeout(back)) => message = back,
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                });
                let mut expected = 0;
                loop {
                    if slow == 1 && expected % 10 == 0 {
                        coroutine::sleep(Duration::from_micros(300));
                    }
                    match receiver.recv_timeout(Duration::from_micros(50)) {
                        Ok(n) => {
                            assert_eq!(n, expected);
                            expected += 1;
                        }
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
                assert_eq!(expected, 60);
                source.join().unwrap();
            }
        }
    });
}

// All forms mixed at random, by many, of both kinds: what was received and what came back is
// what there was, each once.
#[test]
fn all_forms_mixed() {
    const SENDERS: usize = 4;
    const EACH: usize = 400;
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let mut partners = Vec::new();
            for who in 0..SENDERS {
                let sender = sender.clone();
                partners.push(start(who, move || {
                    let mut dice = Dice::new(who + 1);
                    let mut back = Vec::new();
                    for n in 0..EACH {
                        let message = who * EACH + n;
                        let patience = Duration::from_micros(dice.below(20));
                        let refused = match dice.below(3) {
                            0 => sender.send(message).err().map(|e| e.into_inner()),
                            1 => sender.try_send(message).err().map(|e| e.into_inner()),
                            _ => {
                                let sent = sender.send_timeout(message, patience);
                                sent.err().map(|e| e.into_inner())
                            }
                        };
                        back.extend(refused);
                    }
                    back
                }));
                let receiver = receiver.clone();
                partners.push(start(who / 2, move || {
                    let mut dice = Dice::new(who + 100);
                    let mut seen = Vec::new();
                    loop {
                        let patience = Duration::from_micros(dice.below(20));
                        match dice.below(3) {
                            0 => match receiver.recv() {
                                Ok(message) => seen.push(message),
                                Err(_) => break,
                            },
                            1 => seen.extend(receiver.try_recv()),
                            _ => seen.extend(receiver.recv_timeout(patience)),
                        }
                    }
                    seen
                }));
            }
            drop((sender, receiver));
            let mut all: Vec<usize> = join_all(partners).into_iter().flatten().collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..SENDERS * EACH), "{capacity:?}");
        }
    });
}

// Several channels in a ring, each message goes round; nobody owns two.
#[test]
fn around_a_ring() {
    const LINKS: usize = 12;
    on_each(|| {
        for capacity in [0, 1, 3] {
            let (senders, receivers): (Vec<_>, Vec<_>) =
                (0..LINKS).map(|_| bounded::<usize>(capacity)).unzip();
            let first = senders[0].clone();
            let (out, rounds) = bounded(1);
            let mut links = Vec::new();
            for (n, receiver) in receivers.into_iter().enumerate() {
                let next = senders[(n + 1) % LINKS].clone();
                let out = out.clone();
                links.push(start(n, move || {
                    for count in &receiver {
                        if count == LINKS * 30 {
                            out.send(n).unwrap();
                        } else if next.send(count + 1).is_err() {
                            break;
                        }
                        if count > LINKS * 29 {
                            break;
                        }
                    }
                }));
            }
            drop(senders);
            first.send(1).unwrap();
            assert_eq!(rounds.recv(), Ok(LINKS - 1));
            join_all(links);
        }
    });
}

// A spawned task for each message, thousands at once at one channel.
#[test]
fn a_crowd() {
    on_each(|| {
        for capacity in [Some(0), Some(1), None] {
            let (sender, receiver) = make(capacity);
            let crowd: Vec<_> = (0..1_500)
                .map(|n| {
                    let sender = sender.clone();
                    spawn(move || sender.send(n).unwrap())
                })
                .collect();
            drop(sender);
            let mut seen: Vec<i32> = receiver.iter().collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..1_500));
            join_all(crowd);
        }
    });
}
