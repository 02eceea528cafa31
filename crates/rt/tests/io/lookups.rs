//! Look-ups of names: many at once, and one that doesn't end.
//!
//! A slow look-up is made with the aliases file of the C library's resolver, which it reads for
//! names without a dot that are not in /etc/hosts: here a FIFO that nobody writes to. What
//! depends on it is skipped where the C library does otherwise.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ropewalk_rt::coroutine::no_wait;
use ropewalk_rt::net::lookup_host;
use ropewalk_rt::{cancel, coroutine, spawn};

use crate::process::well_alone;
use crate::stage::{on_each, until};

const SLOW: &str = "ropewalk-slow";

/// A FIFO; its file goes with it.
struct Fifo(PathBuf);

impl Fifo {
    fn new(name: &str) -> Fifo {
        let file = format!("ropewalk-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(file);
        // What an earlier process of this number has left.
        let _ = std::fs::remove_file(&path);
        let c_path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a path that ends with a zero.
        assert_eq!(unsafe { libc::mkfifo(c_path.as_ptr(), 0o600) }, 0);
        Fifo(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether somebody reads from the FIFO, or waits to.
fn somebody_reads(fifo: &Path) -> bool {
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(fifo)
        .is_ok()
}

#[test]
fn many_at_once() {
    on_each(|| {
        coroutine::scope(|s| {
            let lookups: Vec<_> = (0..300u16)
                .map(|port| s.spawn(move || lookup_host(("localhost", port))))
                .collect();
            for (port, lookup) in (0..).zip(lookups) {
                let mut addrs = lookup.join().unwrap().unwrap();
                assert!(addrs.all(|addr| addr.ip().is_loopback() && addr.port() == port));
            }
        });
    });
}

// A look-up that doesn't end: a deadline and a cancellation end the wait for it, and others go
// on meanwhile. Addresses in numbers are no look-ups.
#[test]
fn a_slow_one_holds_nobody() {
    let fifo = Fifo::new("slow");
    well_alone(&[("HOSTALIASES", fifo.path())], || {
        let path = std::env::var("HOSTALIASES").unwrap();
        let probe = std::thread::spawn(|| lookup_host((SLOW, 1)).map(drop));
        let begun = std::time::Instant::now();
        while !somebody_reads(Path::new(&path)) {
            if probe.is_finished() || begun.elapsed() > Duration::from_secs(10) {
                eprintln!("skipped: this C library reads no aliases");
                return;
            }
            std::thread::yield_now();
        }
        on_each(|| {
            let limit = Duration::from_millis(20);
            let late = cancel::timeout(limit, || lookup_host((SLOW, 1)));
            let error = late.unwrap_err().into_inner().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);

            let begun = Arc::new(AtomicBool::new(false));
            let begins = Arc::clone(&begun);
            let slow = spawn(move || {
                begins.store(true, Ordering::SeqCst);
                lookup_host((SLOW, 2)).map(drop)
            });
            until(|| begun.load(Ordering::SeqCst));
            let numeric = lookup_host(("127.0.0.1", 3)).unwrap().next().unwrap();
            assert_eq!(numeric.ip(), IpAddr::from([127, 0, 0, 1]));
            no_wait(|| lookup_host("[::1]:4").unwrap());
            assert!(lookup_host("localhost:5").unwrap().count() > 0);
            slow.cancel();
            assert!(slow.join().unwrap().is_err());
        });
        // As the process ends, the look-ups are still there: they hold it up no more than
        // they did anybody else.
    });
}
