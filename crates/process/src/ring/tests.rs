//! Both sides of a ring in one process, on two threads.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use super::payload::{Payload, Writer};
use super::reader::Reader;
use super::runner::{Next, Runner};
use super::sender::{NoRoom, Sender, Shared};
use super::{Layout, bell::Bell, header};
use crate::memory::Region;

struct Pair {
    sender: Sender,
    reader: Reader,
    runner: Runner,
    bell: Region,
}

fn pair(slots: u32, arena: u32) -> Pair {
    let layout = Layout { slots, arena };
    let (here, there) = socket_pair();
    let shared = Shared::new(layout, here).unwrap();
    let bell = Region::new(64).unwrap();
    let runner = Runner::new(
        shared.region.try_clone().unwrap(),
        layout,
        there,
        bell.try_clone().unwrap(),
    );
    Pair {
        sender: Sender::new(Arc::clone(&shared)),
        reader: Reader::new(shared),
        runner: runner.unwrap(),
        bell,
    }
}

fn socket_pair() -> (OwnedFd, OwnedFd) {
    let (here, there) = UnixDatagram::pair().unwrap();
    (here.into(), there.into())
}

/// Runs tasks until told to stop: the result is the payload backwards, the code one more.
fn serve(mut runner: Runner) -> u64 {
    let mut buffer = Vec::new();
    let mut ran = 0;
    loop {
        match runner.take(&mut buffer).unwrap() {
            Next::Task(task) => {
                let mut bytes = task.payload.bytes(&buffer).to_vec();
                bytes.reverse();
                let mut writer = Writer::new(Vec::new(), runner.layout().arena_max(), None);
                for piece in bytes.chunks(100_000) {
                    writer.write(piece).unwrap();
                }
                let payload = writer.finish().unwrap();
                runner.finish(task.code + 1, &payload).unwrap();
                ran += 1;
            }
            Next::Nothing => runner.sleep(),
            Next::Stop => return ran,
        }
    }
}

fn payload(position: u64, len: usize) -> Payload {
    let bytes = (0..len).map(|at| (at as u64 * 31 + position) as u8);
    let bytes: Vec<u8> = bytes.collect();
    let mut writer = Writer::new(Vec::new(), 1024, None);
    writer.write(&bytes).unwrap();
    writer.finish().unwrap()
}

#[test]
fn every_task_comes_back_once_and_in_order_whatever_its_size() {
    let Pair {
        mut sender,
        mut reader,
        runner,
        bell,
    } = pair(8, 4096);
    let worker = std::thread::spawn(move || serve(runner));
    let sizes = [0, 1, 224, 225, 1000, 1024, 1025, 100_000, 3];
    let (mut given, mut taken) = (0_u64, 0_u64);
    let mut buffer = Vec::new();
    while taken < 2000 {
        while given < 2000 {
            let size = sizes[given as usize % sizes.len()];
            match sender.publish(given as u32 * 2, &mut payload(given, size)) {
                Ok(position) => assert_eq!(position, given),
                Err(NoRoom::Full) => break,
                Err(error) => panic!("{error:?}"),
            }
            given += 1;
        }
        sender.shared().bell().ring(true);
        buffer.clear();
        let mut some = false;
        while let Some(result) = reader.take(&mut buffer).unwrap() {
            assert_eq!(result.position, taken);
            assert_eq!(result.code, taken as u32 * 2 + 1);
            let size = sizes[taken as usize % sizes.len()];
            let bytes = result.payload.bytes(&buffer);
            assert_eq!(bytes.len(), size);
            let expected = (0..size).rev().map(|at| (at as u64 * 31 + taken) as u8);
            assert!(bytes.iter().copied().eq(expected));
            taken += 1;
            some = true;
        }
        sender.collected(reader.next());
        if !some {
            Bell::new(&bell, 0).sleep(taken % 2 == 0, None, || reader.has_some());
        }
    }
    sender.stop();
    assert_eq!(worker.join().unwrap(), 2000);
    assert_eq!(sender.shared().status(header::DONE), 2000);
}

#[test]
fn a_task_that_was_revoked_is_never_run_and_all_others_are() {
    let Pair {
        mut sender,
        mut reader,
        runner,
        bell,
    } = pair(16, 4096);
    let worker = std::thread::spawn(move || serve(runner));
    let mut buffer = Vec::new();
    let mut revoked = Vec::new();
    let mut taken = Vec::new();
    let mut given = 0;
    while given < 5000 {
        let before = given;
        while sender.room() > 0 && given < 5000 {
            // Every fifth is large, to see that the parcels of the revoked are dropped.
            let size = if given % 5 == 0 { 2000 } else { 8 };
            match sender.publish(given as u32, &mut payload(given, size)) {
                Ok(_) => given += 1,
                Err(_) => break,
            }
        }
        sender.shared().bell().ring(true);
        for position in (before..given).rev().step_by(2) {
            if sender.revoke(position) {
                revoked.push(position);
            }
        }
        buffer.clear();
        while let Some(result) = reader.take(&mut buffer).unwrap() {
            taken.push(result.position);
        }
        sender.collected(reader.next());
    }
    while reader.next() < given {
        Bell::new(&bell, 0).sleep(false, None, || reader.has_some());
        while let Some(result) = reader.take(&mut buffer).unwrap() {
            taken.push(result.position);
        }
    }
    sender.stop();
    assert_eq!(worker.join().unwrap() as usize, taken.len());
    taken.extend(&revoked);
    taken.sort_unstable();
    assert!(taken.iter().copied().eq(0..5000), "each one once");
}

#[test]
fn whole_laps_of_revoked_tasks_are_gone_past() {
    let Pair {
        mut sender,
        mut reader,
        mut runner,
        ..
    } = pair(4, 0);
    let mut buffer = Vec::new();
    for position in 0..30 {
        sender.publish(position, &mut payload(0, 4)).unwrap();
        assert!(sender.revoke(position.into()));
        assert!(reader.take(&mut buffer).unwrap().is_none());
        sender.collected(reader.next());
    }
    sender.publish(30, &mut payload(0, 4)).unwrap();
    let Next::Task(task) = runner.take(&mut buffer).unwrap() else {
        panic!("the one that was not revoked");
    };
    assert_eq!(task.code, 30);
    assert_eq!(reader.was_running(), Some(30));
    let Payload::Bytes(back) = payload(0, 4) else {
        panic!("a small one");
    };
    runner.finish(1, &Payload::Bytes(back)).unwrap();
    assert_eq!(reader.was_running(), None);
    assert!(reader.take(&mut buffer).unwrap().is_some());
}

#[test]
fn a_worker_that_writes_nonsense_is_found_out() {
    use std::sync::atomic::Ordering;
    let nonsense: [(usize, u32); 5] = [
        (0, u32::MAX),  // a state that there isn't
        (8, 7),         // a place that there isn't
        (8, 1),         // in the arena, but longer than that
        (8, 2),         // by a socket on which nothing came
        (20, u32::MAX), // longer than anything
    ];
    for (offset, value) in nonsense {
        let Pair {
            mut sender,
            mut reader,
            mut runner,
            ..
        } = pair(4, 4096);
        let mut buffer = Vec::new();
        sender.publish(1, &mut payload(0, 4)).unwrap();
        assert!(matches!(runner.take(&mut buffer), Ok(Next::Task(_))));
        let long = Payload::Bytes(vec![0; 200]);
        runner.finish(1, &long).unwrap();
        let shared = Arc::clone(reader.shared());
        let slot = shared.layout.slot(0);
        shared
            .region
            .word(slot + offset)
            .store(value, Ordering::Relaxed);
        if (offset, value) == (8, 1) {
            shared.region.word(slot + 12).store(4000, Ordering::Relaxed);
        }
        assert!(reader.has_some());
        let taken = reader.take(&mut buffer);
        assert!(taken.is_err(), "{offset}: {taken:?}");
    }
}

#[test]
fn a_file_that_is_not_sealed_is_refused() {
    use std::io::IoSlice;
    use std::os::fd::AsFd;
    let (here, there) = socket_pair();
    let open = Region::new(100).unwrap();
    let files = [open.fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
    assert!(control.push(rustix::net::SendAncillaryMessage::ScmRights(&files)));
    let data = [IoSlice::new(&[0; 8])];
    let flags = rustix::net::SendFlags::empty();
    rustix::net::sendmsg(&here, &data, &mut control, flags).unwrap();
    let error = super::parcel::receive(there.as_fd()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn with_too_many_parcels_payloads_wait_in_memory() {
    use super::parcel::Allowance;
    let allowance = Allowance::new(1);
    let large = || {
        let mut writer = Writer::new(Vec::new(), 100, Some(allowance.clone()));
        for _ in 0..50 {
            writer.write(&[7; 90]).unwrap();
        }
        writer.finish().unwrap()
    };
    let first = large();
    let mut second = large();
    assert!(matches!(first, Payload::Parcel(_)));
    assert!(matches!(second, Payload::Bytes(_)));
    assert_eq!((first.len(), second.len()), (4500, 4500));
    drop(first);
    assert!(matches!(large(), Payload::Parcel(_)));
    let Pair {
        mut sender,
        mut runner,
        ..
    } = pair(4, 4096);
    sender.publish(1, &mut second).unwrap();
    let mut buffer = Vec::new();
    let Next::Task(task) = runner.take(&mut buffer).unwrap() else {
        panic!("a task");
    };
    assert_eq!(task.payload.bytes(&buffer), [7; 4500]);
}
