//! The contenders' side of `channel`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::waiting::{Fixed, split, tokio_runtime};
use crate::channel::CAPACITY;

/// The ends of a channel that threads use.
trait Ends: Send + 'static {
    type Sender: Clone + Send + 'static;
    type Receiver: Send + 'static;
    /// With room for so many; without a limit for `None`.
    fn make(capacity: Option<usize>) -> (Self::Sender, Self::Receiver);
    fn another(receiver: &Self::Receiver) -> Option<Self::Receiver>;
    fn send(sender: &Self::Sender, message: u64);
    /// `None` once the senders are gone.
    fn recv(receiver: &Self::Receiver) -> Option<u64>;
}

struct Ropewalk;

impl Ends for Ropewalk {
    type Sender = ropewalk::channel::Sender<u64>;
    type Receiver = ropewalk::channel::Receiver<u64>;

    fn make(capacity: Option<usize>) -> (Self::Sender, Self::Receiver) {
        match capacity {
            Some(capacity) => ropewalk::channel::bounded(capacity),
            None => ropewalk::channel::unbounded(),
        }
    }

    fn another(receiver: &Self::Receiver) -> Option<Self::Receiver> {
        Some(receiver.clone())
    }

    fn send(sender: &Self::Sender, message: u64) {
        sender.send(message).expect("a receiver");
    }

    fn recv(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().ok()
    }
}

struct Crossbeam;

impl Ends for Crossbeam {
    type Sender = crossbeam_channel::Sender<u64>;
    type Receiver = crossbeam_channel::Receiver<u64>;

    fn make(capacity: Option<usize>) -> (Self::Sender, Self::Receiver) {
        match capacity {
            Some(capacity) => crossbeam_channel::bounded(capacity),
            None => crossbeam_channel::unbounded(),
        }
    }

    fn another(receiver: &Self::Receiver) -> Option<Self::Receiver> {
        Some(receiver.clone())
    }

    fn send(sender: &Self::Sender, message: u64) {
        sender.send(message).expect("a receiver");
    }

    fn recv(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().ok()
    }
}

struct Flume;

impl Ends for Flume {
    type Sender = flume::Sender<u64>;
    type Receiver = flume::Receiver<u64>;

    fn make(capacity: Option<usize>) -> (Self::Sender, Self::Receiver) {
        match capacity {
            Some(capacity) => flume::bounded(capacity),
            None => flume::unbounded(),
        }
    }

    fn another(receiver: &Self::Receiver) -> Option<Self::Receiver> {
        Some(receiver.clone())
    }

    fn send(sender: &Self::Sender, message: u64) {
        sender.send(message).expect("a receiver");
    }

    fn recv(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().ok()
    }
}

struct Std;

/// std has two types of senders.
#[derive(Clone)]
enum StdSender {
    Bounded(std::sync::mpsc::SyncSender<u64>),
    Unbounded(std::sync::mpsc::Sender<u64>),
}

impl Ends for Std {
    type Sender = StdSender;
    type Receiver = std::sync::mpsc::Receiver<u64>;

    fn make(capacity: Option<usize>) -> (Self::Sender, Self::Receiver) {
        match capacity {
            Some(capacity) => {
                let (sender, receiver) = std::sync::mpsc::sync_channel(capacity);
                (StdSender::Bounded(sender), receiver)
            }
            None => {
                let (sender, receiver) = std::sync::mpsc::channel();
                (StdSender::Unbounded(sender), receiver)
            }
        }
    }

    fn another(_: &Self::Receiver) -> Option<Self::Receiver> {
        None
    }

    fn send(sender: &Self::Sender, message: u64) {
        match sender {
            StdSender::Bounded(sender) => sender.send(message),
            StdSender::Unbounded(sender) => sender.send(message),
        }
        .expect("a receiver");
    }

    fn recv(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().ok()
    }
}

fn drain<E: Ends>(receiver: &E::Receiver) {
    while let Some(message) = E::recv(receiver) {
        black_box(message);
    }
}

/// Sends `n` messages from so many threads to so many.
fn stream_threads<E: Ends>(
    capacity: Option<usize>,
    senders: u64,
    receivers: u64,
    n: u64,
) -> Duration {
    let (sender, receiver) = E::make(capacity);
    let mut all: Vec<E::Receiver> = (1..receivers)
        .map(|_| E::another(&receiver).expect("several receivers"))
        .collect();
    all.push(receiver);
    let start = Instant::now();
    std::thread::scope(|s| {
        for receiver in all {
            s.spawn(move || drain::<E>(&receiver));
        }
        for share in split(n, senders) {
            let sender = sender.clone();
            s.spawn(move || (0..share).for_each(|message| E::send(&sender, message)));
        }
        drop(sender);
    });
    start.elapsed()
}

/// Sends a message to and fro, `n` hops, by rendezvous.
fn hop_threads<E: Ends>(n: u64) -> Duration {
    let (there, from_here) = E::make(Some(0));
    let (back, from_there) = E::make(Some(0));
    let start = Instant::now();
    std::thread::scope(|s| {
        s.spawn(move || {
            while let Some(message) = E::recv(&from_here) {
                E::send(&back, message);
            }
        });
        for message in 0..n / 2 {
            E::send(&there, message);
            black_box(E::recv(&from_there));
        }
        drop(there);
    });
    start.elapsed()
}

/// Fills two channels in turn from one thread; `select` takes `n` messages from them.
fn select_threads<E: Ends>(n: u64, select: impl FnOnce(E::Receiver, E::Receiver, u64)) -> Duration {
    let (first, from_first) = E::make(Some(CAPACITY));
    let (second, from_second) = E::make(Some(CAPACITY));
    let start = Instant::now();
    std::thread::scope(|s| {
        s.spawn(move || {
            for message in 0..n {
                let sender = if message % 2 == 0 { &first } else { &second };
                E::send(sender, message);
            }
        });
        select(from_first, from_second, n);
    });
    start.elapsed()
}

fn ropewalk_select(
    first: &ropewalk::channel::Receiver<u64>,
    second: &ropewalk::channel::Receiver<u64>,
    n: u64,
) {
    for _ in 0..n {
        let message = ropewalk::select! {
            recv(first) -> message => message,
            recv(second) -> message => message,
        };
        let _ = black_box(message);
    }
}

fn ropewalk_tasks(fixed: &mut Fixed, command: &str, n: u64) -> Option<Duration> {
    use ropewalk::channel::{bounded, unbounded};
    type Pair = (Sender, Receiver);
    type Sender = ropewalk::channel::Sender<u64>;
    type Receiver = ropewalk::channel::Receiver<u64>;
    let (kind, make): (&str, fn() -> Pair) = match command {
        "stream-tasks-unbounded" => ("stream", unbounded),
        "stream-tasks-bounded" => ("stream", || bounded(CAPACITY)),
        "hops-tasks-unbounded" => ("hops", unbounded),
        "hops-tasks-bounded" => ("hops", || bounded(1)),
        "hops-tasks-rendezvous" => ("hops", || bounded(0)),
        "select-tasks" => ("select", || bounded(CAPACITY)),
        _ => return None,
    };
    Some(fixed.ropewalk(1).run(move || {
        let (there, from_here) = make();
        let (back, from_there) = make();
        let start = Instant::now();
        match kind {
            "stream" => {
                let sender = ropewalk::spawn(move || {
                    (0..n).for_each(|message| Ropewalk::send(&there, message))
                });
                drain::<Ropewalk>(&from_here);
                sender.join().expect("no panics");
            }
            "hops" => {
                let other = ropewalk::spawn(move || {
                    while let Ok(message) = from_here.recv() {
                        Ropewalk::send(&back, message);
                    }
                });
                for message in 0..n / 2 {
                    Ropewalk::send(&there, message);
                    black_box(from_there.recv().expect("an answer"));
                }
                drop(there);
                other.join().expect("no panics");
            }
            _ => {
                let sender = ropewalk::spawn(move || {
                    for message in 0..n {
                        Ropewalk::send(if message % 2 == 0 { &there } else { &back }, message);
                    }
                });
                ropewalk_select(&from_here, &from_there, n);
                sender.join().expect("no panics");
            }
        }
        start.elapsed()
    }))
}

/// tokio has two types of channels.
macro_rules! tokio_hops {
    ($make:expr, $n:expr, |$sender:ident, $message:ident| $send:expr) => {{
        let (there, mut from_here) = $make;
        let (back, mut from_there) = $make;
        let n = $n;
        let start = Instant::now();
        let other = tokio::spawn(async move {
            while let Some($message) = from_here.recv().await {
                let $sender = &back;
                $send.expect("a receiver");
            }
        });
        for $message in 0..n / 2 {
            {
                let $sender = &there;
                $send.expect("a receiver");
            }
            black_box(from_there.recv().await.expect("an answer"));
        }
        drop(there);
        other.await.expect("no panics");
        start.elapsed()
    }};
}

macro_rules! tokio_stream {
    ($make:expr, $n:expr, |$sender:ident, $message:ident| $send:expr) => {{
        let (there, mut from_here) = $make;
        let n = $n;
        let start = Instant::now();
        let other = tokio::spawn(async move {
            for $message in 0..n {
                let $sender = &there;
                $send.expect("a receiver");
            }
        });
        while let Some(message) = from_here.recv().await {
            black_box(message);
        }
        other.await.expect("no panics");
        start.elapsed()
    }};
}

fn tokio_tasks(command: &str, n: u64) -> Option<Duration> {
    use tokio::sync::mpsc::{channel, unbounded_channel};
    let command = command.to_owned();
    tokio_runtime(1).block_on(async move {
        let task = tokio::spawn(async move {
            Some(match command.as_str() {
                "hops-tasks-unbounded" => {
                    tokio_hops!(unbounded_channel(), n, |sender, message| sender
                        .send(message))
                }
                "hops-tasks-bounded" => {
                    tokio_hops!(channel(1), n, |sender, message| sender.send(message).await)
                }
                "stream-tasks-unbounded" => {
                    tokio_stream!(unbounded_channel(), n, |sender, message| sender
                        .send(message))
                }
                "stream-tasks-bounded" => {
                    tokio_stream!(channel(CAPACITY), n, |sender, message| sender
                        .send(message)
                        .await)
                }
                "select-tasks" => {
                    let (first, mut from_first) = channel(CAPACITY);
                    let (second, mut from_second) = channel(CAPACITY);
                    let start = Instant::now();
                    let other = tokio::spawn(async move {
                        for message in 0..n {
                            let sender = if message % 2 == 0 { &first } else { &second };
                            sender.send(message).await.expect("a receiver");
                        }
                    });
                    for _ in 0..n {
                        let message = tokio::select! {
                            Some(message) = from_first.recv() => message,
                            Some(message) = from_second.recv() => message,
                        };
                        black_box(message);
                    }
                    other.await.expect("no panics");
                    start.elapsed()
                }
                _ => return None,
            })
        });
        task.await.expect("no panics")
    })
}

fn may_tasks(command: &str, n: u64) -> Option<Duration> {
    let hops = match command {
        "hops-tasks-unbounded" => true,
        "stream-tasks-unbounded" => false,
        _ => return None,
    };
    may::config().set_workers(1);
    let body = move || {
        let (there, from_here) = may::sync::mpsc::channel();
        let (back, from_there) = may::sync::mpsc::channel();
        let start = Instant::now();
        // SAFETY: neither touches thread-local storage, and their stacks suffice.
        let other = unsafe {
            may::coroutine::spawn(move || {
                if hops {
                    while let Ok(message) = from_here.recv() {
                        back.send(message).expect("a receiver");
                    }
                } else {
                    while let Ok(message) = from_here.recv() {
                        black_box::<u64>(message);
                    }
                }
            })
        };
        for message in 0..if hops { n / 2 } else { n } {
            there.send(message).expect("a receiver");
            if hops {
                black_box(from_there.recv().expect("an answer"));
            }
        }
        drop(there);
        other.join().expect("no panics");
        start.elapsed()
    };
    // SAFETY: as above.
    let task = unsafe { may::coroutine::spawn(body) };
    Some(task.join().expect("no panics"))
}

/// Sends `n` messages as `command` says; `None` if the contender has no such thing.
pub(super) fn run(
    fixed: &mut Fixed,
    contender: &str,
    command: &str,
    senders: u64,
    receivers: u64,
    n: u64,
) -> Option<Duration> {
    let bounded = Some(CAPACITY);
    Some(match (command, contender) {
        ("stream-threads-bounded", "ropewalk") => {
            stream_threads::<Ropewalk>(bounded, senders, receivers, n)
        }
        ("stream-threads-bounded", "crossbeam") => {
            stream_threads::<Crossbeam>(bounded, senders, receivers, n)
        }
        ("stream-threads-bounded", "flume") => {
            stream_threads::<Flume>(bounded, senders, receivers, n)
        }
        ("stream-threads-bounded", "std") => stream_threads::<Std>(bounded, senders, receivers, n),
        ("stream-threads-unbounded", "ropewalk") => {
            stream_threads::<Ropewalk>(None, senders, receivers, n)
        }
        ("stream-threads-unbounded", "crossbeam") => {
            stream_threads::<Crossbeam>(None, senders, receivers, n)
        }
        ("stream-threads-unbounded", "flume") => {
            stream_threads::<Flume>(None, senders, receivers, n)
        }
        ("stream-threads-unbounded", "std") => stream_threads::<Std>(None, senders, receivers, n),
        ("hops-threads-rendezvous", "ropewalk") => hop_threads::<Ropewalk>(n),
        ("hops-threads-rendezvous", "crossbeam") => hop_threads::<Crossbeam>(n),
        ("hops-threads-rendezvous", "flume") => hop_threads::<Flume>(n),
        ("hops-threads-rendezvous", "std") => hop_threads::<Std>(n),
        ("select-threads", "ropewalk") => {
            select_threads::<Ropewalk>(n, |first, second, n| ropewalk_select(&first, &second, n))
        }
        ("select-threads", "crossbeam") => select_threads::<Crossbeam>(n, |first, second, n| {
            for _ in 0..n {
                let message = crossbeam_channel::select! {
                    recv(first) -> message => message,
                    recv(second) -> message => message,
                };
                let _ = black_box(message);
            }
        }),
        ("select-threads", "flume") => select_threads::<Flume>(n, |first, second, n| {
            for _ in 0..n {
                let message = flume::Selector::new()
                    .recv(&first, |message| message)
                    .recv(&second, |message| message)
                    .wait();
                let _ = black_box(message);
            }
        }),
        (_, "ropewalk") => return ropewalk_tasks(fixed, command, n),
        (_, "tokio") => return tokio_tasks(command, n),
        (_, "may") => return may_tasks(command, n),
        _ => return None,
    })
}
