//! Pipes between processes.

use ropewalk_process::Process;
use ropewalk_process::pipe::{Pipe, Receiver, Sender, duplex, one_way};
use ropewalk_rt::scope;

use crate::stage::on_each;

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn doubles(pipe: Pipe<u64, u64>) -> u64 {
    let mut count = 0;
    for number in pipe.iter() {
        pipe.send(number.unwrap() * 2).unwrap();
        count += 1;
    }
    count
}

#[test]
fn both_ways_and_the_end() {
    on_each(|| {
        let (here, there) = duplex().unwrap();
        let process = Process::spawn(doubles, (there,)).unwrap();
        for number in 0..100 {
            here.send(number).unwrap();
            assert_eq!(here.recv().unwrap(), number * 2);
        }
        drop(here);
        assert_eq!(process.join().unwrap(), 100);
    });
}

/// A child that dies closes what it had.
#[test]
fn the_death_of_the_other_side_is_its_end() {
    on_each(|| {
        let (here, there) = duplex::<u64, u64>().unwrap();
        let process = Process::spawn(doubles, (there,)).unwrap();
        here.send(1).unwrap();
        assert_eq!(here.recv().unwrap(), 2);
        process.kill().unwrap();
        assert!(here.recv().unwrap_err().is_closed());
        assert!(here.send(3).unwrap_err().reason.is_closed());
        process.join().unwrap_err();
    });
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn an_end_of_its_own() -> (Receiver<String>, Pipe<u8, u8>) {
    let (sender, receiver) = one_way().unwrap();
    sender.send("from who is no more".to_owned()).unwrap();
    let (one, _other) = duplex().unwrap();
    (receiver, one)
}

#[test]
fn ends_can_be_results() {
    on_each(|| {
        let process = Process::spawn(an_end_of_its_own, ()).unwrap();
        let (receiver, pipe) = process.join().unwrap();
        assert_eq!(receiver.recv().unwrap(), "from who is no more");
        assert!(receiver.recv().unwrap_err().is_closed());
        assert!(pipe.recv().unwrap_err().is_closed());
    });
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn relay(carried: Receiver<Sender<u32>>) {
    for sender in carried {
        sender.unwrap().send(ropewalk_process::pid()).unwrap();
    }
}

/// An end goes to a process that has long begun.
#[test]
fn ends_go_to_running_processes() {
    on_each(|| {
        let (carrier, carried) = one_way().unwrap();
        let process = Process::spawn(relay, (carried,)).unwrap();
        for _ in 0..3 {
            let (sender, receiver) = one_way().unwrap();
            carrier.send(sender).unwrap();
            assert_eq!(receiver.recv().unwrap(), process.pid());
            assert!(receiver.recv().unwrap_err().is_closed());
        }
        drop(carrier);
        process.join().unwrap();
    });
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn writes(who: u32, sender: Sender<(u32, u32, String)>) {
    for number in 0.. {
        // Of all sizes; the last by file.
        let len = [0, 10, 5_000, 64_000, 300_000][number as usize % 5];
        let text = char::from_digit(who, 36).unwrap().to_string().repeat(len);
        if sender.send((who, number, text)).is_err() {
            return;
        }
    }
}

/// Processes that share one end are killed in the midst of writing: what was sent is whole, in
/// order for each, and the others go on.
#[test]
fn killed_writers_corrupt_nothing() {
    on_each(|| {
        let (sender, receiver) = one_way::<(u32, u32, String)>().unwrap();
        let writers: Vec<_> = (0..4)
            .map(|who| Process::spawn(writes, (who, sender.clone())).unwrap())
            .collect();
        drop(sender);
        let mut next = [0; 4];
        let mut check = |message: (u32, u32, String)| {
            let (who, number, text) = message;
            assert_eq!(number, next[who as usize]);
            next[who as usize] += 1;
            let of = char::from_digit(who, 36).unwrap();
            assert_eq!(
                text.len(),
                [0, 10, 5_000, 64_000, 300_000][number as usize % 5]
            );
            assert!(text.chars().all(|c| c == of));
        };
        for writer in &writers {
            for _ in 0..40 {
                check(receiver.recv().unwrap());
            }
            writer.kill().unwrap();
        }
        for message in receiver.iter() {
            check(message.unwrap());
        }
        for writer in writers {
            assert!(writer.join().unwrap_err().is_worker_death());
        }
    });
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn takes(receiver: Receiver<u32>, sum: Sender<u64>) {
    let all: u64 = receiver
        .iter()
        .map(|number| u64::from(number.unwrap()))
        .sum();
    sum.send(all).unwrap();
}

/// Processes that share the receiving end: each message comes to one of them.
#[test]
fn receivers_share_the_messages() {
    on_each(|| {
        let (sender, receiver) = one_way().unwrap();
        let (sum, sums) = one_way().unwrap();
        let takers: Vec<_> = (0..3)
            .map(|_| Process::spawn(takes, (receiver.clone(), sum.clone())).unwrap())
            .collect();
        drop((receiver, sum));
        scope(|s| {
            s.spawn(|| {
                for number in 1..=1000 {
                    sender.send(number).unwrap();
                }
                drop(sender);
            });
            assert_eq!(sums.iter().map(Result::unwrap).sum::<u64>(), 500_500);
        });
        for taker in takers {
            taker.join().unwrap();
        }
    });
}
