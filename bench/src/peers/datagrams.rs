//! The contenders' side of `udp`: pairs of sockets on 127.0.0.1, all tasks on one worker.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::waiting::{Fixed, run_on_tokio, split, timed};

/// How many bytes a datagram has.
const DATAGRAM_BYTES: usize = 64;
/// The buffer that one is received into.
const BUFFER_BYTES: usize = 1500;
const ANYWHERE: &str = "127.0.0.1:0";

/// Moves about `n` datagrams as `command` says, over so many pairs and with so many under way at
/// most in each; `None` if the contender has no such thing.
pub(super) fn run(
    fixed: &mut Fixed,
    contender: &str,
    command: &str,
    [pairs, window, n]: [u64; 3],
) -> Option<Duration> {
    let command = command.strip_prefix("udp-")?;
    let rounds: Vec<u64> = split(n / (window + 1), pairs).collect();
    let connected = match command {
        "connected" => true,
        "from" => false,
        "batch" if contender.starts_with("ropewalk") => {
            return Some(in_batches(fixed.ropewalk(1), rounds.iter().sum(), window));
        }
        _ => return None,
    };
    match contender {
        "ropewalk" | "ropewalk-epoll" => {
            Some(with_ropewalk(fixed.ropewalk(1), connected, &rounds, window))
        }
        "tokio" => {
            let all = with_tokio(connected, rounds, window);
            Some(run_on_tokio(fixed.tokio(1), all))
        }
        _ => None,
    }
}

fn with_ropewalk(
    runtime: &ropewalk::Runtime,
    connected: bool,
    rounds: &[u64],
    window: u64,
) -> Duration {
    use ropewalk::net::UdpSocket;
    let socket = || {
        let socket = UdpSocket::bind(ANYWHERE).expect("a socket");
        let addr = socket.local_addr().expect("an address");
        (socket, addr)
    };
    let send = move |socket: &UdpSocket, to: SocketAddr| {
        let datagram = [7; DATAGRAM_BYTES];
        let sent = match connected {
            true => socket.send(&datagram),
            false => socket.send_to(&datagram, to),
        };
        assert_eq!(sent.expect("sent"), DATAGRAM_BYTES);
    };
    let receive = move |socket: &UdpSocket| {
        let mut buf = [0; BUFFER_BYTES];
        let len = match connected {
            true => socket.recv(&mut buf),
            false => socket.recv_from(&mut buf).map(|(len, _)| len),
        };
        assert_eq!(len.expect("received"), DATAGRAM_BYTES);
    };
    runtime.run(|| {
        let mut tasks = Vec::new();
        let mut starts = Vec::new();
        for rounds in rounds.iter().copied() {
            let ((one, one_addr), (other, other_addr)) = (socket(), socket());
            if connected {
                one.connect(other_addr).expect("connected");
                other.connect(one_addr).expect("connected");
            }
            starts.push(move || {
                for _ in 0..rounds {
                    (0..window).for_each(|_| send(&one, other_addr));
                    receive(&one);
                }
            });
            tasks.push(ropewalk::spawn(move || {
                for _ in 0..rounds {
                    (0..window).for_each(|_| receive(&other));
                    send(&other, one_addr);
                }
            }));
        }
        timed(|| {
            tasks.extend(starts.into_iter().map(ropewalk::spawn));
            for task in tasks {
                task.join().expect("no panics");
            }
        })
    })
}

/// One pair; a window is sent, and received, with as few calls as can be.
fn in_batches(runtime: &ropewalk::Runtime, rounds: u64, window: u64) -> Duration {
    use ropewalk::net::{DatagramBatch, UdpSocket};
    let window = window as usize;
    runtime.run(|| {
        let one = UdpSocket::bind(ANYWHERE).expect("a socket");
        let other = UdpSocket::bind(ANYWHERE).expect("a socket");
        let one_addr = one.local_addr().expect("an address");
        let other_addr = other.local_addr().expect("an address");
        let receiving = move || {
            let mut batch = DatagramBatch::new(window, BUFFER_BYTES);
            for _ in 0..rounds {
                let mut count = 0;
                while count < window {
                    count += other.recv_batch(&mut batch).expect("received");
                }
                other.send_to(&[7; DATAGRAM_BYTES], one_addr).expect("sent");
            }
        };
        let sending = move || {
            let datagrams = vec![([7; DATAGRAM_BYTES], other_addr); window];
            let mut buf = [0; BUFFER_BYTES];
            for _ in 0..rounds {
                let mut left = &datagrams[..];
                while !left.is_empty() {
                    left = &left[one.send_batch(left).expect("sent")..];
                }
                one.recv_from(&mut buf).expect("received");
            }
        };
        timed(|| {
            let tasks = [ropewalk::spawn(receiving), ropewalk::spawn(sending)];
            for task in tasks {
                task.join().expect("no panics");
            }
        })
    })
}

async fn send(socket: &tokio::net::UdpSocket, to: SocketAddr, connected: bool) {
    let datagram = [7; DATAGRAM_BYTES];
    let sent = match connected {
        true => socket.send(&datagram).await,
        false => socket.send_to(&datagram, to).await,
    };
    assert_eq!(sent.expect("sent"), DATAGRAM_BYTES);
}

async fn receive(socket: &tokio::net::UdpSocket, connected: bool) {
    let mut buf = [0; BUFFER_BYTES];
    let len = match connected {
        true => socket.recv(&mut buf).await,
        false => socket.recv_from(&mut buf).await.map(|(len, _)| len),
    };
    assert_eq!(len.expect("received"), DATAGRAM_BYTES);
}

fn with_tokio(
    connected: bool,
    rounds: Vec<u64>,
    window: u64,
) -> impl Future<Output = Duration> + Send + 'static {
    async fn socket() -> (Arc<tokio::net::UdpSocket>, SocketAddr) {
        let socket = tokio::net::UdpSocket::bind(ANYWHERE).await;
        let socket = socket.expect("a socket");
        let addr = socket.local_addr().expect("an address");
        (Arc::new(socket), addr)
    }
    async move {
        let mut tasks = Vec::new();
        let mut starts = Vec::new();
        for rounds in rounds {
            let ((one, one_addr), (other, other_addr)) = (socket().await, socket().await);
            if connected {
                one.connect(other_addr).await.expect("connected");
                other.connect(one_addr).await.expect("connected");
            }
            starts.push(async move {
                for _ in 0..rounds {
                    for _ in 0..window {
                        send(&one, other_addr, connected).await;
                    }
                    receive(&one, connected).await;
                }
            });
            tasks.push(tokio::spawn(async move {
                for _ in 0..rounds {
                    for _ in 0..window {
                        receive(&other, connected).await;
                    }
                    send(&other, one_addr, connected).await;
                }
            }));
        }
        let start = std::time::Instant::now();
        tasks.extend(starts.into_iter().map(tokio::spawn));
        for task in tasks {
            task.await.expect("no panics");
        }
        start.elapsed()
    }
}
