//! A child made by `fork` is told that it has no runtime, instead of waiting for ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ropewalk_rt::{Runtime, coroutine};

use crate::process::well_alone;
use crate::stage::{any_runtime, close, drivers, runtime};

/// Runs `deed` in a child made by `fork`, and gives its exit status; one that hangs is killed.
fn in_child(deed: impl FnOnce() -> bool) -> libc::c_int {
    // SAFETY: no pointers. The child has this thread alone; what it does is the test.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", std::io::Error::last_os_error());
    if child == 0 {
        let good = catch_unwind(AssertUnwindSafe(deed)).unwrap_or(false);
        // SAFETY: no pointers.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    }
    let begun = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: the place is writable.
        let ended = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
        if ended == child {
            return status;
        }
        if begun.elapsed() > Duration::from_secs(120) {
            // SAFETY: our own child, not waited for yet.
            unsafe { libc::kill(child, libc::SIGKILL) };
            panic!("the child hangs");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn refuses(deed: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(deed)) {
        Ok(()) => false,
        Err(payload) => payload
            .downcast_ref::<String>()
            .is_some_and(|text| text.contains("this process was forked")),
    }
}

#[test]
fn a_child_is_refused_in_plain_words() {
    well_alone(&[], || {
        let runtime = any_runtime(2);
        let living = runtime.spawn(|| coroutine::sleep(Duration::from_secs(3600)));
        let global = ropewalk_rt::spawn(|| 1);
        global.join().unwrap();
        let status = in_child(|| {
            assert!(refuses(|| drop(ropewalk_rt::spawn(|| ()))), "spawn");
            assert!(refuses(|| drop(runtime.spawn(|| ()))), "Runtime::spawn");
            assert!(refuses(|| runtime.run(|| ())), "run");
            assert!(
                refuses(|| drop(ropewalk_rt::spawn_async(async {}))),
                "spawn_async"
            );
            assert!(refuses(|| drop(living.join())), "join");
            assert!(refuses(|| drop(runtime.call_soon(|| ()))), "call_soon");
            let error = Runtime::new().unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::Unsupported, "{error}");
            let built = coroutine::Builder::new().spawn(|| ());
            assert_eq!(built.unwrap_err().kind(), std::io::ErrorKind::Unsupported);
            // What needs no worker works: locks, channels, sockets of a plain thread.
            let (sender, receiver) = ropewalk_rt::channel::unbounded();
            sender.send(1).unwrap();
            assert_eq!(receiver.recv(), Ok(1));
            assert_eq!(ropewalk_rt::executor::join(|| 1, || 2), (1, 2));
            // The child's copy ends without waiting for anybody.
            drop(runtime);
            true
        });
        assert_eq!(status, 0);
    });
}

#[test]
fn a_child_of_a_coroutine_that_would_go_on_as_a_worker_is_ended() {
    for driver in drivers() {
        well_alone(&[("ROPEWALK_DRIVER", driver.as_str())], || {
            let runtime = runtime(drivers()[0], 1);
            let status = runtime.run(|| {
                in_child(|| {
                    coroutine::sleep(Duration::from_millis(1));
                    true
                })
            });
            assert!(
                libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT,
                "{status}"
            );
            // The parent's are untouched.
            assert_eq!(runtime.spawn(|| 2).join().unwrap(), 2);
            close(runtime);
        });
    }
}

#[test]
fn a_child_forked_before_the_first_use_has_a_runtime_of_its_own() {
    well_alone(&[], || {
        let status = in_child(|| ropewalk_rt::spawn(|| 6 * 7).join().unwrap() == 42);
        assert_eq!(status, 0);
    });
}
