//! Pools of threads that the system gives no thread, or no driver for one.

use std::io;
use std::sync::mpsc;
use std::thread;

use ropewalk_rt::DriverKind;
use ropewalk_rt::executor::{Refusal, ThreadPool};

use crate::kinds::Kind;
use crate::limits::limit;
use crate::process::well_alone;
use crate::table::{LONG, arm, disarm, install};

/// Becomes somebody for whom limits count; false if that can't be.
fn become_nobody() -> bool {
    const NOBODY: libc::uid_t = 65534;
    // SAFETY: no pointers.
    let refused = unsafe { libc::geteuid() == 0 && libc::setuid(NOBODY) != 0 };
    if refused {
        eprintln!("skipped: {}", io::Error::last_os_error());
    }
    !refused
}

fn system_error(refused: &Refusal) -> String {
    let Refusal::Broken(error) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.downcast_ref::<io::Error>().is_some(), "{error:?}");
    error.to_string()
}

#[test]
fn a_pool_that_gets_no_thread_says_so_and_gives_the_closure_back() {
    well_alone(&[], || {
        let pool = ThreadPool::new(4).unwrap();
        if !become_nobody() {
            return;
        }
        limit(libc::RLIMIT_NPROC, 1);
        for _ in 0..3 {
            let refused = pool.spawn(|| 6 * 7).unwrap_err();
            let said = system_error(&refused.reason);
            assert!(said.contains("can't have its thread"), "{said}");
            assert!(said.contains("ulimit -u"), "{said}");
            assert_eq!((refused.into_work())(), 42);
        }
        assert_eq!((pool.queued(), pool.live_threads()), (0, 0));
        pool.close();
        pool.join().unwrap();
    });
}

#[test]
fn a_pool_that_gets_no_more_threads_goes_on_with_those_it_has() {
    well_alone(&[], || {
        let pool = ThreadPool::builder().max_threads(4).min_threads(1);
        let pool = pool.build().unwrap();
        // A thread that is about to sleep is not idle yet: another would be started beside it.
        while pool.idle_threads() != 1 {
            thread::yield_now();
        }
        let (open, gate) = mpsc::channel::<()>();
        let (told, begun) = mpsc::channel();
        let first = pool.spawn(move || {
            told.send(()).unwrap();
            gate.recv().unwrap_err();
        });
        begun.recv().unwrap();
        if !become_nobody() {
            return;
        }
        limit(libc::RLIMIT_NPROC, 1);
        let handles: Vec<_> = (0..100).map(|n| pool.spawn(move || n).unwrap()).collect();
        assert_eq!((pool.queued(), pool.live_threads()), (100, 1));
        drop(open);
        first.unwrap().join().unwrap();
        let sum: i32 = handles.into_iter().map(|one| one.join().unwrap()).sum();
        assert_eq!(sum, 4950);
        assert_eq!(pool.live_threads(), 1);
    });
}

/// A thread without a driver is no thread; once the system gives one the pool works.
fn works_later(driver: DriverKind, call: Kind) {
    if driver.check().is_err() {
        return;
    }
    install();
    let pool = ThreadPool::builder().max_threads(2).driver(driver);
    let pool = pool.build().unwrap();
    arm(call, 0, LONG, libc::EMFILE);
    for _ in 0..3 {
        let refused = pool.spawn(|| 1).unwrap_err();
        let said = system_error(&refused.reason);
        assert!(said.contains("driver"), "{said}");
    }
    assert!(disarm());
    assert_eq!(pool.spawn(|| 2).unwrap().join().unwrap(), 2);
}

#[test]
fn a_pool_whose_thread_gets_no_epoll_works_later() {
    well_alone(&[], || works_later(DriverKind::Epoll, Kind::EpollCreate));
}

#[test]
fn a_pool_whose_thread_gets_no_ring_works_later() {
    well_alone(&[], || works_later(DriverKind::IoUring, Kind::UringSetup));
}
