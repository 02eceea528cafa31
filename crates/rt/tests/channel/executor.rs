//! Futures of channels on an executor that is not ours, and wakers that do more than wake.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use ropewalk_rt::channel::{Receiver, Sender, bounded, unbounded};

use crate::fixture::{CAPACITIES, Tally, join_all, make, start};
use crate::stage::on_each;

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Polls tasks on the caller's own stack, in the order in which they are woken. It waits for
/// wakes by a channel.
struct Executor {
    ready: Sender<Arc<Task>>,
    woken: Receiver<Arc<Task>>,
    left: usize,
}

struct Task {
    future: Mutex<Option<Boxed>>,
    ready: Sender<Arc<Task>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let ready = self.ready.clone();
        // The executor may be gone.
        let _ = ready.send(self);
    }
}

impl Executor {
    fn new() -> Executor {
        let (ready, woken) = unbounded();
        Executor {
            ready,
            woken,
            left: 0,
        }
    }

    fn add(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        let task = Arc::new(Task {
            future: Mutex::new(Some(Box::pin(future))),
            ready: self.ready.clone(),
        });
        self.left += 1;
        assert!(self.ready.send(task).is_ok());
    }

    /// Polls the next that was woken; says whether any task is left.
    fn step(&mut self) -> bool {
        let task = self.woken.recv().expect("we have a sender");
        let waker = Waker::from(Arc::clone(&task));
        let mut future = task.future.lock().unwrap();
        if let Some(running) = future.as_mut()
            && running
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
        {
            *future = None;
            self.left -= 1;
        }
        self.left > 0
    }

    fn run(mut self) {
        while self.step() {}
    }
}

async fn send_all(sender: Sender<usize>, messages: std::ops::Range<usize>) {
    for message in messages {
        sender.send_async(message).await.unwrap();
    }
}

async fn gather(receiver: Receiver<usize>, into: Arc<Mutex<Vec<usize>>>) {
    while let Ok(message) = receiver.recv_async().await {
        into.lock().unwrap().push(message);
    }
}

// Senders and receivers all on one stack: they wake each other.
#[test]
fn all_on_one_executor() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let seen = Arc::new(Mutex::new(Vec::new()));
            let mut executor = Executor::new();
            for part in 0..4 {
                executor.add(send_all(sender.clone(), part * 100..(part + 1) * 100));
                executor.add(gather(receiver.clone(), Arc::clone(&seen)));
            }
            drop((sender, receiver));
            executor.run();
            let mut seen = std::mem::take(&mut *seen.lock().unwrap());
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..400), "{capacity:?}");
        }
    });
}

// Several executors, threads and coroutines on one channel.
#[test]
fn executors_and_others() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let seen = Arc::new(Mutex::new(Vec::new()));
            let partners: Vec<_> = (0..4)
                .map(|part| {
                    let (sender, receiver) = (sender.clone(), receiver.clone());
                    let seen = Arc::clone(&seen);
                    let messages = part * 150..(part + 1) * 150;
                    start(part, move || {
                        if part < 2 {
                            let mut executor = Executor::new();
                            executor.add(send_all(sender, messages));
                            executor.add(gather(receiver, seen));
                            executor.run();
                        } else {
                            drop(receiver);
                            messages.for_each(|n| sender.send(n).unwrap());
                        }
                    })
                })
                .collect();
            drop(sender);
            for message in receiver {
                seen.lock().unwrap().push(message);
            }
            join_all(partners);
            let mut seen = std::mem::take(&mut *seen.lock().unwrap());
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..600), "{capacity:?}");
        }
    });
}

// An executor is thrown away in the middle: those who wait on the other side go on, and each
// message is somewhere.
#[test]
fn thrown_away() {
    on_each(|| {
        for capacity in CAPACITIES {
            for steps in [0, 1, 3, 10, 40] {
                let tally = Tally::default();
                let (sender, receiver) = make(capacity);
                let mut executor = Executor::new();
                for _ in 0..3 {
                    let (sender, messages) = (sender.clone(), tally.clone());
                    executor.add(async move {
                        while sender.send_async(messages.message()).await.is_ok() {
                            // The executor polls nobody else meanwhile unless we give way.
                            YieldNow(false).await;
                        }
                    });
                    let receiver = receiver.clone();
                    executor.add(async move {
                        while receiver.recv_async().await.is_ok() {
                            YieldNow(false).await;
                        }
                    });
                }
                let taker = start(steps, {
                    let receiver = receiver.clone();
                    move || receiver.iter().count()
                });
                (0..steps).for_each(|_| assert!(executor.step()));
                drop(executor);
                drop((sender, receiver));
                taker.join().unwrap();
                assert_eq!(tally.alive(), 0, "{capacity:?} after {steps} steps");
            }
        }
    });
}

struct YieldNow(bool);

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A waker that uses the channel when it is woken and when it is dropped.
struct Meddler {
    sender: Sender<usize>,
    receiver: Receiver<usize>,
    taken: Arc<AtomicUsize>,
    wakes: Arc<AtomicUsize>,
}

impl Meddler {
    fn meddle(&self) {
        let taken = usize::from(self.receiver.try_recv().is_ok());
        self.taken.fetch_add(taken, Ordering::SeqCst);
        let sent = usize::from(self.sender.try_send(1).is_ok());
        self.taken.fetch_sub(sent, Ordering::SeqCst);
        let _ = (self.sender.len(), self.receiver.is_empty());
    }
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        self.meddle();
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.meddle();
    }
}

// Wakers are called, and dropped, where they may use the channel: no lock is held.
#[test]
fn wakers_may_use_the_channel() {
    on_each(|| {
        for capacity in [0, 1, 2] {
            // A balance that may be below zero for a while.
            let taken = Arc::new(AtomicUsize::new(1_000));
            let wakes = Arc::new(AtomicUsize::new(0));
            let (sender, receiver) = bounded(capacity);
            let waker = || {
                Waker::from(Arc::new(Meddler {
                    sender: sender.clone(),
                    receiver: receiver.clone(),
                    taken: Arc::clone(&taken),
                    wakes: Arc::clone(&wakes),
                }))
            };
            let poll = |future: Pin<&mut dyn Future<Output = bool>>| {
                let waker = waker();
                future.poll(&mut Context::from_waker(&waker)).is_ready()
            };
            let mut count = 1_000;
            for _ in 0..20 {
                // Polled with one waker after the other, then dropped, done or not.
                let mut receive = Box::pin(async { receiver.recv_async().await.is_ok() });
                let mut received = poll(receive.as_mut()) || poll(receive.as_mut());
                let mut send = Box::pin(async { sender.send_async(7).await.is_ok() });
                let sent = poll(send.as_mut()) || poll(send.as_mut());
                received = received || poll(receive.as_mut());
                count += usize::from(sent);
                count -= usize::from(received);
                drop((receive, send));
            }
            assert!(wakes.load(Ordering::SeqCst) > 0);
            let there = receiver.try_iter().count();
            // At a rendezvous an offer may have been taken whose future was dropped.
            let balance = there + taken.load(Ordering::SeqCst);
            assert!(balance == count || capacity == 0, "{balance} of {count}");
        }
    });
}
