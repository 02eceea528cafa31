//! The system is out of something: told to the caller, and nothing is lost by it.
//!
//! The next call of a kind fails as it does then, by the drivers' table, which is the whole
//! process's: so each test has a process to itself.

use std::ffi::c_int;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicI32, Ordering};

use ropewalk_kernel::sys::{self, SysTable};
use ropewalk_rt::net::unix::{UnixListener, UnixStream};
use ropewalk_rt::net::{TcpListener, TcpStream, UdpSocket};

use crate::process::well_alone;
use crate::stage::on_each;

/// What the next call of the kind in question fails with; 0: it doesn't.
static NEXT: AtomicI32 = AtomicI32::new(0);

fn failure() -> io::Result<()> {
    match NEXT.swap(0, Ordering::SeqCst) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// One failing call: gives its result, which must be that failure.
fn fails<T>(code: c_int, call: impl FnOnce() -> io::Result<T>) {
    NEXT.store(code, Ordering::SeqCst);
    let error = call().err().expect("it fails");
    assert_eq!(error.raw_os_error(), Some(code), "{error}");
    assert_eq!(NEXT.load(Ordering::SeqCst), 0);
}

/// Puts a table in force that differs from the real one as `change` says.
fn with(change: impl FnOnce(&mut SysTable)) {
    let mut table = *sys::real_table();
    change(&mut table);
    // SAFETY: the entries call the real ones, or fail.
    unsafe { sys::replace(Some(Box::leak(Box::new(table)))) };
}

// Out of descriptors while accepting: the connection waits, and is accepted by the next call.
#[test]
fn accepting() {
    well_alone(&[], || {
        with(|table| {
            table.accept4 = |fd, addr, len, flags| {
                failure()?;
                // SAFETY: the caller's arguments.
                unsafe { (sys::real_table().accept4)(fd, addr, len, flags) }
            };
        });
        on_each(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
                fails(code, || listener.accept());
            }
            let (mut server, _) = listener.accept().unwrap();
            client.write_all(b"x").unwrap();
            server.read_exact(&mut [0; 1]).unwrap();

            let chosen = std::os::unix::net::SocketAddr::from_pathname("").unwrap();
            let listener = UnixListener::bind_addr(&chosen).unwrap();
            let _client = UnixStream::connect_addr(&listener.local_addr().unwrap()).unwrap();
            fails(libc::EMFILE, || listener.accept());
            listener.accept().unwrap();
        });
    });
}

// Out of descriptors, ports or memory while connecting: the next attempt is a fresh one.
#[test]
fn connecting() {
    well_alone(&[], || {
        with(|table| {
            table.socket = |domain, kind, protocol| {
                if NEXT.load(Ordering::SeqCst) != libc::EADDRNOTAVAIL {
                    failure()?;
                }
                (sys::real_table().socket)(domain, kind, protocol)
            };
            table.connect = |fd, addr, len| {
                if NEXT.load(Ordering::SeqCst) == libc::EADDRNOTAVAIL {
                    failure()?;
                }
                // SAFETY: the caller's arguments.
                unsafe { (sys::real_table().connect)(fd, addr, len) }
            };
        });
        on_each(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
                fails(code, || TcpStream::connect(addr));
                fails(code, || UdpSocket::bind(addr));
                fails(code, || UnixStream::connect("/nowhere"));
            }
            fails(libc::EADDRNOTAVAIL, || TcpStream::connect(addr));
            TcpStream::connect(addr).unwrap();
        });
    });
}

// No room in the device's queue, or no memory: that datagram was not sent, and the next one is.
#[test]
fn sending_datagrams() {
    well_alone(&[], || {
        with(|table| {
            table.sendmsg = |fd, message, flags| {
                failure()?;
                // SAFETY: the caller's arguments.
                unsafe { (sys::real_table().sendmsg)(fd, message, flags) }
            };
            table.recvmsg = |fd, message, flags| {
                if NEXT.load(Ordering::SeqCst) == libc::ENOMEM {
                    failure()?;
                }
                // SAFETY: the caller's arguments.
                unsafe { (sys::real_table().recvmsg)(fd, message, flags) }
            };
        });
        on_each(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let addr = socket.local_addr().unwrap();
            for code in [libc::ENOBUFS, libc::ENOMEM] {
                fails(code, || socket.send_to(b"not sent", addr));
            }
            socket.send_to(b"sent", addr).unwrap();
            let mut buf = [0; 10];
            fails(libc::ENOMEM, || socket.recv_from(&mut buf));
            assert_eq!(socket.recv_from(&mut buf).unwrap(), (4, addr));
        });
    });
}
