//! Accepting that fails for want of descriptors or memory, and goes on.

use std::ffi::c_int;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicI32, AtomicU16, AtomicUsize, Ordering};

use ropewalk_kernel::sys::{self, SysTable};
use ropewalk_rt::coroutine;
use ropewalk_rt::net::server::TcpServer;
use ropewalk_rt::net::{TcpListener, TcpStream};

use socket2::SockRef;

use crate::copying::{put, take};
use crate::process::well_alone;
use crate::stage::{PATIENCE, on_each, until};

/// The port whose accepts fail (a descriptor's number may be another's soon), how often still, by
/// which error, and how many were tried.
static PORT: AtomicU16 = AtomicU16::new(0);
static FAILURES: AtomicUsize = AtomicUsize::new(0);
static ERROR: AtomicI32 = AtomicI32::new(0);
static TRIED: AtomicUsize = AtomicUsize::new(0);

/// # Safety
///
/// As `accept4`.
unsafe fn accept(
    fd: c_int,
    addr: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
    flags: c_int,
) -> io::Result<c_int> {
    // SAFETY: the caller's, open for the call.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    let local = SockRef::from(&socket).local_addr()?.as_socket();
    if local.is_some_and(|local| local.port() == PORT.load(Ordering::SeqCst)) {
        TRIED.fetch_add(1, Ordering::SeqCst);
        let fails = FAILURES.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        });
        if fails.is_ok() {
            return Err(io::Error::from_raw_os_error(ERROR.load(Ordering::SeqCst)));
        }
    }
    // SAFETY: the caller's.
    unsafe { (sys::real_table().accept4)(fd, addr, len, flags) }
}

fn hello(mut stream: TcpStream, _: SocketAddr) -> io::Result<()> {
    stream.write_all(b"hello")?;
    stream.read(&mut [0]).map(drop)
}

#[test]
fn accepting_goes_on_after_what_passes_and_ends_by_what_does_not() {
    well_alone(&[], || {
        let table = SysTable {
            accept4: accept,
            ..*sys::real_table()
        };
        // SAFETY: the entry does what `accept4` does, or fails.
        unsafe { sys::replace(Some(Box::leak(Box::new(table)))) };
        on_each(|| {
            for error in [
                libc::EMFILE,
                libc::ENFILE,
                libc::ENOBUFS,
                libc::ENOMEM,
                libc::ECONNABORTED,
            ] {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let addr = listener.local_addr().unwrap();
                ERROR.store(error, Ordering::SeqCst);
                FAILURES.store(0, Ordering::SeqCst);
                PORT.store(listener.local_addr().unwrap().port(), Ordering::SeqCst);
                let server = TcpServer::on(vec![listener], hello);
                let handle = server.handle();
                let serving = coroutine::spawn(move || server.serve_forever());
                let first = TcpStream::connect(addr).unwrap();
                assert_eq!(take(&first, 5), b"hello");

                // Who accepts may not have found yet that there is nobody more: the next one fails.
                let begun = handle.stats().pauses;
                TRIED.store(0, Ordering::SeqCst);
                FAILURES.store(3, Ordering::SeqCst);
                let second = TcpStream::connect(addr).unwrap();
                assert_eq!(take(&second, 5), b"hello", "it comes through after all");
                let pauses = handle.stats().pauses - begun;
                let one_only = error == libc::ECONNABORTED;
                // No busy loop: a pause for each failure, but for what concerns a connection only.
                assert_eq!(pauses, if one_only { 0 } else { 3 }, "error {error}");
                // Besides those it is tried once for each report that there may be one.
                assert!(TRIED.load(Ordering::SeqCst) <= 20);
                drop((first, second));
                handle.shutdown(PATIENCE).unwrap();
                serving.join().unwrap().unwrap();
            }
        });

        // For good: it pauses on and on, wakes for each connection that ends, and stops when told.
        on_each(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            ERROR.store(libc::EMFILE, Ordering::SeqCst);
            FAILURES.store(0, Ordering::SeqCst);
            PORT.store(listener.local_addr().unwrap().port(), Ordering::SeqCst);
            let server = TcpServer::on(vec![listener], hello);
            let handle = server.handle();
            let serving = coroutine::spawn(move || server.serve_forever());
            let first = TcpStream::connect(addr).unwrap();
            assert_eq!(take(&first, 5), b"hello");
            FAILURES.store(usize::MAX, Ordering::SeqCst);
            let waits = TcpStream::connect(addr).unwrap();
            until(|| handle.stats().pauses >= 1);
            // Those that are open go on.
            assert_eq!(handle.stats().open, 1);
            put(&first, b".");
            until(|| handle.stats().open == 0);
            handle.shutdown(PATIENCE).unwrap();
            serving.join().unwrap().unwrap();
            drop(waits);
        });

        // A listener that is broken ends the server, which tells why, be it the only one or not.
        on_each(|| {
            ERROR.store(libc::EINVAL, Ordering::SeqCst);
            FAILURES.store(usize::MAX, Ordering::SeqCst);
            for (count, broken) in [(1, 0), (2, 0), (2, 1), (3, 1)] {
                let listeners: Vec<_> = (0..count)
                    .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
                    .collect();
                let port = listeners[broken].local_addr().unwrap().port();
                PORT.store(port, Ordering::SeqCst);
                let error = TcpServer::on(listeners, hello).serve_forever().unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
            }
        });
        PORT.store(0, Ordering::SeqCst);
    });
}
