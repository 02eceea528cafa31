//! `TcpSocket`, the halves of a stream, and both directions at once.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use ropewalk_rt::coroutine;
use ropewalk_rt::net::unix::UnixStream;
use ropewalk_rt::net::{TcpListener, TcpSocket, TcpStream};

use crate::stage::on_each;

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(loopback()).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

// Options that were set before are there after, and connections take the listener's over.
#[test]
fn options_stay() {
    on_each(|| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        assert!(socket.reuseaddr().unwrap());
        socket.set_recv_buffer_size(30_000).unwrap();
        assert!(socket.recv_buffer_size().unwrap() >= 30_000);
        socket.set_ttl(9).unwrap();
        socket.bind(loopback()).unwrap();
        let addr = socket.local_addr().unwrap();
        let listener = socket.listen(10).unwrap();
        assert_eq!(listener.local_addr().unwrap(), addr);
        assert_eq!(listener.ttl().unwrap(), 9);

        let socket = TcpSocket::new_for(&addr).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_send_buffer_size(30_000).unwrap();
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
        let error = socket.set_linger(Some(Duration::from_secs(1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        socket.set_tos(0x10).unwrap();
        assert_eq!(socket.tos().unwrap(), 0x10);
        assert!(!socket.keepalive().unwrap());
        socket.set_keepalive_time(Duration::from_secs(50)).unwrap();
        socket
            .set_keepalive_interval(Duration::from_secs(5))
            .unwrap();
        socket.set_keepalive_retries(4).unwrap();
        assert!(socket.keepalive().unwrap());
        assert!(socket.take_error().unwrap().is_none());
        let client = socket.connect(addr).unwrap();
        assert!(client.nodelay().unwrap());
        assert_eq!(client.linger().unwrap(), Some(Duration::ZERO));
        let (mut server, _) = listener.accept().unwrap();
        assert_eq!(server.ttl().unwrap(), 9);
        // Lingering for no time: the peer sees a reset.
        (&client).write_all(b"lost").unwrap();
        drop(client);
        let error = server.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

// Several listeners on one port: who connects is accepted by one of them.
#[test]
fn one_port_for_several() {
    on_each(|| {
        let listen = |addr| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseport(true).unwrap();
            assert!(socket.reuseport().unwrap());
            socket.bind(addr).unwrap();
            socket.listen(100).unwrap()
        };
        let first = listen(loopback());
        let addr = first.local_addr().unwrap();
        let second = listen(addr);
        coroutine::scope(|s| {
            let accepting = [&first, &second].map(|listener| {
                s.spawn(move || {
                    let mut count = 0;
                    while let Ok((mut stream, _)) = listener.accept() {
                        stream.write_all(b"!").unwrap();
                        count += 1;
                    }
                    count
                })
            });
            for _ in 0..50 {
                let mut text = String::new();
                let mut stream = TcpStream::connect(addr).unwrap();
                stream.read_to_string(&mut text).unwrap();
                assert_eq!(text, "!");
            }
            let counts = accepting.map(|accepting| {
                accepting.cancel();
                accepting.join().unwrap()
            });
            assert_eq!(counts.iter().sum::<u32>(), 50);
        });
    });
}

#[test]
fn connecting_in_time() {
    on_each(|| {
        let socket = TcpSocket::new_v4().unwrap();
        let error = socket
            .connect_timeout(loopback(), Duration::ZERO)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        // Taken, so that nobody else listens there.
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind(loopback()).unwrap();
        let addr = silent.local_addr().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        let error = socket
            .connect_timeout(addr, Duration::from_secs(60))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let Ok(socket) = TcpSocket::new_v6() else {
            return;
        };
        socket.set_only_v6(true).unwrap();
        assert!(socket.only_v6().unwrap());
        let error = socket.bind(loopback()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

// Megabytes in both directions at once, over one descriptor on each side: each side reads in
// one coroutine and writes in another.
#[test]
fn both_directions_at_once() {
    const LEN: usize = 4 << 20;
    fn byte(n: usize, salt: u8) -> u8 {
        (n % 251) as u8 ^ salt
    }
    fn write(mut stream: &TcpStream, salt: u8) {
        let all: Vec<u8> = (0..LEN).map(|n| byte(n, salt)).collect();
        stream.write_all(&all).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    fn read(mut stream: &TcpStream, salt: u8) {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), LEN);
        assert!(all.iter().enumerate().all(|(n, got)| *got == byte(n, salt)));
    }
    on_each(|| {
        let (one, other) = pair();
        let (one, other) = (&one, &other);
        coroutine::scope(|s| {
            s.spawn(move || write(one, 1));
            s.spawn(move || read(one, 2));
            s.spawn(move || write(other, 2));
            s.spawn(move || read(other, 1));
        });
    });
}

// Halves: owned by two, the end told by dropping the writing one, whole again.
#[test]
fn halves() {
    on_each(|| {
        let (client, server) = pair();
        let addr = client.local_addr().unwrap();
        let (mut read, mut write) = server.into_split();
        assert_eq!(read.peer_addr().unwrap(), addr);
        let echo = ropewalk_rt::spawn(move || {
            let copied = std::io::copy(&mut read, &mut write).unwrap();
            drop(write);
            (copied, read)
        });
        let (mut back, mut out) = client.into_split();
        out.write_all(b"there and back").unwrap();
        drop(out);
        let mut text = String::new();
        back.read_to_string(&mut text).unwrap();
        assert_eq!(text, "there and back");
        assert_eq!(echo.join().unwrap().0, 14);

        let (one, mut other) = UnixStream::pair().unwrap();
        let (third, _fourth) = UnixStream::pair().unwrap();
        let (read, write) = one.into_split();
        let (third_read, third_write) = third.into_split();
        let error = read.reunite(third_write).unwrap_err();
        assert_eq!(error.to_string(), "the halves are of different streams");
        let mut whole = error.0.reunite(write).unwrap();
        let mut third = error.1.reunite(third_read).unwrap();
        whole.write_all(b"whole").unwrap();
        drop(whole);
        let mut text = String::new();
        other.read_to_string(&mut text).unwrap();
        assert_eq!(text, "whole");
        third.write_all(b"still open").unwrap();
    });
}
