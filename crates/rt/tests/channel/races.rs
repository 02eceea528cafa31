//! Dropping, cancelling and timing out race with completion, on sends and receives, 100,000
//! times each: no message is lost or doubled, and nobody is left waiting.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ropewalk_rt::cancel::{self, Token};
use ropewalk_rt::channel::{
    Receiver, RecvTimeoutError, Select, Sender, TryRecvError, TrySendError, select,
};
use ropewalk_rt::{coroutine, spawn_async};

use crate::fixture::{Dice, join_all, make, start};
use crate::ledger::{End, Ledger, Numbered};
use crate::stage::on_each;
use crate::who::Polled;

/// Messages in each race, over all flavors and everybody who takes part.
const ROUNDS: usize = 100_000;
const FLAVORS: [Option<usize>; 4] = [Some(0), Some(1), Some(4), None];
const SENDERS: usize = 4;
const RECEIVERS: usize = 3;

/// How an operation is tried, and what may cut it short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Nothing: it waits.
    Plain,
    Trying,
    /// Its own time.
    Timed,
    /// A deadline around it.
    Deadline,
    /// Somebody who cancels it.
    Cancelled,
    /// A future that is polled a few times and dropped.
    Dropped,
    /// An async task that is cancelled.
    Task,
    /// A select with a time limit, or with a default.
    Selected,
    /// A select that is cancelled.
    CancelledSelect,
}

/// What each part shares.
#[derive(Clone)]
struct Part {
    ledger: Ledger,
    alive: Arc<AtomicUsize>,
    /// Tokens of operations that may be cancelled now.
    tokens: Arc<Mutex<Vec<Token>>>,
}

impl Part {
    /// Runs `wait` where somebody cancels it soon; says whether that was done.
    fn cancellable<T>(&self, wait: impl FnOnce() -> T) -> (T, bool) {
        let token = Token::new();
        self.tokens.lock().unwrap().push(token.clone());
        token.run(|| {
            let result = wait();
            (result, cancel::check().is_err())
        })
    }

    /// Cancels what there is to cancel until `over`.
    fn cancel_all(&self, over: &AtomicBool) {
        let mut dice = Dice::new(99);
        while !over.load(Ordering::SeqCst) {
            let tokens = std::mem::take(&mut *self.tokens.lock().unwrap());
            if tokens.is_empty() {
                coroutine::sleep(Duration::from_micros(20));
            }
            for token in tokens {
                if dice.below(4) == 0 {
                    coroutine::yield_now();
                }
                token.cancel();
            }
            coroutine::yield_now();
        }
    }

    fn send_all(&self, sender: &Sender<Numbered>, ways: &[Way], seed: usize) {
        let mut dice = Dice::new(seed);
        while let Some((number, message)) = self.ledger.draw(&self.alive) {
            let way = ways[dice.below(ways.len() as u64) as usize];
            let end = self.send(sender, way, message, &mut dice);
            self.ledger.ended(number, end);
        }
    }

    fn send(&self, sender: &Sender<Numbered>, way: Way, message: Numbered, dice: &mut Dice) -> End {
        let patience = Duration::from_nanos(dice.below(20_000));
        let sent = match way {
            Way::Plain => sender.send(message).is_ok(),
            Way::Trying => match sender.try_send(message) {
                Err(TrySendError::Disconnected(_)) => panic!("there are receivers"),
                result => result.is_ok(),
            },
            Way::Timed => sender.send_timeout(message, patience).is_ok(),
            Way::Deadline => match cancel::timeout(patience, || sender.send(message).is_ok()) {
                Ok(sent) => sent,
                Err(elapsed) => elapsed.into_inner(),
            },
            Way::Cancelled => self.cancellable(|| sender.send(message).is_ok()).0,
            Way::Dropped => {
                let mut future = Polled::new(sender.send_async(message));
                return match poll_a_little(&mut future, dice) {
                    Some(Ok(())) => End::Sent,
                    Some(Err(_)) => End::Back,
                    None => End::Unknown,
                };
            }
            Way::Task => {
                let sender = sender.clone();
                let task = spawn_async(async move { sender.send_async(message).await.is_ok() });
                if dice.below(2) == 0 {
                    coroutine::yield_now();
                }
                task.cancel();
                return match task.join() {
                    Ok(true) => End::Sent,
                    Ok(false) => End::Back,
                    Err(_) => End::Unknown,
                };
            }
            Way::Selected => {
                let closed = ropewalk_rt::channel::never::<u8>();
                if dice.below(2) == 0 {
                    select! {
                        send(sender, message) -> sent => sent.is_ok(),
                        recv(closed) -> _ => unreachable!(),
                        default(patience) => false,
                    }
                } else {
                    select! {
                        recv(closed) -> _ => unreachable!(),
                        send(sender, message) -> sent => sent.is_ok(),
                        default => false,
                    }
                }
            }
            Way::CancelledSelect => {
                let wait = || {
                    let mut select = Select::new();
                    select.send(sender);
                    select.send(sender);
                    select.select().send(sender, message).is_ok()
                };
                self.cancellable(wait).0
            }
        };
        if sent { End::Sent } else { End::Back }
    }

    fn receive_all(&self, receiver: &Receiver<Numbered>, ways: &[Way], seed: usize) {
        let mut dice = Dice::new(seed);
        loop {
            let way = ways[dice.below(ways.len() as u64) as usize];
            match self.receive(receiver, way, &mut dice) {
                Ok(message) => self.ledger.received(message),
                // Whoever was cancelled, or saw nothing, can't tell whether it is the end.
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => break,
            }
        }
    }

    fn receive(
        &self,
        receiver: &Receiver<Numbered>,
        way: Way,
        dice: &mut Dice,
    ) -> Result<Numbered, TryRecvError> {
        let patience = Duration::from_nanos(dice.below(20_000));
        // An end that a cancelled wait reports is none.
        let unless = |(result, cancelled): (Result<Numbered, TryRecvError>, bool)| match result {
            Err(TryRecvError::Disconnected) if cancelled => Err(TryRecvError::Empty),
            result => result,
        };
        match way {
            Way::Plain => Ok(receiver.recv()?),
            Way::Trying => {
                let result = receiver.try_recv();
                if result.is_err() {
                    coroutine::yield_now();
                }
                result
            }
            Way::Timed => receiver
                .recv_timeout(patience)
                .map_err(|error| match error {
                    RecvTimeoutError::Timeout => TryRecvError::Empty,
                    RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
                }),
            Way::Deadline => {
                let wait = || {
                    (
                        receiver.recv().map_err(Into::into),
                        cancel::check().is_err(),
                    )
                };
                unless(cancel::timeout(patience, wait).unwrap_or_else(|late| late.into_inner()))
            }
            Way::Cancelled => unless(self.cancellable(|| receiver.recv().map_err(Into::into))),
            Way::Dropped => {
                let mut future = Polled::new(receiver.recv_async());
                match poll_a_little(&mut future, dice) {
                    Some(result) => Ok(result?),
                    None => Err(TryRecvError::Empty),
                }
            }
            Way::Task => {
                let (receiver, ledger) = (receiver.clone(), self.ledger.clone());
                let task = spawn_async(async move {
                    // From here on it is ours, whether we are cancelled or not.
                    let message = receiver.recv_async().await?;
                    ledger.received(message);
                    Ok(())
                });
                if dice.below(2) == 0 {
                    coroutine::yield_now();
                }
                task.cancel();
                match task.join() {
                    Ok(Err(error)) => Err(error),
                    _ => Err(TryRecvError::Empty),
                }
            }
            Way::Selected => {
                let closed = ropewalk_rt::channel::never::<u8>();
                select! {
                    recv(receiver) -> message => Ok(message?),
                    recv(closed) -> _ => unreachable!(),
                    default(patience) => Err(TryRecvError::Empty),
                }
            }
            Way::CancelledSelect => unless(self.cancellable(|| {
                let mut select = Select::new();
                select.recv(receiver);
                select.recv(receiver);
                select.select().recv(receiver).map_err(Into::into)
            })),
        }
    }
}

/// Polls up to four times, with or without letting others run in between.
fn poll_a_little<F: Future>(future: &mut Polled<F>, dice: &mut Dice) -> Option<F::Output> {
    for _ in 0..dice.below(4) {
        if let Some(output) = future.poll() {
            return Some(output);
        }
        if dice.below(2) == 0 {
            coroutine::yield_now();
        }
    }
    None
}

/// Runs a race on each flavor: each sender and each receiver goes one of the `ways`, at random.
fn race(sending: &'static [Way], receiving: &'static [Way]) {
    on_each(|| {
        let mut ends = [0; 3];
        for flavor in FLAVORS {
            let part = Part {
                ledger: Ledger::new(ROUNDS / FLAVORS.len()),
                alive: Arc::default(),
                tokens: Arc::default(),
            };
            let over = Arc::new(AtomicBool::new(false));
            let canceller = start(0, {
                let (part, over) = (part.clone(), Arc::clone(&over));
                move || part.cancel_all(&over)
            });
            let (sender, receiver) = make(flavor);
            // One thread on each side, the others coroutines.
            let senders: Vec<_> = (0..SENDERS)
                .map(|seed| {
                    let (part, sender) = (part.clone(), sender.clone());
                    start(usize::from(seed == 0), move || {
                        part.send_all(&sender, sending, seed);
                    })
                })
                .collect();
            let receivers: Vec<_> = (0..RECEIVERS)
                .map(|seed| {
                    let (part, receiver) = (part.clone(), receiver.clone());
                    start(usize::from(seed == 0), move || {
                        part.receive_all(&receiver, receiving, seed + 50);
                    })
                })
                .collect();
            drop(sender);
            join_all(senders);
            join_all(receivers);
            drop(receiver);
            over.store(true, Ordering::SeqCst);
            canceller.join().unwrap();
            assert_eq!(part.alive.load(Ordering::SeqCst), 0);
            let counts = part.ledger.settle();
            ends.iter_mut()
                .zip(counts)
                .for_each(|(sum, count)| *sum += count);
        }
        assert!(ends[0] > 0, "nothing was sent at all: {ends:?}");
    });
}

#[test]
fn time_outs() {
    race(&[Way::Timed], &[Way::Timed]);
}

#[test]
fn deadlines() {
    race(&[Way::Deadline], &[Way::Deadline, Way::Plain]);
}

#[test]
fn cancelled_sends() {
    race(&[Way::Cancelled], &[Way::Plain, Way::Timed]);
}

#[test]
fn cancelled_receives() {
    race(&[Way::Plain, Way::Timed], &[Way::Cancelled]);
}

#[test]
fn dropped_sends() {
    race(&[Way::Dropped], &[Way::Plain]);
}

#[test]
fn dropped_receives() {
    race(&[Way::Plain], &[Way::Dropped]);
}

#[test]
fn dropped_on_both_sides() {
    race(&[Way::Dropped, Way::Timed], &[Way::Dropped, Way::Timed]);
}

#[test]
fn cancelled_tasks() {
    race(&[Way::Task, Way::Trying], &[Way::Task, Way::Trying]);
}

#[test]
fn selects() {
    race(
        &[Way::Selected, Way::Dropped],
        &[Way::Selected, Way::Dropped],
    );
}

#[test]
fn cancelled_selects() {
    race(&[Way::CancelledSelect], &[Way::CancelledSelect, Way::Plain]);
}

#[test]
fn everything() {
    const ALL: [Way; 9] = [
        Way::Plain,
        Way::Trying,
        Way::Timed,
        Way::Deadline,
        Way::Cancelled,
        Way::Dropped,
        Way::Task,
        Way::Selected,
        Way::CancelledSelect,
    ];
    race(&ALL, &ALL);
}
