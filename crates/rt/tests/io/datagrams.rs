//! What datagram sockets do, whatever their family.

use std::io::{ErrorKind, IoSliceMut};
use std::time::Duration;

use ropewalk_rt::net::UdpSocket;
use ropewalk_rt::net::unix::UnixDatagram;
use ropewalk_rt::{cancel, coroutine, spawn};

use crate::process::well_alone;
use crate::stage::{in_coroutines, on_each, until_waiting};

fn udp() -> (UdpSocket, UdpSocket) {
    let one = UdpSocket::bind("127.0.0.1:0").unwrap();
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    one.connect(other.local_addr().unwrap()).unwrap();
    other.connect(one.local_addr().unwrap()).unwrap();
    (one, other)
}

fn unix() -> (UnixDatagram, UnixDatagram) {
    UnixDatagram::pair().unwrap()
}

/// The suite for one type; `$pair` makes two that are connected with each other.
macro_rules! suite {
    ($name:ident: $socket:ident = $pair:ident) => {
        mod $name {
            use super::*;

            // Each arrives by itself, an empty one too, and what the buffer has no room for is
            // told and gone.
            #[test]
            fn borders() {
                on_each(|| {
                    let (one, other) = $pair();
                    for text in ["a", "", "longer", "longer"] {
                        assert_eq!(one.send(text.as_bytes()).unwrap(), text.len());
                    }
                    let mut buf = [0; 4];
                    assert_eq!(other.recv(&mut buf).unwrap(), 1);
                    assert_eq!(other.recv(&mut buf).unwrap(), 0);
                    assert_eq!(other.peek(&mut buf).unwrap(), 4);
                    assert_eq!(other.peek_datagram(&mut []).unwrap().full_len, 6);
                    assert_eq!(other.peek_from(&mut buf[..2]).unwrap().0, 2);
                    let cut = other.recv_datagram(&mut buf).unwrap();
                    assert_eq!((cut.len, cut.full_len, cut.is_truncated()), (4, 6, true));
                    let mut more = [0; 4];
                    let mut bufs = [IoSliceMut::new(&mut buf), IoSliceMut::new(&mut more)];
                    let whole = other.recv_datagram_vectored(&mut bufs).unwrap();
                    assert_eq!((whole.len, whole.is_truncated()), (6, false));
                    assert_eq!((&buf, &more[..2]), (b"long", &b"er"[..]));
                });
            }

            // A buffer of no length takes a datagram, too.
            #[test]
            fn into_nothing() {
                on_each(|| {
                    let (one, other) = $pair();
                    one.send(b"gone").unwrap();
                    one.send(b"here").unwrap();
                    assert_eq!(other.recv(&mut []).unwrap(), 0);
                    assert_eq!(other.recv(&mut [0; 10]).unwrap(), 4);
                });
            }

            // Requests and answers, among several at once, by both forms of receiving.
            #[test]
            fn ping_pong() {
                on_each(|| {
                    coroutine::scope(|s| {
                        for n in 0..8u8 {
                            let (one, other) = $pair();
                            s.spawn(move || {
                                let mut buf = [0; 10];
                                loop {
                                    match other.recv_from(&mut buf).unwrap().0 {
                                        0 => break,
                                        len => other.send(&buf[..len]).unwrap(),
                                    };
                                }
                            });
                            s.spawn(move || {
                                let mut buf = [0; 10];
                                for round in 0..200u8 {
                                    one.send(&[n, round]).unwrap();
                                    assert_eq!(one.recv(&mut buf).unwrap(), 2);
                                    assert_eq!(&buf[..2], [n, round]);
                                }
                                one.send(b"").unwrap();
                            });
                        }
                    });
                });
            }

            // A receive that ended too early, by time or cancellation, has taken nothing.
            #[test]
            fn receives_that_end_early() {
                on_each(|| {
                    let (one, other) = $pair();
                    let short = Duration::from_millis(3);
                    let mut buf = [0; 10];
                    other.set_read_timeout(Some(short)).unwrap();
                    let error = other.recv(&mut buf).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    let error = other.recv_datagram(&mut buf).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    other.set_read_timeout(None).unwrap();
                    let late = cancel::timeout(short, || other.recv_from(&mut buf));
                    let error = late.unwrap_err().into_inner().unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    one.send(b"kept").unwrap();
                    assert_eq!(other.recv(&mut buf).unwrap(), 4);
                });
            }

            #[test]
            fn cancelled_receives() {
                in_coroutines(|| {
                    let (one, other) = $pair();
                    let other = &other;
                    coroutine::scope(|s| {
                        let receiving = [
                            s.spawn(move || other.recv(&mut [0; 10]).map(drop)),
                            s.spawn(move || other.recv_datagram(&mut [0; 10]).map(drop)),
                        ];
                        for receiving in receiving {
                            until_waiting(receiving.id(), "reading");
                            receiving.cancel();
                            let error = receiving.join().unwrap().unwrap_err();
                            assert!(error.to_string().contains("cancelled"), "{error}");
                        }
                        one.send(b"kept").unwrap();
                        assert_eq!(other.recv(&mut [0; 10]).unwrap(), 4);
                    });
                });
            }

            // Each is received by one, whole.
            #[test]
            fn several_receivers() {
                on_each(|| {
                    let (one, other) = $pair();
                    let other = &other;
                    coroutine::scope(|s| {
                        let receiving: Vec<_> = (0..3)
                            .map(|_| {
                                s.spawn(move || {
                                    let (mut sum, mut buf) = (0, [0; 100]);
                                    loop {
                                        match other.recv(&mut buf).unwrap() {
                                            0 => break sum,
                                            len => {
                                                assert_eq!(len, usize::from(buf[0]));
                                                sum += len;
                                            }
                                        }
                                    }
                                })
                            })
                            .collect();
                        for n in 1..=90u8 {
                            one.send(&vec![n; usize::from(n)]).unwrap();
                            coroutine::yield_now();
                        }
                        for _ in 0..3 {
                            one.send(b"").unwrap();
                        }
                        let sums = receiving
                            .into_iter()
                            .map(|receiving| receiving.join().unwrap());
                        assert_eq!(sums.sum::<usize>(), 90 * 91 / 2);
                    });
                });
            }

            // The peer is gone: told, and no more than that. In a process of its own: while
            // another test starts one, that has the closed socket for a moment, too.
            #[test]
            fn no_peer() {
                well_alone(&[], || {
                    on_each(|| {
                        let (one, other) = $pair();
                        drop(other);
                        // UDP learns of it from what it sent before, once the answer is here.
                        let error = loop {
                            match one.send(b"x") {
                                Ok(_) => coroutine::yield_now(),
                                Err(error) => break error,
                            }
                        };
                        let told = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
                        assert!(told.contains(&error.kind()), "{error}");
                    });
                });
            }

            // Clones share the socket; descriptors go to std and come back.
            #[test]
            fn clones_and_conversions() {
                on_each(|| {
                    let (one, other) = $pair();
                    let clone = other.try_clone().unwrap();
                    drop(other);
                    one.send(b"x").unwrap();
                    let back = spawn(move || {
                        assert_eq!(clone.recv(&mut [0; 10]).unwrap(), 1);
                        clone
                    });
                    let clone = $socket::from(std::os::fd::OwnedFd::from(back.join().unwrap()));
                    clone.send(b"back").unwrap();
                    assert_eq!(one.recv(&mut [0; 10]).unwrap(), 4);
                });
            }
        }
    };
}

suite!(udp_socket: UdpSocket = udp);
suite!(unix_datagram: UnixDatagram = unix);
