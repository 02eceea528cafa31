//! From std and back: the mode of a socket is its owner's.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use ropewalk_rt::net::{TcpListener, TcpStream};
use ropewalk_rt::{coroutine, spawn, unblock};
use socket2::SockRef;

use super::{listener, pair};
use crate::stage::on_each;

fn is_nonblocking(socket: &impl AsFd) -> bool {
    SockRef::from(socket).nonblocking().unwrap()
}

/// Both ends of a connection, made by std.
fn std_pair() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

// What std made, blocking or not, works here as any other, waits included; and goes back in the
// mode in which it came.
#[test]
fn a_stream_keeps_its_mode() {
    on_each(|| {
        for nonblocking in [false, true] {
            let (client, mut other) = std_pair();
            client.set_nonblocking(nonblocking).unwrap();
            let mut client = TcpStream::from(client);
            assert_eq!(is_nonblocking(&client), nonblocking);
            let reader = spawn(move || {
                let mut buf = [0; 2];
                client.read_exact(&mut buf).unwrap();
                client.write_all(&buf).unwrap();
                client
                    .set_read_timeout(Some(Duration::from_millis(2)))
                    .unwrap();
                assert_eq!(
                    client.read(&mut buf).unwrap_err().kind(),
                    ErrorKind::TimedOut
                );
                client
            });
            coroutine::yield_now();
            other.write_all(b"hi").unwrap();
            let client = reader.join().unwrap();
            let mut buf = [0; 2];
            unblock(|| other.read_exact(&mut buf)).unwrap();
            assert_eq!(&buf, b"hi");
            assert_eq!(is_nonblocking(&client), nonblocking);
            let mut client = std::net::TcpStream::from(client);
            assert_eq!(is_nonblocking(&client), nonblocking);
            if nonblocking {
                let error = client.read(&mut buf).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "at once");
            }
        }
    });
}

// What was made here and is given to std blocks there, and std's time-outs work; ours don't go
// with it.
#[test]
fn a_stream_given_to_std_behaves_as_stds() {
    on_each(|| {
        let (client, server) = pair();
        for stream in [client, server] {
            assert!(!is_nonblocking(&stream));
            stream
                .set_read_timeout(Some(Duration::from_secs(3600)))
                .unwrap();
            let mut stream = std::net::TcpStream::from(stream);
            assert!(!is_nonblocking(&stream));
            assert_eq!(stream.read_timeout().unwrap(), None);
            stream
                .set_read_timeout(Some(Duration::from_millis(2)))
                .unwrap();
            // The end of a ring that this thread has tried interrupts a read with a time-out.
            let result = unblock(|| {
                loop {
                    match stream.read(&mut [0; 1]) {
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        result => break result,
                    }
                }
            });
            // Std's word for a time-out; or the end, once the other stream is gone.
            assert!(matches!(result, Ok(0)) || result.unwrap_err().kind() == ErrorKind::WouldBlock);
        }
    });
}

// A stream that was waited for, and so is known to the driver, can be given away and taken
// back: it is deregistered and registered anew.
#[test]
fn to_std_and_back_again() {
    on_each(|| {
        let (mut client, mut server) = pair();
        for round in 0..20u8 {
            server
                .set_read_timeout(Some(Duration::from_micros(100)))
                .unwrap();
            assert!(server.read(&mut [0; 1]).is_err());
            server = TcpStream::from(std::net::TcpStream::from(server));
            assert_eq!(server.read_timeout().unwrap(), None);
            let reader = spawn(move || {
                let mut buf = [0; 1];
                server.read_exact(&mut buf).unwrap();
                (buf[0], server)
            });
            client.write_all(&[round]).unwrap();
            let byte;
            (byte, server) = reader.join().unwrap();
            assert_eq!(byte, round);
        }
    });
}

// A listener of our own doesn't block inside, and does when std has it.
#[test]
fn a_listener_given_to_std_blocks() {
    on_each(|| {
        let (listener, addr) = listener();
        let given = std::net::TcpListener::from(listener);
        assert!(!is_nonblocking(&given));
        let _client = std::net::TcpStream::connect(addr).unwrap();
        let (stream, _) = given.accept().unwrap();
        assert!(!is_nonblocking(&stream));
        let back = TcpListener::from(given);
        let _client = std::net::TcpStream::connect(addr).unwrap();
        assert!(!is_nonblocking(&back.accept().unwrap().0));
    });
}

// Descriptors go in and out.
#[test]
fn descriptors() {
    on_each(|| {
        let (mut client, server) = pair();
        let raw = server.as_raw_fd();
        assert_eq!(server.as_fd().as_raw_fd(), raw);
        let fd = OwnedFd::from(server);
        assert_eq!(fd.as_raw_fd(), raw);
        let raw = TcpStream::from(fd).into_raw_fd();
        // SAFETY: just given out, and nobody else's.
        let mut server = TcpStream::from(unsafe { OwnedFd::from_raw_fd(raw) });
        client.write_all(b"!").unwrap();
        assert_eq!(server.read(&mut [0; 1]).unwrap(), 1);

        let (listener, addr) = listener();
        let listener = TcpListener::from(OwnedFd::from(listener));
        let raw = listener.into_raw_fd();
        // SAFETY: as above.
        let listener = TcpListener::from(unsafe { OwnedFd::from_raw_fd(raw) });
        assert_eq!(listener.local_addr().unwrap(), addr);
    });
}
