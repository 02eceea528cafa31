//! Rendezvous with many who can't be handed a message, but are only told: futures, selects that
//! ask what is ready, selects that have yet to make their message. Nobody who could meet is
//! left waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ropewalk_rt::channel::{Receiver, Select, Sender, bounded, never, select};
use ropewalk_rt::future::block_on;
use ropewalk_rt::spawn_async;

use crate::fixture::{FAR, join_all, start, until_waits};
use crate::stage::{on_each, until};
use crate::who::Polled;

/// More than are told at once.
const CROWD: usize = 20;

// Many futures wait; each of as many plain sends is received by one of them.
#[test]
fn futures_and_a_send() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let mut futures: Vec<_> = (0..CROWD)
            .map(|_| Polled::waiting(receiver.recv_async()))
            .collect();
        assert!(sender.try_send(99).is_err());
        // They have all been told, and look.
        futures.retain_mut(|future| future.poll().is_none());
        assert_eq!(futures.len(), CROWD);
        for n in 0..CROWD {
            let giver = start(usize::from(n == 1), {
                let sender = sender.clone();
                move || sender.send(n)
            });
            until_waits(&giver, "sending");
            let mut got = Vec::new();
            futures.retain_mut(|future| match future.poll() {
                Some(message) => {
                    got.push(message);
                    false
                }
                None => true,
            });
            assert_eq!(got, [Ok(n)]);
            giver.join().unwrap().unwrap();
        }
        assert!(futures.is_empty());
    });
}

// Many futures are told of one send and dropped; one behind them that is polled meets it.
#[test]
fn futures_that_leave() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let futures: Vec<_> = (0..CROWD)
            .map(|_| Polled::waiting(receiver.recv_async()))
            .collect();
        let giver = start(1, move || sender.send(5));
        until_waits(&giver, "sending");
        let told = futures.iter().filter(|future| future.wakes() > 0).count();
        assert_eq!(told, CROWD);
        drop(futures);
        assert_eq!(block_on(receiver.recv_async()), Ok(5));
        giver.join().unwrap().unwrap();
    });
}

// Many selects wait to send; a future, a plain receive and a select that receives meet each one
// of them.
#[test]
fn selects_and_futures() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let selects: Vec<_> = (0..CROWD)
            .map(|n| {
                let sender = sender.clone();
                start(usize::from(n % 5 == 0), move || {
                    select! {
                        send(sender, n) -> sent => sent.unwrap(),
                        recv(never::<u8>()) -> _ => unreachable!(),
                    }
                })
            })
            .collect();
        selects
            .iter()
            .for_each(|select| until_waits(select, "selecting"));
        let mut seen = Vec::new();
        for n in 0..CROWD {
            seen.push(match n % 3 {
                0 => block_on(receiver.recv_async()).unwrap(),
                1 => receiver.recv().unwrap(),
                _ => select! {
                    recv(receiver) -> n => n.unwrap(),
                    recv(never::<u8>()) -> _ => unreachable!(),
                },
            });
        }
        join_all(selects);
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..CROWD));
    });
}

// Many only ask whether they could receive: a send that waits is told to all, and one takes it.
#[test]
fn many_who_ask() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let asking: Vec<_> = (0..CROWD)
            .map(|n| {
                let receiver = receiver.clone();
                start(usize::from(n % 6 == 0), move || {
                    let mut select = Select::new();
                    select.recv(&receiver);
                    assert_eq!(select.ready(), 0);
                    receiver.recv().ok()
                })
            })
            .collect();
        asking
            .iter()
            .for_each(|asker| until_waits(asker, "selecting"));
        sender.send_timeout(3, FAR).unwrap();
        drop(sender);
        let got: Vec<_> = join_all(asking).into_iter().flatten().collect();
        assert_eq!(got, [3]);
    });
}

// The same for sends: all are told of a receive that waits.
#[test]
fn many_who_ask_to_send() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let asking: Vec<_> = (0..CROWD)
            .map(|n| {
                let sender = sender.clone();
                start(usize::from(n % 6 == 0), move || {
                    let mut select = Select::new();
                    select.send(&sender);
                    assert_eq!(select.ready(), 0);
                    sender.send(n).is_ok()
                })
            })
            .collect();
        asking
            .iter()
            .for_each(|asker| until_waits(asker, "selecting"));
        let first = receiver.recv_timeout(FAR).unwrap();
        drop(receiver);
        let sent = join_all(asking);
        assert!(
            sent.iter()
                .enumerate()
                .all(|(n, &sent)| sent == (n == first))
        );
    });
}

// A select finds a future to send to, and the future is dropped before the message is made: the
// message waits for the next.
#[test]
fn a_future_leaves_a_select() {
    fn leave<'r>(slot: &mut Option<Polled<ropewalk_rt::channel::RecvFuture<'r, u8>>>) -> u8 {
        *slot = None;
        8
    }
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let other = receiver.clone();
        let taker = start(1, move || {
            until(|| other.try_recv() == Ok(8));
        });
        let mut future = Some(Polled::waiting(receiver.recv_async()));
        select! {
            send(sender, leave(&mut future)) -> sent => sent.unwrap(),
            recv(never::<u8>()) -> _ => unreachable!(),
        }
        taker.join().unwrap();
        // With nobody at all it ends with the receivers.
        let (sender, receiver) = bounded(0);
        let future = Polled::waiting(receiver.recv_async());
        let mut select = Select::new();
        select.send(&sender);
        let operation = select.try_select().unwrap();
        drop(future);
        drop(receiver);
        assert_eq!(operation.send(&sender, 9).unwrap_err().into_inner(), 9);
    });
}

// Given up, an operation that had found a future leaves it as it was.
#[test]
fn a_select_leaves_a_future() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let mut future = Polled::waiting(receiver.recv_async());
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            let mut select = Select::new();
            select.send(&sender);
            drop(select.try_select().unwrap());
        }));
        assert!(dropped.is_err() && future.poll().is_none());
        let giver = start(1, move || sender.send(4));
        until(|| future.poll() == Some(Ok(4)) || giver.is_finished());
        giver.join().unwrap().unwrap();
    });
}

// All kinds of senders and receivers at one rendezvous, over and over.
#[test]
fn all_kinds() {
    fn send(kind: usize, sender: &Sender<usize>, message: usize) {
        match kind {
            0 => sender.send(message).unwrap(),
            1 => block_on(sender.send_async(message)).unwrap(),
            2 => select! {
                send(sender, message) -> sent => sent.unwrap(),
                recv(never::<u8>()) -> _ => unreachable!(),
            },
            _ => {
                let mut message = message;
                let mut select = Select::new();
                select.send(sender);
                // Told, it may still come too late.
                while let Err(error) = {
                    select.ready();
                    sender.send_timeout(message, std::time::Duration::from_micros(200))
                } {
                    message = error.into_inner();
                }
            }
        }
    }
    fn receive(kind: usize, receiver: &Receiver<usize>) -> Option<usize> {
        match kind {
            0 => receiver.recv().ok(),
            1 => block_on(receiver.recv_async()).ok(),
            _ => select! {
                recv(receiver) -> message => message.ok(),
                recv(never::<u8>()) -> _ => unreachable!(),
            },
        }
    }
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let mut partners = Vec::new();
        for kind in 0..4 {
            for part in 0..2 {
                let sender = sender.clone();
                let first = (kind * 2 + part) * 60;
                partners.push(start(part, move || {
                    (first..first + 60).for_each(|n| send(kind, &sender, n));
                    Vec::new()
                }));
            }
        }
        for kind in 0..3 {
            for part in 0..2 {
                let receiver = receiver.clone();
                partners.push(start(part + kind, move || {
                    std::iter::from_fn(|| receive(kind, &receiver)).collect()
                }));
            }
        }
        let task = receiver.clone();
        partners.push(spawn_async(async move {
            let mut seen = Vec::new();
            while let Ok(message) = task.recv_async().await {
                seen.push(message);
            }
            seen
        }));
        drop((sender, receiver));
        let mut all: Vec<_> = join_all(partners).into_iter().flatten().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..480));
    });
}
