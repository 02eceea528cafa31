//! The n-th system call fails: whatever was under way succeeds or gives a clean error, and
//! nothing is left of it.

use std::io::{self, Read, Write};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Instant;

use ropewalk_kernel::sys::{self, SysTable};
use ropewalk_rt::coroutine;
use ropewalk_rt::io::pipe;
use ropewalk_rt::process::Command;

use crate::alone::well_alone;
use crate::children::zombies;
use crate::stage::{PATIENCE, in_coroutines, on_thread, until};

/// How many calls from now on the one is that fails. Negative: none.
static LEFT: AtomicIsize = AtomicIsize::new(-1);

fn turn(errno: i32) -> io::Result<()> {
    if LEFT.fetch_sub(1, Ordering::SeqCst) == 0 {
        return Err(io::Error::from_raw_os_error(errno));
    }
    Ok(())
}

fn real() -> &'static SysTable {
    sys::real_table()
}

static TABLE: LazyLock<SysTable> = LazyLock::new(|| {
    let mut table = *real();
    table.pipe = || turn(libc::EMFILE).and_then(|()| (real().pipe)());
    table.pidfd_open = |pid| turn(libc::EMFILE).and_then(|()| (real().pidfd_open)(pid));
    table.eventfd = || turn(libc::EMFILE).and_then(|()| (real().eventfd)());
    // SAFETY: the caller's arguments, passed on.
    table.readv_nowait = |fd, bufs, count| unsafe {
        turn(libc::ENOMEM).and_then(|()| (real().readv_nowait)(fd, bufs, count))
    };
    // SAFETY: the caller's arguments, passed on.
    table.writev_nowait = |fd, bufs, count| unsafe {
        turn(libc::ENOMEM).and_then(|()| (real().writev_nowait)(fd, bufs, count))
    };
    // SAFETY: the caller's arguments, passed on.
    table.epoll_ctl = |epoll, op, fd, event| unsafe {
        // A removal doesn't fail.
        if op == libc::EPOLL_CTL_ADD {
            turn(libc::ENOMEM)?;
        }
        (real().epoll_ctl)(epoll, op, fd, event)
    };
    table
});

/// Pipes, a child that is talked to, and one that is dropped.
fn work() -> io::Result<()> {
    let (mut reader, mut writer) = pipe()?;
    let sender = coroutine::spawn(move || writer.write_all(&[7; 200_000]));
    let read = reader.read_to_end(&mut Vec::new());
    drop(reader);
    let sent = sender.join().expect("no panic");
    assert!(read.is_err() || sent.is_err() || read.unwrap() == 200_000);
    sent?;
    let input = vec![b'x'; 200_000];
    let output = Command::new("cat").output_with_input(&input)?;
    assert!(output.status.success() && output.stdout == input);
    drop(Command::new("true").spawn()?);
    Ok(())
}

#[test]
fn each_call_may_fail_once() {
    well_alone(&[], || {
        // SAFETY: each entry is the real one, or fails as it may.
        unsafe { sys::replace(Some(&TABLE)) };
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let each = || {
            work().unwrap();
            let before = descriptors();
            let mut failed = 0;
            for n in 0..60 {
                LEFT.store(n, Ordering::SeqCst);
                let result = work();
                let used = LEFT.swap(-1, Ordering::SeqCst) < 0;
                failed += usize::from(result.is_err());
                assert!(used || result.is_ok(), "{result:?} with all calls done");
                let begun = Instant::now();
                until(|| {
                    assert!(begun.elapsed() < PATIENCE, "left after call {n}");
                    descriptors() <= before && zombies() == 0
                });
            }
            assert!(failed > 0, "nothing failed");
        };
        in_coroutines(each);
        on_thread(each);
    });
}
