//! UDP on 127.0.0.1 and ::1.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use ropewalk_rt::net::{DatagramBatch, UdpSocket};
use ropewalk_rt::{coroutine, spawn};

use crate::stage::{PATIENCE, on_each};

/// Two sockets that know nothing of each other, and the address of the second.
fn two() -> (UdpSocket, UdpSocket, SocketAddr) {
    let one = UdpSocket::bind("127.0.0.1:0").unwrap();
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap();
    (one, other, addr)
}

// A receive gives one datagram and who sent it, an empty one too.
#[test]
fn borders_and_senders() {
    on_each(|| {
        let (client, server, addr) = two();
        let from = client.local_addr().unwrap();
        for text in ["one", "", "three and more", ""] {
            assert_eq!(client.send_to(text.as_bytes(), addr).unwrap(), text.len());
        }
        let mut buf = [0; 100];
        for text in ["one", "", "three and more", ""] {
            assert_eq!(server.recv_from(&mut buf).unwrap(), (text.len(), from));
            assert_eq!(&buf[..text.len()], text.as_bytes());
        }
    });
}

// What the buffer has no room for is gone; how much it was can be seen, and looked at before.
#[test]
fn truncation() {
    on_each(|| {
        let (client, server, addr) = two();
        for _ in 0..3 {
            client.send_to(b"0123456789", addr).unwrap();
        }
        client.send_to(b"after", addr).unwrap();
        let mut buf = [0; 4];
        assert_eq!(server.recv_from(&mut buf).unwrap().0, 4);
        assert_eq!(&buf, b"0123");
        let ahead = server.peek_datagram(&mut []).unwrap();
        assert_eq!((ahead.len, ahead.full_len), (0, 10));
        assert!(ahead.is_truncated());
        let cut = server.recv_datagram(&mut buf).unwrap();
        assert_eq!((cut.len, cut.full_len), (4, 10));
        assert!(cut.is_truncated());
        let (mut head, mut tail) = ([0; 3], [0; 20]);
        let whole = server
            .recv_datagram_vectored(&mut [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)])
            .unwrap();
        assert_eq!((whole.len, whole.full_len), (10, 10));
        assert!(!whole.is_truncated());
        assert_eq!((&head, &tail[..7]), (b"012", &b"3456789"[..]));
        let mut buf = [0; 100];
        assert_eq!(server.recv(&mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"after");
    });
}

// Many small datagrams into a large buffer: that one came up short doesn't hide the next,
// whether they were there before the wait or come during it.
#[test]
fn short_receives_hide_nothing() {
    on_each(|| {
        let (client, server, addr) = two();
        server.connect(client.local_addr().unwrap()).unwrap();
        let receiving = spawn(move || {
            let mut buf = [0; 1000];
            for round in 0..50u8 {
                for n in 0..4u8 {
                    let len = server.recv(&mut buf).unwrap();
                    assert_eq!(&buf[..len], &[round, n]);
                }
                server.send(&[round]).unwrap();
            }
        });
        let mut buf = [0; 10];
        for round in 0..50u8 {
            for n in 0..4u8 {
                client.send_to(&[round, n], addr).unwrap();
            }
            assert_eq!(client.recv(&mut buf).unwrap(), 1);
            assert_eq!(buf[0], round);
        }
        receiving.join().unwrap();
    });
}

// Connected: only the peer's datagrams come in; a peer that is not there is told of.
#[test]
fn connected() {
    on_each(|| {
        let (client, server, addr) = two();
        assert_eq!(
            client.peer_addr().unwrap_err().kind(),
            ErrorKind::NotConnected
        );
        client.connect(addr).unwrap();
        assert_eq!(client.peer_addr().unwrap(), addr);
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = client.local_addr().unwrap();
        stranger.send_to(b"stranger", to).unwrap();
        server.send_to(b"server", to).unwrap();
        let mut buf = [0; 100];
        let len = client.peek(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"server");
        assert_eq!(client.recv_from(&mut buf).unwrap(), (6, addr));
        // It hears the stranger only: to anybody else nobody is there. (The port of one that is
        // closed may be somebody else's already.)
        server.connect(stranger.local_addr().unwrap()).unwrap();
        client.send(b"anybody there?").unwrap();
        let refused = client.recv(&mut buf).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

// A receive that timed out has taken nothing.
#[test]
fn timeouts_lose_nothing() {
    on_each(|| {
        let (client, server, addr) = two();
        assert!(server.set_read_timeout(Some(Duration::ZERO)).is_err());
        server
            .set_read_timeout(Some(Duration::from_millis(5)))
            .unwrap();
        assert_eq!(
            server.read_timeout().unwrap(),
            Some(Duration::from_millis(5))
        );
        let mut buf = [0; 10];
        for what in [0, 1] {
            let late = match what {
                0 => server.recv(&mut buf).unwrap_err(),
                _ => server.recv_from(&mut buf).unwrap_err(),
            };
            assert_eq!(late.kind(), ErrorKind::TimedOut);
        }
        client.send_to(b"now", addr).unwrap();
        server.set_read_timeout(None).unwrap();
        assert_eq!(server.recv_from(&mut buf).unwrap().0, 3);
    });
}

// One socket, several coroutines: each datagram is received by one of them.
#[test]
fn shared_receivers() {
    on_each(|| {
        let (client, server, addr) = two();
        let server = &server;
        let counts = coroutine::scope(|s| {
            let receivers: Vec<_> = (0..4)
                .map(|_| {
                    s.spawn(move || {
                        let mut buf = [0; 10];
                        let mut count = 0;
                        while server.recv_from(&mut buf).unwrap().0 != 0 {
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            for _ in 0..100 {
                client.send_to(b"x", addr).unwrap();
                coroutine::yield_now();
            }
            for _ in 0..4 {
                client.send_to(b"", addr).unwrap();
            }
            receivers
                .into_iter()
                .map(|receiver| receiver.join().unwrap())
                .sum::<u32>()
        });
        assert_eq!(counts, 100);
    });
}

// Sending: gathered, to the first address of several, errors that are clear.
#[test]
fn sending() {
    on_each(|| {
        let (client, server, addr) = two();
        let parts = [
            IoSlice::new(b"in "),
            IoSlice::new(b""),
            IoSlice::new(b"parts"),
        ];
        assert_eq!(client.send_vectored_to(&parts, addr).unwrap(), 8);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        client.send_to(b"first", &[addr, nowhere][..]).unwrap();
        let mut buf = [0; 100];
        assert_eq!(server.recv(&mut buf).unwrap(), 8);
        assert_eq!(&buf[..8], b"in parts");
        assert_eq!(server.recv(&mut buf).unwrap(), 5);
        let none: &[SocketAddr] = &[];
        let error = client.send_to(b"x", none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = client.send_to(&vec![0; 70_000], addr).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(90), "EMSGSIZE: {error}");
        let error = client.send(b"x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(89), "EDESTADDRREQ: {error}");
    });
}

#[test]
fn ipv6() {
    on_each(|| {
        let Ok(server) = UdpSocket::bind("[::1]:0") else {
            eprintln!("skipped: no ::1 here");
            return;
        };
        let client = UdpSocket::bind("[::1]:0").unwrap();
        client
            .send_to(b"six", server.local_addr().unwrap())
            .unwrap();
        let mut buf = [0; 10];
        let (len, from) = server.recv_from(&mut buf).unwrap();
        assert_eq!((len, from), (3, client.local_addr().unwrap()));
    });
}

// Options are the socket's, and are seen through a clone and through std.
#[test]
fn options() {
    let (socket, ..) = two();
    socket.set_broadcast(true).unwrap();
    socket.set_ttl(7).unwrap();
    socket.set_multicast_ttl_v4(3).unwrap();
    socket.set_multicast_loop_v4(false).unwrap();
    socket.set_recv_buffer_size(40_000).unwrap();
    socket.set_send_buffer_size(40_000).unwrap();
    socket
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let clone = socket.try_clone().unwrap();
    assert_eq!(clone.write_timeout().unwrap(), Some(Duration::from_secs(1)));
    assert!(clone.recv_buffer_size().unwrap() >= 40_000);
    assert!(clone.send_buffer_size().unwrap() >= 40_000);
    assert!(clone.take_error().unwrap().is_none());
    let std = std::net::UdpSocket::from(clone);
    assert!(std.broadcast().unwrap());
    assert_eq!(std.ttl().unwrap(), 7);
    assert_eq!(std.multicast_ttl_v4().unwrap(), 3);
    assert!(!std.multicast_loop_v4().unwrap());
    let again = UdpSocket::from(OwnedFd::from(UdpSocket::from(std)));
    assert_eq!(again.local_addr().unwrap(), socket.local_addr().unwrap());
}

// A socket that std made non-blocking behaves like any other, and stays as it was.
#[test]
fn nonblocking_from_std() {
    on_each(|| {
        let std = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        std.set_nonblocking(true).unwrap();
        let server = UdpSocket::from(std);
        let addr = server.local_addr().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let receiving = spawn(move || {
            let mut buf = [0; 10];
            let one = server.recv_from(&mut buf).unwrap().0;
            let two = server.recv(&mut buf).unwrap();
            (one, two, server)
        });
        coroutine::yield_now();
        client.send_to(b"1", addr).unwrap();
        coroutine::yield_now();
        client.send_to(b"22", addr).unwrap();
        let (one, two, server) = receiving.join().unwrap();
        assert_eq!((one, two), (1, 2));
        let std = std::net::UdpSocket::from(server);
        assert_eq!(
            std.recv(&mut [0; 1]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

// To everybody on the loopback's network: only who has asked for it may, and all who listen hear.
#[test]
fn broadcast() {
    on_each(|| {
        let first = UdpSocket::bind("127.255.255.255:0");
        let Ok(first) = first else {
            eprintln!("skipped: no broadcast address on the loopback here");
            return;
        };
        let all = first.local_addr().unwrap();
        let second = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let refused = sender.send_to(b"not yet", all).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        sender.set_broadcast(true).unwrap();
        let other = (
            Ipv4Addr::new(127, 255, 255, 255),
            second.local_addr().unwrap().port(),
        );
        let from = sender.local_addr().unwrap();
        for (receiver, to) in [(&first, all), (&second, other.into())] {
            let mut buf = [0; 10];
            sender.send_to(b"to all", to).unwrap();
            assert_eq!(receiver.recv_from(&mut buf).unwrap(), (6, from));
        }
    });
}

// Groups on the loopback interface, where the system lets us join one.
#[test]
fn multicast() {
    on_each(|| {
        let group = Ipv4Addr::new(239, 255, 41, 7);
        let receiver = UdpSocket::bind("0.0.0.0:0").unwrap();
        if let Err(error) = receiver.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST) {
            eprintln!("skipped: no multicast on the loopback here: {error}");
            return;
        }
        let port = receiver.local_addr().unwrap().port();
        // A second one on the same port, in the same group.
        let second = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None);
        let second = second.unwrap();
        let shared = [
            socket2::SockRef::from(&receiver),
            socket2::SockRef::from(&second),
        ];
        shared
            .iter()
            .for_each(|socket| socket.set_reuse_address(true).unwrap());
        let here = SocketAddr::from(([0, 0, 0, 0], port));
        second.bind(&here.into()).unwrap();
        let second = UdpSocket::from(std::net::UdpSocket::from(second));
        second
            .join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
            .unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        sender.set_multicast_loop_v4(true).unwrap();
        sender.send_to(b"all", (group, port)).unwrap();
        let from = sender.local_addr().unwrap();
        let mut buf = [0; 10];
        for receiver in [&receiver, &second] {
            receiver.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(receiver.recv_from(&mut buf).unwrap(), (3, from));
            assert_eq!(&buf[..3], b"all");
        }
        for receiver in [&receiver, &second] {
            receiver
                .leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
                .unwrap();
            let again = receiver.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST);
            assert!(again.is_err(), "it is no member any more");
        }
    });
    let Ok(six) = UdpSocket::bind("[::1]:0") else {
        return;
    };
    six.set_multicast_loop_v6(false).unwrap();
    assert!(!six.multicast_loop_v6().unwrap());
    let group = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0x41, 7);
    if six.join_multicast_v6(&group, 1).is_ok() {
        six.leave_multicast_v6(&group, 1).unwrap();
    }
}

// Many at once: those that are there, no more than there is room for, borders and truncation as
// with one; and a wait if there are none.
#[test]
fn batches() {
    on_each(|| {
        let (client, server, addr) = two();
        let from = client.local_addr().unwrap();
        let mut batch = DatagramBatch::new(4, 5);
        assert_eq!((batch.capacity(), batch.len()), (4, 0));
        let texts = ["one", "", "too long", "four", "five", "six"];
        let all = texts.map(|text| (text, addr));
        assert_eq!(client.send_batch(&all).unwrap(), 6);
        assert_eq!(client.send_batch::<&str>(&[]).unwrap(), 0);
        let mut got = Vec::new();
        while got.len() < texts.len() {
            let count = server.recv_batch(&mut batch).unwrap();
            assert!((1..=4).contains(&count) && count == batch.len());
            for (datagram, bytes) in batch.iter() {
                assert_eq!(datagram.from, from);
                assert_eq!(datagram.is_truncated(), datagram.full_len == 8);
                got.push(String::from_utf8(bytes.to_vec()).unwrap());
            }
        }
        assert_eq!(got, ["one", "", "too l", "four", "five", "six"]);

        server
            .set_read_timeout(Some(Duration::from_millis(3)))
            .unwrap();
        let error = server.recv_batch(&mut batch).unwrap_err();
        assert_eq!(
            (error.kind(), batch.is_empty()),
            (ErrorKind::TimedOut, true)
        );
        server.set_read_timeout(None).unwrap();
        // The port stays taken: what is sent below must not come to somebody else.
        let _kept = server.try_clone().unwrap();
        let receiving = spawn(move || server.recv_batch(&mut batch).map(|count| (count, batch)));
        coroutine::yield_now();
        // Of more than one call takes, the rest is the caller's.
        let many = vec![("x", addr); 100];
        assert_eq!(client.send_batch(&many).unwrap(), 64);
        let (count, batch) = receiving.join().unwrap().unwrap();
        assert!((1..=4).contains(&count));
        assert!(
            batch
                .iter()
                .all(|(datagram, bytes)| datagram.len == 1 && bytes == b"x")
        );

        // The first one's error is told; what went before a later one's has gone.
        let long = vec![0; 70_000];
        let error = client.send_batch(&[(&long[..], addr)]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(90), "EMSGSIZE: {error}");
        let mixed = [(&b"x"[..], addr), (&long, addr)];
        assert_eq!(client.send_batch(&mixed).unwrap(), 1);
    });
}
