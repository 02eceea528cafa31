//! Reading, writing, closing.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::time::Duration;

use ropewalk_rt::net::{Shutdown, TcpStream};
use ropewalk_rt::{coroutine, spawn};

use super::{listener, pair};
use crate::stage::{in_coroutines, on_each, until_waiting};

// A hundred connections at once, each echoed line by line.
#[test]
fn a_hundred_echoes() {
    const CLIENTS: u8 = 100;
    on_each(|| {
        let (listener, addr) = listener();
        let server = spawn(move || {
            coroutine::scope(|s| {
                for _ in 0..CLIENTS {
                    let (mut stream, _) = listener.accept().unwrap();
                    s.spawn(move || {
                        let mut buf = [0; 256];
                        loop {
                            match stream.read(&mut buf).unwrap() {
                                0 => break,
                                n => stream.write_all(&buf[..n]).unwrap(),
                            }
                        }
                    });
                }
            });
        });
        coroutine::scope(|s| {
            for n in 0..CLIENTS {
                s.spawn(move || {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    for round in 0..20 {
                        let sent = [n ^ round; 100];
                        stream.write_all(&sent).unwrap();
                        let mut back = [0; 100];
                        stream.read_exact(&mut back).unwrap();
                        assert_eq!(back, sent);
                    }
                });
            }
        });
        server.join().unwrap();
    });
}

// One side says that it has no more to send, and still reads the answer to all it sent.
#[test]
fn half_closing() {
    on_each(|| {
        let (mut client, mut server) = pair();
        let answering = spawn(move || {
            let mut question = String::new();
            server.read_to_string(&mut question).unwrap();
            server
                .write_all(question.to_uppercase().as_bytes())
                .unwrap();
        });
        client.write_all(b"what is ").unwrap();
        coroutine::yield_now();
        client.write_all(b"asked").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "WHAT IS ASKED");
        answering.join().unwrap();
        assert_eq!(
            client.write(b"more").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        assert_eq!(client.read(&mut [0; 4]).unwrap(), 0, "an end stays an end");
    });
}

// Shutting down from elsewhere ends a read that waits, with 0.
#[test]
fn shutting_down_ends_a_waiting_read() {
    in_coroutines(|| {
        for how in [Shutdown::Read, Shutdown::Both] {
            let (client, server) = pair();
            coroutine::scope(|s| {
                let reader = s.spawn(|| (&client).read(&mut [0; 10]).unwrap());
                until_waiting(reader.id(), "reading");
                client.shutdown(how).unwrap();
                assert_eq!(reader.join().unwrap(), 0);
            });
            drop(server);
        }
    });
}

// The peer goes while a read waits: 0. It goes with data unread on its side: a reset.
#[test]
fn a_peer_that_goes_ends_a_waiting_read() {
    in_coroutines(|| {
        let (mut client, server) = pair();
        let reader = spawn(move || (client.read(&mut [0; 10]).unwrap(), client));
        until_waiting(reader.id(), "reading");
        drop(server);
        let (read, mut client) = reader.join().unwrap();
        assert_eq!(read, 0);
        assert_eq!(client.read(&mut [0; 10]).unwrap(), 0);
    });
}

// A connection that was reset says so to who reads and, once that is known, to who writes; it
// also wakes who waits.
#[test]
fn a_reset() {
    on_each(|| {
        let (mut client, server) = pair();
        server.set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        let error = client.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let error = client.write(b"to nobody").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
    in_coroutines(|| {
        let (mut client, server) = pair();
        let reader = spawn(move || client.read(&mut [0; 10]).unwrap_err().kind());
        until_waiting(reader.id(), "reading");
        server.set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        assert_eq!(reader.join().unwrap(), ErrorKind::ConnectionReset);

        // The same for one that waits for room to write.
        let (mut client, server) = pair();
        let writer = spawn(move || {
            let chunk = vec![0; 1 << 16];
            loop {
                if let Err(error) = client.write_all(&chunk) {
                    return error.kind();
                }
            }
        });
        until_waiting(writer.id(), "writing");
        server.set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        let kind = writer.join().unwrap();
        assert!(
            matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            "{kind}"
        );
    });
}

// 64 MiB to a reader that dawdles: all arrive, in order; the writer waits for room.
#[test]
fn a_large_transfer_to_a_slow_reader() {
    const TOTAL: usize = 64 << 20;
    const CHUNK: usize = 256 << 10;
    const PERIOD: usize = 251;
    on_each(|| {
        let pattern: Vec<u8> = (0..CHUNK + PERIOD).map(|at| (at % PERIOD) as u8).collect();
        let (mut client, mut server) = pair();
        coroutine::scope(|s| {
            s.spawn(|| {
                let mut sent = 0;
                while sent < TOTAL {
                    let from = sent % PERIOD;
                    let len = CHUNK.min(TOTAL - sent);
                    sent += client.write(&pattern[from..from + len]).unwrap();
                }
                client.shutdown(Shutdown::Write).unwrap();
            });
            let mut buf = vec![0; CHUNK];
            let (mut received, mut reads) = (0, 0);
            loop {
                let n = server.read(&mut buf).unwrap();
                if n == 0 {
                    break;
                }
                let from = received % PERIOD;
                assert!(
                    buf[..n] == pattern[from..from + n],
                    "wrong after {received}"
                );
                received += n;
                reads += 1;
                if reads % 16 == 0 {
                    coroutine::sleep(Duration::from_micros(200));
                }
            }
            assert_eq!(received, TOTAL);
        });
    });
}

// Peeking leaves what it shows for the next read, whether it had to wait or not.
#[test]
fn peeking() {
    on_each(|| {
        let (mut client, mut server) = pair();
        coroutine::scope(|s| {
            s.spawn(|| client.write_all(b"hello").unwrap());
            let mut buf = [0; 3];
            let mut n = server.peek(&mut buf).unwrap();
            while n < 3 {
                n = server.peek(&mut buf).unwrap();
            }
            assert_eq!(&buf, b"hel");
            assert_eq!(server.peek(&mut buf).unwrap(), 3);
            let mut all = [0; 5];
            server.read_exact(&mut all).unwrap();
            assert_eq!(&all, b"hello");
        });
        server
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        assert_eq!(
            server.peek(&mut [0; 1]).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        drop(client);
        server.set_read_timeout(None).unwrap();
        assert_eq!(server.peek(&mut [0; 1]).unwrap(), 0);
    });
}

// A short peek doesn't make later reads believe that there is nothing.
#[test]
fn peeking_then_reading_more_than_there_is() {
    on_each(|| {
        let (mut client, mut server) = pair();
        for round in 0..50u8 {
            client.write_all(&[round; 10]).unwrap();
            let mut buf = [0; 64];
            let seen = server.peek(&mut buf).unwrap();
            assert!(buf[..seen].iter().all(|&byte| byte == round));
            let mut left = 10;
            while left > 0 {
                let n = server.read(&mut buf).unwrap();
                assert!(n > 0 && buf[..n].iter().all(|&byte| byte == round));
                left -= n;
            }
        }
    });
}

// Several buffers go out in order and come in in order; empty ones are skipped.
#[test]
fn vectored_reads_and_writes() {
    on_each(|| {
        let (client, server) = pair();
        coroutine::scope(|s| {
            let reader = s.spawn(|| {
                let (mut head, mut none, mut tail) = ([0; 3], [0; 0], [0; 100]);
                let mut text = Vec::new();
                while text.len() < 11 {
                    let mut bufs = [
                        IoSliceMut::new(&mut head),
                        IoSliceMut::new(&mut none),
                        IoSliceMut::new(&mut tail),
                    ];
                    let n = (&server).read_vectored(&mut bufs).unwrap();
                    assert!(n > 0);
                    let both = [&head[..], &tail[..]].concat();
                    text.extend_from_slice(&both[..n]);
                }
                text
            });
            let bufs = [b"hello" as &[u8], b"", b" ", b"world"].map(IoSlice::new);
            let sent = (&client).write_vectored(&bufs).unwrap();
            assert_eq!(sent, 11);
            assert_eq!(reader.join().unwrap(), b"hello world");
        });
        assert_eq!((&server).read_vectored(&mut []).unwrap(), 0);
        assert_eq!((&client).write_vectored(&[]).unwrap(), 0);
        // More pieces than the system takes in one call.
        let pieces: Vec<_> = (0..2_000).map(|_| IoSlice::new(b"ab")).collect();
        let sent = (&client).write_vectored(&pieces).unwrap();
        assert!(sent > 0 && sent <= 4_000);
        let mut back = vec![0; sent];
        (&server).read_exact(&mut back).unwrap();
        assert!(back.chunks(2).all(|pair| b"ab".starts_with(pair)));
    });
}

// Reading into nothing and writing nothing is done at once, whatever the connection's state.
#[test]
fn empty_reads_and_writes() {
    on_each(|| {
        let (mut client, server) = pair();
        assert_eq!(client.read(&mut []).unwrap(), 0);
        assert_eq!(client.write(&[]).unwrap(), 0);
        drop(server);
        assert_eq!(client.read(&mut []).unwrap(), 0);
    });
}

// Reads come back short when there is less, and the rest comes later: nothing is waited for
// that isn't asked.
#[test]
fn short_reads() {
    on_each(|| {
        let (mut client, mut server) = pair();
        let mut buf = [0; 100];
        for size in [1usize, 5, 99, 100, 1, 100, 3] {
            client.write_all(&vec![7; size]).unwrap();
            let mut got = 0;
            while got < size {
                got += server.read(&mut buf).unwrap();
            }
            assert_eq!(got, size);
        }
        // All that is there, piece by piece, then the end.
        client.write_all(&[1; 250]).unwrap();
        drop(client);
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, [1; 250]);
    });
}

// The small settings are the system's.
#[test]
fn options() {
    on_each(|| {
        let (client, server) = pair();
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
        assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
        for on in [true, false] {
            client.set_nodelay(on).unwrap();
            assert_eq!(client.nodelay().unwrap(), on);
        }
        client.set_ttl(42).unwrap();
        assert_eq!(client.ttl().unwrap(), 42);
        assert!(client.take_error().unwrap().is_none());
        let error = client.set_linger(Some(Duration::from_secs(1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        client.set_linger(None).unwrap();
        let text = format!("{client:?}");
        assert!(
            text.contains(&client.local_addr().unwrap().to_string()),
            "{text}"
        );
    });
}
