//! How a child of this program becomes one: the start-up hook.
//!
//! A child is this executable run again (a process with threads must not be forked without an
//! exec). Its environment has a marker with the parent's id and the number of a descriptor, behind
//! which a [`Header`] says what it is to be. [`init`], called first of all in `main`, finds the
//! marker and never returns then. A program that a child starts inherits the variable, but not the
//! header. A child that finds its header and another parent was orphaned before it began, and ends.
//!
//! A child without the hook would run `main` as usual and start children of its own, and so on.
//! So nothing is started before the hook has run in this process too: as the same executable, the
//! child then has it as well. If the child reaches a point where it would start one, and has not
//! come past the hook, it is ended there.
//!
//! A child ends with its parent: a thread waits for the parent's pidfd.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, process, thread};

use ropewalk_kernel::runtime::OwnThread;
use ropewalk_rt::executor::tasks;
use serde::{Deserialize, Serialize};

/// The environment variable that says who a child's parent is, and where its header.
pub(crate) const MARKER: &str = "ROPEWALK_CHILD";

/// What the header's file in memory is called.
pub(crate) const HEADER_FILE: &str = "ropewalk-child";

/// What every header begins with.
const MAGIC: u64 = 0x726f_7065_7761_6c6b;

/// Exit codes of children that can't begin, from those that sysexits.h leaves to "software".
pub(crate) const EXIT_NOT_BEGUN: i32 = 70;

/// The parent's death ends a child with this.
pub(crate) const EXIT_ORPHAN: i32 = 71;

/// What a child is told by its parent.
#[derive(Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) magic: u64,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) setup: Vec<u8>,
    pub(crate) fds: Vec<RawFd>,
    /// Where standard output goes, if the test harness has its own.
    pub(crate) stdout: Option<RawFd>,
    pub(crate) table_hash: u64,
    pub(crate) depth: u32,
}

impl Header {
    pub(crate) fn new(kind: &str, name: &str) -> Header {
        Header {
            magic: MAGIC,
            kind: kind.to_owned(),
            name: name.to_owned(),
            setup: Vec::new(),
            fds: Vec::new(),
            stdout: None,
            table_hash: tasks::table_hash(),
            depth: depth() + 1,
        }
    }
}

/// A kind of child: what it does. Entered when the program is linked.
pub(crate) struct Kind {
    /// What headers call it.
    pub(crate) name: &'static str,
    /// Called on the main thread, outside any runtime; gives the exit code.
    pub(crate) run: fn(Setup) -> i32,
}

inventory::collect!(Kind);

/// What a child has to begin with.
pub(crate) struct Setup {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
}

/// A test that becomes the child where libtest has the `main`.
#[doc(hidden)]
pub struct TestEntry(pub &'static str);

inventory::collect!(TestEntry);

static PASSED: AtomicBool = AtomicBool::new(false);
static INSIDE: OnceLock<Inside> = OnceLock::new();

/// What this process is, if it is a child.
struct Inside {
    kind: String,
    depth: u32,
}

/// The start-up hook: makes this process what its parent started it for, if it is a child of the
/// same program, and returns otherwise.
///
/// To be called first of all in `main`, before there are threads: what stands before it is done
/// by every child too. [`#[ropewalk::main]`](https://docs.rs/ropewalk) calls it. In tests, where
/// `main` is libtest's, there is [`test_support!`](crate::test_support).
///
/// Ends the process if the child can't begin.
pub fn init() {
    if PASSED.swap(true, Ordering::SeqCst) {
        return;
    }
    match origin() {
        Origin::Elsewhere => {}
        Origin::Child { parent, fd, header } => process::exit(begin(parent, fd, header)),
        Origin::Orphan => process::exit(EXIT_ORPHAN),
    }
}

inventory::submit! {
    ropewalk_rt::__private::StartHook(init)
}

/// Makes the tests of this crate able to start processes: their children are the test binary,
/// started again to run one hidden test, `ropewalk_child`.
///
/// Stands once in a test crate, at its root.
///
/// # Examples
///
/// ```
/// ropewalk_process::test_support!();
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! test_support {
    () => {
        #[test]
        fn ropewalk_child() {
            $crate::init();
        }

        $crate::__private::inventory::submit! {
            $crate::__private::TestEntry(::core::concat!(
                ::core::module_path!(),
                "::ropewalk_child"
            ))
        }
    };
}

/// How libtest calls the test that becomes the child: its path without the crate.
pub(crate) fn test_entry() -> Option<&'static str> {
    let entry = inventory::iter::<TestEntry>.into_iter().next()?;
    Some(entry.0.split_once("::").map_or(entry.0, |(_, path)| path))
}

/// Says whether the hook has run here, or will in a child.
pub(crate) fn is_hooked() -> bool {
    PASSED.load(Ordering::SeqCst) || test_entry().is_some()
}

/// How many parents of ours are the same program.
pub(crate) fn depth() -> u32 {
    INSIDE.get().map_or(0, |inside| inside.depth)
}

/// What kind of child this process is; `None` for one that was started in another way.
pub(crate) fn kind() -> Option<&'static str> {
    INSIDE.get().map(|inside| inside.kind.as_str())
}

/// Ends a child that was started to become something, and came past the place where it should.
pub(crate) fn refuse_lost_child() {
    if !PASSED.load(Ordering::SeqCst) && !matches!(origin(), Origin::Elsewhere) {
        eprintln!(
            "ropewalk: this process was started as a child of its own program, but reached a \
             point where it would start children itself; call `ropewalk::process::init()` first \
             in `main`, or use `#[ropewalk::main]`"
        );
        process::exit(EXIT_NOT_BEGUN);
    }
}

/// What the environment says of this process.
enum Origin {
    /// It was started in another way.
    Elsewhere,
    /// It is a child of `parent`, and its header lies behind `fd`.
    Child {
        parent: u32,
        fd: RawFd,
        header: Header,
    },
    /// It was started as a child, and its parent is gone by now.
    Orphan,
}

fn origin() -> Origin {
    let Some((parent, fd, header)) = marked() else {
        return Origin::Elsewhere;
    };
    if std::os::unix::process::parent_id() == parent {
        Origin::Child { parent, fd, header }
    } else {
        Origin::Orphan
    }
}

/// Whose child the marker says this is, the header's descriptor, and the header; `None` if there
/// is no header.
///
/// What a child starts inherits the variable, but not the header's descriptor, whose number
/// may be anything's there.
fn marked() -> Option<(u32, RawFd, Header)> {
    let marker = env::var(MARKER).ok()?;
    let (parent, fd) = marker.split_once(':')?;
    let parent: u32 = parent.parse().ok()?;
    let fd: RawFd = fd.parse().ok()?;
    let path = format!("/proc/self/fd/{fd}");
    let file = std::fs::read_link(&path).ok()?;
    if !file.to_str()?.starts_with(&format!("/memfd:{HEADER_FILE}")) {
        return None;
    }
    let mut file = File::open(path).ok()?;
    file.rewind().ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let header: Header = postcard::from_bytes(&bytes).ok()?;
    (header.magic == MAGIC).then_some((parent, fd, header))
}

fn begin(parent: u32, fd: RawFd, header: Header) -> i32 {
    let name = header.name.clone();
    let fail = |why: &str| {
        // Nobody may be there to read it.
        let _ = writeln!(
            io::stderr(),
            "ropewalk: the child \"{name}\" can't begin: {why}"
        );
        EXIT_NOT_BEGUN
    };
    if header.table_hash != tasks::table_hash() {
        return fail("it has other tasks than its parent: the program was built anew");
    }
    let Some(kind) = inventory::iter::<Kind>
        .into_iter()
        .find(|kind| kind.name == header.kind)
    else {
        return fail(&format!("nobody knows the kind \"{}\"", header.kind));
    };
    if let Err(error) = end_with(parent) {
        return fail(&format!("its parent can't be watched: {error}"));
    }
    if let Err(error) = take_over(fd, &header) {
        return fail(&format!("its descriptors are not there: {error}"));
    }
    let fds = header.fds.iter().map(|&fd| {
        // SAFETY: the parent opened it for us under this number (`take_over` saw that it is
        // open), and nothing else in this process knows of it.
        unsafe { OwnedFd::from_raw_fd(fd) }
    });
    let fds = fds.collect();
    let _ = INSIDE.set(Inside {
        kind: header.kind,
        depth: header.depth,
    });
    // The main thread's, wherever this runs; cut to 15 bytes by the system. Without it `ps`
    // shows what the executable was called when it was started, "exe".
    let _ = std::fs::write("/proc/self/comm", &header.name);
    (kind.run)(Setup {
        name: header.name,
        bytes: header.setup,
        fds,
    })
}

/// Makes sure that the descriptors are there, and are closed by an exec from now on.
fn take_over(own: RawFd, header: &Header) -> io::Result<()> {
    for &fd in &header.fds {
        // SAFETY: only a number.
        if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    if let Some(stdout) = header.stdout {
        // SAFETY: numbers; what standard output was is libtest's null device.
        if unsafe { libc::dup2(stdout, 1) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: opened for us by the parent, and known to nobody else.
        drop(unsafe { OwnedFd::from_raw_fd(stdout) });
    }
    // SAFETY: the header's, opened for us by the parent, and known to nobody else.
    drop(unsafe { OwnedFd::from_raw_fd(own) });
    Ok(())
}

/// Has this process end when `parent` does.
fn end_with(parent: u32) -> io::Result<()> {
    const LOOK: Duration = Duration::from_millis(100);
    let is_orphan = move || std::os::unix::process::parent_id() != parent;
    let pidfd = rustix::process::Pid::from_raw(parent as i32).and_then(|pid| {
        let flags = rustix::process::PidfdFlags::empty();
        rustix::process::pidfd_open(pid, flags).ok()
    });
    let watch = move || {
        let _counted = OwnThread::new();
        // The pidfd is the parent's if that has not been replaced by now.
        while !is_orphan() {
            match &pidfd {
                Some(pidfd) => {
                    let mut fds = [rustix::event::PollFd::new(
                        pidfd,
                        rustix::event::PollFlags::IN,
                    )];
                    // Interrupted, it is called again.
                    let _ = rustix::event::poll(&mut fds, None);
                    if !fds[0].revents().is_empty() {
                        break;
                    }
                }
                // Without pidfds (in some containers) it is looked for now and then.
                None => thread::sleep(LOOK),
            }
        }
        // SAFETY: ends the process at once; what would be flushed has no reader that matters.
        unsafe { libc::_exit(EXIT_ORPHAN) };
    };
    thread::Builder::new()
        .name("ropewalk-orphan".to_owned())
        .stack_size(64 * 1024)
        .spawn(watch)?;
    Ok(())
}
