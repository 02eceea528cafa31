//! `recv_async` and `send_async`, polled by hand: when they are ready, whom they wake, and what
//! becomes of messages when they are dropped.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ropewalk_rt::cancel;
use ropewalk_rt::channel::{
    RecvError, SendError, TryRecvError, TrySendError, after, bounded, never, select, tick,
};
use ropewalk_rt::future::block_on;

use crate::fixture::{BUFFERED, CAPACITIES, FAR, SOON, Tally, make, start, until_waits};
use crate::stage::{on_each, until};
use crate::who::Polled;

// A message that is there, and one that comes: one wake, then ready.
#[test]
fn receiving() {
    on_each(|| {
        for capacity in BUFFERED {
            let (sender, receiver) = make(capacity);
            sender.send(1).unwrap();
            let mut future = Polled::new(receiver.recv_async());
            assert_eq!((future.poll(), future.wakes()), (Some(Ok(1)), 0));
            let mut future = Polled::waiting(receiver.recv_async());
            assert_eq!(future.wakes(), 0);
            sender.send(2).unwrap();
            assert_eq!((future.wakes(), receiver.len()), (1, 1));
            assert_eq!(future.poll(), Some(Ok(2)));
            let mut future = Polled::waiting(receiver.recv_async());
            drop(sender);
            assert_eq!((future.wakes(), future.poll()), (1, Some(Err(RecvError))));
        }
    });
}

// Room that is there, and room that comes.
#[test]
fn sending() {
    on_each(|| {
        for capacity in [1, 3] {
            let (sender, receiver) = bounded(capacity);
            for n in 0..capacity {
                assert_eq!(Polled::new(sender.send_async(n)).poll(), Some(Ok(())));
            }
            let mut future = Polled::waiting(sender.send_async(77));
            assert_eq!((receiver.len(), future.wakes()), (capacity, 0));
            assert_eq!(receiver.recv(), Ok(0));
            assert_eq!((future.wakes(), future.poll()), (1, Some(Ok(()))));
            assert!(receiver.try_iter().skip(capacity - 1).eq([77]));
            for n in 0..capacity {
                sender.send(n).unwrap();
            }
            let mut future = Polled::waiting(sender.send_async(88));
            drop(receiver);
            assert_eq!(
                (future.wakes(), future.poll()),
                (1, Some(Err(SendError(88))))
            );
        }
    });
}

// At a rendezvous: a standing offer is taken at once, a receiving future when it is polled.
#[test]
fn meeting() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let mut offer = Polled::waiting(sender.send_async(1));
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!((offer.wakes(), offer.poll()), (1, Some(Ok(()))));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));

        // Two futures: whichever is first.
        let mut taking = Polled::waiting(receiver.recv_async());
        let mut offer = Polled::waiting(sender.send_async(2));
        assert_eq!(taking.wakes(), 1);
        assert_eq!(taking.poll(), Some(Ok(2)));
        assert_eq!(offer.poll(), Some(Ok(())));
        let mut offer = Polled::waiting(sender.send_async(3));
        assert_eq!(Polled::new(receiver.recv_async()).poll(), Some(Ok(3)));
        assert_eq!(offer.poll(), Some(Ok(())));

        for kind in 0..2 {
            let mut taking = Polled::waiting(receiver.recv_async());
            assert_eq!(sender.try_send(4), Err(TrySendError::Full(4)));
            let giver = start(kind, {
                let sender = sender.clone();
                move || sender.send(5)
            });
            until(|| taking.wakes() > 0);
            until_waits(&giver, "sending");
            assert_eq!(taking.poll(), Some(Ok(5)));
            giver.join().unwrap().unwrap();
        }
        let (sender, receiver) = bounded::<u8>(0);
        let mut taking = Polled::waiting(receiver.recv_async());
        drop(sender);
        assert_eq!((taking.wakes(), taking.poll()), (1, Some(Err(RecvError))));
        let (sender, receiver) = bounded(0);
        let mut offer = Polled::waiting(sender.send_async(6));
        drop(receiver);
        assert_eq!((offer.wakes(), offer.poll()), (1, Some(Err(SendError(6)))));
    });
}

// Never polled, or dropped while waiting: nothing was received, nothing sent.
#[test]
fn dropped_early() {
    on_each(|| {
        for capacity in CAPACITIES {
            let tally = Tally::default();
            let (sender, receiver) = make(capacity);
            drop(sender.send_async(tally.message()));
            assert_eq!((tally.alive(), receiver.len()), (0, 0));
            drop(receiver.recv_async());
            drop(Polled::waiting(receiver.recv_async()));
            let Some(room) = capacity else { continue };
            (0..room).for_each(|_| assert!(sender.send(tally.message()).is_ok()));
            let waiting = Polled::waiting(sender.send_async(tally.message()));
            assert_eq!(tally.alive(), room + 1);
            drop(waiting);
            assert_eq!(tally.alive(), room);
            assert_eq!(receiver.try_iter().count(), room);
            assert_eq!(tally.alive(), 0);
            assert!(receiver.try_recv().is_err());
        }
    });
}

// A receiving future that was woken and is dropped before it looked: the message is still there,
// and whoever waits behind it is woken in its place.
#[test]
fn a_dropped_receive_passes_its_wake_on() {
    on_each(|| {
        for capacity in BUFFERED {
            let (sender, receiver) = make(capacity);
            let mut waiting: Vec<_> = (0..5)
                .map(|_| Polled::waiting(receiver.recv_async()))
                .collect();
            sender.send(1).unwrap();
            let mut last = waiting.pop().unwrap();
            for first in waiting {
                assert!(first.wakes() > 0);
                drop(first);
            }
            assert_eq!((last.wakes(), receiver.len()), (1, 1));
            assert_eq!(last.poll(), Some(Ok(1)));
            for kind in 0..2 {
                let first = Polled::waiting(receiver.recv_async());
                let taker = start(kind, {
                    let receiver = receiver.clone();
                    move || receiver.recv()
                });
                until_waits(&taker, "receiving");
                sender.send(2).unwrap();
                drop(first);
                assert_eq!(taker.join().unwrap(), Ok(2));
            }
        }
    });
}

// The same for room.
#[test]
fn a_dropped_send_passes_its_wake_on() {
    on_each(|| {
        for capacity in [1, 2] {
            let (sender, receiver) = bounded(capacity);
            (0..capacity).for_each(|_| sender.send(0).unwrap());
            let first = Polled::waiting(sender.send_async(1));
            let mut second = Polled::waiting(sender.send_async(2));
            assert_eq!(receiver.recv(), Ok(0));
            assert_eq!((first.wakes(), second.wakes()), (1, 0));
            drop(first);
            assert_eq!((second.wakes(), second.poll()), (1, Some(Ok(()))));
            for kind in 0..2 {
                let first = Polled::waiting(sender.send_async(3));
                let giver = start(kind, {
                    let sender = sender.clone();
                    move || sender.send(4)
                });
                until_waits(&giver, "sending");
                receiver.recv().unwrap();
                drop(first);
                giver.join().unwrap().unwrap();
            }
            assert!(receiver.try_iter().last() == Some(4));
        }
    });
}

// An offer that was taken before its future was dropped is received, once; one that wasn't is
// withdrawn; in both cases others can meet.
#[test]
fn a_dropped_offer() {
    on_each(|| {
        let tally = Tally::default();
        let (sender, receiver) = bounded(0);
        let offer = Polled::waiting(sender.send_async(tally.message()));
        let taken = receiver.try_recv().ok().unwrap();
        drop(offer);
        assert_eq!((taken.number, tally.alive()), (0, 1));
        drop(taken);
        let offer = Polled::waiting(sender.send_async(tally.message()));
        let mut behind = Polled::waiting(sender.send_async(tally.message()));
        drop(offer);
        assert_eq!(tally.alive(), 1);
        assert_eq!(receiver.try_recv().map(|m| m.number), Ok(2));
        assert!(matches!(behind.poll(), Some(Ok(()))));
        assert!(receiver.try_recv().is_err());
        assert_eq!(tally.alive(), 0);
        // Nobody who waits to receive is left standing by a dropped future.
        for kind in 0..2 {
            let first = Polled::waiting(receiver.recv_async());
            let taker = start(kind, {
                let receiver = receiver.clone();
                move || receiver.recv().map(|m| m.number)
            });
            until_waits(&taker, "receiving");
            let mut offer = Polled::new(sender.send_async(tally.message()));
            let met = offer.poll();
            drop(first);
            let number = tally.made() - 1;
            assert_eq!(taker.join().unwrap(), Ok(number));
            assert!(matches!(met.or_else(|| offer.poll()), Some(Ok(()))));
        }
    });
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

// Polled again with another waker, the last one is woken.
#[test]
fn the_last_waker_counts() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let wakers: [Arc<Count>; 2] = Default::default();
            let mut future = pin!(receiver.recv_async());
            for count in &wakers {
                let waker = Waker::from(Arc::clone(count));
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending());
            }
            let mut sending = Polled::new(sender.send_async(1));
            let sent = sending.poll();
            let seen = wakers
                .each_ref()
                .map(|count| count.0.load(Ordering::SeqCst));
            assert_eq!(seen, [0, 1]);
            let polled = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(polled, Poll::Ready(Ok(1)));
            assert_eq!(sent.or_else(|| sending.poll()), Some(Ok(())));
        }
    });
}

// A pending future that is polled without need stays where it was.
#[test]
fn polled_without_need() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let mut first = Polled::waiting(receiver.recv_async());
            let mut second = Polled::waiting(receiver.recv_async());
            for _ in 0..5 {
                assert!(first.poll().is_none() && second.poll().is_none());
            }
            let mut sending = [1, 2].map(|n| Polled::new(sender.send_async(n)));
            let done = sending.each_mut().map(|future| future.poll());
            let mut got: Vec<_> = [first.poll(), second.poll()]
                .into_iter()
                .flatten()
                .collect();
            for (done, future) in done.into_iter().zip(&mut sending) {
                assert_eq!(done.or_else(|| future.poll()), Some(Ok(())));
            }
            // With room for one only, the second message came after the first was received.
            if got.len() == 1 {
                assert_eq!(capacity, Some(1));
                got.extend(second.poll());
            }
            assert_eq!(got, [Ok(1), Ok(2)]);
        }
    });
}

// Polling a send that was ready is a mistake, and told.
#[test]
fn polled_after_the_end() {
    on_each(|| {
        let (sender, _receiver) = bounded(1);
        let mut future = Polled::new(sender.send_async(1));
        assert!(future.poll().is_some());
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| future.poll()));
        assert!(again.is_err());
    });
}

// Selects and futures meet on all flavors, both ways.
#[test]
fn against_selects() {
    on_each(|| {
        for capacity in CAPACITIES {
            for kind in 0..2 {
                let (sender, receiver) = make(capacity);
                let (_other, silent) = bounded::<u8>(0);
                let taker = start(kind, {
                    let receiver = receiver.clone();
                    move || {
                        select! {
                            recv(receiver) -> n => n.unwrap(),
                            recv(silent) -> _ => unreachable!(),
                        }
                    }
                });
                until_waits(&taker, "selecting");
                block_on(sender.send_async(6)).unwrap();
                assert_eq!(taker.join().unwrap(), 6);
                let (_silent, other) = bounded::<u8>(0);
                let giver = start(kind, move || {
                    select! {
                        send(sender, 7) -> sent => sent.unwrap(),
                        recv(other) -> _ => unreachable!(),
                    }
                });
                assert_eq!(block_on(receiver.recv_async()), Ok(7));
                giver.join().unwrap();
            }
        }
    });
}

// Channels that time fills.
#[test]
fn time_by_futures() {
    on_each(|| {
        assert!(block_on(after(SOON).recv_async()).is_ok());
        let ticker = tick(SOON);
        let first = block_on(ticker.recv_async()).unwrap();
        assert!(block_on(ticker.recv_async()).unwrap() >= first + SOON);
        assert!(Polled::new(never::<u8>().recv_async()).poll().is_none());
        let late = after(FAR);
        let mut waiting = Polled::waiting(late.recv_async());
        assert!(waiting.poll().is_none() && waiting.wakes() == 0);
        drop(waiting);
        assert!(late.try_recv().is_err());
    });
}

// A wait inside `block_on` can have a limit; the future is dropped with nothing lost.
#[test]
fn with_a_limit() {
    on_each(|| {
        let (sender, receiver) = bounded(1);
        let limited = block_on(cancel_after(
            Duration::from_millis(1),
            receiver.recv_async(),
        ));
        assert!(limited.is_none());
        sender.send(1).unwrap();
        let limited = block_on(cancel_after(Duration::from_millis(1), sender.send_async(2)));
        assert!(limited.is_none());
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert!(cancel::check().is_ok());
    });
}

/// Polls `future` until it is ready or `limit` is over.
async fn cancel_after<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut sleep = pin!(ropewalk_rt::future::sleep_async(limit));
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        sleep.as_mut().poll(context).map(|_| None)
    })
    .await
}
