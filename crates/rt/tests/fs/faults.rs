//! System calls that fail: the n-th, once and for good.
//!
//! The table is the process's: so each test has a process to itself. What is made to fail is only
//! what is done to one file, known by its name or its inode.

use std::ffi::{CStr, c_char, c_int};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use ropewalk_kernel::sys::{self, SysTable};
use ropewalk_rt::fs::{self, File};

use crate::process::well_alone;
use crate::scratch::{Scratch, pattern};
use crate::stage::{in_coroutines, on_each};

/// The inode whose transfers are counted; 0: none.
static INODE: AtomicU64 = AtomicU64::new(0);
/// How many calls until one fails.
static UNTIL: AtomicI64 = AtomicI64::new(i64::MAX);
/// Whether those after it fail too.
static FOR_GOOD: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);

fn fails() -> bool {
    let left = UNTIL.fetch_sub(1, Ordering::SeqCst);
    let fails = left == 1 || (left < 1 && FOR_GOOD.load(Ordering::SeqCst) == 1);
    if fails {
        FAILED.fetch_add(1, Ordering::SeqCst);
    }
    fails
}

fn is_ours(fd: c_int) -> bool {
    let inode = INODE.load(Ordering::SeqCst);
    // SAFETY: all zeroes is a valid stat, and there is room for it.
    inode != 0
        && unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            libc::fstat(fd, &raw mut stat) == 0 && stat.st_ino == inode
        }
}

unsafe fn openat(
    path: *const c_char,
    flags: c_int,
    mode: libc::mode_t,
    resolve: u64,
) -> io::Result<c_int> {
    // SAFETY: the caller's path.
    let name = unsafe { CStr::from_ptr(path) };
    if name.to_bytes().ends_with(b"to-fail") && fails() {
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    // SAFETY: as ours.
    unsafe { (sys::real_table().openat)(path, flags, mode, resolve) }
}

unsafe fn preadv2(
    fd: c_int,
    bufs: *const libc::iovec,
    count: c_int,
    offset: i64,
    flags: c_int,
) -> io::Result<usize> {
    if is_ours(fd) && fails() {
        return Err(io::Error::from_raw_os_error(libc::EIO));
    }
    // SAFETY: as ours.
    unsafe { (sys::real_table().preadv2)(fd, bufs, count, offset, flags) }
}

unsafe fn pwritev2(
    fd: c_int,
    bufs: *const libc::iovec,
    count: c_int,
    offset: i64,
    flags: c_int,
) -> io::Result<usize> {
    if is_ours(fd) && fails() {
        return Err(io::Error::from_raw_os_error(libc::ENOSPC));
    }
    // SAFETY: as ours.
    unsafe { (sys::real_table().pwritev2)(fd, bufs, count, offset, flags) }
}

fn fsync(fd: c_int, data_only: bool) -> io::Result<()> {
    if is_ours(fd) && fails() {
        return Err(io::Error::from_raw_os_error(libc::EIO));
    }
    (sys::real_table().fsync)(fd, data_only)
}

/// Whether somebody came to the FIFO for a moment.
static MET: AtomicBool = AtomicBool::new(false);

/// As the real one; but while a FIFO is opened without waiting there is somebody at its other end.
/// Nobody comes to one that waits.
unsafe fn openat_and_meet(
    path: *const c_char,
    flags: c_int,
    mode: libc::mode_t,
    resolve: u64,
) -> io::Result<c_int> {
    // SAFETY: the caller's path.
    let name = unsafe { CStr::from_ptr(path) };
    if !name.to_bytes().ends_with(b"to-meet") {
        // SAFETY: as ours.
        return unsafe { (sys::real_table().openat)(path, flags, mode, resolve) };
    }
    if flags & libc::O_NONBLOCK == 0 {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    let writes = flags & libc::O_ACCMODE == libc::O_WRONLY;
    let other = || {
        let mut options = std::fs::File::options();
        options.read(writes).write(!writes);
        let path = std::ffi::OsStr::from_bytes(name.to_bytes());
        options.custom_flags(libc::O_NONBLOCK).open(path)
    };
    // A reader is there before, a writer comes to a reader.
    let reader = writes.then(other).transpose()?;
    // SAFETY: as ours.
    let fd = unsafe { (sys::real_table().openat)(path, flags, mode, resolve) }?;
    if !writes {
        other()?.write_all(b"met")?;
    }
    drop(reader);
    MET.store(true, Ordering::SeqCst);
    Ok(fd)
}

// Regression: it was waited once more for the other end, which had been there and gone again.
#[test]
fn who_comes_to_a_fifo_for_a_moment_was_there() {
    well_alone(&[], || {
        let table = SysTable {
            openat: openat_and_meet,
            ..*sys::real_table()
        };
        // SAFETY: the entry does what the call does, or fails.
        unsafe { sys::replace(Some(Box::leak(Box::new(table)))) };
        in_coroutines(|| {
            let scratch = Scratch::new();
            let path = scratch.fifo("to-meet");
            let mut reader = match File::open(&path) {
                Err(error) if !MET.load(Ordering::SeqCst) => {
                    eprintln!("skipped: nothing is opened at once here: {error}");
                    return;
                }
                opened => opened.unwrap(),
            };
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, "met");
            drop(reader);
            let mut writer = File::options().write(true).open(&path).unwrap();
            let error = writer.write(b"anybody?").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
        // SAFETY: the real table.
        unsafe { sys::replace(None) };
    });
}

/// Runs `body` with the n-th call failing, for each n until none fails any more.
///
/// `body` gets what to call when the file is there whose calls are counted.
fn each_failing(body: impl Fn(&dyn Fn(&std::path::Path)) -> io::Result<()> + Sync) {
    let table = SysTable {
        openat,
        preadv2,
        pwritev2,
        fsync,
        ..*sys::real_table()
    };
    // SAFETY: each entry does what the call does, or fails.
    unsafe { sys::replace(Some(Box::leak(Box::new(table)))) };
    on_each(|| {
        for for_good in [0, 1] {
            for n in 1.. {
                assert!(n < 100, "the calls come to an end");
                FOR_GOOD.store(for_good, Ordering::SeqCst);
                FAILED.store(0, Ordering::SeqCst);
                UNTIL.store(n, Ordering::SeqCst);
                let result = body(&|path| {
                    let inode = std::fs::metadata(path).unwrap().ino();
                    INODE.store(inode, Ordering::SeqCst);
                });
                INODE.store(0, Ordering::SeqCst);
                UNTIL.store(i64::MAX, Ordering::SeqCst);
                let failed = FAILED.load(Ordering::SeqCst);
                if failed == 0 {
                    result.expect("no call failed");
                    break;
                }
                if let Err(error) = result {
                    let code = error.raw_os_error().expect("the system's error");
                    assert!([libc::EMFILE, libc::EIO, libc::ENOSPC].contains(&code));
                }
            }
        }
    });
    // SAFETY: the real table.
    unsafe { sys::replace(None) };
}

#[test]
fn reading_with_a_failing_call() {
    well_alone(&[], || {
        each_failing(|count| {
            let scratch = Scratch::new();
            let data = pattern(10_000);
            let path = scratch.file("to-fail", &data);
            count(&path);
            let mut file = File::open(&path)?;
            let mut first = [0; 100];
            // Where it failed the bytes are still there to be read.
            if file.read_exact(&mut first).is_err() {
                file = File::open(&path)?;
                file.read_exact(&mut first)?;
            }
            assert_eq!(first, data[..100]);
            let mut rest = Vec::new();
            file.read_to_end(&mut rest)?;
            assert!(rest == data[100..]);
            file.read_exact_at(&mut first, 50)?;
            assert_eq!(first, data[50..150]);
            assert!(fs::read(&path)? == data);
            Ok(())
        });
    });
}

#[test]
fn writing_with_a_failing_call() {
    well_alone(&[], || {
        each_failing(|count| {
            let scratch = Scratch::new();
            let path = scratch.file("to-fail", b"");
            count(&path);
            let mut file = File::options().write(true).open(&path)?;
            file.write_all(b"one ")?;
            file.write_all_at(b"two ", 4)?;
            file.sync_data()?;
            file.sync_all()?;
            drop(file);
            assert_eq!(std::fs::read(&path).unwrap(), b"one two ");
            Ok(())
        });
    });
}
