//! Deadlines of reads, writes and connects.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use ropewalk_rt::net::TcpStream;
use ropewalk_rt::{coroutine, spawn};
use socket2::{Domain, Socket, Type};

use super::pair;
use crate::stage::{on_each, until};

const MOMENT: Duration = Duration::from_millis(5);

// A read that times out has taken nothing: what comes later is read whole.
#[test]
fn a_read_times_out() {
    on_each(|| {
        let (mut client, mut server) = pair();
        assert_eq!(client.read_timeout().unwrap(), None);
        client.set_read_timeout(Some(MOMENT)).unwrap();
        assert_eq!(client.read_timeout().unwrap(), Some(MOMENT));
        for _ in 0..3 {
            let begun = Instant::now();
            let error = client.read(&mut [0; 10]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(begun.elapsed() >= MOMENT);
        }
        server.write_all(b"late").unwrap();
        client.set_read_timeout(None).unwrap();
        let mut buf = [0; 4];
        client.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"late");
        // The other direction has a limit of its own.
        client.set_read_timeout(Some(MOMENT)).unwrap();
        client.write_all(b"x").unwrap();
        assert_eq!(server.read(&mut buf).unwrap(), 1);
    });
}

// A write without room times out; what was taken before arrives, and no more.
#[test]
fn a_write_times_out() {
    on_each(|| {
        let (mut client, mut server) = pair();
        client.set_write_timeout(Some(MOMENT)).unwrap();
        assert_eq!(client.write_timeout().unwrap(), Some(MOMENT));
        let chunk = vec![5; 1 << 16];
        let mut sent = 0;
        let error = loop {
            match client.write(&chunk) {
                Ok(n) => sent += n,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(client);
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), sent);
    });
}

// A time-out of nothing is refused, as in std.
#[test]
fn zero_is_no_time_out() {
    on_each(|| {
        let (client, server) = pair();
        let refused = [
            client.set_read_timeout(Some(Duration::ZERO)),
            client.set_write_timeout(Some(Duration::ZERO)),
            TcpStream::connect_timeout(&server.local_addr().unwrap(), Duration::ZERO).map(drop),
        ];
        for result in refused {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(client.read_timeout().unwrap(), None);
        // Longer than can be told: for ever.
        client.set_read_timeout(Some(Duration::MAX)).unwrap();
        (&server).write_all(b"y").unwrap();
        assert_eq!((&client).read(&mut [0; 1]).unwrap(), 1);
    });
}

// Data comes at about the time the deadline passes: it is given by this read or the next, and
// never lost or doubled.
#[test]
fn a_deadline_races_with_data() {
    const ROUNDS: u32 = 400;
    on_each(|| {
        let (mut client, mut server) = pair();
        let writer = spawn(move || {
            for n in 0..ROUNDS {
                coroutine::sleep(Duration::from_micros(u64::from(n * 7 % 120)));
                server.write_all(&n.to_be_bytes()).unwrap();
            }
        });
        client
            .set_read_timeout(Some(Duration::from_micros(60)))
            .unwrap();
        let (mut bytes, mut late) = (Vec::new(), 0);
        loop {
            let mut buf = [0; 4];
            match client.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => bytes.extend_from_slice(&buf[..n]),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    late += 1;
                }
            }
        }
        writer.join().unwrap();
        let sent: Vec<u8> = (0..ROUNDS).flat_map(u32::to_be_bytes).collect();
        assert!(
            bytes == sent,
            "{} of {} bytes, {late} late",
            bytes.len(),
            sent.len()
        );
    });
}

// The same for writes: what a write said it took arrives once.
#[test]
fn a_deadline_races_with_room() {
    on_each(|| {
        let (mut client, mut server) = pair();
        let reader = spawn(move || {
            let mut total = 0;
            let mut buf = vec![0; 1 << 16];
            for round in 0u64.. {
                match server.read(&mut buf).unwrap() {
                    0 => break,
                    n => total += n,
                }
                if round % 4 == 0 {
                    coroutine::sleep(Duration::from_micros(round % 150));
                }
            }
            total
        });
        client
            .set_write_timeout(Some(Duration::from_micros(50)))
            .unwrap();
        let chunk = vec![1; 100_000];
        let mut sent = 0;
        for _ in 0..500 {
            match client.write(&chunk) {
                Ok(n) => sent += n,
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
            }
        }
        drop(client);
        assert_eq!(reader.join().unwrap(), sent);
    });
}

// A listener whose queue is full lets connections hang: the attempt ends in time, and leaves
// nothing behind.
#[test]
fn connecting_times_out() {
    on_each(|| {
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = "127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap();
        full.bind(&any.into()).unwrap();
        full.listen(1).unwrap();
        let addr = full.local_addr().unwrap().as_socket().unwrap();
        // The first ones fit into the queue: one for sure, however late anybody looks.
        let mut connected = vec![TcpStream::connect(addr).unwrap()];
        let mut error = None;
        until(|| {
            match TcpStream::connect_timeout(&addr, Duration::from_millis(20)) {
                Ok(stream) => connected.push(stream),
                Err(failed) => error = Some(failed),
            }
            error.is_some()
        });
        assert_eq!(error.unwrap().kind(), ErrorKind::TimedOut);
    });
}

// In time, a connection is made, and reads are not limited by it.
#[test]
fn connecting_in_time() {
    on_each(|| {
        let (listener, addr) = super::listener();
        let client = TcpStream::connect_timeout(&addr, Duration::from_secs(3600)).unwrap();
        assert_eq!(client.read_timeout().unwrap(), None);
        assert_eq!(client.peer_addr().unwrap(), addr);
        drop(listener);
    });
}
