//! How either side sees that the other is closed.

use ropewalk_process::pipe::{PipeError, duplex, one_way};
use ropewalk_rt::coroutine;

use crate::stage::{in_coroutines, on_each, until_waiting};

#[test]
fn what_was_sent_comes_before_the_end() {
    on_each(|| {
        let (here, there) = duplex::<u32, u32>().unwrap();
        for number in 0..50 {
            there.send(number).unwrap();
        }
        drop(there);
        assert_eq!(here.iter().map(Result::unwrap).sum::<u32>(), 49 * 25);
        assert!(matches!(here.recv(), Err(PipeError::Closed)));
        assert!(matches!(here.try_recv(), Err(PipeError::Closed)));
        let error = here.send(1).unwrap_err();
        assert!(error.reason.is_closed());
        assert_eq!(error.into_inner(), 1);
    });
}

/// The system tells first that the other side has thrown away what it was sent, before what
/// that side has sent itself. Nothing of it may be lost.
#[test]
fn a_side_that_has_not_read_all_is_heard_to_the_end() {
    on_each(|| {
        let (here, there) = duplex::<u32, u32>().unwrap();
        here.send(1).unwrap();
        there.send(2).unwrap();
        there.send(3).unwrap();
        drop(there);
        assert_eq!(here.recv().unwrap(), 2);
        assert!(here.poll().unwrap());
        assert_eq!(here.recv().unwrap(), 3);
        assert!(here.recv().unwrap_err().is_closed());
    });
}

#[test]
fn a_side_is_closed_with_its_last_clone() {
    on_each(|| {
        let (sender, receiver) = one_way::<u32>().unwrap();
        let clone = sender.clone();
        drop(sender);
        clone.send(1).unwrap();
        assert_eq!(receiver.recv().unwrap(), 1);
        assert!(matches!(receiver.try_recv(), Err(PipeError::WouldBlock)));
        drop(clone);
        assert!(receiver.recv().unwrap_err().is_closed());
    });
}

#[test]
fn a_split_end_is_closed_with_both_parts() {
    on_each(|| {
        let (here, there) = duplex::<u32, u32>().unwrap();
        let (sender, receiver) = there.split();
        drop(sender);
        here.send(1).unwrap();
        assert_eq!(receiver.recv().unwrap(), 1);
        drop(receiver);
        assert!(here.recv().unwrap_err().is_closed());
    });
}

#[test]
fn a_waiting_receiver_sees_the_end() {
    in_coroutines(|| {
        let (sender, receiver) = one_way::<u32>().unwrap();
        let waiting = coroutine::spawn(move || receiver.recv().unwrap_err().is_closed());
        until_waiting(waiting.task().id(), "reading");
        drop(sender);
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn a_waiting_sender_sees_the_receiver_go() {
    in_coroutines(|| {
        let (sender, receiver) = one_way::<Vec<u8>>().unwrap();
        let waiting = coroutine::spawn(move || {
            loop {
                if let Err(error) = sender.send(vec![7; 10_000]) {
                    return error.reason.is_closed();
                }
            }
        });
        until_waiting(waiting.task().id(), "writing");
        drop(receiver);
        assert!(waiting.join().unwrap());
    });
}
