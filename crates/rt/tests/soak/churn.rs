//! One round of everything that a service goes through.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use ropewalk_rt::cancel::timeout;
use ropewalk_rt::future::sleep_async;
use ropewalk_rt::net::{TcpListener, TcpSocket, TcpStream};
use ropewalk_rt::{Runtime, channel, coroutine, scope, spawn, spawn_async, thread};

/// What became of the connections and the rest, over all rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    echoed: usize,
    half_closed: usize,
    reset: usize,
    timed_out: usize,
    cancelled: usize,
    abandoned: usize,
    refused: usize,
    by_threads: usize,
    messages: usize,
    timers_cancelled: usize,
    futures_dropped: usize,
}

impl Tally {
    /// Each thing did happen.
    pub(crate) fn check(&self) {
        let all = [
            self.echoed,
            self.half_closed,
            self.reset,
            self.timed_out,
            self.cancelled,
            self.abandoned,
            self.refused,
            self.by_threads,
            self.messages,
            self.timers_cancelled,
            self.futures_dropped,
        ];
        assert!(all.iter().all(|count| *count > 0), "{self:?}");
    }
}

/// Lowers how many descriptors this process may have, if it may have more.
pub(crate) fn limit_descriptors(count: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is valid for both calls, and writable for the first.
    let done = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_max = limit.rlim_max.min(count);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}

/// Does everything at once; `tally` says what came of it.
pub(crate) fn round(runtime: &Runtime, round: usize, tally: &mut Tally) {
    let shared = Mutex::new(std::mem::take(tally));
    let count = |f: fn(&mut Tally)| f(&mut shared.lock().unwrap());
    runtime.run(|| {
        scope(|s| {
            s.spawn(|| connections(round, &count));
            s.spawn(|| messages(&count));
            s.spawn(|| timers(&count));
            s.spawn(|| futures(&count));
        });
        // No round is shorter: the ports of closed connections rest for a minute each.
        coroutine::sleep(Duration::from_millis(10));
    });
    *tally = shared.into_inner().unwrap();
}

type Count<'a> = &'a (dyn Fn(fn(&mut Tally)) + Sync);

fn connections(round: usize, count: Count<'_>) {
    const EACH: usize = 3;
    let (listener, _port) = listener().expect("a port");
    let addr = listener.local_addr().expect("a bound socket");
    scope(|s| {
        let server = s.spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                s.spawn(move || drop(serve(stream)));
            }
        });
        let clients: [fn(SocketAddr, Count<'_>); 8] = [
            echo,
            half_close,
            reset,
            time_out,
            be_cancelled,
            abandon,
            run_into_a_deadline,
            from_a_thread,
        ];
        let visitors: Vec<_> = (0..clients.len() * EACH)
            .map(|n| {
                let client = clients[(n + round) % clients.len()];
                s.spawn(move || client(addr, count))
            })
            .collect();
        for visitor in visitors {
            visitor.join().expect("a client ends");
        }
        // One connection is open while the listener goes, and one comes too late.
        let open = TcpStream::connect(addr).expect("the listener is there");
        server.cancel();
        server.join().expect("the server ends");
        assert!(
            TcpStream::connect(addr).is_err(),
            "nobody listens there now"
        );
        count(|tally| tally.refused += 1);
        drop(open);
    });
}

/// A listener, and what keeps its port when it goes: else another process's is there a moment later.
fn listener() -> io::Result<(TcpListener, TcpSocket)> {
    let bound = |addr| {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseport(true)?;
        socket.bind(addr)?;
        io::Result::Ok(socket)
    };
    let port = bound(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let listener = bound(port.local_addr()?)?.listen(128)?;
    Ok((listener, port))
}

/// Echoes, but answers nothing to who begins with an `s`.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 2000];
    let mut silent = None;
    loop {
        let received = stream.read(&mut buf)?;
        if received == 0 {
            return Ok(());
        }
        if !*silent.get_or_insert(buf[0] == b's') {
            stream.write_all(&buf[..received])?;
        }
    }
}

fn echo(addr: SocketAddr, count: Count<'_>) {
    let mut stream = TcpStream::connect(addr).expect("the listener is there");
    for round in 0..4u8 {
        let sent = [round; 1500];
        stream.write_all(&sent).expect("the peer reads");
        let mut received = [0xff; 1500];
        stream.read_exact(&mut received).expect("the peer answers");
        assert_eq!(sent, received);
    }
    count(|tally| tally.echoed += 1);
}

fn half_close(addr: SocketAddr, count: Count<'_>) {
    let mut stream = TcpStream::connect(addr).expect("the listener is there");
    stream.write_all(b"all of it").expect("the peer reads");
    stream.shutdown(Shutdown::Write).expect("it is connected");
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("the peer ends");
    assert_eq!(received, b"all of it");
    count(|tally| tally.half_closed += 1);
}

fn reset(addr: SocketAddr, count: Count<'_>) {
    let mut stream = TcpStream::connect(addr).expect("the listener is there");
    stream
        .write_all(b"no answer is waited for")
        .expect("the peer reads");
    stream.set_linger(Some(Duration::ZERO)).expect("an option");
    drop(stream);
    count(|tally| tally.reset += 1);
}

fn time_out(addr: SocketAddr, count: Count<'_>) {
    let mut stream = TcpStream::connect(addr).expect("the listener is there");
    stream.write_all(b"silence").expect("the peer reads");
    let patience = Some(Duration::from_micros(500));
    stream.set_read_timeout(patience).expect("an option");
    let error = stream.read(&mut [0; 10]).expect_err("the peer is silent");
    assert!(
        matches!(
            error.kind(),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
        ),
        "{error}"
    );
    count(|tally| tally.timed_out += 1);
}

fn run_into_a_deadline(addr: SocketAddr, count: Count<'_>) {
    let mut stream = TcpStream::connect(addr).expect("the listener is there");
    stream.write_all(b"silence").expect("the peer reads");
    let read = timeout(Duration::from_micros(500), || stream.read(&mut [0; 10]));
    assert!(!matches!(read, Ok(Ok(_))), "the peer is silent");
    count(|tally| tally.timed_out += 1);
}

fn be_cancelled(addr: SocketAddr, count: Count<'_>) {
    let mut stream = TcpStream::connect(addr).expect("the listener is there");
    stream.write_all(b"silence").expect("the peer reads");
    let reader = spawn(move || stream.read(&mut [0; 10]));
    coroutine::yield_now();
    reader.cancel();
    // Cancelled before it began, or in its read.
    assert!(!matches!(reader.join(), Ok(Ok(_))), "the peer is silent");
    count(|tally| tally.cancelled += 1);
}

fn abandon(addr: SocketAddr, count: Count<'_>) {
    drop(TcpStream::connect(addr).expect("the listener is there"));
    count(|tally| tally.abandoned += 1);
}

fn from_a_thread(addr: SocketAddr, count: Count<'_>) {
    let outside = thread::spawn(move || {
        let mut stream = TcpStream::connect(addr)?;
        stream.write_all(b"from outside")?;
        stream.read_exact(&mut [0; 12])?;
        let patience = Some(Duration::from_micros(500));
        stream.set_read_timeout(patience)?;
        let late = stream.read(&mut [0; 10]);
        assert!(late.is_err(), "the peer has said all");
        io::Result::Ok(())
    });
    outside.join().expect("no panic").expect("an echo");
    count(|tally| tally.by_threads += 1);
}

fn messages(count: Count<'_>) {
    for capacity in [0, 1, 10] {
        let (sender, receiver) = channel::bounded(capacity);
        let producers: Vec<_> = (0..3)
            .map(|n| {
                let sender = sender.clone();
                spawn(move || {
                    (0..50)
                        .take_while(|m| sender.send(n * 100 + m).is_ok())
                        .count()
                })
            })
            .collect();
        drop(sender);
        // Leaves in the middle: the producers notice.
        let taken = receiver.iter().take(60).count();
        drop(receiver);
        let sent: usize = producers
            .into_iter()
            .map(|one| one.join().expect("no panic"))
            .sum();
        assert!(taken == 60 && sent >= taken, "{sent} sent, {taken} taken");
        count(|tally| tally.messages += 60);
    }
}

fn timers(count: Count<'_>) {
    let far = Duration::from_secs(3600);
    let sleepers: Vec<_> = (0..20)
        .map(|n| {
            let near = Duration::from_micros(50 * n);
            spawn(move || ropewalk_rt::cancel::sleep(if n % 2 == 0 { near } else { far }))
        })
        .collect();
    for (n, sleeper) in sleepers.into_iter().enumerate() {
        if n % 2 == 1 {
            sleeper.cancel();
        }
        let slept = sleeper.join();
        assert_eq!(matches!(slept, Ok(Ok(()))), n % 2 == 0, "{slept:?}");
        if n % 2 == 1 {
            count(|tally| tally.timers_cancelled += 1);
        }
    }
}

fn futures(count: Count<'_>) {
    let tasks: Vec<_> = (0..20u64)
        .map(|n| {
            spawn_async(async move {
                let far = sleep_async(Duration::from_secs(3600));
                if n % 2 == 0 {
                    drop(far);
                    sleep_async(Duration::from_micros(20 * n)).await;
                } else {
                    far.await;
                }
            })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        if n % 2 == 1 {
            task.cancel();
            count(|tally| tally.futures_dropped += 1);
        }
        assert_eq!(task.join().is_ok(), n % 2 == 0);
    }
}
