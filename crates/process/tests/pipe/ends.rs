//! Ends that go through pipes themselves, and what becomes of descriptors.

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use ropewalk_process::pipe::{Pipe, PipeError, Receiver, Sender, duplex, one_way};

use crate::alone::well_alone;
use crate::stage::on_each;

#[test]
fn ends_go_through_pipes() {
    on_each(|| {
        let (carrier, carried) = one_way::<(Sender<u32>, Pipe<String, u8>)>().unwrap();
        let (sender, receiver) = one_way().unwrap();
        let (here, there) = duplex().unwrap();
        carrier.send((sender, there)).unwrap();
        let (sender, there) = carried.recv().unwrap();
        sender.send(1).unwrap();
        there.send("sent on".into()).unwrap();
        here.send(7).unwrap();
        assert_eq!(receiver.recv().unwrap(), 1);
        assert_eq!(here.recv().unwrap(), "sent on");
        assert_eq!(there.recv().unwrap(), 7);
        // Nobody else has them: what was sent was given away.
        drop((sender, there));
        assert!(receiver.recv().unwrap_err().is_closed());
        assert!(here.recv().unwrap_err().is_closed());
    });
}

/// With a payload that goes by file, too; and an end that nobody takes out is closed.
#[test]
fn ends_go_beside_large_payloads() {
    on_each(|| {
        let (carrier, carried) = one_way::<(Vec<u8>, Vec<Sender<usize>>)>().unwrap();
        let mut receivers = Vec::new();
        let senders = |count: usize, receivers: &mut Vec<Receiver<usize>>| {
            let pairs = (0..count).map(|_| one_way().unwrap());
            let (senders, others): (_, Vec<_>) = pairs.unzip();
            receivers.extend(others);
            senders
        };
        let few = senders(5, &mut receivers);
        carrier.send((vec![1; 300_000], few)).unwrap();
        let (bytes, few) = carried.recv().unwrap();
        assert_eq!(bytes.len(), 300_000);
        for (number, sender) in few.into_iter().enumerate() {
            sender.send(number).unwrap();
            assert_eq!(receivers[number].recv().unwrap(), number);
            drop(sender);
            assert!(receivers[number].recv().unwrap_err().is_closed());
        }
        receivers.clear();
        let lost = senders(3, &mut receivers);
        carrier.send((vec![], lost)).unwrap();
        drop((carrier, carried));
        assert!(
            receivers
                .iter()
                .all(|one| one.recv().unwrap_err().is_closed())
        );
    });
}

/// As many as go at once, and one more.
#[test]
fn too_many_descriptors_are_refused() {
    on_each(|| {
        let (carrier, carried) = one_way::<Vec<Sender<u8>>>().unwrap();
        let (sender, _receiver) = one_way().unwrap();
        carrier.send(vec![sender.clone(); 253]).unwrap();
        assert_eq!(carried.recv().unwrap().len(), 253);
        let error = carrier.send(vec![sender.clone(); 254]).unwrap_err();
        assert!(matches!(&error.reason, PipeError::Encode(_)), "{error}");
        assert_eq!(error.message.len(), 254);
        carrier.send(vec![sender]).unwrap();
        assert_eq!(carried.recv().unwrap().len(), 1);
    });
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A receiver that may open no more descriptors loses that message, and no other.
#[test]
fn descriptors_that_find_no_room_are_an_error_of_their_message() {
    well_alone(&[], || {
        let (carrier, carried) = one_way::<Vec<Sender<u8>>>().unwrap();
        let (sender, _receiver) = one_way().unwrap();
        let before = open_descriptors();
        carrier.send(vec![sender.clone(); 10]).unwrap();
        carrier.send(vec![]).unwrap();
        let mut taken = Vec::new();
        let highest = sender.as_fd().as_raw_fd().max(carried.as_fd().as_raw_fd());
        let limit = rustix::process::Rlimit {
            current: Some(highest as u64 + 6),
            maximum: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
        };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        while let Ok(file) = std::fs::File::open(Path::new("/dev/null")) {
            taken.push(file);
        }
        taken.truncate(taken.len() - 2);
        let error = carried.recv().unwrap_err();
        assert!(matches!(&error, PipeError::Decode(_)), "{error:?}");
        assert_eq!(carried.recv().unwrap().len(), 0);
        drop(taken);
        assert_eq!(open_descriptors(), before);
    });
}

#[test]
fn nothing_is_left_open() {
    well_alone(&[], || {
        on_each(|| ());
        let before = open_descriptors();
        let body = || {
            let (carrier, carried) = one_way::<(Vec<u8>, Sender<u8>)>().unwrap();
            let (sender, receiver) = one_way().unwrap();
            for size in [10, 100_000] {
                carrier.send((vec![0; size], sender.clone())).unwrap();
                carried.recv().unwrap().1.send(1).unwrap();
                assert_eq!(receiver.recv().unwrap(), 1);
                // Left in the pipe.
                carrier.send((vec![0; size], sender.clone())).unwrap();
            }
        };
        for _ in 0..20 {
            body();
        }
        assert_eq!(open_descriptors(), before);
    });
}
