//! Unix sockets: what only they have. Names, descriptors, credentials.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::net::unix::{FDS_MAX, SocketAddr, UnixDatagram, UnixListener, UnixStream};
use ropewalk_rt::{coroutine, spawn};

use crate::process::well_alone;
use crate::stage::on_each;

/// An abstract name that nobody else has.
fn name() -> SocketAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from_abstract_name(format!("ropewalk-{}-{next}", std::process::id())).unwrap()
}

/// A path that nobody else has; the file goes with it.
struct Place(std::path::PathBuf);

impl Place {
    fn new() -> Place {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = format!("ropewalk-{}-{next}.sock", std::process::id());
        let path = std::env::temp_dir().join(file);
        // What an earlier process of this number has left.
        let _ = std::fs::remove_file(&path);
        Place(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

// A path names a listener until somebody removes the file; dropping doesn't. In a process of its own:
// while another test starts one, that has the closed listener for a moment, too.
#[test]
fn paths() {
    well_alone(&[], || {
        on_each(|| {
            let place = Place::new();
            let missing = UnixStream::connect(&place.0).unwrap_err();
            assert_eq!(missing.kind(), ErrorKind::NotFound);
            let listener = UnixListener::bind(&place.0).unwrap();
            let taken = UnixListener::bind(&place.0).unwrap_err();
            assert_eq!(taken.kind(), ErrorKind::AddrInUse);
            assert_eq!(
                listener.local_addr().unwrap().as_pathname(),
                Some(&*place.0)
            );
            let mut client = UnixStream::connect(&place.0).unwrap();
            let (mut server, from) = listener.accept().unwrap();
            assert!(from.is_unnamed());
            assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*place.0));
            assert!(client.local_addr().unwrap().is_unnamed());
            client.write_all(b"hello").unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let mut text = String::new();
            server.read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
            drop(listener);
            assert!(place.0.exists());
            let refused = UnixStream::connect(&place.0).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            let long = "x".repeat(200);
            assert_eq!(
                UnixStream::connect(&long).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
            assert_eq!(
                UnixListener::bind(&long).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
        });
    });
}

// Abstract names, also those the system chooses, and bytes that no path could have.
#[test]
fn abstract_names() {
    on_each(|| {
        let addr = name();
        let listener = UnixListener::bind_addr(&addr).unwrap();
        assert_eq!(
            listener.local_addr().unwrap().as_abstract_name(),
            addr.as_abstract_name()
        );
        let client = UnixStream::connect_addr(&addr).unwrap();
        assert_eq!(
            client.peer_addr().unwrap().as_abstract_name(),
            addr.as_abstract_name()
        );
        let mut incoming = listener.incoming();
        let server = incoming.next().unwrap().unwrap();
        assert!(server.peer_addr().unwrap().is_unnamed());
        let unnamed = client.local_addr().unwrap();
        let chosen = UnixDatagram::bind_addr(&unnamed)
            .unwrap()
            .local_addr()
            .unwrap();
        assert_eq!(chosen.as_abstract_name().unwrap().len(), 5);
        let odd = [addr.as_abstract_name().unwrap(), b"\0\xff\0"].concat();
        let odd = SocketAddr::from_abstract_name(odd).unwrap();
        let one = UnixDatagram::bind_addr(&odd).unwrap();
        let other = UnixDatagram::bind_addr(&name()).unwrap();
        one.send_to_addr(b"x", &other.local_addr().unwrap())
            .unwrap();
        let (_, from) = other.recv_from(&mut [0; 10]).unwrap();
        assert_eq!(from.as_abstract_name(), odd.as_abstract_name());
    });
}

#[test]
fn credentials() {
    let (one, _other) = UnixStream::pair().unwrap();
    let cred = one.peer_cred().unwrap();
    assert_eq!(cred.pid, Some(std::process::id() as i32));
    // SAFETY: it only asks.
    assert_eq!(cred.uid, unsafe { libc::geteuid() });
    let std = std::os::unix::net::UnixStream::from(one);
    let again = UnixStream::from(std);
    assert_eq!(again.peer_cred().unwrap(), cred);
}

/// What a pipe's write end that came over a socket writes comes out of the read end.
fn works(mut read: std::io::PipeReader, write: OwnedFd) {
    let mut write = File::from(write);
    write.write_all(b"through").unwrap();
    drop(write);
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through");
}

fn cloexec(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: it only asks.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
    flags & libc::FD_CLOEXEC != 0
}

// Descriptors arrive with their bytes, before and after others, and are close-on-exec.
#[test]
fn descriptors_over_a_stream() {
    on_each(|| {
        let (one, other) = UnixStream::pair().unwrap();
        let receiving = spawn(move || {
            let mut buf = [0; 100];
            let first = other.recv_fds(&mut buf[..5], 4).unwrap();
            assert_eq!((&buf[..first.len], first.fds.len()), (&b"plain"[..], 0));
            let second = other.recv_fds(&mut buf, 4).unwrap();
            assert_eq!(&buf[..second.len], b"with");
            assert!(!second.fds_truncated && !second.truncated);
            let end = other.recv_fds(&mut buf, 4).unwrap();
            assert_eq!((end.len, end.fds.len()), (0, 0));
            second.fds
        });
        one.send_fds(b"plain", &[] as &[OwnedFd]).unwrap();
        coroutine::yield_now();
        let (read, write) = std::io::pipe().unwrap();
        assert_eq!(
            one.send_fds(b"with", &[write.as_fd(), read.as_fd()])
                .unwrap(),
            4
        );
        drop(write);
        let nothing = one.send_fds(b"", &[read.as_fd()]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::InvalidInput);
        drop(one);
        let mut fds = receiving.join().unwrap();
        assert_eq!(fds.len(), 2);
        assert!(fds.iter().all(|fd| cloexec(fd.as_fd())));
        works(read, fds.remove(0));
    });
}

// More than asked for: that is told, and the rest is closed, also where the system would
// have had room for it.
#[test]
fn lost_descriptors_are_told_and_closed() {
    on_each(|| {
        let (one, other) = UnixDatagram::pair().unwrap();
        for limit in [0, 1, 2, 3] {
            let (mut read, write) = std::io::pipe().unwrap();
            let fds = [write.as_fd(); 6];
            one.send_fds(b"four", &fds).unwrap();
            drop(write);
            let mut buf = [0; 3];
            let got = other.recv_fds(&mut buf, limit).unwrap();
            assert_eq!((got.len, got.fds.len()), (3, limit));
            assert!(got.fds_truncated && got.truncated);
            drop(got);
            // The end of file: nobody has a write end any more.
            assert_eq!(read.read(&mut [0; 1]).unwrap(), 0);
        }
    });
}

#[test]
fn the_most_descriptors() {
    let (one, other) = UnixDatagram::pair().unwrap();
    let (read, write) = std::io::pipe().unwrap();
    let many = vec![write.as_fd(); FDS_MAX + 1];
    let error = one.send_fds(b"x", &many).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    one.send_fds(b"", &many[1..]).unwrap();
    let mut got = other.recv_fds(&mut [], FDS_MAX + 10).unwrap();
    assert_eq!((got.len, got.fds.len()), (0, FDS_MAX));
    assert!(!got.fds_truncated);
    let last = got.fds.pop().unwrap();
    got.fds.clear();
    drop(write);
    works(read, last);
}

// A receiver's queue is full: senders wait for it, those that are connected and those that
// name it with each datagram, and each datagram arrives once, in order.
#[test]
fn full_queues() {
    const SENT: u32 = 500;
    on_each(|| {
        let addr = name();
        let receiver = UnixDatagram::bind_addr(&addr).unwrap();
        let addr = &addr;
        coroutine::scope(|s| {
            for connected in [true, false] {
                s.spawn(move || {
                    let sender = UnixDatagram::unbound().unwrap();
                    if connected {
                        sender.connect_addr(addr).unwrap();
                    }
                    for n in 0..SENT {
                        let mut datagram = n.to_le_bytes().to_vec();
                        datagram.push(u8::from(connected));
                        let sent = match connected {
                            true => sender.send(&datagram),
                            false => sender.send_to_addr(&datagram, addr),
                        };
                        assert_eq!(sent.unwrap(), 5);
                    }
                });
            }
            let mut next = [0, 0];
            let mut buf = [0; 10];
            for _ in 0..2 * SENT {
                assert_eq!(receiver.recv(&mut buf).unwrap(), 5);
                let n = u32::from_le_bytes(buf[..4].try_into().unwrap());
                let next = &mut next[usize::from(buf[4])];
                assert_eq!(n, *next);
                *next += 1;
            }
        });
    });
}

// ... for as long as their time-out, and no longer. Alone for what is closed in it, as above.
#[test]
fn full_queues_and_timeouts() {
    well_alone(&[], || {
        on_each(|| {
            let addr = name();
            let receiver = UnixDatagram::bind_addr(&addr).unwrap();
            let sender = UnixDatagram::unbound().unwrap();
            sender
                .set_write_timeout(Some(Duration::from_millis(5)))
                .unwrap();
            let mut sent = 0;
            let error = loop {
                match sender.send_to_addr(b"x", &addr) {
                    Ok(_) => sent += 1,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            for _ in 0..sent {
                receiver.recv(&mut [0; 1]).unwrap();
            }
            receiver
                .set_read_timeout(Some(Duration::from_millis(5)))
                .unwrap();
            let error = receiver.recv(&mut [0; 1]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            drop(receiver);
            let error = sender.send_to_addr(b"x", &addr).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        });
    });
}

// More clients than the listener's backlog: they wait until they are accepted.
#[test]
fn full_backlog() {
    on_each(|| {
        let listener = UnixListener::bind_addr(&name()).unwrap();
        // Listening again sets the backlog.
        socket2::SockRef::from(&listener).listen(1).unwrap();
        let addr = listener.local_addr().unwrap();
        let addr = &addr;
        coroutine::scope(|s| {
            for n in 0..10u8 {
                s.spawn(move || {
                    let mut stream = UnixStream::connect_addr(addr).unwrap();
                    stream.write_all(&[n]).unwrap();
                });
            }
            let mut seen = [false; 10];
            for _ in 0..10 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buf = [0; 1];
                stream.read_exact(&mut buf).unwrap();
                seen[usize::from(buf[0])] = true;
            }
            assert_eq!(seen, [true; 10]);
        });
        // Nobody accepts: a deadline ends the wait.
        let _one = UnixStream::connect_addr(addr).unwrap();
        let _two = UnixStream::connect_addr(addr).unwrap();
        let late = ropewalk_rt::cancel::timeout(Duration::from_millis(5), || {
            UnixStream::connect_addr(addr)
        });
        assert!(late.is_err());
    });
}
