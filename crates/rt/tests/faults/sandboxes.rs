//! What a sandbox or a container takes away: io_uring, by a filter of system calls, and processors,
//! by a quota.

use std::io;
use std::path::{Path, PathBuf};

use ropewalk_rt::{DriverKind, Runtime};

use crate::process::{alone, text};
use crate::workload::{Report, run};

/// Has `io_uring_setup` fail with `errno` for this thread and those that it starts.
fn forbid_io_uring(errno: i32) -> io::Result<()> {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_JUMP, BPF_K, BPF_LD, BPF_RET, BPF_STMT, BPF_W};
    let code = |bits: u32| u16::try_from(bits).expect("a code");
    let number = u32::try_from(libc::SYS_io_uring_setup).expect("a number");
    let refuse = libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    // SAFETY: these only put the numbers together.
    let mut filter = unsafe {
        [
            // The call's number comes first in what a filter is given.
            BPF_STMT(code(BPF_LD | BPF_W | BPF_ABS), 0),
            BPF_JUMP(code(BPF_JMP | BPF_JEQ | BPF_K), number, 0, 1),
            BPF_STMT(code(BPF_RET | BPF_K), refuse),
            BPF_STMT(code(BPF_RET | BPF_K), libc::SECCOMP_RET_ALLOW),
        ]
    };
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and its filter live through the call, which copies them.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) != 0
    };
    if refused {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[test]
fn a_sandbox_without_io_uring_leaves_epoll() {
    for errno in [libc::EPERM, libc::ENOSYS, libc::EACCES] {
        let number = errno.to_string();
        let variables = [
            ("ROPEWALK_DRIVER", ""),
            ("ROPEWALK_TEST_ERRNO", number.as_str()),
        ];
        let test = "sandboxes::a_sandbox_without_io_uring_leaves_epoll";
        let output = alone(test, &variables, || {
            let errno = std::env::var("ROPEWALK_TEST_ERRNO").expect("the errno");
            if let Err(error) = forbid_io_uring(errno.parse().expect("a number")) {
                eprintln!("skipped: no filter of system calls here: {error}");
                return;
            }
            let error = DriverKind::IoUring.check().unwrap_err();
            assert!(
                error.to_string().contains("ROPEWALK_DRIVER=epoll"),
                "{error}"
            );
            assert_eq!(ropewalk_rt::spawn(|| 6 * 7).join().unwrap(), 42);
            let runtime = Runtime::new().unwrap();
            assert_eq!(runtime.driver(), DriverKind::Epoll);
            let report = run(runtime.driver(), 2);
            assert_eq!(report.echoes, Report::ECHOES, "{report:?}");
        });
        // In that process.
        let Some(output) = output else { return };
        assert!(output.status.success(), "{}", text(&output));
    }
}

/// A group of processes with a quota of one processor, removed at the end.
struct Quota(PathBuf);

impl Quota {
    /// Makes one below the group that this process is in, of either version; `None` where that
    /// can't be: it takes root, and a system that leaves us the say.
    fn new() -> Option<Quota> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, own) = (fields.next()?, fields.next()?);
            let below = own.trim_start_matches('/');
            let name = format!("ropewalk-test-{}", std::process::id());
            let (folder, file, quota) = if controllers.is_empty() {
                ("/sys/fs/cgroup".to_owned(), "cpu.max", "100000 100000")
            } else if controllers.split(',').any(|one| one == "cpu") {
                let folder = format!("/sys/fs/cgroup/{controllers}");
                (folder, "cpu.cfs_quota_us", "100000")
            } else {
                return None;
            };
            let group = Path::new(&folder).join(below).join(name);
            std::fs::create_dir(&group).ok()?;
            let group = Quota(group);
            std::fs::write(group.0.join(file), quota).ok()?;
            Some(group)
        })
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Not made of files: an empty group goes with this.
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn the_workers_are_no_more_than_a_cgroup_has_processors() {
    const GROUP: &str = "ROPEWALK_TEST_GROUP";
    let given = std::env::var_os(GROUP).map(PathBuf::from);
    // Removed after the process in it has ended.
    let quota = if given.is_none() { Quota::new() } else { None };
    let group = given.or_else(|| quota.as_ref().map(|quota| quota.0.clone()));
    let Some(group) = group else {
        eprintln!("skipped: no cgroup with a quota can be made here");
        return;
    };
    let variables = [
        ("ROPEWALK_WORKERS", ""),
        (GROUP, group.to_str().expect("a plain path")),
    ];
    let test = "sandboxes::the_workers_are_no_more_than_a_cgroup_has_processors";
    let output = alone(test, &variables, || {
        let joined = std::fs::write(group.join("cgroup.procs"), std::process::id().to_string());
        if let Err(error) = joined {
            eprintln!("skipped: {error}");
            return;
        }
        let runtime = Runtime::new().unwrap();
        assert_eq!(runtime.workers(), 1);
        assert_eq!(runtime.run(|| 6 * 7), 42);
    });
    let Some(output) = output else { return };
    assert!(output.status.success(), "{}", text(&output));
}
