//! Messages between tasks of tokio's.

use std::fmt::Debug;
use std::future::ready;
use std::hint::black_box;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::channel::CAPACITY;
use crate::peers::waiting::{run_on_tokio, split};

/// The ends of a channel whose operations are futures.
pub(super) trait AsyncEnds: 'static {
    type Sender: Clone + Send + Sync + 'static;
    type Receiver: Send + 'static;
    type Refused: Debug + Send;
    /// With room for so many, if it is one with a limit.
    fn make(capacity: usize) -> (Self::Sender, Self::Receiver);
    /// A second receiver, where there can be one.
    fn another(receiver: &Self::Receiver) -> Option<Self::Receiver>;
    fn send(
        sender: &Self::Sender,
        message: u64,
    ) -> impl Future<Output = Result<(), Self::Refused>> + Send;
    /// `None` once the senders are gone.
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u64>> + Send;
}

/// `tokio::sync::mpsc` with a limit.
pub(super) struct Bounded;

impl AsyncEnds for Bounded {
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;
    type Refused = mpsc::error::SendError<u64>;

    fn make(capacity: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::channel(capacity)
    }

    fn another(_: &Self::Receiver) -> Option<Self::Receiver> {
        None
    }

    fn send(
        sender: &Self::Sender,
        message: u64,
    ) -> impl Future<Output = Result<(), Self::Refused>> + Send {
        sender.send(message)
    }

    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u64>> + Send {
        receiver.recv()
    }
}

/// `tokio::sync::mpsc` without a limit.
pub(super) struct Unbounded;

impl AsyncEnds for Unbounded {
    type Sender = mpsc::UnboundedSender<u64>;
    type Receiver = mpsc::UnboundedReceiver<u64>;
    type Refused = mpsc::error::SendError<u64>;

    fn make(_: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::unbounded_channel()
    }

    fn another(_: &Self::Receiver) -> Option<Self::Receiver> {
        None
    }

    fn send(
        sender: &Self::Sender,
        message: u64,
    ) -> impl Future<Output = Result<(), Self::Refused>> + Send {
        ready(sender.send(message))
    }

    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u64>> + Send {
        receiver.recv()
    }
}

/// flume with a limit.
pub(super) struct FlumeBounded;

/// flume without a limit.
pub(super) struct FlumeUnbounded;

macro_rules! flume_ends {
    ($name:ident, |$capacity:pat_param| $make:expr) => {
        impl AsyncEnds for $name {
            type Sender = flume::Sender<u64>;
            type Receiver = flume::Receiver<u64>;
            type Refused = flume::SendError<u64>;

            fn make($capacity: usize) -> (Self::Sender, Self::Receiver) {
                $make
            }

            fn another(receiver: &Self::Receiver) -> Option<Self::Receiver> {
                Some(receiver.clone())
            }

            fn send(
                sender: &Self::Sender,
                message: u64,
            ) -> impl Future<Output = Result<(), Self::Refused>> + Send {
                sender.send_async(message)
            }

            async fn recv(receiver: &mut Self::Receiver) -> Option<u64> {
                receiver.recv_async().await.ok()
            }
        }
    };
}
flume_ends!(FlumeBounded, |capacity| flume::bounded(capacity));
flume_ends!(FlumeUnbounded, |_| flume::unbounded());

/// Sends `n` messages from so many to so many.
pub(super) fn stream<E: AsyncEnds>(
    runtime: &Runtime,
    senders: u64,
    receivers: u64,
    n: u64,
) -> Duration {
    run_on_tokio(runtime, async move {
        let start = Instant::now();
        let (sender, receiver) = E::make(CAPACITY);
        let another = |_| E::another(&receiver).expect("several receivers");
        let mut all_receivers: Vec<E::Receiver> = (1..receivers).map(another).collect();
        all_receivers.push(receiver);
        let mut tasks = Vec::new();
        for mut receiver in all_receivers {
            tasks.push(tokio::spawn(async move {
                while let Some(message) = E::recv(&mut receiver).await {
                    black_box(message);
                }
            }));
        }
        for share in split(n, senders) {
            let sender = sender.clone();
            tasks.push(tokio::spawn(async move {
                for message in 0..share {
                    E::send(&sender, message).await.expect("a receiver");
                }
            }));
        }
        drop(sender);
        for task in tasks {
            task.await.expect("no panics");
        }
        start.elapsed()
    })
}

/// Sends a message to and fro, `n` hops.
pub(super) fn hops<E: AsyncEnds>(runtime: &Runtime, capacity: usize, n: u64) -> Duration {
    run_on_tokio(runtime, async move {
        let start = Instant::now();
        let (there, mut from_here) = E::make(capacity);
        let (back, mut from_there) = E::make(capacity);
        let other = tokio::spawn(async move {
            while let Some(message) = E::recv(&mut from_here).await {
                E::send(&back, message).await.expect("a receiver");
            }
        });
        for message in 0..n / 2 {
            E::send(&there, message).await.expect("a receiver");
            black_box(E::recv(&mut from_there).await.expect("an answer"));
        }
        drop(there);
        other.await.expect("no panics");
        start.elapsed()
    })
}

/// One fills two or eight channels in turn, the other takes `n` messages from them.
pub(super) fn select(runtime: &Runtime, channels: u64, n: u64) -> Duration {
    run_on_tokio(runtime, async move {
        let start = Instant::now();
        let (senders, mut receivers): (Vec<_>, Vec<_>) =
            (0..channels).map(|_| mpsc::channel(CAPACITY)).unzip();
        let _kept = senders.clone();
        let other = tokio::spawn(async move {
            for (message, sender) in (0..n).zip(senders.iter().cycle()) {
                sender.send(message).await.expect("a receiver");
            }
        });
        match &mut receivers[..] {
            [a, b] => {
                for _ in 0..n {
                    black_box(tokio::select! {
                        message = a.recv() => message,
                        message = b.recv() => message,
                    });
                }
            }
            [a, b, c, d, e, f, g, h] => {
                for _ in 0..n {
                    black_box(tokio::select! {
                        message = a.recv() => message,
                        message = b.recv() => message,
                        message = c.recv() => message,
                        message = d.recv() => message,
                        message = e.recv() => message,
                        message = f.recv() => message,
                        message = g.recv() => message,
                        message = h.recv() => message,
                    });
                }
            }
            _ => unreachable!("two or eight receivers"),
        }
        other.await.expect("no panics");
        start.elapsed()
    })
}
