//! Opening, the options, and what can be done with an open file besides transfers.

use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use ropewalk_rt::fs::{self, File, FileTimes, OpenOptions, Permissions};

use crate::process::well_alone;
use crate::scratch::Scratch;
use crate::stage::on_each;

#[test]
fn what_is_written_is_read_again() {
    on_each(|| {
        let scratch = Scratch::new();
        let path = scratch.path("a");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"first line\n").unwrap();
        file.write_all(b"second line\n").unwrap();
        file.flush().unwrap();
        file.sync_all().unwrap();
        file.sync_data().unwrap();
        drop(file);
        let mut text = String::from("text: ");
        let mut file = File::open(&path).unwrap();
        assert_eq!(file.read_to_string(&mut text).unwrap(), 23);
        assert_eq!(text, "text: first line\nsecond line\n");
        assert_eq!(file.read(&mut [0; 8]).unwrap(), 0, "the end stays the end");
        assert_eq!(file.seek(SeekFrom::Start(6)).unwrap(), 6);
        assert_eq!(file.seek(SeekFrom::Current(-2)).unwrap(), 4);
        assert_eq!(file.seek(SeekFrom::End(-5)).unwrap(), 18);
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"line\n");
        assert_eq!(
            file.seek(SeekFrom::Current(-100)).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn options_mean_what_they_mean_in_std() {
    /// read, write, append, truncate, create, create_new
    fn both(bits: u32) -> (OpenOptions, std::fs::OpenOptions) {
        let bit = |n: u32| bits >> n & 1 == 1;
        let mut ours = File::options();
        ours.read(bit(0))
            .write(bit(1))
            .append(bit(2))
            .truncate(bit(3))
            .create(bit(4))
            .create_new(bit(5));
        let mut std = std::fs::OpenOptions::new();
        std.read(bit(0))
            .write(bit(1))
            .append(bit(2))
            .truncate(bit(3))
            .create(bit(4))
            .create_new(bit(5));
        (ours, std)
    }
    on_each(|| {
        for bits in 0..64 {
            for there in [false, true] {
                let scratch = Scratch::new();
                let paths = [scratch.path("ours"), scratch.path("std")];
                if there {
                    for path in &paths {
                        std::fs::write(path, "0123456789").unwrap();
                    }
                }
                let (ours, std) = both(bits);
                let ours = ours.open(&paths[0]);
                let std = std.open(&paths[1]);
                let told = format!("options {bits:#b}, there: {there}: {ours:?}, {std:?}");
                assert_eq!(ours.is_ok(), std.is_ok(), "{told}");
                match (ours, std) {
                    (Ok(mut ours), Ok(mut std)) => {
                        let wrote = [ours.write(b"ab").is_ok(), std.write(b"ab").is_ok()];
                        assert_eq!(wrote[0], wrote[1], "{told}");
                        let flags = [ours.as_raw_fd(), std.as_raw_fd()].map(|fd| {
                            // SAFETY: no pointers.
                            unsafe {
                                (
                                    libc::fcntl(fd, libc::F_GETFL),
                                    libc::fcntl(fd, libc::F_GETFD),
                                )
                            }
                        });
                        assert_eq!(flags[0], flags[1], "{told}");
                    }
                    (Err(ours), Err(std)) => assert_eq!(ours.kind(), std.kind(), "{told}"),
                    _ => unreachable!(),
                }
                assert_eq!(
                    std::fs::read(&paths[0]).ok(),
                    std::fs::read(&paths[1]).ok(),
                    "{told}"
                );
            }
        }
    });
}

#[test]
fn mode_and_custom_flags_reach_the_system() {
    on_each(|| {
        let scratch = Scratch::new();
        let path = scratch.path("a");
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(&path)
            .unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o700,
            0o600
        );
        let again = File::options()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(&path);
        assert_eq!(again.unwrap_err().kind(), ErrorKind::NotADirectory);
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .unwrap();
        // SAFETY: no pointers.
        let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
        assert_ne!(flags & libc::O_NONBLOCK, 0, "asked for, so kept");
        let path_only = File::options()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(&path)
            .unwrap();
        assert!(path_only.metadata().unwrap().is_file());
        assert_eq!(
            (&path_only).read(&mut [0; 4]).unwrap_err().raw_os_error(),
            Some(libc::EBADF)
        );
    });
}

#[test]
fn opening_fails_as_in_std() {
    on_each(|| {
        let scratch = Scratch::new();
        let there = scratch.file("there", b"x");
        let kind = |result: std::io::Result<File>| result.unwrap_err().kind();
        assert_eq!(kind(File::open(scratch.path("no"))), ErrorKind::NotFound);
        assert_eq!(
            kind(File::open(there.join("below"))),
            ErrorKind::NotADirectory
        );
        assert_eq!(kind(File::create(scratch.dir())), ErrorKind::IsADirectory);
        assert_eq!(kind(File::create_new(&there)), ErrorKind::AlreadyExists);
        assert_eq!(kind(File::open("zero\0byte")), ErrorKind::InvalidInput);
        assert_eq!(kind(File::open("")), ErrorKind::NotFound);
        let long = "x".repeat(5000);
        assert_eq!(kind(File::open(long)), ErrorKind::InvalidFilename);
        // A directory can be opened, but not read.
        let error = File::open(scratch.dir())
            .unwrap()
            .read(&mut [0; 8])
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
    });
}

#[test]
fn lengths_times_permissions_and_metadata() {
    on_each(|| {
        let scratch = Scratch::new();
        let path = scratch.path("a");
        let file = File::create_new(&path).unwrap();
        file.set_len(5000).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 5000);
        file.set_len(3).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [0; 3]);
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.set_modified(then).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), then);
        file.set_times(FileTimes::new().set_accessed(then)).unwrap();
        assert_eq!(file.metadata().unwrap().accessed().unwrap(), then);
        file.set_permissions(Permissions::from_mode(0o400)).unwrap();
        assert!(file.metadata().unwrap().permissions().readonly());
        let read_only = File::open(&path).unwrap();
        assert_eq!(
            read_only.set_len(1).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert!(read_only.metadata().unwrap().is_file());
    });
}

// In a process of its own: while another test starts one, that has the closed descriptor for a moment,
// too.
#[test]
fn advisory_locks_keep_others_out() {
    well_alone(&[], || {
        on_each(|| {
            let scratch = Scratch::new();
            let path = scratch.file("a", b"");
            let (one, other) = (File::open(&path).unwrap(), File::open(&path).unwrap());
            one.lock().unwrap();
            assert!(matches!(
                other.try_lock(),
                Err(fs::TryLockError::WouldBlock)
            ));
            let waiting = ropewalk_rt::spawn(move || {
                other.lock_shared().unwrap();
                other
            });
            one.unlock().unwrap();
            let other = waiting.join().unwrap();
            one.try_lock_shared().unwrap();
            other.unlock().unwrap();
            drop(one);
            other.try_lock().unwrap();
        });
    });
}

#[test]
fn descriptors_go_to_std_and_come_back() {
    on_each(|| {
        let scratch = Scratch::new();
        let path = scratch.file("a", b"0123456789");
        let mut file = File::open(&path).unwrap();
        let mut two = [0; 2];
        file.read_exact(&mut two).unwrap();
        let mut std = std::fs::File::from(file);
        std.read_exact(&mut two).unwrap();
        assert_eq!(&two, b"23");
        let mut file = File::from(OwnedFd::from(std));
        file.read_exact(&mut two).unwrap();
        assert_eq!(&two, b"45");
        assert!(format!("{file:?}").contains("fd"));
        let fd = std::os::fd::IntoRawFd::into_raw_fd(file);
        // SAFETY: the descriptor was owned by `file` alone.
        let mut file = unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(fd) };
        file.read_exact(&mut two).unwrap();
        assert_eq!(&two, b"67");
    });
}

#[test]
fn a_file_may_be_dropped_anywhere() {
    on_each(|| {
        let scratch = Scratch::new();
        let path = scratch.path("a");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"in a no_wait section").unwrap();
        ropewalk_rt::coroutine::no_wait(move || drop(file));
        assert_eq!(fs::read(&path).unwrap(), b"in a no_wait section");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"while it panics").unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _file = file;
            std::panic::resume_unwind(Box::new("expected"));
        }));
        assert!(caught.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"while it panics");
    });
}
