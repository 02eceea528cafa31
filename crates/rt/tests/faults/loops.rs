//! For each kind of call: its n-th fails, for n = 0, 1, 2, … until a run is over before it.
//!
//! Each run must end, with what was to be expected: nothing at all, or the error handed in or a
//! consequence of it (a peer that saw the connection end). After each the process has no more
//! descriptors, threads, stacks and coroutines than before.

use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ropewalk_rt::{DriverKind, coroutine};

use crate::kinds::{Kind, Seen};
use crate::passing;
use crate::process::well_alone;
use crate::table::{LONG, arm, disarm, install};
use crate::workload::{self, Report, run_with_crowd};

/// How long one run may seem to hang before it is taken for hung: far longer than any takes.
const HUNG: Duration = Duration::from_secs(120);

#[derive(Debug)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    stacks: usize,
    coroutines: usize,
}

impl Holdings {
    fn count() -> Holdings {
        let entries = |folder| std::fs::read_dir(folder).into_iter().flatten().flatten();
        // Threads of the blocking pool idle for a while before they leave, each time anew: how
        // many there are at once is a matter of who met whom.
        let blocking = |thread: &std::fs::DirEntry| {
            std::fs::read_to_string(thread.path().join("comm"))
                .is_ok_and(|name| name.starts_with("ropewalk-block"))
        };
        Holdings {
            descriptors: entries("/proc/self/fd").count(),
            threads: entries("/proc/self/task")
                .filter(|thread| !blocking(thread))
                .count(),
            stacks: ropewalk_kernel::stack::counts().in_use,
            coroutines: coroutine::count(),
        }
    }

    fn is_no_more_than(&self, before: &Holdings) -> bool {
        self.descriptors <= before.descriptors
            && self.threads <= before.threads
            && self.stacks <= before.stacks
            && self.coroutines <= before.coroutines
    }

    fn check_returned(&self, what: &str) {
        let begun = Instant::now();
        loop {
            // A thread that was joined takes a moment to leave `/proc`: also when it began.
            let now = Holdings::count();
            if now.is_no_more_than(self) {
                return;
            }
            assert!(
                begun.elapsed() < HUNG,
                "{what}: began with {self:?}, left with {now:?}"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Says who hangs and ends the process, if a run does.
fn watch_over(what: String) -> mpsc::Sender<()> {
    let (ended, end) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if let Err(mpsc::RecvTimeoutError::Timeout) = end.recv_timeout(HUNG) {
            eprintln!("{what} hangs; alive in this process:");
            for task in coroutine::list() {
                eprintln!("  {task}");
            }
            std::process::abort();
        }
    });
    ended
}

fn drivers() -> Vec<DriverKind> {
    if let Some(driver) = DriverKind::from_env().expect("ROPEWALK_DRIVER names a driver") {
        return vec![driver];
    }
    let all = [
        DriverKind::Epoll,
        DriverKind::IoUring,
        DriverKind::Poll,
        DriverKind::Select,
    ];
    all.into_iter()
        .filter(|driver| driver.check().is_ok())
        .collect()
}

/// Says whether an error is the one handed in, or what follows from it.
fn is_expected(error: &io::Error, errno: i32) -> bool {
    error.raw_os_error() == Some(errno)
        || error.kind() == io::Error::from_raw_os_error(errno).kind()
        || matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::BrokenPipe
        )
}

fn check(report: &Report, reached: bool, seen: Seen, errno: i32, what: &str) {
    let unharmed =
        report.start.is_none() && report.errors.is_empty() && report.echoes == report.due;
    if !reached || seen == Seen::Nowhere {
        assert!(unharmed, "{what}: {report:?}");
        return;
    }
    if let Some(error) = &report.start {
        assert_ne!(seen, Seen::InOperation, "{what}: {report:?}");
        let meant = io::Error::from_raw_os_error(errno).to_string();
        let text = error.to_string();
        assert!(
            text.contains("worker ") || text.contains("driver"),
            "{what}: {text}"
        );
        assert!(text.contains(&meant), "{what}: {text}");
        return;
    }
    for error in &report.errors {
        assert!(is_expected(error, errno), "{what}: {report:?}");
    }
    let missing = report.echoes < report.due;
    assert!(
        !missing || !report.errors.is_empty(),
        "{what}: nobody told of it: {report:?}"
    );
}

/// The loop over n, for each error of a kind, driver and number of workers.
fn fail_each(kind: Kind) {
    install();
    let mut failed = 0;
    let drivers = drivers();
    let concerned = drivers.iter().any(|driver| kind.concerns(*driver));
    for driver in drivers {
        if kind.concerns(driver) {
            for workers in [1, 2] {
                failed += fail_each_on(kind, driver, workers);
            }
        }
    }
    assert!(failed > 0 || !concerned, "{kind:?} is not called");
}

/// Gives how many calls were made to fail.
fn fail_each_on(kind: Kind, driver: DriverKind, workers: usize) -> i64 {
    let mut failed = 0;
    let run = if kind.is_passing() {
        passing::run
    } else {
        workload::run
    };
    let warm = run(driver, workers);
    check(&warm, false, Seen::Nowhere, 0, "without any fault");
    let before = Holdings::count();
    for &(errno, seen) in kind.errors() {
        for times in [1, LONG] {
            let mut n = 0;
            loop {
                let what = describe(kind, n, times, errno, driver, workers);
                let watching = watch_over(what.clone());
                arm(kind, n, times, errno);
                let report = run(driver, workers);
                let reached = disarm();
                drop(watching);
                check(&report, reached, seen, errno, &what);
                before.check_returned(&what);
                if !reached {
                    break;
                }
                n += 1;
            }
            failed += n;
        }
    }
    failed
}

/// As [`fail_each`], for calls that a process makes for its first stacks only: each run is in a
/// child of its own, forked before anything of the runtime was used.
fn fail_each_in_children(kind: Kind) {
    const CROWD: usize = 40;
    install();
    for driver in drivers() {
        for workers in [1, 2] {
            for &(errno, seen) in kind.errors() {
                for times in [1, LONG] {
                    let mut n = 0;
                    while in_child(|| {
                        let what = describe(kind, n, times, errno, driver, workers);
                        let _watching = watch_over(what.clone());
                        let before = Holdings::count();
                        arm(kind, n, times, errno);
                        let report = run_with_crowd(driver, workers, CROWD);
                        let reached = disarm();
                        check(&report, reached, seen, errno, &what);
                        before.check_returned(&what);
                        reached
                    }) {
                        n += 1;
                    }
                    assert!(n > 2, "{kind:?} is not called");
                }
            }
        }
    }
}

/// Runs `deed` in a forked child and gives what it says.
fn in_child(deed: impl FnOnce() -> bool) -> bool {
    // SAFETY: no pointers. This process has no thread but those of the test harness, which
    // hold no lock that the child needs.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(deed));
        let code = said.map_or(2, i32::from);
        // SAFETY: no pointers.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the place is writable.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child, "{}", io::Error::last_os_error());
    assert!(
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) < 2,
        "a child failed: {status:#x}"
    );
    libc::WEXITSTATUS(status) == 1
}

fn describe(
    kind: Kind,
    n: i64,
    times: i64,
    errno: i32,
    driver: DriverKind,
    workers: usize,
) -> String {
    format!(
        "{kind:?} number {n}, and {} more, failing with {} ({}, {workers} workers)",
        times - 1,
        io::Error::from_raw_os_error(errno),
        driver.as_str(),
    )
}

macro_rules! loops {
    ($($name:ident: $kind:ident by $how:ident;)*) => {$(
        #[test]
        fn $name() {
            well_alone(&[("ROPEWALK_WATCH", "off")], || $how(Kind::$kind));
        }
    )*};
}

loops! {
    recv: Recv by fail_each;
    send: Send by fail_each;
    recvmsg: Recvmsg by fail_each;
    sendmsg: Sendmsg by fail_each;
    recvmsg_with_descriptors: RecvmsgWith by fail_each;
    sendmsg_with_descriptors: SendmsgWith by fail_each;
    recvmmsg: Recvmmsg by fail_each;
    sendmmsg: Sendmmsg by fail_each;
    sendfile: Sendfile by fail_each;
    pidfd_open: PidfdOpen by fail_each;
    readv: Readv by fail_each;
    writev: Writev by fail_each;
    readv_nowait: ReadvNowait by fail_each;
    writev_nowait: WritevNowait by fail_each;
    pipe: Pipe by fail_each;
    socket: Socket by fail_each;
    accept: Accept by fail_each;
    connect: Connect by fail_each;
    poll: Poll by fail_each;
    epoll_create: EpollCreate by fail_each;
    epoll_ctl: EpollCtl by fail_each;
    epoll_wait: EpollWait by fail_each;
    eventfd: Eventfd by fail_each;
    select: Select by fail_each;
    io_uring_setup: UringSetup by fail_each;
    io_uring_enter: UringEnter by fail_each;
    mmap: Mmap by fail_each_in_children;
    madvise: Madvise by fail_each_in_children;
    mprotect: Mprotect by fail_each_in_children;
}
