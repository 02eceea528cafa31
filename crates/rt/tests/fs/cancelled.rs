//! Cancellation and deadlines: they end what waits for somebody else, and let the rest finish.

use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::time::Duration;

use ropewalk_rt::cancel::{self, Token};
use ropewalk_rt::fs::{self, File};

use crate::process::well_alone;
use crate::scratch::Scratch;
use crate::stage::on_each;

#[test]
fn a_deadline_ends_a_read_of_a_pipe() {
    on_each(|| {
        let (reader, writer) = io::pipe().unwrap();
        let mut reader = File::from(OwnedFd::from(reader));
        let elapsed = cancel::timeout(Duration::from_millis(20), || reader.read(&mut [0; 4]));
        let error = elapsed.unwrap_err().into_inner().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        // What comes later is there for the next.
        io::Write::write_all(&mut &writer, b"late").unwrap();
        let mut read = [0; 4];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"late");
    });
}

#[test]
fn cancelling_ends_a_read_of_a_pipe() {
    on_each(|| {
        let (reader, writer) = io::pipe().unwrap();
        let mut reader = File::from(OwnedFd::from(reader));
        let token = Token::new();
        let canceller = token.clone();
        let task = ropewalk_rt::spawn(move || {
            ropewalk_rt::coroutine::sleep(Duration::from_millis(5));
            canceller.cancel();
        });
        let error = token.run(|| reader.read(&mut [0; 4])).unwrap_err();
        assert!(
            error
                .get_ref()
                .is_some_and(|source| source.is::<cancel::Cancelled>()),
            "{error:?}"
        );
        task.join().unwrap();
        drop(writer);
        assert_eq!(reader.read(&mut [0; 4]).unwrap(), 0);
    });
}

#[test]
fn who_is_cancelled_begins_nothing_that_waits() {
    on_each(|| {
        let scratch = Scratch::new();
        let path = scratch.file("a", b"x");
        let token = Token::new();
        token.cancel();
        token.run(|| {
            assert!(fs::rename(&path, scratch.path("b")).is_err());
            assert!(fs::write(scratch.path("c"), "c").is_err());
            assert!(fs::remove_file(&path).is_err());
            assert!(File::create(scratch.path("d")).is_err());
            assert!(fs::create_dir(scratch.path("e")).is_err());
            assert!(fs::metadata(&path).is_err());
        });
        let names: Vec<_> = fs::read_dir(scratch.dir())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["a"]);
    });
}

// In a process of its own: while another test starts one, that has the closed descriptor for a moment,
// too.
#[test]
fn a_file_is_closed_by_who_is_cancelled_too() {
    well_alone(&[], || {
        on_each(|| {
            let scratch = Scratch::new();
            let path = scratch.path("a");
            let mut file = File::create(&path).unwrap();
            io::Write::write_all(&mut file, b"x").unwrap();
            file.lock().unwrap();
            let token = Token::new();
            token.cancel();
            token.run(|| drop(file));
            // Closed when the drop returns: the lock is free.
            File::open(&path).unwrap().try_lock().unwrap();
        });
    });
}
