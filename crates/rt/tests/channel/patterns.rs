//! What people build from channels: fan-out and fan-in, pipelines, semaphores, done channels,
//! sieves, and the shapes that Go's own tests try.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk_rt::channel::{Receiver, Sender, bounded, never, select};
use ropewalk_rt::{coroutine, spawn};

use crate::fixture::{CAPACITIES, Dice, join_all, make, start};
use crate::stage::on_each;

// Work is handed out to a few and their results are gathered.
#[test]
fn out_and_in() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (job, jobs) = make::<u64>(capacity);
            let (result, results) = make(capacity);
            let workers: Vec<_> = (0..4)
                .map(|n| {
                    let (jobs, result) = (jobs.clone(), result.clone());
                    start(n, move || {
                        jobs.iter().for_each(|n| result.send(n * n).unwrap())
                    })
                })
                .collect();
            drop((jobs, result));
            let source = spawn(move || (0..200).for_each(|n| job.send(n).unwrap()));
            let sum: u64 = results.iter().sum();
            assert_eq!(sum, (0..200).map(|n| n * n).sum());
            source.join().unwrap();
            join_all(workers);
        }
    });
}

// Several inputs into one output, by a task of its own that selects until all have ended.
#[test]
fn multiplexing() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (senders, inputs): (Vec<_>, Vec<_>) = (0..4).map(|_| make(capacity)).unzip();
            let (output, all) = make(capacity);
            let sources: Vec<_> = senders
                .into_iter()
                .enumerate()
                .map(|(who, sender)| {
                    start(who, move || {
                        (0..60).for_each(|n| sender.send((who, n)).unwrap())
                    })
                })
                .collect();
            let mux = spawn(move || {
                let mut inputs: Vec<_> = inputs.into_iter().map(Some).collect();
                let nothing = never();
                let input = |n: usize, inputs: &[Option<Receiver<_>>]| {
                    inputs[n].clone().unwrap_or_else(|| nothing.clone())
                };
                while inputs.iter().any(|input| input.is_some()) {
                    let (which, message) = select! {
                        recv(input(0, &inputs)) -> m => (0, m),
                        recv(input(1, &inputs)) -> m => (1, m),
                        recv(input(2, &inputs)) -> m => (2, m),
                        recv(input(3, &inputs)) -> m => (3, m),
                    };
                    match message {
                        Ok(message) => output.send(message).unwrap(),
                        Err(_) => inputs[which] = None,
                    }
                }
            });
            let mut next = [0; 4];
            for (who, n) in all {
                assert_eq!(next[who], n);
                next[who] += 1;
            }
            assert_eq!(next, [60; 4]);
            mux.join().unwrap();
            join_all(sources);
        }
    });
}

// Prime numbers through a chain of filters, one task for each prime; then all of them leave.
#[test]
fn a_sieve() {
    on_each(|| {
        for capacity in [0, 1, 8] {
            let (sender, mut numbers) = bounded::<u32>(capacity);
            let source = spawn(move || (2..).take_while(|&n| sender.send(n).is_ok()).count());
            let mut filters = Vec::new();
            let mut primes = Vec::new();
            while primes.len() < 40 {
                let prime = numbers.recv().unwrap();
                primes.push(prime);
                let (out, filtered) = bounded(capacity);
                let input = std::mem::replace(&mut numbers, filtered);
                filters.push(spawn(move || {
                    for n in input.iter().filter(|n| n % prime != 0) {
                        if out.send(n).is_err() {
                            break;
                        }
                    }
                }));
            }
            assert_eq!((primes[0], primes[39]), (2, 173));
            drop(numbers);
            join_all(filters);
            assert!(source.join().unwrap() > 170);
        }
    });
}

// A message through two thousand hands.
#[test]
fn a_long_pipeline() {
    on_each(|| {
        let (first, mut last) = bounded(0);
        for _ in 0..2_000 {
            let (out, next) = bounded(0);
            let input = std::mem::replace(&mut last, next);
            spawn(move || {
                for n in input {
                    out.send(n + 1).unwrap();
                }
            });
        }
        for n in 0..3_u32 {
            first.send(n * 10_000).unwrap();
        }
        drop(first);
        assert!(last.iter().eq((0..3).map(|n| n * 10_000 + 2_000)));
    });
}

// A chain in which each one sends only after its left neighbour, over channels for signals.
#[test]
fn a_chain_of_signals() {
    on_each(|| {
        let (out, numbers) = bounded(0);
        let (first, mut left) = bounded::<()>(0);
        let links: Vec<_> = (0..30)
            .map(|n| {
                let (right, next) = bounded::<()>(0);
                let (before, out) = (std::mem::replace(&mut left, next), out.clone());
                start(n, move || {
                    before.recv().unwrap();
                    out.send(n).unwrap();
                    // Its end is the signal: the last one has nobody to the right.
                    let _ = right.send(());
                })
            })
            .collect();
        drop(out);
        first.send(()).unwrap();
        let mut seen = Vec::new();
        for _ in 0..30 {
            seen.push(numbers.recv().unwrap());
        }
        drop(left);
        assert!(seen.into_iter().eq(0..30));
        join_all(links);
    });
}

// A buffer as a counting semaphore.
#[test]
fn a_semaphore() {
    on_each(|| {
        let (enter, leave) = bounded(3);
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let crowd: Vec<_> = (0..20)
            .map(|n| {
                let (enter, leave) = (enter.clone(), leave.clone());
                let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
                start(usize::from(n % 5 == 0), move || {
                    for _ in 0..20 {
                        enter.send(()).unwrap();
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        coroutine::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        leave.recv().unwrap();
                    }
                })
            })
            .collect();
        join_all(crowd);
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
        assert!(leave.is_empty());
    });
}

// A token that goes round as a lock.
#[test]
fn a_lock() {
    on_each(|| {
        let (put, take) = bounded(1);
        put.send(0_u32).unwrap();
        let crowd: Vec<_> = (0..6)
            .map(|n| {
                let (put, take) = (put.clone(), take.clone());
                start(n, move || {
                    for _ in 0..100 {
                        let count = take.recv().unwrap();
                        put.send(count + 1).unwrap();
                    }
                })
            })
            .collect();
        join_all(crowd);
        assert_eq!(take.recv(), Ok(600));
    });
}

// A channel that nobody sends to tells all by its end that it is over.
#[test]
fn a_done_channel() {
    on_each(|| {
        let (done, over) = bounded::<()>(0);
        let (sender, receiver) = bounded(1);
        let sources: Vec<_> = (0..5)
            .map(|n| {
                let (sender, over) = (sender.clone(), over.clone());
                start(n, move || {
                    let mut sent = 0;
                    loop {
                        select! {
                            send(sender, n) -> result => { result.unwrap(); sent += 1 }
                            recv(over) -> end => { assert!(end.is_err()); return sent }
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let seen = receiver.iter().take(100).count();
        drop(done);
        let rest = receiver.iter().count();
        assert_eq!(join_all(sources).into_iter().sum::<usize>(), seen + rest);
    });
}

// Many wait at a gate, which is a channel that closes.
#[test]
fn a_gate() {
    on_each(|| {
        let (gate, closed) = bounded::<()>(0);
        let passed = Arc::new(AtomicUsize::new(0));
        let crowd: Vec<_> = (0..300)
            .map(|n| {
                let (closed, passed) = (closed.clone(), Arc::clone(&passed));
                start(usize::from(n % 50 == 0), move || {
                    assert!(closed.recv().is_err());
                    passed.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        coroutine::yield_now();
        assert_eq!(passed.load(Ordering::SeqCst), 0);
        drop(gate);
        join_all(crowd);
        assert_eq!(passed.load(Ordering::SeqCst), 300);
    });
}

// A question brings the channel for its answer along.
#[test]
fn answers_by_return() {
    struct Question(u32, Sender<u32>);
    on_each(|| {
        for capacity in CAPACITIES {
            let (ask, asked) = make(capacity);
            let server = start(1, move || {
                for Question(n, answer) in asked {
                    // Who asked may have left.
                    let _ = answer.send(n + 1);
                }
            });
            let clients: Vec<_> = (0..6)
                .map(|who| {
                    let ask: Sender<Question> = ask.clone();
                    start(who, move || {
                        for n in 0..40 {
                            let (answer, answered) = bounded(1);
                            assert!(ask.send(Question(n, answer)).is_ok());
                            if n % 7 != 0 {
                                assert_eq!(answered.recv(), Ok(n + 1));
                            }
                        }
                    })
                })
                .collect();
            drop(ask);
            join_all(clients);
            server.join().unwrap();
        }
    });
}

// Numbers merge in order from two sorted streams, each pulled only when its next is wanted.
#[test]
fn merging_sorted_streams() {
    on_each(|| {
        let stream = |step: u32| {
            let (sender, receiver) = bounded(0);
            spawn(move || {
                (1..)
                    .map(|n| n * step)
                    .take_while(|&n| sender.send(n).is_ok())
                    .count()
            });
            receiver
        };
        let (twos, threes, fives) = (stream(2), stream(3), stream(5));
        let streams = [&twos, &threes, &fives];
        let mut heads = streams.map(|stream| stream.recv().unwrap());
        let mut merged = Vec::new();
        while merged.len() < 100 {
            let least = *heads.iter().min().unwrap();
            merged.push(least);
            for (head, stream) in heads.iter_mut().zip(streams) {
                if *head == least {
                    *head = stream.recv().unwrap();
                }
            }
        }
        let expected = (1..)
            .filter(|n| n % 2 == 0 || n % 3 == 0 || n % 5 == 0)
            .take(100);
        assert!(merged.into_iter().eq(expected));
    });
}

// Sorting by a tournament of tasks over channels.
#[test]
fn a_tree_of_tasks() {
    fn sort(mut numbers: Vec<u64>) -> Receiver<u64> {
        let (sender, receiver) = bounded(1);
        spawn(move || {
            if numbers.len() < 2 {
                numbers.into_iter().for_each(|n| sender.send(n).unwrap());
                return;
            }
            let right = sort(numbers.split_off(numbers.len() / 2));
            let left = sort(numbers);
            let (mut one, mut two) = (left.recv().ok(), right.recv().ok());
            while let Some(least) = one.into_iter().chain(two).min() {
                sender.send(least).unwrap();
                if one == Some(least) {
                    one = left.recv().ok();
                } else {
                    two = right.recv().ok();
                }
            }
        });
        receiver
    }
    on_each(|| {
        let mut dice = Dice::new(11);
        let mut numbers: Vec<_> = (0..150).map(|_| dice.below(1_000)).collect();
        let sorted: Vec<_> = sort(numbers.clone()).iter().collect();
        numbers.sort_unstable();
        assert_eq!(sorted, numbers);
    });
}
