//! Real limits of the system: descriptors, address space, threads; and a system without io_uring.
//!
//! One can't be set by a test for itself alone. Under `vm.overcommit_memory=2` the system counts
//! slabs of stacks in full, as it ignores `MAP_NORESERVE` then, and refuses them once all that is
//! private and writable exceeds its limit. `RLIMIT_DATA` counts the same memory in the same way
//! for one process: it stands in below, beside the limit on address space.

use std::io;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use ropewalk_rt::net::{TcpListener, TcpStream};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{DriverKind, Runtime, coroutine};

use crate::kinds::Kind;
use crate::process::{alone, text, well_alone};
use crate::table::{LONG, arm, disarm, install};
use crate::workload::{Report, run};

const PATIENCE: Duration = Duration::from_secs(60);

/// Lowers a limit of this process for good.
pub(crate) fn limit(resource: libc::__rlimit_resource_t, to: u64) {
    let limit = libc::rlimit {
        rlim_cur: to,
        rlim_max: to,
    };
    // SAFETY: the limit is valid for the call.
    let done = unsafe { libc::setrlimit(resource, &raw const limit) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}

/// The memory that this process uses, in bytes, by a line of its status.
fn memory(which: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with(which));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    let kib: u64 = kib.and_then(|kib| kib.parse().ok()).expect("a size in KiB");
    kib << 10
}

fn close(runtime: Runtime) {
    if let Err(left) = runtime.shutdown(PATIENCE) {
        panic!("left behind: {left}");
    }
}

#[test]
fn too_few_descriptors_for_the_workers_is_a_clear_error() {
    well_alone(&[("ROPEWALK_WATCH", "off")], || {
        limit(libc::RLIMIT_NOFILE, 20);
        let error = Runtime::builder().workers(40).build().unwrap_err();
        let said = error.to_string();
        assert!(said.contains(" of 40 can't have its "), "{said}");
        assert!(said.contains("ulimit -n"), "{said}");
        // What was got before the refusal is given back: there is room for a smaller one.
        let runtime = Runtime::builder()
            .workers(2)
            .build()
            .expect("fewer workers");
        assert_eq!(runtime.run(|| 6 * 7), 42);
        close(runtime);
    });
}

#[test]
fn a_process_out_of_descriptors_serves_those_it_has() {
    well_alone(&[("ROPEWALK_WATCH", "off")], || {
        // Few enough to be used up.
        limit(libc::RLIMIT_NOFILE, 200);
        for driver in [DriverKind::Epoll, DriverKind::IoUring] {
            if driver.check().is_err() {
                continue;
            }
            let runtime = Runtime::builder()
                .driver(driver)
                .workers(1)
                .build()
                .unwrap();
            let refused = runtime.run(|| {
                use std::io::{Read, Write};
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let addr = listener.local_addr().unwrap();
                let mut client = TcpStream::connect(addr).unwrap();
                let (mut served, _) = listener.accept().unwrap();
                let waiting = TcpStream::connect(addr).unwrap();
                let used: Vec<_> =
                    std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
                let refused = listener.accept().unwrap_err();
                // Waiting, timers and what is open go on; a thread that may be cancelled
                // has no descriptor to be told by, and waits all the same.
                let echo = ropewalk_rt::spawn(move || {
                    let mut buf = [0; 4];
                    served.read_exact(&mut buf).unwrap();
                    served.write_all(&buf).unwrap();
                    coroutine::sleep(Duration::from_millis(1));
                });
                let reader = ropewalk_rt::thread::spawn(move || {
                    client.write_all(b"ping").unwrap();
                    let mut buf = [0; 4];
                    client.read_exact(&mut buf).unwrap();
                    buf
                });
                assert_eq!(&reader.join().unwrap(), b"ping");
                echo.join().unwrap();
                drop(used);
                // Nothing was lost: the one that could not be accepted still waits.
                let (_, from) = listener.accept().unwrap();
                assert_eq!(from, waiting.local_addr().unwrap());
                refused
            });
            assert_eq!(refused.raw_os_error(), Some(libc::EMFILE), "{refused}");
            close(runtime);
        }
    });
}

#[test]
fn coroutines_without_room_for_their_stacks_wait_for_it() {
    without_room(
        "limits::coroutines_without_room_for_their_stacks_wait_for_it",
        || limit(libc::RLIMIT_AS, memory("VmSize:") + ROOM_BYTES),
    );
}

// What a system without overcommit does to a process: see the head of this file.
#[test]
fn coroutines_whose_stacks_may_not_be_overcommitted_wait_for_room() {
    without_room(
        "limits::coroutines_whose_stacks_may_not_be_overcommitted_wait_for_room",
        || limit(libc::RLIMIT_DATA, memory("VmData:") + ROOM_BYTES),
    );
}

/// Room for some forty stacks, and for what else must be allocated.
const ROOM_BYTES: u64 = 96 << 20;

/// Has more coroutines than there is room for stacks once `limit` has set it.
fn without_room(test: &str, limit: fn()) {
    let output = alone(test, &[("ROPEWALK_WATCH", "off")], || {
        let runtime = Runtime::builder()
            .workers(2)
            .stack_size(1 << 20)
            .build()
            .unwrap();
        // While both workers are kept, all are spawned and looked at: what that allocates is there
        // when stacks take the room, and Rust ends a process that gets no memory for the rest.
        let kept = Arc::new(Barrier::new(3));
        for _ in 0..2 {
            let kept = Arc::clone(&kept);
            drop(runtime.spawn(move || {
                kept.wait();
                kept.wait();
            }));
        }
        kept.wait();
        let gate = Arc::new(Event::new());
        let handles: Vec<_> = (0..400)
            .map(|n| {
                let gate = Arc::clone(&gate);
                runtime.spawn(move || {
                    gate.wait().unwrap();
                    n
                })
            })
            .collect();
        // Those that have a stack wait at the gate, the others for a stack.
        let asleep = || {
            let tasks = runtime.list();
            tasks.iter().filter(|task| task.is_started()).count()
        };
        asleep();
        limit();
        kept.wait();
        while asleep() < 10 {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(20));
        let began = asleep();
        assert!(began < 400, "there is no room for all");
        gate.set();
        for (n, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join().unwrap(), n);
        }
        close(runtime);
    });
    let Some(output) = output else { return };
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        said.matches("no stack for a new coroutine").count(),
        1,
        "{said}"
    );
    for advice in ["ulimit -v", "vm.overcommit_memory"] {
        assert!(said.contains(advice), "{said}");
    }
}

#[test]
fn a_worker_without_a_thread_is_a_clear_error() {
    const NOBODY: libc::uid_t = 65534;
    well_alone(&[("ROPEWALK_WATCH", "off")], || {
        // SAFETY: no pointers. Root has no such limit: be somebody else.
        if unsafe { libc::geteuid() == 0 && libc::setuid(NOBODY) != 0 } {
            eprintln!("skipped: {}", io::Error::last_os_error());
            return;
        }
        limit(libc::RLIMIT_NPROC, 1);
        let error = Runtime::builder().workers(40).build().unwrap_err();
        let said = error.to_string();
        assert!(said.contains(" of 40 can't have its thread"), "{said}");
        assert!(said.contains("ulimit -u"), "{said}");
        assert_eq!(
            error.kind(),
            io::ErrorKind::WouldBlock,
            "as the system says it"
        );
    });
}

#[test]
fn the_workers_are_no_more_than_the_processors_it_may_use() {
    well_alone(
        &[("ROPEWALK_WORKERS", ""), ("ROPEWALK_WATCH", "off")],
        || {
            // SAFETY: all zeroes is an empty set, and the pointers are valid for the calls.
            unsafe {
                let mut set: libc::cpu_set_t = std::mem::zeroed();
                let bytes = size_of::<libc::cpu_set_t>();
                assert_eq!(libc::sched_getaffinity(0, bytes, &raw mut set), 0);
                let first = (0..1024).find(|cpu| libc::CPU_ISSET(*cpu, &set)).unwrap();
                libc::CPU_ZERO(&mut set);
                libc::CPU_SET(first, &mut set);
                assert_eq!(libc::sched_setaffinity(0, bytes, &raw const set), 0);
            }
            let runtime = Runtime::new().unwrap();
            assert_eq!(runtime.workers(), 1);
            close(runtime);
        },
    );
}

#[test]
fn without_io_uring_it_is_epoll() {
    for errno in [libc::ENOSYS, libc::EPERM, libc::ENOMEM, libc::EMFILE] {
        let errno = errno.to_string();
        let test = "limits::without_io_uring_it_is_epoll";
        let variables = [
            ("ROPEWALK_DRIVER", ""),
            ("ROPEWALK_WATCH", "off"),
            ("ROPEWALK_TEST_ERRNO", errno.as_str()),
        ];
        let output = alone(test, &variables, || {
            let errno = std::env::var("ROPEWALK_TEST_ERRNO")
                .unwrap()
                .parse()
                .unwrap();
            install();
            arm(Kind::UringSetup, 0, i64::MAX, errno);
            let error = DriverKind::IoUring.check().unwrap_err();
            assert!(
                error.to_string().contains("ROPEWALK_DRIVER=epoll"),
                "{error}"
            );
            let asked = Runtime::builder().driver(DriverKind::IoUring).build();
            assert!(asked.unwrap_err().to_string().contains("io_uring"));
            let runtime = Runtime::new().unwrap();
            assert_eq!(runtime.driver(), DriverKind::Epoll);
            close(runtime);
            assert!(disarm());
        });
        // In that process.
        let Some(output) = output else { return };
        assert!(output.status.success(), "{}", text(&output));
    }
}

#[test]
fn rings_that_can_t_be_had_after_the_probe_leave_epoll() {
    well_alone(
        &[("ROPEWALK_DRIVER", ""), ("ROPEWALK_WATCH", "off")],
        || {
            if DriverKind::IoUring.check().is_err() {
                return;
            }
            install();
            // The probe is the first call; the workers' rings are the next.
            arm(Kind::UringSetup, 1, LONG, libc::ENOMEM);
            let runtime = Runtime::builder().workers(2).build().unwrap();
            assert!(disarm());
            assert_eq!(runtime.driver(), DriverKind::Epoll);
            assert_eq!(runtime.run(|| 6 * 7), 42);
            close(runtime);
        },
    );
}

#[test]
fn a_small_limit_of_descriptors_is_enough_for_a_small_program() {
    well_alone(&[("ROPEWALK_WATCH", "off")], || {
        limit(libc::RLIMIT_NOFILE, 32);
        for driver in [DriverKind::Epoll, DriverKind::IoUring] {
            if driver.check().is_ok() {
                let report = run(driver, 2);
                assert_eq!(report.echoes, Report::ECHOES, "{report:?}");
            }
        }
    });
}
