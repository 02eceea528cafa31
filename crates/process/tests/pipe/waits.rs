//! Waits: with a limit, without any, cancelled; and many who share an end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_process::pipe::{PipeError, Sender, one_way};
use ropewalk_rt::{coroutine, scope};

use crate::stage::{in_coroutines, on_each, until_waiting};

/// Sends until there is no room; gives how many went.
fn fill(sender: &Sender<Vec<u8>>) -> usize {
    let mut sent = 0;
    loop {
        match sender.try_send(vec![sent as u8; 1000]) {
            Ok(()) => sent += 1,
            Err(error) => {
                assert!(error.reason.is_would_block(), "{error}");
                assert_eq!(error.message.len(), 1000);
                return sent;
            }
        }
    }
}

#[test]
fn limits_are_kept() {
    on_each(|| {
        let (sender, receiver) = one_way::<Vec<u8>>().unwrap();
        assert!(matches!(receiver.try_recv(), Err(PipeError::WouldBlock)));
        assert!(!receiver.poll().unwrap());
        let short = Duration::from_millis(5);
        assert!(receiver.recv_timeout(short).unwrap_err().is_timed_out());
        assert!(!receiver.poll_timeout(short).unwrap());
        let past = Instant::now();
        assert!(receiver.recv_deadline(past).unwrap_err().is_timed_out());
        assert!(!receiver.poll_deadline(past).unwrap());

        let sent = fill(&sender);
        assert!(receiver.poll().unwrap());
        assert!(receiver.poll_timeout(Duration::MAX).unwrap());
        let error = sender.send_timeout(vec![1; 10], short).unwrap_err();
        assert!(error.reason.is_timed_out());
        assert_eq!(error.message, [1; 10]);
        let error = sender.send_deadline(vec![], past).unwrap_err();
        assert!(error.reason.is_timed_out());

        // None of the attempts has left anything behind.
        let all: Vec<_> = receiver.try_iter().map(Result::unwrap).collect();
        assert_eq!(all.len(), sent);
        assert!(
            all.iter()
                .enumerate()
                .all(|(n, bytes)| *bytes == [n as u8; 1000])
        );
        sender.send_timeout(vec![2], Duration::MAX).unwrap();
        assert_eq!(receiver.recv_timeout(Duration::MAX).unwrap(), [2]);
    });
}

#[test]
fn a_cancelled_receive_takes_no_message() {
    in_coroutines(|| {
        let (sender, receiver) = one_way::<u32>().unwrap();
        let waiting = coroutine::spawn({
            let receiver = receiver.clone();
            move || receiver.recv()
        });
        until_waiting(waiting.task().id(), "reading");
        waiting.cancel();
        let ended = waiting.join().unwrap();
        assert!(ended.unwrap_err().is_cancelled());
        sender.send(5).unwrap();
        assert_eq!(receiver.recv().unwrap(), 5);
    });
}

#[test]
fn a_cancelled_send_sends_nothing() {
    in_coroutines(|| {
        let (sender, receiver) = one_way::<Vec<u8>>().unwrap();
        let sent = fill(&sender);
        let waiting = coroutine::spawn({
            let sender = sender.clone();
            move || sender.send(vec![0; 90_000]).map_err(|error| error.reason)
        });
        until_waiting(waiting.task().id(), "writing");
        waiting.cancel();
        assert!(waiting.join().unwrap().unwrap_err().is_cancelled());
        drop(sender);
        assert_eq!(receiver.iter().map(Result::unwrap).count(), sent);
    });
}

/// Message and cancellation at the same moment: the message is received by one of the two.
#[test]
fn a_race_with_a_cancellation_loses_nothing() {
    in_coroutines(|| {
        let (sender, receiver) = one_way::<u32>().unwrap();
        for number in 0..200 {
            let waiting = coroutine::spawn({
                let receiver = receiver.clone();
                move || receiver.recv().ok()
            });
            if number % 2 == 0 {
                coroutine::yield_now();
            }
            let both = coroutine::spawn({
                let sender = sender.clone();
                move || sender.send(number).unwrap()
            });
            waiting.cancel();
            both.join().unwrap();
            // Never started, it has no value.
            let got = waiting.join().unwrap_or(None);
            assert_eq!(got.or_else(|| receiver.try_recv().ok()), Some(number));
        }
    });
}

/// Senders and receivers share the two ends: each message comes once, whole, to one of them,
/// and each sender's in order for each receiver.
#[test]
fn many_share_both_ends() {
    const SENDERS: usize = 4;
    const RECEIVERS: usize = 3;
    const EACH: usize = 400;
    on_each(|| {
        let (sender, receiver) = one_way::<(usize, usize, String)>().unwrap();
        let received = AtomicUsize::new(0);
        scope(|s| {
            for who in 0..SENDERS {
                let sender = sender.clone();
                s.spawn(move || {
                    for number in 0..EACH {
                        // Now and then one that goes by file.
                        let len = if number % 50 == 7 { 80_000 } else { number * 9 };
                        sender
                            .send((who, number, who.to_string().repeat(len)))
                            .unwrap();
                    }
                });
            }
            drop(sender);
            for _ in 0..RECEIVERS {
                s.spawn(|| {
                    let mut last = [None; SENDERS];
                    for message in receiver.iter() {
                        let (who, number, text) = message.unwrap();
                        assert!(text.chars().all(|c| c.to_digit(10) == Some(who as u32)));
                        assert!(last[who] < Some(number));
                        last[who] = Some(number);
                        received.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(received.into_inner(), SENDERS * EACH);
    });
}
