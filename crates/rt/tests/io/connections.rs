//! What connections do besides being two ways for bytes, whatever their family.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use ropewalk_rt::net::TcpStream;
use ropewalk_rt::net::unix::UnixStream;
use ropewalk_rt::{coroutine, spawn};

use crate::stage::{in_coroutines, on_each, until_waiting};
use crate::ways::tcp;

fn unix() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// The suite for one type; `$pair` makes two that are connected with each other.
macro_rules! suite {
    ($name:ident: $stream:ident = $pair:ident) => {
        mod $name {
            use super::*;

            // One side has no more to send, and still reads the answer to all it sent.
            #[test]
            fn half_closing() {
                on_each(|| {
                    let (mut client, mut server) = $pair();
                    let answering = spawn(move || {
                        let mut question = String::new();
                        server.read_to_string(&mut question).unwrap();
                        server
                            .write_all(question.to_uppercase().as_bytes())
                            .unwrap();
                    });
                    client.write_all(b"question").unwrap();
                    client.shutdown(Shutdown::Write).unwrap();
                    let error = client.write(b"more").unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                    let mut answer = String::new();
                    client.read_to_string(&mut answer).unwrap();
                    assert_eq!(answer, "QUESTION");
                    answering.join().unwrap();
                });
            }

            // Who waits to read is told when reading is shut down beside it.
            #[test]
            fn shut_down_while_waiting() {
                in_coroutines(|| {
                    let (client, _server) = $pair();
                    let client = &client;
                    coroutine::scope(|s| {
                        let reading = s.spawn(move || (&*client).read(&mut [0; 10]).unwrap());
                        until_waiting(reading.id(), "reading");
                        client.shutdown(Shutdown::Read).unwrap();
                        assert_eq!(reading.join().unwrap(), 0);
                    });
                });
            }

            // Looking leaves everything where it is, also for who waits to look.
            #[test]
            fn peeking() {
                on_each(|| {
                    let (client, mut server) = $pair();
                    let peeking = spawn(move || {
                        let mut buf = [0; 3];
                        for _ in 0..3 {
                            assert_eq!(client.peek(&mut buf).unwrap(), 3);
                            assert_eq!(&buf, b"abc");
                        }
                        let mut all = String::new();
                        (&client).read_to_string(&mut all).unwrap();
                        assert_eq!(client.peek(&mut buf).unwrap(), 0);
                        all
                    });
                    coroutine::yield_now();
                    server.write_all(b"abcdef").unwrap();
                    drop(server);
                    assert_eq!(peeking.join().unwrap(), "abcdef");
                });
            }

            // A request and its answer, thousands of times, among several at once.
            #[test]
            fn ping_pong() {
                on_each(|| {
                    coroutine::scope(|s| {
                        for n in 0..8u8 {
                            let (mut client, mut server) = $pair();
                            s.spawn(move || {
                                let mut buf = [0; 1];
                                while server.read(&mut buf).unwrap() != 0 {
                                    server.write_all(&buf).unwrap();
                                }
                            });
                            s.spawn(move || {
                                let mut buf = [0; 1];
                                for round in 0..300u16 {
                                    let byte = n ^ round as u8;
                                    client.write_all(&[byte]).unwrap();
                                    client.read_exact(&mut buf).unwrap();
                                    assert_eq!(buf, [byte]);
                                }
                            });
                        }
                    });
                });
            }

            // A clone is the same connection: it stays while there is one of them.
            #[test]
            fn clones() {
                on_each(|| {
                    let (client, mut server) = $pair();
                    client
                        .set_read_timeout(Some(Duration::from_secs(9)))
                        .unwrap();
                    let mut clone = client.try_clone().unwrap();
                    assert_eq!(clone.read_timeout().unwrap(), Some(Duration::from_secs(9)));
                    assert_ne!(clone.as_raw_fd(), client.as_raw_fd());
                    drop(client);
                    clone.write_all(b"still here").unwrap();
                    assert!(clone.take_error().unwrap().is_none());
                    drop(clone);
                    let mut text = String::new();
                    server.read_to_string(&mut text).unwrap();
                    assert_eq!(text, "still here");
                });
            }

            // Closing with something unread: the peer is told that it was lost.
            #[test]
            fn closing_with_something_unread() {
                on_each(|| {
                    let (mut client, server) = $pair();
                    client.write_all(b"unread").unwrap();
                    // It has arrived.
                    server.peek(&mut [0; 6]).unwrap();
                    drop(server);
                    let mut buf = [0; 10];
                    let error = client.read(&mut buf).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                });
            }

            // To a descriptor and back, and the descriptor is blocking as std's are.
            #[test]
            fn as_a_descriptor() {
                on_each(|| {
                    let (client, mut server) = $pair();
                    let fd = OwnedFd::from(client);
                    // SAFETY: it only asks.
                    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
                    assert_eq!(flags & libc::O_NONBLOCK, 0);
                    let mut client = $stream::from(fd);
                    client.write_all(b"back").unwrap();
                    let mut buf = [0; 4];
                    server.read_exact(&mut buf).unwrap();
                    assert_eq!(&buf, b"back");
                    assert!(format!("{client:?}").contains("fd"));
                });
            }

            #[test]
            fn time_outs_of_0_are_refused() {
                let (client, _server) = $pair();
                for set in [$stream::set_read_timeout, $stream::set_write_timeout] {
                    let error = set(&client, Some(Duration::ZERO)).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::InvalidInput);
                }
            }
        }
    };
}

suite!(tcp_stream: TcpStream = tcp);
suite!(unix_stream: UnixStream = unix);
